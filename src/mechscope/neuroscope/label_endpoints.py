"""What the neuroscope's pages ask a server for about labels: write one, and test it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mechscope.checkpoints.registry import bundled_names
from mechscope.neuroscope.label_messages import LabelName, LabelVerdict, NewLabel
from mechscope.neuroscope.labels.rules import Regex, Words
from mechscope.neuroscope.units import UnitAddress
from mechscope.pages.endpoints import COMPUTING, Endpoint, RefusedError, check_time, refused_as

if TYPE_CHECKING:
    from mechscope.neuroscope.endpoints import OpenStores
    from mechscope.neuroscope.store import NeuroscopeStore

PROBLEMS = {
    404: "This machine has no such store, unit or label.",
    409: "The store cannot be read or written to, or the model is not the one that was harvested.",
    422: "The label, the rule or the model is not one that can be tested here.",
}


@contextmanager
def _own(shelf: OpenStores, model: str) -> Generator[NeuroscopeStore]:
    """A store that no other request reads from: the first label in a packaged store makes it move."""
    from mechscope.neuroscope.store import NeuroscopeStore

    with shelf.get(model) as shared, NeuroscopeStore.open(shared.folder) as own:
        yield own


def label_endpoints(shelf: OpenStores) -> list[Endpoint]:
    """The endpoints.

    Args:
        shelf: the stores of this machine.
    """

    def write(request: NewLabel) -> LabelVerdict:
        with refused_as(422):
            words = tuple(word.strip() for word in request.rule.split(",") if word.strip())
            rule = Words(words, request.at) if request.kind == "words" else Regex(request.rule, request.at)
        with _own(shelf, request.model) as store:
            with refused_as(404):
                address = store.address(UnitAddress(request.model, request.site, request.unit))
            with refused_as(409):
                label = store.labels.add(address, request.text, rule.kind, rule.text)
        return LabelVerdict(label=label.id, verdict="")

    def score(request: LabelName) -> LabelVerdict:
        from mechscope.neuroscope.labels.scoring import Scorer

        with _own(shelf, request.model) as store:
            with refused_as(404):
                label = store.labels.get(request.label)
            if request.model not in bundled_names():
                raise RefusedError(
                    422,
                    f"Testing a label of {request.model} takes longer than a page may wait. In a terminal: "
                    f"mechscope neuroscope score {label.address}",
                )
            with refused_as(409):
                scorer = Scorer(store, progress=lambda sentence: check_time())
            with refused_as(422):
                scores = scorer.keep(label)
        return LabelVerdict(label=label.id, verdict=scores["verdict"])

    return [
        Endpoint(
            "POST",
            "neuroscope/label",
            "Give a unit a label",
            NewLabel,
            LabelVerdict,
            write,
            problems=PROBLEMS,
        ),
        Endpoint(
            "POST",
            "neuroscope/score",
            "Test a label on text that the unit's page does not show",
            LabelName,
            LabelVerdict,
            score,
            COMPUTING,
            problems=PROBLEMS,
        ),
    ]
