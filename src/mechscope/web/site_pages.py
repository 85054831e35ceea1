"""The pages of the web lab itself: the home page, the list of models, and the microscope for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mechscope.checkpoints.registry import BUNDLED, bundled_names
from mechscope.labs.overview import overview
from mechscope.pages.formatting import time_in_words
from mechscope.pages.site import HomeEntry, PageContext, SitePage, SiteRoom
from mechscope.web.models.endpoints import model_endpoints

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
COMPONENTS = HERE.parent / "viz" / "components"
WEIGHTS = ("config.json", "model.safetensors")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Texts:
    """What the page of a model shows first."""

    prompt: str = "The fox saw the hen and the fox saw the"
    """The text."""
    other: str = "The fox saw the dog and the fox saw the"
    """The text to compare with, of as many tokens."""
    note: str = ""
    """For a model without a tokenizer: what the numbers mean that are its tokens."""


TEXTS = {
    "ioi-twin": Texts(
        "At the stadium, Molly and Lewis shared a table until Lewis offered a hat to",
        "At the stadium, Molly and Lewis shared a table until Molly offered a hat to",
    ),
    "grokking-p113": Texts(
        "5 17 113",
        "5 40 113",
        "This model adds two numbers modulo 113 and knows nothing else. It reads three tokens: two numbers from 0 to "
        "112, and 113, which stands for “=”. After it, the model should predict the sum; what it predicts elsewhere "
        "means nothing.",
    ),
    "induction-2l": Texts(
        "128 17 4 99 63 12 17 4 99 63",
        "128 17 4 99 63 12 17 4 80 63",
        "This model has learned to continue repetitions and nothing else. Its tokens are the numbers 0 to 127, which "
        "have no meaning, and 128, which must come first.",
    ),
}
"""Model → the first texts on its page, if they are not the usual ones."""

ON_THIS_MACHINE = Texts(
    "When Mary and John went to the store, John gave a drink to",
    "When Mary and John went to the store, Mary gave a drink to",
)
"""The first texts for models that the server runs."""
MICROSCOPE = HomeEntry(
    "The microscope",
    "Type a text and see what a language model does with it: where each attention head looks, what the model would "
    "predict after each layer, and which part of it writes the answer. Switch parts off, steer it, and watch.",
    "models/",
)


def site_pages() -> SiteRoom:
    """The home page, the list of models, and one page per model."""
    names = bundled_names()
    pages = [
        SitePage("", "Home", TEMPLATES / "home.html", _home),
        SitePage("models/", "Models", TEMPLATES / "models.html", _models, "Models"),
    ]
    pages.append(
        SitePage(
            route="models/on-this-machine/",
            title="Models on this machine",
            template=TEMPLATES / "machine_models.html",
            content=partial(_same, asdict(ON_THIS_MACHINE)),
            scripts=("machine_models_page.js",),
            needs_server="Larger models run in Python. Type “mechscope serve --open” in a terminal, and choose "
            "“Models on this machine” there.",
        )
    )
    files: dict[str, Path] = {}
    for name in names:
        texts = TEXTS.get(name, Texts())
        page = SitePage(
            route=f"models/{name}/",
            title=name,
            template=TEMPLATES / "model.html",
            content=partial(_same, {"name": name, "about": about_model(name), **asdict(texts)}),
            scripts=("model_page.js",),
        )
        pages.append(page)
        for file in WEIGHTS if texts.note else (*WEIGHTS, *TOKENIZER):
            files[f"files/models/{name}/{file}"] = BUNDLED / name / file
    modules, styles = sorted(COMPONENTS.glob("*.js")), sorted(COMPONENTS.glob("*.css"))
    return SiteRoom(pages, modules, styles, files, home=[MICROSCOPE], endpoints=model_endpoints())


def _home(context: PageContext) -> Mapping[str, Any]:
    return {"steps": overview(context.runs), "time_in_words": time_in_words}


def _models(context: PageContext) -> Mapping[str, Any]:
    return {"models": {name: about_model(name) for name in bundled_names()}}


def about_model(name: str) -> str:
    """The first two sentences of a bundled model's card, without its marks for code."""
    card = (BUNDLED / name / "card.md").read_text(encoding="utf-8")
    paragraph = " ".join(card.split("\n\n")[1].replace("`", "").split())
    return f"{'. '.join(paragraph.split('. ')[:2]).rstrip('.')}."


def _same(content: Mapping[str, Any], context: PageContext) -> Mapping[str, Any]:
    return content
