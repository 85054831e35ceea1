"""What the live figure of step 05 reads: a page for each feature of the bundled dictionary.

`python -m mechscope.labs.live_data sae` writes the file again. Its contexts are excerpts of a few tokens from Python's
standard library (Python Software Foundation License).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import feature_pages
from mechscope.dictionaries.evaluation.contexts import Context
from mechscope.dictionaries.files import load
from mechscope.labs.sae.language_model import HOOK, load_language_model, training_rows
from mechscope.model.transformer import HookedTransformer

FOLDER = Path(__file__).parent / "live"
NAME = "mini-gelu-1l-neurons"
"""The bundled dictionary."""
EXAMPLES = 3
"""Contexts per feature: the strongest ones, each from another sequence."""
BEFORE, AFTER = 8, 3
"""Tokens shown around the strongest one."""
LISTED = 6
"""Promoted and suppressed tokens per feature."""
NO_TOKEN = -1
"""Stands where a context has no token."""
LEVELS = 255
"""An activation in a context is stored as a whole number of this many parts of the feature's largest."""
ROWS = 1500
"""Sequences of the standard library that contexts and densities come from."""


def make_files() -> dict[str, bytes]:
    """File name → content: the pages of all features as tensors."""
    dictionary = load(NAME).float()
    model = load_language_model(dictionary.metadata["model_name"], torch.device("cpu"))
    library = read_standard_library()
    for name in HELD_OUT_CODE:
        library.pop(name)
    rows = training_rows(model, library, ROWS, model.cfg.n_ctx - 1, seed=0)
    begin = model.to_tokens("", prepend_bos=True)[0, :1].cpu()
    tokens = torch.cat([begin.expand(len(rows), 1), rows], dim=1)
    pages = make_pages(model, dictionary, tokens, range(dictionary.cfg.d_sae))
    return {"feature_pages.safetensors": safetensors.torch.save(pages)}


def make_pages(
    model: HookedTransformer,
    dictionary: Dictionary,
    tokens: Int[Tensor, "batch pos"],
    features: Sequence[int],
) -> dict[str, Tensor]:
    """The pages of some features.

    Returns:
        density and largest [feature]; tokens and activations [feature context pos], the strongest token at position
        `BEFORE`, activations in parts of the largest; promoted and suppressed tokens [feature entry], with the changes
        of their logits per unit of activation.
    """
    pages = feature_pages(
        model,
        dictionary,
        tokens,
        HOOK,
        features,
        skip_first=1,
        through=model.W_out[0],
        contexts=EXAMPLES,
        groups=1,
        a_group=1,
        tokens_listed=LISTED,
        window=(BEFORE, AFTER),
        batch_size=64,
    )
    lists = [page.logits for page in pages if page.logits is not None]
    contexts = [_aligned(page.top, page.max_activation) for page in pages]
    return {
        "density": torch.tensor([page.density for page in pages]),
        "largest": torch.tensor([page.max_activation for page in pages]),
        "tokens": torch.stack([shown for shown, _ in contexts]).to(torch.int16),
        "activations": torch.stack([values for _, values in contexts]).to(torch.uint8),
        "promoted": torch.tensor([each.top for each in lists], dtype=torch.int16),
        "promoted_by": torch.tensor([each.top_values for each in lists]).half(),
        "suppressed": torch.tensor([each.bottom for each in lists], dtype=torch.int16),
        "suppressed_by": torch.tensor([each.bottom_values for each in lists]).half(),
    }


def _aligned(contexts: Iterable[Context], largest: float) -> tuple[Tensor, Tensor]:
    tokens = torch.full((EXAMPLES, BEFORE + 1 + AFTER), NO_TOKEN)
    values = torch.zeros(tokens.shape)
    for row, context in enumerate(contexts):
        first = BEFORE - (context.position - context.start)
        here = slice(first, first + len(context.tokens))
        tokens[row, here] = torch.tensor(context.tokens)
        values[row, here] = torch.tensor(context.activations)
    return tokens, (LEVELS * values / (largest or 1.0)).round()
