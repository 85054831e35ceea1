"""A griffe extension that adapts our docstrings for the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"(?m)^(?P<indent> *)>>> .*(?:\n.*\S.*)*")


class Docstrings(griffe.Extension):
    """Show doctests as code, and the parameters of a class that has `__new__` in place of `__init__`."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fence_doctests(obj.docstring.value)

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        if "__new__" in cls.members and "__init__" not in cls.members:
            cls.set_member("__init__", cls.members["__new__"])


def fence_doctests(text: str) -> str:
    """Put each doctest, which ends at an empty line, into a fenced block.

    Markdown would take `>>>` for a quotation in a quotation, and `[0.5, 1.0]` below it for a link.
    """
    return DOCTEST.sub(
        lambda found: f"{found['indent']}```pycon\n{found[0]}\n{found['indent']}```",
        text,
    )
