"""Cards of models in packages: filled from measurements, which a part of the model is measured for again."""

from __future__ import annotations

import json

import pytest

import mechscope as ms
from mechscope.checkpoints.cards import card_path, carded_names, read_card
from mechscope.checkpoints.packaged_models import PACKAGED
from mechscope.recipes.family.package_files import held_out
from mechscope.recipes.packaged_card import (
    FEW_ROWS,
    PATTERNS,
    TASKS,
    card,
    right_answers,
    stored_types,
    text_losses,
)
from mechscope.techniques.head_detectors import detect_heads

NAME = "smollm2-135m"
FIGURES = json.loads(card_path(NAME).with_name("figures.json").read_text(encoding="utf-8"))


def test_the_card_is_what_the_measurements_say() -> None:
    hint = f"write it anew: python -m mechscope.recipes.packaged_card {NAME}"
    assert read_card(NAME) == card(NAME, FIGURES), hint
    for words in ("Apache-2.0", "SmolLM2", PACKAGED[NAME].sha256, "bits per byte"):
        assert words in read_card(NAME)


def test_every_bundled_and_packaged_model_has_a_card_and_others_are_named() -> None:
    assert {NAME, "ioi-twin", "superposition-instances"} <= set(carded_names())
    assert all(read_card(name).startswith("#") for name in carded_names())
    with pytest.raises(KeyError, match="did you mean smollm2-135m"):
        read_card("smollm2-135")
    with pytest.raises(KeyError, match="bundled models and those in packages have one"):
        read_card("gpt2")


def test_losses_are_those_of_whole_rows_for_a_model_of_the_family() -> None:
    """The family's tokenizer made the rows, so decoding and reading them again changes nothing."""
    model = ms.load_model("mini-gelu-1l")
    nats, bits = text_losses(model, "books", 16)
    rows = held_out().rows["books"][:16]
    whole = model(rows, return_type="loss").item()
    assert nats == pytest.approx(whole, rel=0.05)
    n_bytes = sum(len(model.to_string(row[1:]).encode()) for row in rows)
    assert bits == pytest.approx(whole * rows[:, 1:].numel() / n_bytes / 0.693147, rel=0.05)


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.skipif(not PACKAGED[NAME].is_here, reason=f"needs `mechscope models get {NAME}` (98 MB)")
def test_a_part_measured_again_gives_the_numbers_of_the_card() -> None:
    pytest.importorskip("gguf", reason="needs the gguf package: pip install 'mechscope[gguf]'")
    model = ms.load_model(NAME)
    assert text_losses(model, "books", FEW_ROWS) == pytest.approx(FIGURES["few_rows"], abs=0.01)
    assert stored_types(PACKAGED[NAME].file) == FIGURES["types"]
    words = "indirect objects"
    task = TASKS[words](model, n=32, seed=0)
    assert right_answers(model, task) == pytest.approx(FIGURES["tasks"][words], abs=0.05)
    detected = detect_heads(model, None, PATTERNS, seeds=(0,), batch_size=4)
    for pattern in PATTERNS:
        for head, score in FIGURES["heads"][pattern].items():
            layer, index = head[1:].split(".h")
            assert float(detected.of(pattern).values[int(layer), int(index)]) == pytest.approx(
                score, abs=0.06
            )
