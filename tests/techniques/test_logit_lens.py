"""The lens is the final norm and the unembedding on every layer's stream, and the last layer's is the model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mechscope.techniques.logit_lens import logit_lens
from tests.model.letters import Letters
from tests.model.tiny import VARIANTS, exact_model, tiny_tokens
from tests.techniques.reading_tasks import tiny_task


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_layer_by_hand(variant: str) -> None:
    model, tokens = exact_model(variant, seed=4), tiny_tokens(5)
    targets = tiny_tokens(5, seed=9)
    narrow = targets.to(torch.int32)  # ids of any width are read alike
    lens = logit_lens(model, tokens, targets=narrow, average=False, batch_size=2, top=3, progress=False)
    with torch.no_grad():
        final, cache = model.run_with_cache(tokens)
        streams = [cache["resid_pre", layer] for layer in range(2)] + [cache["resid_post", 1]]
        for layer, stream in enumerate(streams):
            logits = model.unembed(model.ln_final(stream))
            chosen = logits.gather(-1, targets[..., None])
            rank = (logits > chosen).sum(-1)
            kl = torch.nn.functional.kl_div(
                logits.log_softmax(-1), final.log_softmax(-1), log_target=True, reduction="none"
            ).sum(-1)
            for name, expected in (
                ("logit", chosen[..., 0]),
                ("probability", logits.softmax(-1).gather(-1, targets[..., None])[..., 0]),
                ("rank", rank),
                ("kl", kl),
            ):
                found = getattr(lens, name).values.sel(layer=layer).values
                np.testing.assert_allclose(found, expected.numpy(), atol=2e-5, rtol=1e-5, err_msg=name)
            assert torch.equal(lens.top_tokens[:, layer], logits.topk(3, dim=-1).indices)
    np.testing.assert_allclose(lens.kl.values.sel(layer=2), 0, atol=1e-6)


def test_a_task_asks_for_its_answer_everywhere_and_sets_add_up() -> None:
    model, task = exact_model(), tiny_task(n_choices=2)
    lens = logit_lens(model, task, average=False, progress=False)
    with torch.no_grad():
        probabilities = model(task.clean).softmax(-1)
    right = task.answers.correct[1, 0]
    expected = probabilities[1, :, right.unique()].sum(-1)
    np.testing.assert_allclose(lens.probability.values.sel(batch=1, layer=2), expected, atol=1e-6)
    mean = logit_lens(model, task, progress=False).probability.values
    assert mean.dims == ("layer", "pos")
    np.testing.assert_allclose(mean, lens.probability.values.mean("batch"), atol=1e-6)


def test_several_answers_are_told_at_their_own_positions_alone() -> None:
    model, task = exact_model(), tiny_task(n_answers=3, n_choices=1)
    lens = logit_lens(model, task, progress=False)
    assert np.isnan(lens.rank.values[:, :6]).all()
    with torch.no_grad():
        expected = task.with_metric("logit").measure(task.logits(model, task.clean)).mean()
    assert float(lens.logit.values.sel(layer=2)[6:].mean()) == pytest.approx(float(expected), abs=1e-5)


def test_points_between_attention_and_mlp() -> None:
    lens = logit_lens(exact_model(), tiny_tokens(), incl_mid=True, progress=False)
    assert lens.kl.values.coords["layer"].values.tolist() == [0, 0.5, 1, 1.5, 2]
    parallel = logit_lens(exact_model("parallel"), tiny_tokens(), incl_mid=True, progress=False)
    assert parallel.kl.values.coords["layer"].values.tolist() == [0, 1, 2]


def test_the_figure_writes_the_top_tokens() -> None:
    model = exact_model()
    model.set_tokenizer(Letters())
    lens = logit_lens(model, tiny_tokens(), progress=False)
    figure = lens.figure(1)
    top = lens.top_tokens[1, 2, 3, 0]
    assert figure.data[0].text[2][3] == Letters().decode([int(top)]).replace(" ", "␣")
    assert "final norm" in figure.layout.title.text
    assert len(figure.layout.xaxis.ticktext) == 9
    with pytest.raises(ValueError, match="text of prompt 2 was not stored"):
        lens.figure(2)


def test_mistakes_are_explained() -> None:
    model = exact_model()
    with pytest.raises(ValueError, match="out of range"):
        logit_lens(model, tiny_tokens() + 30)
    with pytest.raises(ValueError, match="one token per position"):
        logit_lens(model, tiny_tokens(), targets=torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="n_ctx"):
        logit_lens(model, tiny_tokens(length=13))
    with pytest.raises(ValueError, match="`data` is a task"):
        logit_lens(model, {"tokens": 1})  # type: ignore[arg-type]
    with torch.no_grad():
        model.b_U[0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        logit_lens(model, tiny_tokens())


def test_prompts_that_do_not_line_up_are_read_at_their_answers() -> None:
    model, task = exact_model(), tiny_task(batch=2, n_choices=1)
    answers = dataclasses.replace(task.answers, positions=torch.tensor([[4], [8]]))
    lens = logit_lens(model, dataclasses.replace(task, answers=answers), progress=False)
    assert lens.probability.values.dims == ("layer",)
    with torch.no_grad():
        probabilities = model(task.clean).softmax(-1)
    right = task.answers.correct[:, 0, 0]
    expected = (probabilities[0, 4, right[0]] + probabilities[1, 8, right[1]]) / 2
    assert float(lens.probability.values[-1]) == pytest.approx(float(expected), abs=1e-6)
