"""A circuit as a picture without scripts: the graph in SVG, and its strongest edges in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mechscope.viz.circuit_graph import BOXES, line_width, text_size
from mechscope.viz.circuit_layout import HALF_HEIGHT, HALF_WIDTH, Layout
from mechscope.viz.palette import LIGHT_PALETTE
from mechscope.viz.svg import Svg
from mechscope.viz.views._pictures import number_text, paragraph, text_html

UNIT_X, UNIT_Y = 96, 84
"""Pixels between two boxes of a row, and between two rows."""
BLUE, ORANGE, PURPLE = LIGHT_PALETTE.series[0], LIGHT_PALETTE.series[1], LIGHT_PALETTE.series[3]
"""The colours of circuit_graph.css."""
DASHES = {"q": "7 4", "k": "2 3", "v": "", "": ""}
STYLES = (("q", "dashed", "queries"), ("k", "dotted", "keys"))
MOST_IN_WORDS = 10


def circuit_picture(
    props: Mapping[str, Any], layout: Layout, kept: Sequence[str], threshold: float | None
) -> str:
    """HTML that shows what the graph shows at first.

    Args:
        props: of the component.
        layout: of all edges.
        kept: the edges that are kept at the threshold.
        threshold: None without one.
    """
    chosen = set(kept)
    image = _drawing(props, layout, chosen)
    width = round(2 * layout.half * UNIT_X)
    label = text_html(props["label"])
    svg = f'<div role="img" aria-label="{label}" style="max-width:{width}px;margin:6px auto">{image}</div>'
    return (
        paragraph(props["label"]) + paragraph(_summary(props, chosen, threshold)) + svg + _words(props, kept)
    )


def _drawing(props: Mapping[str, Any], layout: Layout, kept: set[str]) -> Svg:
    truth = set(props["truth"]) if "truth" in props else None
    scores = props.get("scores")
    height = layout.n_rows * UNIT_Y

    def pixels(point: Sequence[float]) -> tuple[float, float]:
        return (float(point[0]) + layout.half) * UNIT_X, height - (float(point[1]) + 0.5) * UNIT_Y

    image = Svg(round(2 * layout.half * UNIT_X), height)
    for box, reader in layout.sharing():
        image.line(pixels(layout.places[box]), pixels(layout.places[reader]), LIGHT_PALETTE.reference)
    largest = max((abs(score) for score in scores or () if score is not None), default=0.0) or 1.0
    used: set[str] = set()
    for index, (name, curve) in enumerate(zip(props["edges"], layout.curves(), strict=True)):
        is_true = truth is not None and name in truth
        if name not in kept and not is_true:
            continue
        source, destination, door = layout.ends[index]
        used |= {source.name, destination.name}
        score = None if scores is None else scores[index]
        width = line_width(0.3 if scores is None else abs(score or 0.0) / largest)
        colour, dash = ORANGE if score is not None and score < 0 else BLUE, DASHES[door]
        if truth is not None:
            is_kept = name in kept
            colour, dash = (
                (BLUE, "") if is_true and is_kept else (ORANGE, "7 4") if is_true else (PURPLE, "2 3")
            )
            width = max(width, 2.2)
        image.polyline([pixels(point) for point in curve], colour, width, dash)
    size = text_size(layout.width)
    for name, node in layout.nodes.items():
        x, y = pixels(layout.places[name])
        faint = name not in used and node.kind != "end"
        fill = "#b5bcc6" if faint else BOXES[node.kind]
        image.rectangle(
            x - HALF_WIDTH * UNIT_X,
            y - HALF_HEIGHT * UNIT_Y,
            2 * HALF_WIDTH * UNIT_X,
            2 * HALF_HEIGHT * UNIT_Y,
            fill,
        )
        colour = LIGHT_PALETTE.text if faint else "#ffffff"
        image.text(x, y + size / 3, name, anchor="middle", font_size=size, colour=colour)
    return image


def _summary(props: Mapping[str, Any], kept: set[str], threshold: float | None) -> str:
    unit = props["unit"]
    at = "" if threshold is None else f", with scores of at least {number_text(threshold)} {unit}".rstrip()
    omitted = props.get("omitted")
    rest = f" {omitted['count']:,} edges with smaller scores are not drawn." if omitted else ""
    if "truth" not in props:
        count = f"{len(kept)} edge{'s' * (len(kept) != 1)}"
        colours = " Blue edges help, orange edges hurt." if "scores" in props else ""
        inputs = {name[-2] for name in kept if name.endswith(">")}
        styles = [f"{style} lines feed {what}" for name, style, what in STYLES if name in inputs]
        return f"{count}{at}.{colours} {', '.join(styles).capitalize()}{'.' * bool(styles)}{rest}"
    truth = set(props["truth"])
    found, missed, extra = len(kept & truth), len(truth - kept), len(kept - truth)
    return (
        f"{len(kept)} edge{'s' * (len(kept) != 1)} kept{at}: {found} of {len(truth)} true edges found (blue), "
        f"{missed} missed (orange, dashed), {extra} extra (purple, dotted).{rest}"
    )


def _words(props: Mapping[str, Any], kept: Sequence[str]) -> str:
    """The edges in words: all of a small circuit, the strongest of a large one."""
    scores = dict(zip(props["edges"], props.get("scores") or [None] * len(props["edges"]), strict=True))
    ranked = sorted(kept, key=lambda name: -abs(scores[name] or 0.0))
    named = [
        f'<span style="white-space:nowrap">{text_html(_edge_words(name, scores[name]))}</span>'
        for name in ranked[:MOST_IN_WORDS]
    ]
    more = f"; and {len(ranked) - MOST_IN_WORDS} more" if len(ranked) > MOST_IN_WORDS else ""
    return (
        f'<p style="margin:4px 0">Edges: {"; ".join(named)}{more}.</p>' if named else paragraph("No edges.")
    )


def _edge_words(name: str, score: float | None) -> str:
    return name if score is None else f"{name} {number_text(score)}"
