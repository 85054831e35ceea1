"""Write the web lab as a folder of files, which any web server can publish and a browser can open from a disk."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

from mechscope.pages.site import Site, collect_site
from mechscope.storage.files import check_folder, keeping, replacing_folder
from mechscope.viz.module_bundle import bundle_modules
from mechscope.web.rendering import SCRIPTS, render_site_page, static_files, style_sheet

MARKER = "mechscope-site.json"
"""A file by which a folder is recognised as a site that may be replaced."""


def build_site(
    folder: Path,
    site: Site | None = None,
    report: Callable[[str], None] = lambda words: None,
    runs: Path | None = None,
) -> int:
    """Write the site to a folder, replacing an earlier one as a whole.

    Args:
        folder: where to write; missing, empty, or an earlier site.
        site: what to write; None means everything that all rooms contribute.
        report: called with the title of each page.
        runs: a folder of runs to show; None shows those that come with mechscope.

    Returns:
        The number of pages.

    Raises:
        ValueError: if the folder holds something else.
        NotKeptError: if it cannot be written.
    """
    if folder.exists() and not (folder / MARKER).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty and holds no mechscope site: choose another folder.")
    site = collect_site() if site is None else site
    check_folder(folder.parent)
    with keeping(folder), replacing_folder(folder) as new:
        for page in site.pages.values():
            report(page.title)
            text = render_site_page(site, page, is_served=False, runs=runs)
            _write(new / page.route / "index.html", text)
        _write(new / "static" / "site.css", style_sheet(site))
        modules: dict[str, str] = {}
        for name, path in static_files(site).items():
            source = path.read_text(encoding="utf-8")
            _write(new / "static" / name, source)
            if name not in SCRIPTS:
                modules[name] = source
        # For pages that are opened from a file, where modules and fetches are refused.
        _write(new / "static" / "modules.js", bundle_modules(modules))
        for name, path in site.files.items():
            _write_file(new, name, path.read_bytes())
        for name, make in site.made_files.items():
            _write_file(new, name, make())
        _write(new / MARKER, json.dumps({"pages": sorted(site.pages)}, indent=1) + "\n")
    return len(site.pages)


def _write_file(folder: Path, name: str, content: bytes) -> None:
    """Write a file that scripts read, and the same as a script."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    _write(target.with_name(target.name + ".js"), _as_script(name, content))


def _as_script(name: str, content: bytes) -> str:
    value = json.dumps(base64.b64encode(content).decode())
    return f"(window.mechscopeFiles ??= {{}})[{json.dumps(name)}] = {value};\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
