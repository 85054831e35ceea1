"""Every technique on the smallest models and inputs: it works, or says in a sentence what it needs. Never NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mechscope import head_detector, patching, techniques
from mechscope.tasks import from_tokens
from tests.techniques.every_technique import CALLS, direction_of, numbers_of, small_model, small_task

WITHOUT_LAYERS = {
    "direct_logit_attribution",  # by component and by layer
    "logit_lens",
    "directional_ablation",
    "without_direction",
    "orthogonalize_weights",
    "redteam, Behaviour",
    "embedding_spectrum, gini",
    "fourier_spectrum, fourier_basis",
    "key_frequencies",
}
"""What a model that only embeds and unembeds can be asked."""
SITUATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one of everything": ({"n_layers": 1, "n_heads": 1, "d_head": 1, "d_mlp": 1}, {}),
    "one token": ({}, {"length": 1}),
    "one prompt": ({}, {"examples": 1}),
    "fewer outputs than inputs": ({"d_vocab_out": 30}, {}),
}
"""Changes of the model, and of the task."""
REFUSED = {
    ("one of everything", "attribution_patching"): "only one",
    ("one of everything", "composition_scores"): "one layer",
    ("one token", "attention_statistics"): "one token",
    ("one token", "detect_heads"): "no query has a key",
    ("one token", "steering_curve"): "at least two positions",
    ("one prompt", "causal_scrubbing"): "nothing to recover",
    ("one prompt", "detect_heads"): "no token comes twice",
    ("one prompt", "linear_probe"): "at least two classes",
    ("one prompt", "redteam, Behaviour"): "need at least 4",
    ("one prompt", "redteam, Heads"): "need at least 4",
    ("one prompt", "redteam, Direction"): "need at least 4",
    ("fewer outputs than inputs", "copying_scores"): "reads 40 tokens and predicts 30",
}
"""What has no answer there, and a few words of the error."""
DOCUMENTED_NAN = {"acdc", "discover", "evaluate, Circuit, EdgeGraph"}
"""Scores where there is no edge, and the layer-matched null where a layer has a single head."""


@pytest.mark.parametrize("name", [name for name in CALLS if name != "neuron_frequencies"])
def test_without_layers(name: str) -> None:
    model = small_model(n_layers=0)
    task = small_task(model)
    if name in WITHOUT_LAYERS and name != "direct_logit_attribution":
        assert all(np.isfinite(array).all() for _, array, _ in numbers_of(CALLS[name](model, task)))
        return
    with pytest.raises((ValueError, KeyError), match="needs a model with layers|no layers|0 layers"):
        CALLS[name](model, task)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_smallest(situation: str, name: str) -> None:
    of_model, of_task = SITUATIONS[situation]
    model = small_model(**of_model)
    task = small_task(model, **of_task)
    if (situation, name) in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[situation, name]):
            CALLS[name](model, task)
        return
    for path, array, _ in numbers_of(CALLS[name](model, task)):
        assert name in DOCUMENTED_NAN or np.isfinite(array).all(), path


@pytest.mark.parametrize("name", CALLS)
def test_head_without_weights(name: str) -> None:
    """A pruned head writes nothing and reads nothing: it scores 0, and not 0/0."""
    model = small_model()
    with torch.no_grad():
        for weight in ("W_Q", "W_K", "W_V", "W_O"):
            getattr(model.blocks[0].attn, weight)[1] = 0.0
        model.blocks[1].attn.W_O[0] = 0.0
    for path, array, _ in numbers_of(CALLS[name](model, small_task(model))):
        assert name in DOCUMENTED_NAN or np.isfinite(array).all(), path


def test_composition_of_a_head_without_weights() -> None:
    model = small_model()
    with torch.no_grad():
        model.blocks[0].attn.W_O[1] = 0.0
    for kind in ("Q", "K", "V"):
        found = techniques.composition_scores(model, kind, draws=3, progress=False)
        for result in (found.scores, found.baseline, found.baseline_sd, found.excess):
            assert (result.values.sel(head_out="a0.h1") == 0).all(), result.title
        assert (model.all_composition_scores(kind)[0, 1] == 0).all()


@pytest.mark.parametrize("positions", ["standard", "rotary", "shortformer"])
def test_readings_without_layers(positions: str) -> None:
    """The residual stream is the embedding: the lens's one layer is the output, and the parts sum to the total."""
    model = small_model(n_layers=0, positional_embedding_type=positions).double()
    task = small_task(model)
    with torch.no_grad():
        logits = model(task.clean)
    right = torch.gather(logits[:, -1], 1, task.answers.correct[:, 0])[:, 0]
    wrong = torch.gather(logits[:, -1], 1, task.answers.wrong[:, 0])[:, 0]

    lens = techniques.logit_lens(model, task, average=False, progress=False)
    assert lens.logit.values.coords["layer"].values.tolist() == [0]
    np.testing.assert_allclose(lens.logit.values[:, 0, -1], right, atol=1e-12)
    np.testing.assert_allclose(lens.kl.values, 0, atol=1e-12)

    for by in ("component", "layer"):
        found = techniques.direct_logit_attribution(model, task, by)
        assert found.total == pytest.approx(float((right - wrong).mean()), abs=1e-12)
        assert found.rest == pytest.approx(0, abs=1e-12)

    _, cache = model.run_with_cache(task.clean)
    stream, labels = cache.accumulated_resid(return_labels=True)
    assert labels == ["final_post"]
    torch.testing.assert_close(model.unembed(model.ln_final(stream[0])), logits, rtol=0, atol=1e-12)
    parts = cache.decompose_resid()
    torch.testing.assert_close(parts.sum(0), stream[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(cache.get_full_resid_decomposition().sum(0), stream[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(cache.stack_head_results(incl_remainder=True)[-1], stream[0])
    with pytest.raises(ValueError, match=": this model has no layers"):
        cache.stack_activation("z")


def test_classic_names_without_layers() -> None:
    model = small_model(n_layers=0)
    tokens = torch.arange(12).reshape(2, 6)
    _, cache = model.run_with_cache(tokens)

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return logits[:, -1, 0].mean()

    for call in (
        lambda: patching.get_act_patch_direct_path(model, tokens + 1, cache, metric),
        lambda: head_detector.detect_head(model, tokens, "induction_head"),
    ):
        with pytest.raises(ValueError, match="needs a model with layers"):
            call()
    with pytest.raises(ValueError, match="the list of sites is empty"):
        patching.get_act_patch_resid_pre(model, tokens + 1, cache, metric)
    for weights in ("W_Q", "W_in", "b_O", "OV"):
        with pytest.raises(ValueError, match="has no layers"):
            getattr(model, weights)


def test_sweep_without_layers() -> None:
    """Edits of the embeddings reach the unembedding as in a run with hooks."""
    model = small_model(n_layers=0).double()
    task = small_task(model)
    direction = direction_of(model)
    found = techniques.directional_ablation(
        model, task, direction, normalize=False, n_random=1, progress=False
    )
    with techniques.without_direction(model, direction), torch.no_grad():
        expected = task.measure(task.logits(model, task.clean)).mean()
    assert float(found.effects.values[0]) == pytest.approx(float(expected), abs=1e-12)
    sweep = techniques.Sweep(model, task.clean, progress=False)
    edits = [techniques.Edit("hook_embed", value=0.0, pos=pos) for pos in range(task.length)]
    swept = sweep.run(edits, lambda logits: logits[:, -1].sum(-1))

    def blanked(pos: int) -> torch.Tensor:
        def blank(embedded: torch.Tensor, hook: Any) -> None:
            embedded[:, pos] = 0.0

        with torch.no_grad():
            return model.run_with_hooks(task.clean, fwd_hooks=[("hook_embed", blank)])[:, -1].sum(-1)

    torch.testing.assert_close(
        swept, torch.stack([blanked(pos) for pos in range(task.length)]), rtol=0, atol=1e-12
    )


def test_perplexity_leaves_out_what_the_model_cannot_predict() -> None:
    """A model that reads 40 tokens and predicts 30: text with a token from 30 on has the others' perplexity."""
    model = small_model(d_vocab_out=30).double()
    task = small_task(model)
    text = torch.randint(0, 30, (4, 6), generator=torch.Generator().manual_seed(1))
    text[:, 3] = 39
    curve = techniques.steering_curve(
        model, task, direction_of(model), 0, (0.0,), text=text, n_random=1, progress=False
    )
    with torch.no_grad():
        log_probabilities = model(text).log_softmax(-1)[:, :-1]
    predicted = [log_probabilities[:, pos].gather(-1, text[:, pos + 1, None]) for pos in (0, 1, 3, 4)]
    expected = float(torch.cat(predicted).mean().neg().exp())
    assert float(curve.perplexity.values.sel(series="steering vector")[0]) == pytest.approx(
        expected, rel=1e-9
    )
    with pytest.raises(ValueError, match="predicts ids 0 to 29"):
        techniques.steering_curve(
            model, task, direction_of(model), 0, text=torch.full((2, 4), 39), n_random=1, progress=False
        )


def test_answers_that_the_model_cannot_predict() -> None:
    model = small_model(d_vocab_out=30)
    clean = torch.arange(12).reshape(2, 6)
    task = from_tokens(clean, clean + 3, correct=[1, 35], wrong=[3, 4])
    for name in ("patch", "logit_lens", "direct_logit_attribution", "attribution_patching", "discover"):
        with pytest.raises(ValueError, match="answer with token id 35; this model predicts ids 0 to 29"):
            CALLS[name](model, task)
