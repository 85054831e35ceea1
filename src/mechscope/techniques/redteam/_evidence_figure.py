"""The ladder drawn: a dot with its interval for each rung, and the null beside it in grey."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from mechscope.viz.escaping import escape
from mechscope.viz.template import new_figure

if TYPE_CHECKING:
    from mechscope.techniques.redteam.evidence import Evidence, Rung

UNBOUNDED = ("logits", "nats")
"""Units that are no shares."""
LABEL_WIDTH = 18
"""Letters in a line of a row's name."""

# Shape as well as colour, for those who see no colours.
LOOKS = {
    "undermines": ("#c0392b", "x"),
    "inconclusive": ("#b7791f", "diamond"),
    "supports": ("#1b7f5c", "circle"),
}


def evidence_figure(evidence: Evidence) -> Any:
    """Rows in the order undermines, inconclusive, supports; within each, the smallest margin first.

    Raises:
        ValueError: where nothing was measured.
    """
    rungs = [rung for rung in evidence.rungs if rung.measured is not None and rung.verdict in LOOKS]
    if not rungs:
        raise ValueError("no rung measured anything, so there is nothing to draw.")
    rungs.sort(key=lambda rung: (list(LOOKS).index(rung.verdict), rung.margin))
    # A metric in logits has another scale than shares; where there are shares, it is told in words in its row.
    shares = [rung for rung in rungs if rung.unit not in UNBOUNDED] or rungs
    x_title = "share or accuracy" if shares[0].unit not in UNBOUNDED else shares[0].unit
    figure = new_figure(evidence.claim, x_title, "check", height=170 + 42 * len(rungs))
    drawn = [(row, rung) for row, rung in enumerate(rungs) if rung in shares]
    nulls = [(row, rung) for row, rung in drawn if rung.null is not None]
    if nulls:
        figure.add_scatter(
            x=[rung.null for _, rung in nulls],
            y=[row + 0.22 for row, _ in nulls],
            mode="markers",
            name="null or rival",
            marker={"symbol": "line-ns-open", "size": 11, "color": "#808080"},
            error_x=_bars([(rung.null, rung.null_low, rung.null_high) for _, rung in nulls], "#808080"),
            customdata=[escape(rung.null_name) for _, rung in nulls],
            hovertemplate="%{customdata}: %{x:.3g}<extra></extra>",
        )
    for verdict, (colour, symbol) in LOOKS.items():
        rows = [(row, rung) for row, rung in drawn if rung.verdict == verdict]
        if rows:
            figure.add_scatter(
                x=[rung.measured for _, rung in rows],
                y=[row for row, _ in rows],
                mode="markers",
                name=verdict,
                marker={"symbol": symbol, "size": 11, "color": colour},
                error_x=_bars([(rung.measured, rung.low, rung.high) for _, rung in rows], colour),
                customdata=[_words(rung) for _, rung in rows],
                hovertemplate="%{customdata}<extra></extra>",
            )
    for row, rung in enumerate(rungs):
        if rung not in shares:
            words = f"{rung.measured:.3g} {rung.unit}: {rung.verdict}"
            figure.add_annotation(
                x=0, xref="paper", xanchor="left", xshift=6, y=row, text=escape(words), hovertext=_words(rung)
            )
    figure.update_yaxes(
        tickvals=list(range(len(rungs))),
        # Two short lines leave more room for the dots than a long one.
        ticktext=["<br>".join(map(escape, wrap(rung.name, LABEL_WIDTH))) for rung in rungs],
        range=[len(rungs) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    below = -70 / (42 * len(rungs))  # in heights of the plot: under the axis, whatever the number of rows
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


def _words(rung: Rung) -> str:
    return f"{escape(rung.question)}<br>{escape(rung.numbers)} [{escape(rung.unit)}]<br>{escape(rung.reason)}"
