"""The rooms of docs/architecture.md: imports point downwards, and the page names every room."""

from __future__ import annotations

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
