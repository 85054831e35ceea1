"""A digest changes with every edit that can change a number, and with no other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from mechscope.runs.source_digest import NOT_COMPUTING, source_digests

FILES = {
    "shop/__init__.py": "",
    "shop/entry.py": """
        '''Trains.'''
        import shop.far.steps as steps
        from . import near
        from shop.lazy import promised
        from shop.stubbed import offered
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from shop.only_types import Kind

        def run():
            '''Run.'''
            from shop.inside import late  # only when it is called
            if near.RATE < 0:
                raise ValueError("the rate is negative")
            return late(steps.COUNT)
    """,
    "shop/near.py": "RATE = 0.5\n",
    "shop/far/__init__.py": "from shop.beside import OTHER\n",
    "shop/far/steps.py": "COUNT = 3\n",
    "shop/beside.py": "OTHER = 1\n",
    "shop/inside.py": "def late(x):\n    return x\n",
    "shop/only_types.py": "class Kind: ...\n",
    "shop/lazy/__init__.py": """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from shop.lazy.home import promised
            from shop.lazy.unused import another
        def __getattr__(name):
            raise AttributeError(name)
    """,
    "shop/lazy/home.py": "def promised(): ...\n",
    "shop/stubbed/__init__.py": "def __getattr__(name):\n    raise AttributeError(name)\n",
    "shop/stubbed/__init__.pyi": "from .home import offered as offered\nfrom .rest import other as other\n",
    "shop/stubbed/home.py": "def offered(): ...\n",
    "shop/stubbed/rest.py": "def other(): ...\n",
    "shop/lazy/unused.py": "def another(): ...\n",
}
ENTRY = "shop.entry"


def write(folder: Path, name: str, text: str) -> None:
    lines = text.splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(line[indent:] for line in lines) + "\n")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package on disk, of which only the top has been imported."""
    for name, text in FILES.items():
        write(tmp_path, name, text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("shop")
    yield tmp_path
    sys.modules.pop("shop", None)


def test_the_files_are_those_that_compute(package: Path) -> None:
    found = source_digests(ENTRY)
    # A lazy name is followed to its home; packages on the way, types and names that are not asked for are not.
    names = {"entry.py", "near.py", "far/steps.py", "inside.py", "lazy/home.py", "stubbed/home.py"}
    assert set(found) == {f"shop/{name}" for name in names}
    assert all(len(digest) == 16 for digest in found.values())
    assert "shop.entry" not in sys.modules  # nothing is imported for it


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("near.py", "0.5", "0.25"),
        ("far/steps.py", "3", "4"),
        ("inside.py", "return x", "return x + 1"),
        ("entry.py", "near.RATE < 0", "near.RATE <= 0"),
        ("entry.py", "raise ValueError", "raise KeyError"),
    ],
)
def test_code_that_changed_is_named(package: Path, file: str, before: str, after: str) -> None:
    old = source_digests(ENTRY)
    path = package / "shop" / file
    path.write_text(path.read_text().replace(before, after))
    new = source_digests(ENTRY)
    assert {name for name in old if old[name] != new[name]} == {f"shop/{file}"}


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("entry.py", "'''Trains.'''", "'''Trains a model, and says so at length.'''"),
        ("entry.py", "    '''Run.'''\n", ""),
        ("entry.py", "# only when it is called", "# late"),
        ("entry.py", "the rate is negative", "rate must be at least 0"),
        ("near.py", "0.5\n", "0.5\n'''How fast.'''\n\n\n# fast\n"),
        ("inside.py", "def late(x):\n", "def late(\n    x\n):\n"),
        ("only_types.py", "class Kind", "class Kind2"),
        ("beside.py", "1", "2"),
    ],
)
def test_words_and_layout_change_nothing(package: Path, file: str, before: str, after: str) -> None:
    old = source_digests(ENTRY)
    path = package / "shop" / file
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    assert source_digests(ENTRY) == old


def test_a_new_import_brings_its_files(package: Path) -> None:
    write(package, "shop/near.py", "from shop.beside import OTHER\nRATE = OTHER / 2\n")
    assert "shop/beside.py" in source_digests(ENTRY)


def test_a_module_without_a_source_file_is_never_the_same_twice() -> None:
    first, second = source_digests("typed_into_a_console"), source_digests("typed_into_a_console")
    assert set(first) == {"typed_into_a_console"}
    assert first != second


def test_a_script_depends_on_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "my_script.py", "import my_neighbour\nimport json\n")
    write(tmp_path, "my_neighbour.py", "RATE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("my_script")
    try:
        assert set(source_digests("my_script")) == {"my_script.py", "my_neighbour.py"}
    finally:
        for name in ("my_script", "my_neighbour"):
            sys.modules.pop(name, None)


def test_what_trains_our_models_is_seen_and_what_draws_is_not() -> None:
    found = source_digests("mechscope.labs.ioi.experiment")
    for name in ("labs/ioi/twin_training", "model/components/attention", "runs/training_state"):
        assert f"mechscope/{name}.py" in found
    assert not [name for name in found if name.startswith(("mechscope/viz/", "mechscope/pages/"))]
    training = source_digests("mechscope.labs.superposition.training")
    assert set(training) < set(source_digests("mechscope.labs.superposition.experiment"))
    assert "mechscope/labs/superposition/figures.py" not in training


def test_an_installed_library_is_not_followed() -> None:
    assert set(source_digests("torch.nn.functional")) == {"torch/nn/functional.py"}
    assert set(source_digests("dataclasses")) == {"dataclasses.py"}


def test_the_modules_that_are_left_out_exist() -> None:
    for name in NOT_COMPUTING:
        importlib.import_module(name)
