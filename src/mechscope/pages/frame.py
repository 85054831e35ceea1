"""The frame that all pages share. A page contains its styles, script and Plotly, and loads nothing else.

Each page has a template in the package that fills it. The template extends templates/frame.html, or
templates/figures_frame.html if the page has figures, and fills their blocks.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import plotly
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mechscope.pages.figures import theme_templates

_TEMPLATES = Path(__file__).parent / "templates"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""Plotly's script, in the installed package."""
FIGURE_SCRIPTS = ("plot_arrays.js", "figures.js", "figure_numbers.js")
"""What draws figures, in the order in which a page runs it."""
SITE_SCRIPTS = {
    "plotly.js": PLOTLY,
    **{name: _TEMPLATES / name for name in ("theme.js", *FIGURE_SCRIPTS)},
}
"""Scripts that a page of the web lab links to, and that a report contains: file name → file."""


def render_page(template: Path, **content: Any) -> str:
    """Render a page as one HTML document.

    Args:
        template: the file of its template.
        content: the variables of the template; strings are escaped, `Markup` is not.

    Raises:
        jinja2.UndefinedError: if the template uses a variable that is missing.
    """
    # The frames call these if they need them: Plotly takes megabytes, which a page without figures does not need.
    for_frames = {
        "part": _part,
        "plotly": _plotly,
        "themes": theme_templates,
        "figure_scripts": FIGURE_SCRIPTS,
    }
    environment = _environment(template.parent, _TEMPLATES)
    return environment.get_template(template.name, globals=for_frames).render(content)


@cache
def _environment(*folders: Path) -> Environment:
    # Kept, because it keeps compiled templates. A template whose file has changed is compiled again.
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _part(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _plotly() -> Markup:
    return Markup(PLOTLY.read_text(encoding="utf-8"))
