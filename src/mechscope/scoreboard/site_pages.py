"""The pages of circuits in the web lab: planted and published ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from mechscope.pages.site import SitePage, SiteRoom
from mechscope.scoreboard.published_pages import published_pages

HERE = Path(__file__).parent
TEMPLATES = HERE / "site_templates"
RECORDS = HERE / "shipped" / "planted"
ORDER = (
    "induction", "previous_token", "first_token", "duplicate_token", "ioi", "reversal", "sort", "sort_next",
    "histogram", "most_frequent", "pattern_count", "parity", "dyck2", "addition", "modular_addition",
)  # fmt: skip
"""The programs as the list of circuits has them. Not read from `planted.PROGRAMS`, which needs torch."""


def site_pages() -> SiteRoom:
    """The list of circuits, and a page per planted and per published circuit."""
    planted = [_planted_page(name) for name in ORDER]
    circuits = SitePage(
        "circuits/",
        "Circuits",
        TEMPLATES / "circuits.html",
        lambda context: {"planted": planted},
        summary="Models whose circuit is known, circuits that people found, and what each method finds.",
        navigation="Circuits",
    )
    pages = [circuits, *planted, *published_pages()]
    files = {f"files/circuits/{name}.json": RECORDS / f"{name}.json" for name in ORDER}
    made = {
        f"files/circuits/{name}/{file}": partial(_model_file, name, file)
        for name in ORDER
        for file in ("config.json", "model.safetensors")
    }
    modules = [HERE / f"{name}.js" for name in ("planted_page", "edge_patching", "published_page")]
    return SiteRoom(pages, modules, [HERE / "circuits.css"], files, made)


def _planted_page(name: str) -> SitePage:
    record = _record(name)
    return SitePage(
        route=f"circuits/planted/{name}/",
        title=name.replace("_", " ")
        .capitalize()
        .replace("Ioi", "Indirect object")
        .replace("Dyck2", "Brackets"),
        template=TEMPLATES / "planted.html",
        content=lambda context: {"record": record},
        summary=record["words"],
        scripts=("planted_page.js",),
    )


@cache
def _record(name: str) -> Mapping[str, Any]:
    return json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))


def _model_file(name: str, file: str) -> bytes:
    """A file of the model that the methods were tested on; compiled when a browser asks for it."""
    from mechscope.scoreboard.planted_files import planted_files  # torch

    return planted_files(name)[file]
