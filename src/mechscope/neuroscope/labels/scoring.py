"""Score labels: how well does the rule of a label predict its unit, on text that the unit's page does not show?

The pipeline for a label: thresholds and the units for the null from the store → the model reads the sample once more →
documents and passages that the page shows are left out → if the unit fires there too seldom, more of the corpus is
read → the rule scores every token → evidence, numbers, null and verdict. See `evidence`, `detector`, `null` and
`verdicts`.

Evidence comes from a fifth of the documents, which are not scored. So a rule that a reader improves with them is
tested on text that the reader has not seen.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from mechscope.neuroscope.corpus import Corpus, open_corpus
from mechscope.neuroscope.fire import open_units
from mechscope.neuroscope.labels import null, verdicts
from mechscope.neuroscope.labels.current import VERSION, harvest_of
from mechscope.neuroscope.labels.detector import Detection, Estimate, detect
from mechscope.neuroscope.labels.evidence import collect_evidence
from mechscope.neuroscope.labels.readings import (
    Readings,
    corpus_of,
    drawn_documents,
    more_sequences,
    read_units,
)
from mechscope.neuroscope.labels.rules import Rule, rule_of
from mechscope.neuroscope.labels.thresholds import Thresholds, rate_above, thresholds_of
from mechscope.neuroscope.labels.verdicts import Verdict
from mechscope.neuroscope.sample_pass import Sample
from mechscope.neuroscope.settings import corpus_field, settings_of_store
from mechscope.results.provenance import versions

if TYPE_CHECKING:
    from mechscope.neuroscope.label_table import StoredLabel
    from mechscope.neuroscope.opening import OpenedModel
    from mechscope.neuroscope.store import NeuroscopeStore
    from mechscope.neuroscope.units import UnitAddress

CHUNK = 20_000
"""More text is read in pieces of about so many tokens."""


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """How labels are scored."""

    threshold: float | None = None
    """The unit fires above this activation; None means its own threshold (see `thresholds`)."""
    corpus: tuple[str, ...] = ()
    """Where more text comes from if the sample is too small; empty means the corpus of the harvest."""
    field: str | None = None
    """The field of JSON Lines and data sets that has the text; None means that of the harvest."""
    most_tokens: int = 200_000
    """How much more text is read at most."""
    enough: int = 100
    """More text is read until the unit fires at so many tokens."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """For the bootstrap and the null: the widest interval and the largest p-value count."""


@dataclass
class Scorer:
    """Scores labels of a store; keeps the model, and what it read, for the next label.

    Raises:
        FileNotFoundError, ValueError: for a corpus that cannot be found, or settings of the store that cannot be read.
    """

    store: NeuroscopeStore
    options: ScoringOptions = field(default_factory=ScoringOptions)
    progress: Callable[[str], None] = lambda sentence: None
    """Is told what takes time."""

    def __post_init__(self) -> None:
        about = self.store.about
        self.settings = settings_of_store(about.settings)
        # Another harvest may be published meanwhile: then the scores are out of date.
        self._harvest = harvest_of(self.store)
        self.vocabulary = self.store.vocabulary()
        # Said at once, even if the sample turns out to be enough.
        self._field = self.options.field or corpus_field(about.settings)
        self._named_corpus = open_corpus(self.options.corpus, self._field) if self.options.corpus else None
        self._opened: dict[str, OpenedModel] = {}
        self._thresholds: dict[str, Thresholds] = {}
        self._sample: dict[str, Readings] = {}

    def keep(self, label: StoredLabel, rule: Rule | None = None) -> Mapping[str, Any]:
        """Score a label, and store its scores with it. See `score`."""
        found = self.score(label.address, rule or rule_of(label.rule_kind, label.rule))
        self.store.labels.set_scores(label.id, found)
        return found

    def score(self, address: UnitAddress | str, rule: Rule) -> dict[str, Any]:
        """The scores of a rule for a unit, as they are stored with a label (docs/neuroscope-labels.md).

        Raises:
            ValueError, KeyError: for a unit that the store does not have, a rule that cannot be applied, or a model
                with other weights than those that were harvested.
            FileNotFoundError: if the model is not there.
        """
        address = self.store.address(address)
        page = self.store.unit(address)
        known = self._thresholds.setdefault(address.site, thresholds_of(self.store, address.site))
        threshold, rate = float(known.values[address.unit]), float(known.rates[address.unit])
        if self.options.threshold is not None:
            threshold = self.options.threshold
            rate = rate_above(self.store, address.site, address.unit, threshold)
        found = self._header(rule) | {"firing": {"threshold": threshold, "rate": rate}}
        if verdict := verdicts.verdict_on_unit(page.statistics, threshold, rate):
            return _with(found, verdict)
        others = null.similar_units(np.where(_is(address.unit, known.rates), rate, known.rates), address.unit)
        read, more = self._read(address, others, threshold)
        test, shown = _tests(read, address.unit, threshold, rule)
        found |= {"text": test.text | {"more from": more}} | shown.evidence()
        verdict = verdicts.verdict_on_text(
            int(test.fires.sum()), test.text["documents with firing"], len(test.fires)
        ) or verdicts.verdict_on_matches(int((test.scores > 0).sum()), len(test.fires), int(test.fires.sum()))
        if verdict:
            return _with(found, verdict)
        numbers = detect(test.scores, test.fires, test.near, test.document, self.options.seeds)
        columns = [read.units.index(unit) for unit in others]
        others_fire = read.values[test.rows][:, columns] > known.values[others]
        compared = null.compare_with_null(
            numbers.auc.value, test.scores, test.fires, others_fire, self.options.seeds
        )
        found |= _numbers(numbers) | {
            "recall by strength": test.recall_by_strength(),
            "null": dataclasses.asdict(compared)
            | {"p_by_seed": list(compared.p_by_seed), "resolution": compared.resolution},
        }
        return _with(found, verdicts.verdict_on_numbers(numbers, compared))

    def _header(self, rule: Rule) -> dict[str, Any]:
        return {
            "rule": {"kind": rule.kind, "text": rule.text},
            "harvest": self._harvest,
            "seeds": list(self.options.seeds),
            "made by": {"scores": VERSION} | versions(),
            "scored": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }

    def _read(
        self, address: UnitAddress, others: Sequence[int], threshold: float
    ) -> tuple[Readings, list[str]]:
        """What the unit and the others did on held-out text, and the corpus that was read besides the sample."""
        site, units = address.site, (address.unit, *others)
        shown = self.store.unit(address).contexts
        read = self._sample_of(site).only(units).held_out(shown, self.settings.same)
        if self._is_enough(read, address.unit, threshold) or (corpus := self._corpus()) is None:
            return read, []
        self.progress(f"{address} fires seldom in the sample: reading more of {corpus.description}")
        known = {*read.documents, *(context.document for context in shown)}
        documents = drawn_documents(corpus, known, self.options.seeds[0])
        opened, tokens = self._model(site), 0
        for sample in more_sequences(opened, self.settings, documents, CHUNK):
            more = read_units(opened, site, units, self.settings, sample, self.vocabulary)
            read = read + more.held_out(shown, self.settings.same)
            tokens += int(sample.starts[-1])
            if tokens >= self.options.most_tokens or self._is_enough(read, address.unit, threshold):
                break
        return read, list(corpus.names)

    def _corpus(self) -> Corpus | None:
        return self._named_corpus or corpus_of(self.store.about.corpus, self._field)

    def _is_enough(self, read: Readings, unit: int, threshold: float) -> bool:
        fires = (read.of(unit) > threshold) & read.counted & ~read.is_shown
        documents = len(set(read.document[fires].tolist()))
        return int(fires.sum()) >= self.options.enough and documents >= 2 * verdicts.FEWEST_DOCUMENTS

    def _sample_of(self, site: str) -> Readings:
        """What all units of a site did on the sample, which is kept until another site is asked for."""
        if site not in self._sample:
            self._sample.clear()
            drawn = self.store.sample()
            sample = Sample(
                tuple(each.id for each in drawn),
                tuple(each.document for each in drawn),
                tuple(each.tokens for each in drawn),
            )
            opened = self._model(site)
            self._sample[site] = read_units(opened, site, None, self.settings, sample, self.vocabulary)
        return self._sample[site]

    def _model(self, site: str) -> OpenedModel:
        if site not in self._opened:
            self._opened[site] = open_units(self.store, [site])
        return self._opened[site]


def _tests(read: Readings, unit: int, threshold: float, rule: Rule) -> tuple[_Test, _Test]:
    """What is scored, and what evidence comes from."""
    texts = read.spelled if rule.is_about_text and read.spelled else read.texts
    scores = np.concatenate([*rule.scores(texts), np.zeros(0)])
    is_shown = read.is_shown if len(scores) else np.zeros(0, bool)
    test = _Test(read, np.flatnonzero(read.counted & ~is_shown), unit, threshold, scores)
    shown = _Test(read, np.flatnonzero(read.counted & is_shown), unit, threshold, scores, test.firing_on)
    return test, shown


class _Test:
    """What the unit does and what the rule says, at some tokens.

    Args:
        rows: the tokens, among all that were read.
        scores: the rule's scores of all that were read.
        elsewhere: on which tokens the unit fires in other text, and how often; equal ones are near misses too.
    """

    def __init__(
        self,
        read: Readings,
        rows: Int[np.ndarray, " row"],
        unit: int,
        threshold: float,
        scores: Float[np.ndarray, " token"],
        elsewhere: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.read, self.unit, self.rows = read, unit, rows
        self.activation = read.of(unit)[rows]
        self.fires = self.activation > threshold
        self.document = read.document[rows] if len(rows) else rows
        self.scores = scores[rows]
        tokens = np.array([token for tokens in read.texts for token in tokens], object)[rows]
        self.firing_on = Counter(elsewhere) + Counter(tokens[self.fires].tolist())
        self.near = ~self.fires & np.array([token in self.firing_on for token in tokens], bool)

    def evidence(self) -> dict[str, list[dict[str, Any]]]:
        """Some of the tokens at which the rule and the unit disagree, or nearly do."""
        return collect_evidence(self.read, self.unit, self.rows, self.fires, self.scores > 0, self.firing_on)

    @property
    def text(self) -> dict[str, int]:
        """How much text there is of each kind."""
        return {
            "tokens": len(self.rows),
            "documents": len(np.unique(self.document)),
            "firing": int(self.fires.sum()),
            "documents with firing": len(np.unique(self.document[self.fires])),
            "near misses": int(self.near.sum()),
            "matches": int((self.scores > 0).sum()),
        }

    def recall_by_strength(self) -> dict[str, float]:
        """The recall among the weakest, the middle and the strongest third of the firing tokens."""
        order = np.argsort(self.activation[self.fires], kind="stable")
        matched = (self.scores[self.fires] > 0)[order]
        thirds = np.array_split(matched, 3)
        return {
            name: float(third.mean())
            for name, third in zip(("weakest third", "middle third", "strongest third"), thirds, strict=True)
        }


def _is(unit: int, of: np.ndarray) -> np.ndarray:
    return np.arange(len(of)) == unit


def _with(found: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    return {"verdict": verdict.word, "because": verdict.because} | found


def _numbers(found: Detection) -> dict[str, Any]:
    estimates = {"AUC": found.auc, "precision": found.precision, "recall": found.recall}
    if found.near_auc is not None:
        estimates["AUC on near misses"] = found.near_auc
    return {name: each.value for name, each in estimates.items()} | {
        "intervals": {name: _interval(each) for name, each in estimates.items()}
    }


def _interval(estimate: Estimate) -> list[float]:
    return [estimate.low, estimate.high]
