"""Techniques read text as the model does: the same results as for its tokens, alone or padded among other texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mechscope import feature_effects, techniques
from mechscope.dictionaries import Dictionary, ModelStream, ReluConfig, build
from mechscope.dictionaries.evaluation import (
    evaluate,
    feature_pages,
    read_activations,
    read_features,
    spliced_loss,
)
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks import from_prompts
from tests.model.letters import Letters
from tests.techniques.every_technique import numbers_of, small_model

TEXTS = ["abcab", "xyzzyxyz", "dd"]
OTHERS = ["bca", "hello there"]
HOOK = "blocks.0.hook_resid_post"

Call = Callable[[HookedTransformer, Any], Any]


def reading_model(prepend_bos: bool = True) -> HookedTransformer:
    """A small model that reads letters; its padding token is also its begin token, as in GPT-2."""
    model = small_model(default_prepend_bos=prepend_bos, d_vocab=len(Letters()))
    model.set_tokenizer(Letters())
    return model.double()


def a_task(model: HookedTransformer) -> Any:
    return from_prompts(model, ["abcd", "wxyz"], ["abed", "wxaz"], ["e", "a"], ["f", "b"])


def a_dictionary(model: HookedTransformer) -> Dictionary:
    return build(ReluConfig(d_in=model.cfg.d_model, d_sae=48), 1).double()


def _direct_features(model: HookedTransformer, data: Any) -> Any:
    with a_dictionary(model).attached(model, HOOK) as attached:
        return feature_effects.direct_feature_attribution(model, data, attached).effects.features


READING: dict[str, Call] = {
    "logit_lens": lambda m, d: techniques.logit_lens(m, d, average=False, progress=False),
    "head_scores": lambda m, d: techniques.head_scores(m, d, "duplicate"),
    "detect_heads": lambda m, d: techniques.detect_heads(m, d, ["previous", "first"]),
    "attention_statistics": lambda m, d: techniques.attention_statistics(m, d),
    "norm_weighted_attention": lambda m, d: techniques.norm_weighted_attention(m, d, 1, 0),
    "direct_logit_attribution": lambda m, d: techniques.direct_logit_attribution(m, d, average=False),
    "direct_logit_attribution, neurons": lambda m, d: techniques.direct_logit_attribution(m, d, "neuron"),
    "linear_probe": lambda m, d: (
        techniques.linear_probe(
            m, _times(d, 4), [0, 1, 0] * 4, positions=[-1], groups=list(range(12)), seeds=(0,), progress=False
        ).scores
    ),
    "steering_vector": lambda m, d: techniques.steering_vector(m, d, OTHERS, layer=1),
    "steering_vector, negative": lambda m, d: techniques.steering_vector(
        m, OTHERS, d, layer=1, positions=[0, -1]
    ),
    "steering_curve": lambda m, d: techniques.steering_curve(
        m, a_task(m), torch.ones(m.cfg.d_model), 0, (1.0,), text=d, n_random=2, progress=False
    ),
    "ablation": lambda m, d: techniques.ablation(m, a_task(m), how="mean", reference=d, progress=False),
    "knock_out": lambda m, d: techniques.knock_out(
        m, a_task(m), ["a0.h0"], how="mean", reference=d, progress=False
    ),
    "Sweep": lambda m, d: techniques.Sweep(m, d, progress=False).base_logits,
    "read_activations": lambda m, d: [x for x, _ in read_activations(m, d, HOOK)],
    "read_features": lambda m, d: read_features(m, a_dictionary(m), d, HOOK, [0, 5]),
    "spliced_loss": lambda m, d: spliced_loss(m, a_dictionary(m), d, HOOK),
    "evaluate": lambda m, d: evaluate(a_dictionary(m), d, model=m, hook_name=HOOK).fvu,
    "feature_pages": lambda m, d: feature_pages(m, a_dictionary(m), d, HOOK, [1]),
    "ModelStream": lambda m, d: [next(ModelStream(m, d, HOOK, batch_size=2, buffer_size=12)).x],
    "direct_feature_attribution": _direct_features,
}
"""Every call that reads tokens, and what it returns for these."""


ONE_BY_ONE: dict[str, Call] = {
    "logit_lens": lambda m, d: techniques.logit_lens(m, d, average=False, progress=False).logit.values.values,
    "direct_logit_attribution": lambda m, d: (
        techniques.direct_logit_attribution(m, d, average=False).contributions.values.values
    ),
    "read_features": lambda m, d: read_features(m, a_dictionary(m), d, HOOK, [0, 5]).numpy(),
}
"""Calls that return one row per text."""


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_a_text_gives_the_same_alone_and_among_longer_ones(name: str, side: str) -> None:
    model = reading_model()
    model.default_padding_side = side
    together = ONE_BY_ONE[name](model, TEXTS)
    real = model.to_tokens(TEXTS).is_real.numpy()
    for row, text in enumerate(TEXTS):
        alone = ONE_BY_ONE[name](model, text)[0]
        found = together[row]
        if name == "logit_lens":  # [layer pos]
            found = found[:, real[row]]
        elif name == "read_features":  # [pos feature]
            found = found[real[row]]
        np.testing.assert_allclose(found, alone, rtol=1e-9, atol=1e-9)


def test_a_steering_vector_from_texts_is_the_difference_of_their_means() -> None:
    model = reading_model()

    def last(text: str) -> torch.Tensor:
        return model.run_with_cache(text)[1]["resid_pre", 1][0, -1].detach()

    expected = torch.stack([last(text) for text in TEXTS]).mean(0)
    expected = expected - torch.stack([last(text) for text in OTHERS]).mean(0)
    torch.testing.assert_close(techniques.steering_vector(model, TEXTS, OTHERS, layer=1), expected)
    single = techniques.steering_vector(model, "abc", "xyz", layer=1)
    torch.testing.assert_close(single, last("abc") - last("xyz"))
    with pytest.raises(ValueError, match="give negative prompts too"):
        techniques.steering_vector(model, TEXTS, layer=1)


def test_direct_logit_attribution_of_a_text_explains_the_models_own_prediction() -> None:
    model = reading_model()
    with torch.no_grad():
        logits = model("abcab")[0, -1]
    found = techniques.direct_logit_attribution(model, "abcab")
    assert found.total == pytest.approx(float(logits.max()), abs=1e-9)
    assert abs(found.rest) < 1e-9
    predicted = model.to_single_str_token(int(logits.argmax()))
    assert f"logit of the predicted token {predicted!r}" in found.contributions.title
    several = techniques.direct_logit_attribution(model, TEXTS)
    best = torch.stack([model(text)[0, -1].max() for text in TEXTS]).mean().detach()
    assert several.total == pytest.approx(float(best), abs=1e-9) and abs(several.rest) < 1e-9
    assert "logit of each prompt's predicted token" in several.contributions.title
    by_source = techniques.direct_logit_attribution(model, "abcab", "source").contributions.values
    assert by_source.sizes["key"] == len("abcab") + 1
    with pytest.raises(ValueError, match="in these texts a position means different things"):
        techniques.direct_logit_attribution(model, TEXTS, "source")


def test_what_needs_a_task_says_how_to_make_one_from_text() -> None:
    with pytest.raises(ValueError, match="patch: `task` is a task .*from_prompts"):
        techniques.patch(reading_model(), "abc", "resid_pre")  # type: ignore[arg-type]


def _times(data: Any, count: int) -> Any:
    return data * count if isinstance(data, list) else torch.cat([data] * count)


@pytest.mark.parametrize("prepend_bos", [True, False])
@pytest.mark.parametrize("name", READING)
def test_texts_are_read_like_their_tokens(name: str, prepend_bos: bool) -> None:
    model = reading_model(prepend_bos)
    tokens = model.to_tokens(TEXTS)
    assert tokens.attention_mask is not None and (tokens[:, 0] == 0).all() == prepend_bos
    from_text, from_tokens = (dict(_arrays(READING[name](model, data))) for data in (TEXTS, tokens))
    assert from_text.keys() == from_tokens.keys() and from_text
    for path, array in from_text.items():
        np.testing.assert_array_equal(array, from_tokens[path], err_msg=path)


def _arrays(found: Any) -> list[tuple[str, np.ndarray]]:
    arrays = [(path, array) for path, array, _ in numbers_of(found)]
    return arrays or [("repr", np.array(repr(found)))]
