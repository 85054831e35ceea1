"""The pages of the web lab itself: the home page, the list of models, and the microscope for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mechscope.checkpoints.registry import BUNDLED, bundled_names
from mechscope.labs.overview import overview
from mechscope.pages.formatting import time_in_words
from mechscope.pages.site import HomeEntry, PageContext, SitePage, SiteRoom

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
COMPONENTS = HERE.parent / "viz" / "components"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
PROMPTS = {"ioi-twin": "At the stadium, Molly and Lewis shared a table until Lewis offered a hat to"}
"""Model → the first text on its page."""
OTHER_PROMPTS = {"ioi-twin": "At the stadium, Molly and Lewis shared a table until Molly offered a hat to"}
"""Model → the first text to compare with."""
PROMPT = "The fox saw the hen and the fox saw the"
MICROSCOPE = HomeEntry(
    "The microscope",
    "Type a text and see what a small language model does with it: where each attention head looks, what the model "
    "would predict after each layer, and which part of it writes the answer. Switch parts off and watch.",
    "models/",
)
OTHER_PROMPT = "The fox saw the dog and the fox saw the"


def site_pages() -> SiteRoom:
    """The home page, the list of models, and one page per model that has a tokenizer."""
    names = [name for name in bundled_names() if (BUNDLED / name / "tokenizer.json").is_file()]
    pages = [
        SitePage("", "Home", TEMPLATES / "home.html", _home),
        SitePage("models/", "Models", TEMPLATES / "models.html", lambda context: {"names": names}, "Models"),
    ]
    for name in names:
        content = {
            "name": name,
            "prompt": PROMPTS.get(name, PROMPT),
            "other": OTHER_PROMPTS.get(name, OTHER_PROMPT),
        }
        page = SitePage(
            route=f"models/{name}/",
            title=name,
            template=TEMPLATES / "model.html",
            content=partial(_same, content),
            scripts=("model_page.js",),
        )
        pages.append(page)
    files = {f"files/models/{name}/{file}": BUNDLED / name / file for name in names for file in FILES}
    modules, styles = sorted(COMPONENTS.glob("*.js")), sorted(COMPONENTS.glob("*.css"))
    return SiteRoom(pages, modules, styles, files, home=[MICROSCOPE])


def _home(context: PageContext) -> Mapping[str, Any]:
    return {"steps": overview(context.runs), "time_in_words": time_in_words}


def _same(content: Mapping[str, Any], context: PageContext) -> Mapping[str, Any]:
    return content
