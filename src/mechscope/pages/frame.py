"""The frame that every page shares. Styles, script and Plotly are inside the page: it fetches nothing.

A page is a template of the room that fills it. It extends frame.html, or figures_frame.html where it has figures, both
in templates/, and fills their blocks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.offline
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mechscope.pages.figures import theme_templates

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: Path, **content: Any) -> str:
    """A page as one HTML document.

    Args:
        template: its file.
        content: what its blocks ask for; strings are escaped, `Markup` stands as it is.

    Raises:
        jinja2.UndefinedError: if the template asks for something that is not there.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Called by the frames that want them: Plotly is megabytes, which a page without figures does without.
    for_frames = {"part": _part, "plotly": _plotly, "themes": theme_templates}
    return environment.get_template(template.name, globals=for_frames).render(content)


def _part(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _plotly() -> Markup:
    return Markup(plotly.offline.get_plotlyjs())
