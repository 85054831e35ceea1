"""Every field of config.json that an adapter reads has a kind, and nonsense in it is an error that says so."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

import pytest
import transformers

from mechscope.checkpoints.adapters import HfConfig, family_of
from mechscope.checkpoints.adapters.families import FAMILIES
from mechscope.checkpoints.adapters.family import REFUSED_EVERYWHERE
from mechscope.checkpoints.adapters.field_kinds import FIELDS
from mechscope.model.config import HookedTransformerConfig
from tests.checkpoints.test_hf_config import to_version_4
from tests.checkpoints.tiny_models import TINY
from tests.damage import ODD_VALUES, places_in, replaced, time_limit


@cache
def described(name: str) -> str:
    config = getattr(transformers, TINY[name].config)(**TINY[name].settings)
    return json.dumps({**config.to_dict(), "architectures": [TINY[name].model]}, default=str)


def read(fields: dict[str, Any]) -> HookedTransformerConfig:
    config = HfConfig(fields)
    return family_of(config).read_config(config)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("name", TINY)
def test_every_field_that_is_read_has_a_kind(name: str, version: int) -> None:
    fields = json.loads(described(name))
    if version == 4:
        to_version_4(fields)
    config = HfConfig(fields)
    family = family_of(config)
    family.read_config(config)
    family.tensors(config, ())
    refused = {refusal.name for refusal in (*REFUSED_EVERYWHERE, *family.refused)}
    assert config.asked - refused - {*FIELDS} == set()


@pytest.mark.parametrize("model_type", [name for family in FAMILIES for name in family.model_types])
def test_every_field_that_transformers_writes_is_read_refused_or_without_effect(model_type: str) -> None:
    """Warnings are errors in tests: no field of a default config causes one, and one that nobody knows does."""
    fields = transformers.AutoConfig.for_model(model_type).to_dict()
    read(fields)
    fields.get("text_config", fields).update(residual_multiplier=0.5, embedding_scale=None, unused=False)
    with pytest.warns(UserWarning, match=r"does not use: residual_multiplier=0\.5\. If they"):
        read(fields)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("llama", {"attn_logit_softcapping": 30.0}),
        ("llama", {"embedding_multiplier": 12.0}),
        ("gpt2", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_theta": 500.0}),
        ("pythia", {"scale_attn_by_inverse_layer_idx": True}),
        ("olmo-2", {"query_pre_attn_scalar": 3}),
    ],
)
def test_a_field_of_another_family_is_reported(name: str, fields: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match=f"does not use: .*{list(fields)[-1]}"):
        read({**json.loads(described(name)), **fields})


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", TINY)
def test_odd_values_are_refused_or_mean_something(name: str, seed: int) -> None:
    rng = random.Random(f"{name} {seed}")
    fields = json.loads(described(name))
    if seed:
        to_version_4(fields)
    places = [place for place in places_in(fields) if place[0] in FIELDS]
    for _ in range(150):
        place, value = rng.choice(places), rng.choice(ODD_VALUES)
        with time_limit():
            try:
                cfg = read(replaced(fields, place, value))
            except ValueError as error:
                assert len(str(error)) < 1000, place
                continue
        assert isinstance(cfg, HookedTransformerConfig), (place, value)


@pytest.mark.parametrize(
    ("name", "field", "value", "said"),
    [
        ("llama", "rms_norm_eps", -1, "rms_norm_eps must be a finite number of at least 0, not -1"),
        ("gpt2", "layer_norm_epsilon", float("nan"), "layer_norm_epsilon must be a finite number"),
        (
            "llama",
            "rope_parameters",
            {"rope_theta": float("inf")},
            "rope_parameters must be a complete table",
        ),
        (
            "qwen2",
            "tie_word_embeddings",
            "float99",
            "tie_word_embeddings must be true or false, not 'float99'",
        ),
        ("llama", "num_hidden_layers", 2**40, "num_hidden_layers must be a whole number from 0 to 10,000"),
        ("gpt2", "n_layer", True, "n_layer must be a whole number"),
        ("gpt2", "n_embd", "21", "n_embd must be a whole number"),
        ("gpt2", "n_head", 0, "n_head must be a whole number from 1"),
        ("mistral", "layer_types", [1, 2, 3], "layer_types must be a list of names"),
        (
            "gpt-neo",
            "attention_types",
            [["global", 2**40]],
            "attention_types must be a list of names and counts",
        ),
        ("gpt2", "activation_function", ["gelu"], "activation_function must be text"),
    ],
)
def test_what_is_said(name: str, field: str, value: object, said: str) -> None:
    fields = {**json.loads(described(name)), field: value}
    fields.pop("attention_layers", None)
    with pytest.raises(ValueError) as caught:
        read(fields)
    assert said in str(caught.value)
