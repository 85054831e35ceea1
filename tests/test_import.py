"""Importing the package costs next to nothing, and old import lines still work."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "mechscope"


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


def test_a_public_name_is_not_hidden_by_a_module_that_is_called_like_it() -> None:
    """lazy_loader guards a name only in the module of the same name; no other module of its package may have it."""
    for stub in SOURCE.rglob("__init__.pyi"):
        for node in ast.parse(stub.read_text(encoding="utf-8")).body:
            assert isinstance(node, ast.ImportFrom)
            for alias in node.names:
                twins = [stub.parent / f"{alias.name}.py", stub.parent / alias.name / "__init__.py"]
                if any(map(Path.exists, twins)):
                    assert node.module is None or node.module.partition(".")[0] == alias.name, (
                        stub,
                        alias.name,
                    )


def test_every_stub_is_attached() -> None:
    stubs = list(SOURCE.rglob("*.pyi"))
    assert len(stubs) > 10
    for stub in stubs:
        assert "= attach_stub(" in stub.with_suffix(".py").read_text(encoding="utf-8"), stub
        package = importlib.import_module(".".join(stub.parent.relative_to(SOURCE.parent).parts))
        assert all(getattr(package, name) is not None for name in package.__all__)


def packages() -> list[str]:
    """Every package of mechscope, by its full name."""
    folders = sorted(file.parent for file in SOURCE.rglob("__init__.py"))
    return [".".join(folder.relative_to(SOURCE.parent).parts) for folder in folders]


def modules_of(package: str) -> list[str]:
    """The public modules of a package, found in its folder and not by the code under test."""
    folder = SOURCE.parent.joinpath(*package.split("."))
    found = [*folder.glob("*.py"), *(file.parent for file in folder.glob("*/__init__.py"))]
    return sorted(path.stem for path in found if not path.stem.startswith("_"))


@pytest.mark.parametrize("package", packages())
def test_every_module_is_an_attribute_of_its_package(package: str) -> None:
    room = importlib.import_module(package)
    for name in modules_of(package):
        importlib.import_module(f"{package}.{name}")
        known = vars(room).get(name)
        if known is not sys.modules[f"{package}.{name}"]:
            continue  # a function or class of the same name
        # As in a process in which nobody has imported it: the import sets the attribute, so take it away again.
        delattr(room, name)
        found = getattr(room, name)
        assert found is known
        setattr(room, name, known)
    with pytest.raises(AttributeError, match="has no attribute '_no_such_module'"):
        room._no_such_module  # noqa: B018


@pytest.mark.parametrize(
    "path",
    [
        "techniques.head_detectors.head_scores",
        *(
            pytest.param(path, marks=pytest.mark.slow)
            for path in (
                "techniques.circuits.eap_ig.eap_ig_inputs",
                "dictionaries.evaluation.splicing.spliced_loss",
                "planted.library.registry.load",
            )
        ),
    ],
)
def test_a_module_is_found_before_anything_else_has_imported_it(path: str) -> None:
    assert fresh(f"import mechscope as ms; print(ms.{path} is not None)") == "True"


def test_from_pretrained_finds_its_loader_by_itself() -> None:
    """The model's room does not import checkpoints, which registers the loader there."""
    code = (
        "import sys; from mechscope.model.transformer import HookedTransformer; "
        "print('mechscope.checkpoints.classic' in sys.modules, end=' '); "
        "print(HookedTransformer.from_pretrained('mini-gelu-1l').cfg.n_layers)"
    )
    assert fresh(code) == "False 1"


def test_every_public_name_resolves() -> None:
    import mechscope

    for name in mechscope.__all__:
        assert getattr(mechscope, name) is not None
    assert set(mechscope.__all__) <= set(dir(mechscope))
    with pytest.raises(AttributeError, match="no attribute 'HookedTransfomer'"):
        mechscope.HookedTransfomer  # noqa: B018


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
