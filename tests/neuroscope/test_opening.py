"""Opening a model for a harvest: its tokenizer must fit, and it must be the same everywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mechscope.dictionaries.bundled_folders import bundled_dictionary_names
from mechscope.neuroscope.opening import OpenedModel, check_tokenizer, site_inputs
from mechscope.neuroscope.plan import HarvestPlan
from tests.neuroscope.small_harvest import MODEL, small_harvest, write_texts

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def opened() -> OpenedModel:
    return OpenedModel.open(MODEL, ("mlp",), CPU)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> HarvestPlan:
    folder = tmp_path_factory.mktemp("plan")
    return small_harvest(folder / "work", write_texts(folder / "texts", files=1)).plan


def test_a_tokenizer_that_fits_and_ones_that_do_not(opened: OpenedModel) -> None:
    model, tokenizer = opened.model, opened.model.tokenizer
    check_tokenizer(model, MODEL)
    smaller = SimpleNamespace(cfg=SimpleNamespace(d_vocab=model.cfg.d_vocab - 1), tokenizer=tokenizer)
    with pytest.raises(
        ValueError, match=f"can make the token {model.cfg.d_vocab - 1}, but the model's last token is"
    ):
        check_tokenizer(smaller, "small")
    with pytest.raises(ValueError, match="othello has no tokenizer, so it cannot read text"):
        check_tokenizer(SimpleNamespace(tokenizer=None), "othello")

    class Minimal:
        """A tokenizer that does not list its tokens."""

        bos_token_id = None

        def encode(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

    with pytest.raises(ValueError, match="can make the token 128,512"):
        check_tokenizer(SimpleNamespace(cfg=SimpleNamespace(d_vocab=256), tokenizer=Minimal()), "bytes")


def test_an_added_token_beyond_the_vocabulary_is_no_mistake(opened: OpenedModel) -> None:
    class Padded:
        """A tokenizer with a padding token that the model does not have."""

        def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
            return [1, 2]

        def get_vocab(self) -> dict[str, int]:
            return {"a": 1, "b": 2, "[PAD]": 3}

        def get_added_vocab(self) -> dict[str, int]:
            return {"[PAD]": 3}

    check_tokenizer(SimpleNamespace(cfg=SimpleNamespace(d_vocab=3), tokenizer=Padded()), "padded")
    with pytest.raises(ValueError, match="can make the token 2"):
        check_tokenizer(SimpleNamespace(cfg=SimpleNamespace(d_vocab=2), tokenizer=Padded()), "padded")


def test_a_plan_opens_the_sites_that_it_was_made_with(plan: HarvestPlan) -> None:
    assert tuple(site.name for site in OpenedModel.for_plan(plan).sites) == ("mlp0", "attn0.entropy")
    with pytest.raises(
        ValueError, match=r"other weights here \(checksum .*\) than where the harvest began \(0+\)"
    ):
        OpenedModel.for_plan(dataclasses.replace(plan, weights="0" * 16))


def test_a_dictionary_that_has_changed_is_an_error(plan: HarvestPlan, tmp_path: Path) -> None:
    name = bundled_dictionary_names()[0]
    (tmp_path / "ways.safetensors").write_bytes(b"1")
    inputs = site_inputs(("mlp0", name, f"{tmp_path}/ways.safetensors@hook_embed"))
    assert inputs[0] == ""
    assert len(inputs[1]) == len(inputs[2]) == 16
    (tmp_path / "ways.safetensors").write_bytes(b"2")
    assert site_inputs((f"{tmp_path}/ways.safetensors@hook_embed",)) != inputs[2:]
    other = dataclasses.replace(plan, sites=(name,), site_inputs=("0" * 16,))
    with pytest.raises(ValueError, match=f"{name} is another file here"):
        OpenedModel.for_plan(other)
