"""The pages of circuits in the web lab: planted and published circuits, and the scoreboard of methods."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

from mechscope.pages.site import HomeEntry, PageContext, SitePage, SiteRoom
from mechscope.scoreboard.discovery import DISCOVERY_JOB, EXAMPLES, PROGRAMS, RECORDS, program_record
from mechscope.scoreboard.page import scoreboard_page
from mechscope.scoreboard.plot import scoreboard_svg
from mechscope.scoreboard.published_pages import published_pages
from mechscope.scoreboard.tables import read_tables
from mechscope.scoreboard.unknown_circuit_page import comparison_page, read_comparison

HERE = Path(__file__).parent
TEMPLATES = HERE / "site_templates"
COMPARISON = HERE / "shipped" / "smollm2-135m.json"
MISSED = ("ioi", "reversal", "dyck2")
"""Programs in which EAP misses most; the remarks say why."""
PLOT = "scoreboard.svg"
PLOT_IMAGE = re.compile(rf'<p><img src="{re.escape(PLOT)}"[^>]*></p>')

HOME = (
    HomeEntry(
        "Circuits",
        "Models that were compiled from small programs, so that their true circuit is known, and circuits that people "
        "found. Run a method, and compare edge by edge.",
        "circuits/",
    ),
    HomeEntry(
        "Scoreboard",
        "Fifteen methods that find circuits, tested on circuits that are known: which one misses what, and why.",
        "scoreboard/",
    ),
)


def site_pages() -> SiteRoom:
    """The list of circuits, a page per planted and per published circuit, and the scoreboard."""
    planted = [_planted_page(name) for name in PROGRAMS]
    circuits = SitePage(
        "circuits/",
        "Circuits",
        TEMPLATES / "circuits.html",
        lambda context: {"planted": planted},
        summary="Models whose circuit is known, circuits that people found, and what each method finds.",
        navigation="Circuits",
    )
    pages = [circuits, *planted, *published_pages(), *scoreboard_pages()]
    files = {f"files/circuits/{name}.json": RECORDS / f"{name}.json" for name in PROGRAMS}
    made = {
        f"files/circuits/{name}/{file}": partial(_model_file, name, file)
        for name in PROGRAMS
        for file in ("config.json", "model.safetensors")
    }
    modules = [
        HERE / f"{name}.js" for name in ("planted_page", "edge_patching", "discovery_panel", "published_page")
    ]
    return SiteRoom(pages, modules, [HERE / "circuits.css"], files, made, HOME, jobs=[DISCOVERY_JOB])


def _planted_page(name: str) -> SitePage:
    record = program_record(name)
    return SitePage(
        route=f"circuits/planted/{name}/",
        title=name.replace("_", " ")
        .capitalize()
        .replace("Ioi", "Indirect object")
        .replace("Dyck2", "Brackets"),
        template=TEMPLATES / "planted.html",
        content=lambda context: {"record": record, "examples": EXAMPLES},
        summary=record["words"],
        scripts=("planted_page.js",),
    )


def _model_file(name: str, file: str) -> bytes:
    """A file of the model that the methods were tested on; compiled when a browser asks for it."""
    from mechscope.scoreboard.planted_files import planted_files  # torch

    return planted_files(name)[file]


def scoreboard_pages() -> list[SitePage]:
    """The scoreboard on planted circuits, and the comparison on a trained model if it comes with mechscope."""
    trained = SitePage(
        "scoreboard/trained-model/",
        "Methods on a trained model",
        TEMPLATES / "tables.html",
        _comparison,
        summary="The same methods on a language model, whose circuit nobody knows.",
        scripts=("tables_page.js",),
    )
    more = [trained] if COMPARISON.is_file() else []
    board = SitePage(
        "scoreboard/",
        "Scoreboard",
        TEMPLATES / "tables.html",
        partial(_scoreboard, more),
        summary="Every method that finds circuits, tested on circuits that are known.",
        navigation="Scoreboard",
        scripts=("tables_page.js",),
    )
    return [board, *more]


def _scoreboard(more: Sequence[SitePage], context: PageContext) -> Mapping[str, Any]:
    tables = read_tables()
    body = _as_html(scoreboard_page(tables, PLOT), context)
    drawn = f'<figure class="paper">{scoreboard_svg(tables)}</figure>'
    return {"body": Markup(PLOT_IMAGE.sub(lambda match: drawn, body)), "comparisons": MISSED, "more": more}


def _comparison(context: PageContext) -> Mapping[str, Any]:
    page = comparison_page(read_comparison(COMPARISON)).replace("## Agreement between methods\n", "")
    return {"body": _as_html(page, context), "comparisons": (), "more": ()}


def _as_html(page: str, context: PageContext) -> Markup:
    """A page of the docs as HTML, with links to the pages of the site."""
    page = page.replace("](planted.md)", f"]({context.to('circuits/')})")
    page = page.replace("](scoreboard.md)", f"]({context.to('scoreboard/')})")
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(page))
