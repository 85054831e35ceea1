"""A baseline for features: a linear probe on all neurons, compared with probes on a few features."""

from __future__ import annotations

import torch

from mechscope.dictionaries.evaluation import sparse_probing
from mechscope.dictionaries.evaluation.sparse_probing import SparseProbing
from mechscope.labs.sae.text_study import TextStudy

KS = (1, 2, 5, 10)
"""Features that a sparse probe may read."""
MOST = 1000
"""The most examples per class."""


def probe_comments(study: TextStudy, seed: int) -> SparseProbing:
    """Probe for “this token is inside a comment”. No sequence is in both the training and the test split."""
    labels = study.texts.comment[:, 1:].flatten()
    groups = torch.arange(len(study.test)).repeat_interleave(study.test.shape[1])
    generator = torch.Generator().manual_seed(5000 + seed)
    chosen = torch.cat([_draw(labels, generator), _draw(~labels, generator)])
    x = study.test.flatten(0, 1)[chosen.to(study.test.device)]
    with torch.no_grad():
        features = study.chosen.encode(x)
    return sparse_probing(
        features.cpu(),
        x.cpu(),
        labels[chosen].long(),
        ks=KS,
        metric="auroc",
        groups=groups[chosen],
        seeds=(seed, seed + 1, seed + 2),
    )


def _draw(chosen: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    indices = chosen.nonzero().flatten()
    return indices[torch.randperm(len(indices), generator=generator)[:MOST]]
