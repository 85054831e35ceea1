"""The figure of an evidence report: a dot with its interval for each check, and its null in grey."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from mechscope.viz.escaping import escape
from mechscope.viz.template import new_figure

if TYPE_CHECKING:
    from mechscope.techniques.redteam.evidence import Check, Evidence

UNBOUNDED = ("logits", "nats")
"""Units that are not shares."""
LABEL_WIDTH = 18
"""Characters per line in the name of a row."""

# Shape as well as colour, for readers who cannot tell the colours apart.
LOOKS = {
    "undermines": ("#c0392b", "x"),
    "inconclusive": ("#b7791f", "diamond"),
    "supports": ("#1b7f5c", "circle"),
}


def evidence_figure(evidence: Evidence) -> Any:
    """Rows in the order undermines, inconclusive, supports; within each, the smallest margin first.

    Raises:
        ValueError: if nothing was measured.
    """
    checks = [check for check in evidence.checks if check.measured is not None and check.verdict in LOOKS]
    if not checks:
        raise ValueError("no check measured anything, so there is nothing to draw.")
    checks.sort(key=lambda check: (list(LOOKS).index(check.verdict), check.margin))
    # A metric in logits does not fit on the axis of shares, so its value is written in its row instead.
    shares = [check for check in checks if check.unit not in UNBOUNDED] or checks
    x_title = "share or accuracy" if shares[0].unit not in UNBOUNDED else shares[0].unit
    figure = new_figure(evidence.claim, x_title, "check", height=170 + 42 * len(checks))
    drawn = [(row, check) for row, check in enumerate(checks) if check in shares]
    nulls = [(row, check) for row, check in drawn if check.null is not None]
    if nulls:
        figure.add_scatter(
            x=[check.null for _, check in nulls],
            y=[row + 0.22 for row, _ in nulls],
            mode="markers",
            name="null or baseline",
            marker={"symbol": "line-ns-open", "size": 11, "color": "#808080"},
            error_x=_bars([(check.null, check.null_low, check.null_high) for _, check in nulls], "#808080"),
            customdata=[escape(check.null_name) for _, check in nulls],
            hovertemplate="%{customdata}: %{x:.3g}<extra></extra>",
        )
    for verdict, (colour, symbol) in LOOKS.items():
        rows = [(row, check) for row, check in drawn if check.verdict == verdict]
        if rows:
            figure.add_scatter(
                x=[check.measured for _, check in rows],
                y=[row for row, _ in rows],
                mode="markers",
                name=verdict,
                marker={"symbol": symbol, "size": 11, "color": colour},
                error_x=_bars([(check.measured, check.low, check.high) for _, check in rows], colour),
                customdata=[_words(check) for _, check in rows],
                hovertemplate="%{customdata}<extra></extra>",
            )
    for row, check in enumerate(checks):
        if check not in shares:
            words = f"{check.measured:.3g} {check.unit}: {check.verdict}"
            figure.add_annotation(
                x=0,
                xref="paper",
                xanchor="left",
                xshift=6,
                y=row,
                text=escape(words),
                hovertext=_words(check),
            )
    figure.update_yaxes(
        tickvals=list(range(len(checks))),
        # Two short lines leave more room for the dots than a long one.
        ticktext=["<br>".join(map(escape, wrap(check.name, LABEL_WIDTH))) for check in checks],
        range=[len(checks) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    below = -70 / (
        42 * len(checks)
    )  # in heights of the plot, so that it lies below the axis for any number of rows
    figure.update_layout(
        showlegend=True, legend={"orientation": "h", "x": 0, "y": below, "yanchor": "top"}, margin={"b": 110}
    )
    return figure


def _bars(ends: list[tuple[float | None, float | None, float | None]], colour: str) -> dict[str, Any]:
    def length(end: float | None, middle: float | None) -> float:
        return 0.0 if end is None or middle is None or end != end else abs(end - middle)

    return {
        "type": "data",
        "symmetric": False,
        "array": [length(high, middle) for middle, _, high in ends],
        "arrayminus": [length(low, middle) for middle, low, _ in ends],
        "color": colour,
        "thickness": 1.5,
    }


def _words(check: Check) -> str:
    return f"{escape(check.question)}<br>{escape(check.numbers)} [{escape(check.unit)}]<br>{escape(check.reason)}"
