"""The pages of the web lab itself: the home page, the list of models, and the microscope for each of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mechscope.checkpoints.registry import BUNDLED, bundled_names
from mechscope.pages.site import PageContext, SitePage, SiteRoom

HERE = Path(__file__).parent
COMPONENTS = HERE.parent / "viz" / "components"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
PROMPTS = {"ioi-twin": "At the stadium, Molly and Lewis shared a table until Lewis offered a hat to"}
"""Model → the first text on its page."""
OTHER_PROMPTS = {"ioi-twin": "At the stadium, Molly and Lewis shared a table until Molly offered a hat to"}
"""Model → the first text to compare with."""
PROMPT = "The fox saw the hen and the fox saw the"
OTHER_PROMPT = "The fox saw the dog and the fox saw the"


def site_pages() -> SiteRoom:
    """The home page, the list of models, and one page per model that has a tokenizer."""
    names = [name for name in bundled_names() if (BUNDLED / name / "tokenizer.json").is_file()]
    pages = [
        SitePage("", "Home", _home),
        SitePage("models/", "Models", partial(_models, names), navigation="Models"),
        *(
            SitePage(f"models/{name}/", name, partial(_model, name), scripts=("model_page.js",))
            for name in names
        ),
    ]
    files = {f"files/models/{name}/{file}": BUNDLED / name / file for name in names for file in FILES}
    return SiteRoom(pages, sorted(COMPONENTS.glob("*.js")), sorted(COMPONENTS.glob("*.css")), files)


def _home(context: PageContext) -> Markup:
    return _render("home.html", context)


def _models(names: list[str], context: PageContext) -> Markup:
    return _render("models.html", context, names=names)


def _model(name: str, context: PageContext) -> Markup:
    prompt, other = PROMPTS.get(name, PROMPT), OTHER_PROMPTS.get(name, OTHER_PROMPT)
    return _render("model.html", context, name=name, prompt=prompt, other=other)


def _render(template: str, context: PageContext, **content: object) -> Markup:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return Markup(environment.get_template(template).render(context=context, **content))
