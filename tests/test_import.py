"""Importing the package costs next to nothing, and old import lines still work."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest


def fresh(code: str) -> str:
    """What a new Python process prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, mechscope; print([m for m in ('torch', 'numpy', 'plotly', 'xarray') if m in sys.modules])"
    assert fresh(code) == "[]"


def test_loading_a_model_imports_no_tables_and_no_figures() -> None:
    # They are 76 MB, half as much as torch.
    heavy = ("xarray", "pandas", "plotly", "sklearn", "scipy", "transformers")
    code = (
        "import sys, mechscope; model = mechscope.load_model('mini-gelu-1l'); model('one two')\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    assert fresh(code) == "[]"


def test_every_public_name_resolves() -> None:
    import mechscope

    for name in mechscope.__all__:
        assert getattr(mechscope, name) is not None
    assert set(mechscope.__all__) <= set(dir(mechscope))
    with pytest.raises(AttributeError, match="no attribute 'HookedTransfomer'"):
        mechscope.HookedTransfomer  # noqa: B018


@pytest.mark.parametrize(
    "lines",
    [
        "from mechscope import FactoredMatrix; from mechscope.FactoredMatrix import FactoredMatrix as again",
        "from mechscope.FactoredMatrix import FactoredMatrix as again; from mechscope import FactoredMatrix",
        "import mechscope.FactoredMatrix; again = mechscope.FactoredMatrix; from mechscope import FactoredMatrix",
    ],
)
def test_a_class_and_its_module_may_share_a_name(lines: str) -> None:
    assert fresh(f"{lines}; print(again is FactoredMatrix, isinstance(again, type))") == "True True"


@pytest.mark.parametrize(
    ("package", "name", "now"),
    [
        ("dictionaries", "patch_features", "mechscope.feature_effects"),
        ("dictionaries", "FeatureEffects", "mechscope.feature_effects"),
        ("techniques", "scoreboard", "mechscope.scoreboard"),
        ("labs.superposition", "load_toy_models", "mechscope.checkpoints"),
    ],
)
def test_a_name_that_has_moved_is_still_found_and_says_where_it_is(package: str, name: str, now: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"has moved: use {now}.{name}"):
        found = getattr(importlib.import_module(f"mechscope.{package}"), name)
    assert found is getattr(importlib.import_module(now), name)
