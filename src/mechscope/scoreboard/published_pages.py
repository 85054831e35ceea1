"""The pages of published circuits: who does what, the edges as a graph, and where they are from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.pages.site import PageContext, SitePage

TEMPLATE = Path(__file__).parent / "site_templates" / "published.html"


@dataclass(frozen=True)
class Role:
    """Parts of a circuit that do the same."""

    name: str
    nodes: Sequence[str]
    words: str
    """What they do, in a sentence."""


@dataclass(frozen=True)
class Link:
    """A page of the site that has to do with a circuit."""

    route: str
    words: str
    part: str = ""
    """The id of a part of that page; empty for its beginning."""

    def address(self, context: PageContext) -> str:
        """The link from another page."""
        return f"{context.to(self.route)}{'#' * bool(self.part)}{self.part}"


@dataclass(frozen=True)
class ShownCircuit:
    """A published circuit as its page shows it."""

    words: str
    """The task, with an example."""
    roles: Sequence[Role]
    edges: Sequence[str]
    """Names `src->dst`."""
    source: str
    """Who found it, and who listed the edges."""
    python: str
    """Code that gives the circuit."""
    links: Sequence[Link] = ()

    @property
    def graph(self) -> Mapping[str, Any]:
        """What the graph of the page shows."""
        notes = {node: f"{role.name}: {role.words}".rstrip(".") for role in self.roles for node in role.nodes}
        return {
            "label": f"The circuit as published, {len(self.edges)} edges",
            "edges": self.edges,
            "notes": notes,
        }


def published_page(name: str, title: str, summary: str, show: Callable[[], ShownCircuit]) -> SitePage:
    """The page of a published circuit.

    Args:
        name: its folder below `circuits/published/`.
        title: its title.
        summary: what it does, in a sentence.
        show: makes the content when the page is asked for.
    """

    def content(context: PageContext) -> Mapping[str, Any]:
        return {"circuit": show()}

    return SitePage(
        f"circuits/published/{name}/",
        title,
        TEMPLATE,
        content,
        summary=summary,
        scripts=("published_page.js",),
    )


def published_pages() -> list[SitePage]:
    """The two circuits whose edges Conmy et al. (2023) list."""
    return [
        published_page(
            "greater-than",
            "Greater-than in GPT-2 small",
            "How GPT-2 small knows that a war that began in 1741 did not end in 1739.",
            _greater_than,
        ),
        published_page(
            "docstring",
            "Docstrings in a four-layer model",
            "How an attention-only model finds the next argument of a function to describe.",
            _docstring,
        ),
    ]


def _greater_than() -> ShownCircuit:
    from mechscope.techniques.circuits.published import (  # torch
        EARLY_MLPS,
        FIRST_HEADS,
        LATE_MLPS,
        MIDDLE_HEADS,
        published_circuit,
    )

    found = published_circuit("greater-than")
    return ShownCircuit(
        words="“The war lasted from the year 1741 to the year 17”: the next two digits should be greater than 41.",
        roles=(
            Role("first heads", FIRST_HEADS, "read the start year."),
            Role("early MLPs", EARLY_MLPS, "read the start year too, and what the first heads found."),
            Role(
                "middle heads",
                MIDDLE_HEADS,
                "attend to the start year and bring it to the end of the sentence.",
            ),
            Role("late MLPs", LATE_MLPS, "turn the year into greater logits for all later years."),
            Role(
                "MLPs 4 to 7",
                [f"m{layer}" for layer in range(4, 8)],
                "are listed because the authors did not restrict what reaches the middle heads' queries.",
            ),
        ),
        edges=found.edges,
        source=found.source,
        python=_code("greater-than"),
        links=(_MEASURED, _TRY_METHODS),
    )


def _docstring() -> ShownCircuit:
    from mechscope.techniques.circuits.published import published_circuit  # torch

    found = published_circuit("docstring")
    return ShownCircuit(
        words="“def port(self, load, size, files, last): … :param load: … :param size: … :param”: the next word should "
        "be the argument that comes next, here “files”.",
        roles=(
            Role(
                "argument movers",
                ("a3.h0", "a3.h6"),
                "attend to the next argument in the definition and copy it.",
            ),
            Role("their queries", ("a1.h4",), "tells the argument movers what to look for."),
            Role(
                "their keys", ("a1.h2", "a2.h0"), "mark the positions among which the argument movers choose."
            ),
            Role("first head", ("a0.h5",), "passes tokens on to all of these."),
        ),
        edges=found.edges,
        source=found.source,
        python=_code("docstring"),
        links=(_MEASURED, _TRY_METHODS),
    )


_MEASURED = Link(
    "steps/04-ioi/", "Step 04 measures how well ACDC finds this circuit: claim 4.13c", "claim-4.13c"
)
_TRY_METHODS = Link("scoreboard/", "Which methods find circuits like this one?")


def _code(name: str) -> str:
    return (
        "from mechscope.techniques.circuits import published_circuit\n\n"
        f'drawn = published_circuit("{name}")\n'
        "drawn.circuit().show()  # and with a model of this shape, drawn.circuit(model).evaluate(task)\n"
    )
