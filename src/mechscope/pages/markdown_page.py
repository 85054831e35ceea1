"""Pages in Markdown that a program fills with measured numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def fill_markdown(template: Path, **content: Any) -> str:
    """Render a Markdown template (Jinja2) with these variables; the result ends with one line break.

    Raises:
        jinja2.UndefinedError: if the template uses a variable that is missing.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=False,  # Markdown, not HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(content).rstrip("\n") + "\n"
