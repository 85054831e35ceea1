"""Weight processing: the same log-probabilities from weights that are easier to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mechscope.model import weight_processing
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.model.weight_processing import process_weights
from mechscope.model.weight_processing.process import process_parts, run_steps
from tests.model.tiny import BASE, VARIANTS, tiny_model, tiny_tokens

REFACTORABLE = [
    name
    for name, fields in VARIANTS.items()
    if fields.get("positional_embedding_type") != "rotary"
    and "n_key_value_heads" not in fields
    and "qk_norm" not in fields
]


def log_probs(model: HookedTransformer, tokens: torch.Tensor) -> torch.Tensor:
    return F.log_softmax(model(tokens).detach(), dim=-1)


def processed_model(model: HookedTransformer, **steps: Any) -> tuple[HookedTransformer, Any]:
    processed = process_weights(model.cfg, model.state_dict(), **steps)
    return HookedTransformer.from_state(processed.cfg, processed.state_dict), processed.report


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_log_probabilities_stay_in_float32(variant: str) -> None:
    model, tokens = tiny_model(variant), tiny_tokens()
    other, report = processed_model(model, refactor_factored_attn_matrices=variant in REFACTORABLE)
    before = log_probs(model, tokens)
    scale = before.abs().max().clamp(min=10) / 10  # a model without norms is very sure of itself
    assert (before - log_probs(other, tokens)).abs().max() <= 1e-4 * scale
    assert report.changed and report.max_error < 1e-5


@st.composite
def configs(draw: st.DrawFn) -> HookedTransformerConfig:
    """Any config that the model accepts, as far as it matters to processing."""
    fields = {
        **BASE,
        "n_layers": draw(st.integers(0, 2)),
        "dtype": torch.float64,
        "normalization_type": draw(st.sampled_from(["LN", "LN", "RMS", "LNPre", "RMSPre", None])),
        "norm_placement": draw(st.sampled_from(["pre", "pre", "pre_and_post", "post"])),
        "post_embedding_ln": draw(st.booleans()),
        "final_rms": draw(st.booleans()),
        "positional_embedding_type": draw(
            st.sampled_from(["standard", "rotary", "shortformer", "alibi", "none"])
        ),
        "n_key_value_heads": draw(st.sampled_from([None, 1, 2])),
        "attn_only": draw(st.booleans()),
        "gated_mlp": draw(st.booleans()),
        "act_fn": draw(st.sampled_from(["gelu", "solu_ln"])),
        "tie_word_embeddings": draw(st.booleans()),
        "qk_norm": draw(st.sampled_from(["none", "per_head", "full"])),
        "output_logits_soft_cap": draw(st.sampled_from([-1.0, 3.0])),
        "attn_scores_soft_cap": draw(st.sampled_from([-1.0, 3.0])),
    }
    fields["parallel_attn_mlp"] = fields["norm_placement"] == "pre" and draw(st.booleans())
    if not fields["tie_word_embeddings"]:
        fields["d_vocab_out"] = draw(st.sampled_from([30, 7]))
    return HookedTransformerConfig(**fields)


@settings(max_examples=120, deadline=None)
@given(configs(), st.integers(0, 1000), st.lists(st.booleans(), min_size=4, max_size=4), st.booleans())
def test_any_steps_on_any_config_keep_log_probabilities_and_the_input(
    cfg: HookedTransformerConfig, seed: int, asked: list[bool], zero_shifts: bool
) -> None:
    fields = {name: value for name, value in cfg.to_dict().items() if name != "seed"}
    model = tiny_model(seed=seed, **fields)
    if zero_shifts:  # what lets a gated MLP's LayerNorm be folded
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("ln2.b"):
                    parameter.zero_()
    state = model.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    steps = dict(
        zip(("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), asked, strict=True)
    )
    processed = process_weights(cfg, state, **steps)
    other = HookedTransformer.from_state(processed.cfg, processed.state_dict)
    tokens = tiny_tokens(seed=seed)
    difference = (log_probs(model, tokens) - log_probs(other, tokens)).abs().max()
    assert difference <= 1e-9, processed.report
    for name, value in before.items():
        assert torch.equal(state[name], value), f"{name} of the input was changed"
    changed = set(processed.report.changed)
    for name, value in processed.state_dict.items():
        if name not in changed and name in state:
            assert value is state[name], f"{name} was copied for nothing"
    for step in processed.report.steps:
        assert (step.outcome == "not asked for") != steps.get(step.name, False)
        assert step.notes or step.outcome == "not asked for"


def parts_of(state: Mapping[str, torch.Tensor], n_layers: int) -> Iterator[dict[str, torch.Tensor]]:
    """Copies of what is outside of the blocks, then of one block after another."""
    for layer in (None, *range(n_layers)):
        yield {
            name: value.clone()
            for name, value in state.items()
            if (int(name.split(".")[1]) if name.startswith("blocks.") else None) == layer
        }


@settings(max_examples=80, deadline=None)
@given(configs(), st.integers(0, 1000), st.lists(st.booleans(), min_size=4, max_size=4), st.booleans())
def test_part_by_part_gives_the_same_weights_and_the_same_report(
    cfg: HookedTransformerConfig, seed: int, asked: list[bool], zero_shifts: bool
) -> None:
    fields = {name: value for name, value in cfg.to_dict().items() if name != "seed"}
    state = dict(tiny_model(seed=seed, **fields).state_dict())
    if zero_shifts:  # in one block only: whether any norm is folded depends on all blocks
        for name, value in state.items():
            if name == "blocks.0.ln2.b":
                value.zero_()
    steps = dict(
        zip(("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), asked, strict=True)
    )
    whole = run_steps(cfg, state, steps)
    found = process_parts(cfg, parts_of(state, cfg.n_layers), steps, cfg.dtype)
    assert found.cfg == whole.cfg
    assert found.state_dict.keys() == whole.state_dict.keys()
    for name, value in whole.state_dict.items():
        assert torch.equal(found.state_dict[name], value), name
    for one, other in zip(found.report.steps, whole.report.steps, strict=True):
        assert (one.name, one.outcome, one.notes) == (other.name, other.outcome, other.notes)
        assert set(one.changed) == set(other.changed)
        assert (one.error is None) == (other.error is None)
        if one.error is not None and other.error is not None:
            assert one.error.max_abs == other.error.max_abs
            assert one.error.n_compared == other.error.n_compared


def test_part_by_part_rounds_once_at_the_end() -> None:
    model = tiny_model("plain")
    state = dict(model.state_dict())
    steps = dict.fromkeys(("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), True)
    exact = run_steps(model.cfg, state, steps)
    narrow = process_parts(model.cfg, parts_of(state, model.cfg.n_layers), steps, torch.bfloat16)
    assert narrow.cfg.dtype == torch.bfloat16
    for name, value in exact.state_dict.items():
        assert torch.equal(narrow.state_dict[name], value.bfloat16()), name


@pytest.mark.parametrize(
    "variant", [name for name, f in VARIANTS.items() if name not in ("gated", "shortformer")]
)
def test_folded_norms_are_gone_and_folding_again_is_declined(variant: str) -> None:
    model = tiny_model(variant)
    once = process_weights(model.cfg, model.state_dict())
    assert once.cfg.normalization_type in ("LNPre", "RMSPre", None)
    names = [".ln1.", ".ln2.", ".mlp.ln.", "ln_final"]
    assert not [name for name in once.state_dict if any(part in name for part in names)]
    twice = process_weights(once.cfg, once.state_dict)
    assert twice.report["fold_ln"].outcome == "skipped"
    assert "already" in twice.report["fold_ln"].notes[0] or "no norms" in twice.report["fold_ln"].notes[0]
    for name, value in once.state_dict.items():
        assert torch.allclose(twice.state_dict[name], value, atol=1e-6)


def test_what_was_centred_has_no_mean() -> None:
    model = tiny_model("solu_ln")
    state = process_weights(model.cfg, model.state_dict()).state_dict
    for name in (
        "embed.W_E",
        "pos_embed.W_pos",
        "blocks.1.attn.W_O",
        "blocks.1.attn.b_O",
        "blocks.0.mlp.b_out",
    ):
        assert state[name].mean(-1).abs().max() < 1e-6, name
    for name in ("blocks.0.attn.W_Q", "blocks.1.attn.W_V", "blocks.0.mlp.W_in", "unembed.W_U"):
        assert state[name].mean(-2).abs().max() < 1e-6, name
    assert state["unembed.W_U"].mean(-1).abs().max() < 1e-6
    assert abs(float(state["unembed.b_U"].mean())) < 1e-6
    assert not state["blocks.0.attn.b_V"].any()


def test_folding_by_hand_on_one_weight() -> None:
    model = tiny_model("grouped")
    state = model.state_dict()
    folded = weight_processing.fold_layer_norm(model.cfg, state).state_dict
    scaled = state["blocks.0.attn._W_K"] * state["blocks.0.ln1.w"][None, :, None]
    assert torch.allclose(folded["blocks.0.attn._W_K"], scaled - scaled.mean(1, keepdim=True), atol=1e-6)
    shift = torch.einsum("d,hde->he", state["blocks.0.ln1.b"], state["blocks.0.attn._W_K"])
    assert torch.allclose(folded["blocks.0.attn._b_K"], state["blocks.0.attn._b_K"] + shift, atol=1e-6)
    values = weight_processing.fold_value_biases(model.cfg, state).state_dict
    expected = state["blocks.1.attn.b_O"].clone()
    for head in range(4):
        expected += state["blocks.1.attn._b_V"][head // 2] @ state["blocks.1.attn.W_O"][head]
    assert torch.allclose(values["blocks.1.attn.b_O"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "fields", "step", "why"),
    [
        ("RMS", {}, "center_writing_weights", "do not subtract the mean"),
        ("RMSPre, final RMS", {}, "center_writing_weights", "final norm is RMS"),
        ("no norm", {}, "center_writing_weights", "no norm subtracts"),
        ("plain", {"norm_placement": "pre_and_post"}, "center_writing_weights", "is normalized before"),
        ("plain", {"norm_placement": "post"}, "center_writing_weights", "without a norm"),
        ("soft caps", {}, "center_unembed", "soft cap"),
        ("no norm", {}, "fold_ln", "no norms"),
        ("LNPre", {}, "fold_ln", "already"),
        ("shortformer", {}, "fold_ln", "shortformer"),
        ("gated", {}, "fold_ln", "gated MLP has no bias"),
        ("gated", {"act_fn": "solu_ln"}, "fold_ln", "linear branch"),
    ],
)
def test_a_step_that_does_not_apply_is_skipped_with_the_reason(
    variant: str, fields: dict[str, Any], step: str, why: str
) -> None:
    model = tiny_model(variant, **fields)
    report = process_weights(model.cfg, model.state_dict()).report
    assert report[step].outcome == "skipped"
    assert why in report[step].notes[0]
    assert why in str(report)


def test_norms_that_nothing_linear_reads_are_kept_and_named() -> None:
    model = tiny_model("Gemma-like")
    processed = process_weights(model.cfg, model.state_dict())
    assert "blocks.0.ln1_post.w" in processed.state_dict and "blocks.0.attn.q_norm.w" in processed.state_dict
    notes = " ".join(processed.report["fold_ln"].notes)
    assert "kept ln1_post and ln2_post" in notes and "q_norm" in notes
    bloom = tiny_model("alibi")
    report = process_weights(bloom.cfg, bloom.state_dict()).report
    assert "kept embed.ln" in str(report) and "left W_E alone" in str(report)


def test_tied_embeddings_part_only_when_they_must() -> None:
    model = tiny_model("tied", normalization_type="RMS")
    off = {"fold_ln": False, "center_unembed": False}
    kept = process_weights(model.cfg, model.state_dict(), **off)
    assert kept.cfg.tie_word_embeddings and "unembed.W_U" not in kept.state_dict
    parted = process_weights(model.cfg, model.state_dict())
    assert not parted.cfg.tie_word_embeddings
    assert parted.state_dict["unembed.W_U"].shape == (24, 30)


def test_refactored_attention_has_orthogonal_inner_axes_in_order() -> None:
    model = tiny_model(n_layers=1)
    state = process_weights(model.cfg, model.state_dict(), refactor_factored_attn_matrices=True).state_dict
    W_Q, W_K = (state[f"blocks.0.attn.W_{letter}"] for letter in "QK")
    b_Q, b_K = (state[f"blocks.0.attn.b_{letter}"] for letter in "QK")
    for W, b in ((W_Q, b_Q), (W_K, b_K)):
        rows = torch.cat([W, b[:, None]], dim=1)
        gram = rows.mT @ rows
        assert torch.allclose(gram, torch.diag_embed(torch.diagonal(gram, dim1=1, dim2=2)), atol=1e-3)
        sizes = torch.diagonal(gram, dim1=1, dim2=2)
        assert (sizes[:, :-1] >= sizes[:, 1:] - 1e-4).all()
    W_O = state["blocks.0.attn.W_O"]
    assert torch.allclose(W_O @ W_O.mT, torch.eye(8).expand(4, 8, 8), atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "why"),
    [("rotary", "rotary"), ("grouped", "share"), ("query/key norm", "norms are between")],
)
def test_refactoring_what_cannot_be_is_an_error(variant: str, why: str) -> None:
    model = tiny_model(variant)
    with pytest.raises(ValueError, match=why):
        process_weights(model.cfg, model.state_dict(), refactor_factored_attn_matrices=True)


def test_a_head_wider_than_the_stream_can_be_refactored() -> None:
    model = tiny_model(d_model=5, d_head=8, n_heads=2)
    other, _ = processed_model(model, refactor_factored_attn_matrices=True)
    tokens = tiny_tokens()
    assert (log_probs(model, tokens) - log_probs(other, tokens)).abs().max() < 1e-4


def test_a_missing_tensor_is_named() -> None:
    model = tiny_model()
    state = model.state_dict()
    del state["blocks.1.ln2.w"]
    with pytest.raises(ValueError, match=r"lack 'blocks\.1\.ln2\.w'"):
        process_weights(model.cfg, state)


def test_errors_are_those_of_the_step_in_float64() -> None:
    model = tiny_model(dtype=torch.bfloat16)
    state = model.state_dict()
    exact = process_weights(
        model.cfg, {name: value.double() for name, value in state.items()}, center_unembed=False
    )
    rounded = process_weights(model.cfg, state, center_unembed=False, measure_error=True)
    error = rounded.report["fold_ln"].error
    assert error is not None and 1e-4 < error.relative < 2**-8
    # Only one step touched W_Q, so its distance to the float64 run is an error that the report bounds.
    name = "blocks.0.attn.W_Q"
    distance = (rounded.state_dict[name].double() - exact.state_dict[name]).abs().max()
    assert 0 < distance <= error.max_abs
    assert rounded.state_dict[name].dtype == torch.bfloat16
    assert exact.report["fold_ln"].error is not None and exact.report["fold_ln"].error.max_abs == 0


def test_a_sampled_error_is_part_of_the_full_one_and_measuring_can_be_off() -> None:
    model = tiny_model(d_model=128, d_mlp=512)
    reports = [
        process_weights(model.cfg, model.state_dict(), measure_error=how).report for how in ("sample", True)
    ]
    sample, full = (report["fold_ln"].error for report in reports)
    assert sample is not None and full is not None
    assert 0 < sample.max_abs <= full.max_abs < 1e-5
    assert sample.n_compared < full.n_compared / 3
    off = process_weights(model.cfg, model.state_dict(), measure_error=False).report
    assert all(step.error is None for step in off.steps) and off.max_error == 0
    assert "not measured" in str(off) and "absolute" in str(reports[0])
    with pytest.raises(KeyError, match="no step 'fold'"):
        off["fold"]


def test_edited_weights_are_contiguous_however_the_given_ones_lie() -> None:
    model = tiny_model()
    state = model.state_dict()
    fused = torch.randn(24, 3 * 32)  # queries, keys and values side by side, as GPT-2 stores them
    state["blocks.0.attn.W_Q"] = fused[:, :32].unflatten(1, (4, 8)).permute(1, 0, 2)
    processed = process_weights(model.cfg, state)
    assert processed.state_dict["blocks.0.attn.W_Q"].is_contiguous()


@pytest.mark.parametrize(
    "step", ["fold_layer_norm", "center_writing_weights", "center_unembed", "fold_value_biases"]
)
def test_single_steps_are_the_steps_of_the_whole(step: str) -> None:
    model = tiny_model()
    alone = getattr(weight_processing, step)(model.cfg, model.state_dict())
    name = "fold_ln" if step == "fold_layer_norm" else step
    all_off = {"fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"}
    whole = process_weights(model.cfg, model.state_dict(), **{other: other == name for other in all_off})
    assert [part.name for part in alone.report.steps] == [name]
    assert alone.state_dict.keys() == whole.state_dict.keys()
    for key, value in alone.state_dict.items():
        assert torch.equal(value, whole.state_dict[key])


@pytest.mark.peer
@pytest.mark.parametrize("refactor", [False, True])
@pytest.mark.parametrize("variant", ["plain", "attention only", "solu_ln", "parallel"])
def test_agrees_with_the_classic_processing(variant: str, refactor: bool) -> None:
    peer = pytest.importorskip("transformer_lens")
    model = tiny_model(variant, dtype=torch.float64)
    fields = {**BASE, **VARIANTS[variant], "device": "cpu", "dtype": torch.float64}
    theirs = peer.HookedTransformer(peer.HookedTransformerConfig(**fields))
    missing = theirs.load_state_dict(model.state_dict(), strict=False)
    assert all("mask" in name or "IGNORE" in name for name in missing.missing_keys)
    theirs.process_weights_(refactor_factored_attn_matrices=refactor)
    ours = process_weights(model.cfg, model.state_dict(), refactor_factored_attn_matrices=refactor).state_dict
    expected = theirs.state_dict()
    for name, value in ours.items():
        found, wanted = value, expected[name]
        if refactor and "attn" in name:  # each inner axis may be turned round
            found, wanted = found.abs(), wanted.abs()
        # the peer makes part of its decomposition in float32 whatever the weights are
        assert torch.allclose(found, wanted, atol=1e-3 if refactor else 1e-7), name


ONE_STEP = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")


@pytest.mark.parametrize("asked", [ONE_STEP, *[(step,) for step in ONE_STEP], ONE_STEP[1:3]], ids="+".join)
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_in_place_gives_the_same_weights(variant: str, asked: tuple[str, ...]) -> None:
    """Tied weights too: the unembedding is at first a view of an embedding that a later step edits."""
    model = tiny_model(variant)
    expected = run_steps(model.cfg, model.state_dict(), dict.fromkeys(asked, True))
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    found = run_steps(model.cfg, state, dict.fromkeys(asked, True), in_place=True)
    assert found.cfg == expected.cfg and found.report == expected.report
    assert found.state_dict is state and state.keys() == expected.state_dict.keys()
    for name, value in expected.state_dict.items():
        assert torch.equal(state[name], value), name
