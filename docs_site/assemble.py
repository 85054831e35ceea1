"""Collect the Markdown of the site in one folder: docs/, the README, the examples and the API reference.

    python -m docs_site.assemble build/docs

The site generator sees only that folder, so that nothing here depends on which generator it is.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from pathlib import Path

from docs_site.api_pages import api_pages

ROOT = Path(__file__).parent.parent


def assemble(target: Path) -> None:
    """Write every page and figure of the site into a folder, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "docs", target)
    pages = {
        "index.md": _page_from_root("README.md"),
        "CONTRIBUTING.md": _page_from_root("CONTRIBUTING.md"),
        "CHANGELOG.md": _page_from_root("CHANGELOG.md"),
        "examples.md": examples_page(),
        **api_pages(),
    }
    for name, text in pages.items():
        _write(target / name, text)
    for page in sorted(target.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for source in set(re.findall(r"\]\(\.\./([^)#\s]+)", text)):
            _write(target / source, (ROOT / source).read_text(encoding="utf-8"))
        page.write_text(re.sub(r"\]\(\.\./", "](", text), encoding="utf-8")


def examples_page() -> str:
    """A page with every example script: its description and its code."""
    parts = [
        "---\nsearch:\n  boost: 0.5\n---\n\n# Examples",
        "",
        "Short scripts that run offline: `python examples/NAME.py`.",
        "",
    ]
    for script in sorted((ROOT / "examples").glob("*.py")):
        source = script.read_text(encoding="utf-8")
        text = ast.get_docstring(ast.parse(source)) or ""
        code = source.split('"""', 2)[-1].strip()
        parts += [f"## {script.stem}", "", text, "", "```python", code, "```", ""]
    return "\n".join(parts)


def _page_from_root(name: str) -> str:
    """A page outside docs/, with its links changed to work from inside docs/."""
    return re.sub(r"\]\(docs/", "](", (ROOT / name).read_text(encoding="utf-8"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m docs_site.assemble FOLDER")
    assemble(Path(sys.argv[1]))
