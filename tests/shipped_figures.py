"""What a shipped figure must say, and how it is compared with a fresh one."""

from __future__ import annotations

import re

import numpy as np

from mechscope.pages.figures import DrawnFigure


def check_figure(name: str, figure: DrawnFigure) -> None:
    """A figure explains itself: a title, a title for every axis that is used, and a caption with a number."""
    assert figure.title, name
    layout = figure.plot["layout"]
    for trace in figure.plot["data"]:
        for kind in "xy":
            axis = layout.get(f"{kind}axis{trace.get(f'{kind}axis', kind)[1:]}", {})
            is_panel = bool(layout.get("annotations"))  # panels share one title, which is an annotation
            assert axis.get("title", {}).get("text") or is_panel, f"{name}: an {kind} axis has no title"
    assert re.search(r"\d", figure.caption), f"{name}: the caption quotes no number"


def check_alike(shipped: DrawnFigure, drawn: DrawnFigure) -> None:
    """Two figures from the same code, perhaps on different machines."""
    assert shipped.title == drawn.title
    assert len(shipped.plot["data"]) == len(drawn.plot["data"])
    # The last digits differ between processors.
    assert_close(numbers_in(shipped.caption), numbers_in(drawn.caption))


def numbers_in(text: str) -> list[float]:
    """The numbers of a text, in order."""
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def assert_close(one: list[float], other: list[float]) -> None:
    """Equal but for the last digits."""
    assert len(one) == len(other)
    np.testing.assert_allclose(one, other, rtol=0.02, atol=0.011)
