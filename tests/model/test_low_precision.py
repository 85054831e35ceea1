"""The instrument in bfloat16 and float16: losses, decompositions and statistics beside float32; the config follows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from mechscope import evals, head_detector, patching
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.save import save_model
from mechscope.model.answer_rank import test_prompt as rank_of_answer
from mechscope.model.encoder import HookedEncoder
from mechscope.model.loss import lm_accuracy, lm_cross_entropy_loss
from mechscope.model.sampling import sample_logits
from mechscope.model.transformer import HookedTransformer
from tests.techniques.every_technique import small_model

# Activations are rounded to 8 bits in bfloat16 (0.4 %) and to 11 in float16 (0.05 %), some ten times on the way.
TOLERANCE = {torch.bfloat16: 0.05, torch.float16: 0.008}
DTYPES = list(TOLERANCE)
TOKENS = torch.randint(0, 40, (3, 12), generator=torch.Generator().manual_seed(0))
CORRUPTED = (TOKENS + 7) % 40


def _difference(logits: torch.Tensor) -> torch.Tensor:
    return (logits[:, -1, 3] - logits[:, -1, 9]).mean()


Call = Callable[[HookedTransformer, Any], torch.Tensor]
CALLS: dict[str, Call] = {
    "loss": lambda m, c: m(TOKENS, return_type="loss"),
    "loss per token": lambda m, c: m(TOKENS, return_type="loss", loss_per_token=True),
    "both": lambda m, c: m(TOKENS, return_type="both").loss,
    "loss with padding": lambda m, c: m(TOKENS, return_type="loss", attention_mask=(TOKENS > 3).long()),
    "accuracy": lambda m, c: lm_accuracy(m(TOKENS), TOKENS),
    "logit_attrs": lambda m, c: c.logit_attrs(c.decompose_resid(), 3, 9),
    "decompose_resid": lambda m, c: c.decompose_resid(apply_ln=True),
    "stack_head_results": lambda m, c: c.stack_head_results(apply_ln=True),
    "get_full_resid_decomposition": lambda m, c: c.get_full_resid_decomposition(apply_ln=True),
    "all_composition_scores": lambda m, c: m.all_composition_scores("K"),
    "norm": lambda m, c: m.OV.norm(),
    "eigenvalues": lambda m, c: m.OV.eigenvalues.abs(),
    "patching": lambda m, c: patching.get_act_patch_resid_pre(m, CORRUPTED, c, _difference),
    "patching heads": lambda m, c: patching.get_act_patch_attn_head_all_pos_every(
        m, CORRUPTED, c, _difference
    ),
    "detect_head": lambda m, c: head_detector.detect_head(m, TOKENS, "previous_token_head"),
    "induction_loss": lambda m, c: evals.induction_loss(m, subseq_len=6),
    "gradients": lambda m, c: torch.autograd.grad(m(TOKENS, return_type="loss"), m.blocks[0].attn.W_O)[
        0
    ].float(),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_as_in_float32(name: str, dtype: torch.dtype) -> None:
    narrow = small_model().to(dtype)
    wide = copy.deepcopy(narrow).float()
    exact = CALLS[name](wide, wide.run_with_cache(TOKENS)[1]).detach()
    found = CALLS[name](narrow, narrow.run_with_cache(TOKENS)[1]).detach()
    assert found.dtype == torch.float32
    assert float((found - exact).abs().max()) <= TOLERANCE[dtype] * float(exact.abs().max())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_loss_is_the_cross_entropy_of_the_logits(dtype: torch.dtype, masked: bool) -> None:
    """As good as float64 of the same logits: between 8 and 16 a step of bfloat16 is 1/16 of a nat."""
    draw = torch.Generator().manual_seed(1)
    logits = (8 * torch.randn(3, 12, 40, generator=draw)).to(dtype)
    mask = torch.arange(12) < torch.tensor([[12], [5], [9]]) if masked else None
    found = lm_cross_entropy_loss(logits, TOKENS, mask)
    real = torch.ones(3, 11, dtype=torch.bool) if mask is None else mask[:, 1:]
    right = F.cross_entropy(logits[:, :-1][real].double(), TOKENS[:, 1:][real])
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(right), rel=1e-6)


def test_a_loss_in_float64_stays_there() -> None:
    logits = torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    right = F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten())
    assert abs(float(lm_cross_entropy_loss(logits, TOKENS) - right)) < 1e-14


@pytest.mark.parametrize(
    "how", ["half", "bfloat16", "double", "float", "to", "part of a module", "a part before", "assigned"]
)
def test_config_follows_every_conversion(how: str, tmp_path) -> None:
    model = small_model(n_layers=1).to(torch.bfloat16 if how == "float" else torch.float32)
    if how == "to":
        model.to(dtype=torch.float16)
    elif how == "part of a module":
        torch.nn.ModuleDict({"inner": model}).half()
    elif how == "a part before":
        model.blocks.half()
        model.double()
    elif how == "assigned":
        narrow = {name: value.half() for name, value in model.state_dict().items()}
        model.load_state_dict(narrow, assign=True)
    else:
        getattr(model, how)()
    dtype = model.W_E.dtype
    assert model.cfg.dtype == dtype
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert str(dtype).removeprefix("torch.") in repr(model)
    save_model(model, tmp_path / "saved")
    assert (
        f'"dtype": "{str(dtype).removeprefix("torch.")}"' in (tmp_path / "saved" / "config.json").read_text()
    )
    assert torch.equal(load_model(tmp_path / "saved", dtype=dtype, process=False).W_E, model.W_E)
    # What reads the config to make tensors of its own makes them of the right type.
    model.generate(TOKENS[:, :3], max_new_tokens=2, verbose=False, stop_at_eos=False)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_encoder(dtype: torch.dtype) -> None:
    fields = {
        "n_layers": 2,
        "d_model": 16,
        "n_ctx": 12,
        "d_head": 8,
        "d_vocab": 40,
        "act_fn": "gelu",
        "seed": 0,
    }
    narrow = HookedEncoder(fields | {"normalization_type": "LN"})
    narrow = narrow.half() if dtype == torch.float16 else narrow.bfloat16()
    assert narrow.cfg.dtype == dtype
    wide = copy.deepcopy(narrow).float()
    assert wide.cfg.dtype == torch.float32
    exact = wide(TOKENS).detach()
    assert float((narrow(TOKENS).detach() - exact).abs().max()) <= TOLERANCE[dtype] * float(exact.abs().max())


def test_models_from_one_config_are_converted_apart() -> None:
    one = small_model(n_layers=1)
    other = HookedTransformer(one.cfg).half()
    assert (one.cfg.dtype, other.cfg.dtype) == (torch.float32, torch.float16)


def test_sampling_in_float32() -> None:
    """In bfloat16 a penalty of 0.3 on a logit of 100 would be rounded away."""
    logits = torch.tensor([[100.0, 99.5]], dtype=torch.bfloat16)
    tokens = torch.zeros(1, 4, dtype=torch.long)
    assert int(sample_logits(logits, temperature=0.0, freq_penalty=0.3, tokens=tokens)) == 1
    assert int(sample_logits(logits, temperature=0.0, freq_penalty=0.1, tokens=tokens)) == 0


def test_answer_probabilities_sum_to_one() -> None:
    model = load_model("mini-attn-only-1l", dtype=torch.bfloat16)
    found = rank_of_answer("Once upon a", "time", model, print_details=False, top_k=model.cfg.d_vocab)
    assert sum(token.probability for token in found.answers[0].top[0]) == pytest.approx(1, abs=1e-5)
