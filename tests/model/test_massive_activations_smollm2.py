"""SmolLM2-135M has massive activations at first tokens, and a dictionary's figures are those of the other tokens."""

import pytest
import torch

import mechscope as ms
from mechscope.checkpoints.lab_models import SMOLLM2
from mechscope.model.massive_activations import activation_lengths, is_massive, length_limit

HOOK = "blocks.14.hook_resid_post"
TEXTS = (
    "The lighthouse keeper wrote a letter to his sister every evening, and never sent any of them.",
    "In 1859 two astronomers saw a bright flash on the sun, and a day later telegraphs caught fire.",
    "def mean(numbers):\n    total = sum(numbers)\n    return total / len(numbers)\n",
)
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(not SMOLLM2.is_available, reason="needs `mechscope models get smollm2-135m` (98 MB)"),
]


def test_the_rule_finds_first_tokens() -> None:
    model = ms.load_model("smollm2-135m")
    found = [
        model.run_with_cache(text, names_filter=[HOOK], stop_at_layer=15, return_type=None)[1][HOOK][0]
        for text in TEXTS
    ]
    x = torch.cat(found)
    limit = length_limit(x)
    firsts = torch.stack([rows[0] for rows in found])
    others = torch.cat([rows[1:] for rows in found])
    assert bool(is_massive(firsts, limit).all())
    # Hardly any of the others is, and those that are not are far from the limit.
    massive = is_massive(others, limit)
    assert float(massive.float().mean()) < 0.05
    assert float(activation_lengths(others[~massive]).max()) < 0.5 * limit
    # The first tokens alone make the variance of all tokens.
    spread = (x - x.mean(0)).square().sum()
    ordinary = others[~massive]
    assert float((ordinary - ordinary.mean(0)).square().sum() / spread) < 0.02
