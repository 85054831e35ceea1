"""The rooms of docs/architecture.md: imports point downwards, and the page names every room."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "mechscope"


def test_imports_point_downwards() -> None:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()]
    faces = [path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__")]
    assert rooms
    assert [name for name in [*rooms, *faces] if f"`{name}" not in page] == []


def test_the_package_never_imports_its_peers() -> None:
    peers = ("transformers", "transformer_lens", "sae_lens")
    offenders = [
        f"{path.relative_to(SOURCE)}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(tuple(f"{word} {peer}" for word in ("import", "from") for peer in peers))
    ]
    assert offenders == []


def test_nothing_is_unpickled() -> None:
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text, path
        assert text.count("torch.load(") == text.count("weights_only=True"), path


def _own_underscore_names(folder: Path) -> set[str]:
    """Underscore names that the files of a folder define: functions, methods and attributes of `self`."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.attr)
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def _reaching_in(source: str, hidden: set[str]) -> list[str]:
    """Underscore names of a model's components that other code uses; not its own (`self._x`, fields of its classes)."""
    found: list[str] = []
    tree = ast.parse(source)
    fields = {
        field.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in hidden - fields:
            owner = node.value
            if not (isinstance(owner, ast.Name) and owner.id in ("self", "cls")):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mechscope.model"):
            found += [alias.name for alias in node.names if alias.name.startswith("_")]
    return found


def test_only_the_model_knows_the_inside_of_its_components() -> None:
    # Grouped attention names its parameters at run time.
    hidden = _own_underscore_names(SOURCE / "model" / "components") | {"_W_K", "_W_V", "_b_K", "_b_V"}
    assert {"_stored", "_hooked"} <= hidden
    offenders = {
        str(path.relative_to(SOURCE)): found
        for path in SOURCE.rglob("*.py")
        if SOURCE / "model" not in path.parents
        and (found := _reaching_in(path.read_text(encoding="utf-8"), hidden))
    }
    assert offenders == {}


def test_reaching_into_a_component_is_noticed() -> None:
    source = """
from mechscope.model.components.block import _add
attn._stored('W_Q')
self._stored
model.blocks[0]._go()
"""
    assert sorted(_reaching_in(source, {"_stored", "_go"})) == ["_add", "attn._stored", "model.blocks[0]._go"]
