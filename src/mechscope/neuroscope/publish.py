"""Publish a harvest: everything that pages show about a unit is computed once and written into a store.

The pipeline: the merged state gives statistics, histograms and the highest and lowest contexts; the weights give the
tokens that a unit promotes and its neighbours; the model reads the random sample once more, which gives contexts at
quantiles and at random, and the units that are active together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.evaluation.logit_lists import logit_effects, logit_lists
from mechscope.model.precision import at_least_float32
from mechscope.model.token_texts import token_texts
from mechscope.model.transformer import HookedTransformer
from mechscope.neuroscope.bins import bin_edges
from mechscope.neuroscope.co_activation import CoActivations
from mechscope.neuroscope.contents import (
    About,
    CoActivation,
    Contents,
    SiteContents,
    StoredContext,
    StoredSequence,
    StoredUnit,
)
from mechscope.neuroscope.finished_harvest import read_harvest
from mechscope.neuroscope.harvest_statistics import site_statistics
from mechscope.neuroscope.opening import OpenedModel
from mechscope.neuroscope.plan import HarvestPlan
from mechscope.neuroscope.sample_pass import Sample, SiteActivations, read_sample
from mechscope.neuroscope.settings import kept_settings
from mechscope.neuroscope.similarity import most_similar
from mechscope.neuroscope.sites import Site, located_source
from mechscope.neuroscope.state import HarvestState
from mechscope.neuroscope.unit_contexts import SampleContexts, extreme_contexts
from mechscope.neuroscope.whole_characters import whole_characters
from mechscope.neuroscope.writing import check_destination, write_contents

if TYPE_CHECKING:
    from mechscope.neuroscope.sites import AnyModel

LISTED_TOKENS = 10
"""How many promoted and how many suppressed tokens are listed."""
NEIGHBOURS = 10
"""How many neighbours by weights a unit gets."""
UNITS_AT_ONCE = 256
"""For how many units the effects on all logits are in memory at once."""

CONTINUES = "##"
"""How a token that continues a word begins in the vocabulary of an encoder."""

Progress = Callable[[str, int, int], None]
"""Is told what is being done, how many units are finished, and how many there are."""


def publish(
    work_folder: str | Path,
    store_folder: str | Path,
    *,
    opened: OpenedModel | None = None,
    progress: Progress = lambda what, done, total: None,
) -> About:
    """Publish the harvest in a work folder.

    Readers see the old contents of the store until everything has been written. Labels stay.

    Args:
        work_folder: the folder of a harvest that has come to its end.
        store_folder: the folder of the store, which is created if it is missing.
        opened: the model with the sites of the harvest, if they are in memory; otherwise they are loaded.
        progress: is called now and then.

    Raises:
        FileNotFoundError: if there is no finished harvest.
        ValueError: if its files are damaged, the weights are others than those that were harvested, or the store is of
            another model.
        NotKeptError: if the disk is full; the store is then as it was.
    """
    harvest = read_harvest(work_folder)
    check_destination(Path(store_folder), harvest.plan.model)
    opened = opened or OpenedModel.for_plan(harvest.plan)
    return publish_state(harvest.state(), harvest.plan, opened, store_folder, progress=progress)


def publish_state(
    state: HarvestState,
    plan: HarvestPlan,
    opened: OpenedModel,
    store_folder: str | Path,
    *,
    progress: Progress = lambda what, done, total: None,
) -> About:
    """Publish a state that is in memory.

    Args:
        plan: what the harvest was of.
        opened: the model with the sites of the plan.

    Raises:
        ValueError: if the state has other sites than the model, or the store is of another model.
        NotKeptError: if the disk is full; the store is then as it was.
    """
    found, wanted = [site.name for site in opened.sites], list(state.sites)
    if found != wanted:
        raise ValueError(
            f"the harvest has the sites {', '.join(wanted)}, but {', '.join(found)} were opened: give the same sites."
        )
    return write_contents(Path(store_folder), _Publication(state, plan, opened, progress).contents())


@dataclass
class _Publication:
    """What one publication works with."""

    state: HarvestState
    plan: HarvestPlan
    opened: OpenedModel
    progress: Progress

    def __post_init__(self) -> None:
        sequences = self.state.sequences
        self.tokens = {
            number: sequences.tokens[int(sequences.starts[place]) : int(sequences.starts[place + 1])]
            for place, number in enumerate(sequences.ids.tolist())
        }
        """The tokens of every sequence."""
        drawn = sorted(self.state.sample.tolist())
        self.sample = Sample(
            tuple(drawn),
            tuple(sequences.documents[sequences.index(number)] for number in drawn),
            tuple(self.tokens[number].numpy().astype(np.int64) for number in drawn),
        )
        self.counted = np.ones(int(self.sample.starts[-1]), bool)
        """Where in the sample activations count at every site, once all sites have been read."""
        sizes = {site.name: site.units for site in self.opened.sites}
        self.together = CoActivations(sizes, len(self.counted))
        self.done, self.total = 0, sum(sizes.values())

    def contents(self) -> Contents:
        """All that is to be written; computed while it is written."""
        model = self.opened.model
        return Contents(
            about=About(
                model=self.plan.model,
                weights=self.plan.weights,
                corpus=self.plan.corpus_description,
                tokens=self.state.tokens,
                documents=self.state.documents,
                settings=kept_settings(self.state.settings, self.plan.field),
                site_inputs=self._site_inputs(),
                co_activation_tokens=len(self.together.chosen),
            ),
            vocabulary=enumerate(vocabulary_texts(model)),
            site_sizes=self.together.sizes,
            sites=self.sites(),
            sequences=self.sequences(),
            co_activation=self.co_activation(),
        )

    def _site_inputs(self) -> dict[str, str]:
        # A plan that was made by hand may have none.
        inputs = zip(self.opened.sites, self.plan.site_inputs, strict=False)
        return {site.name: checksum for site, checksum in inputs if checksum}

    def sites(self) -> Iterator[SiteContents]:
        model, sites = self.opened.model, self.opened.sites
        for number, read in enumerate(read_sample(model, sites, self.state.settings, self.sample)):
            site = self.state.sites[read.site.name]
            self.counted &= read.counts.numpy()
            self.together.add(read.values, read.counts)
            yield SiteContents(
                name=read.site.name,
                source=located_source(read.site.source),
                signed=read.site.signed,
                left_out=site.left_out,
                statistics=site_statistics(site),
                edges=np.array(bin_edges()),
                counts=site.histogram.numpy(),
                units=self.units(read, number),
            )

    def units(self, read: SiteActivations, number: int) -> Iterator[StoredUnit]:
        site, settings = self.state.sites[read.site.name], self.state.settings
        weights = _output_weights(read.site)
        near = [[]] * site.units if weights is None else most_similar(weights, NEIGHBOURS)
        effects = _token_lists(self.opened, weights, site.units)
        sampled = SampleContexts(self.sample, read, settings, number).of_units()
        for unit, (others, lists, contexts) in enumerate(zip(near, effects, sampled, strict=True)):
            extremes = list[StoredContext]()
            extremes += extreme_contexts(site.top, "top", unit, self.tokens, settings.before)
            if site.low is not None:
                extremes += extreme_contexts(site.low, "low", unit, self.tokens, settings.before)
            promoted, suppressed = lists
            yield StoredUnit((*extremes, *contexts), promoted, suppressed, tuple(others))
            self.done += 1
            self.progress(f"publishing {read.site.name}", self.done, self.total)

    def sequences(self) -> Iterator[StoredSequence]:
        """The sequences that anything refers to; read when all sites have been."""
        starts = self.sample.starts
        counted = {
            number: self.counted[starts[place] : starts[place + 1]]
            for place, number in enumerate(self.sample.ids)
        }
        documents = dict(zip(self.state.sequences.ids.tolist(), self.state.sequences.documents, strict=True))
        tokenizer, vocabulary = self.opened.model.tokenizer, vocabulary_texts(self.opened.model)
        for number, tokens in self.tokens.items():
            ids = tokens.tolist()
            text = "".join(whole_characters(tokenizer, ids, [vocabulary[token] for token in ids]))
            yield StoredSequence(number, documents[number], tokens.numpy(), counted.get(number), text)

    def co_activation(self) -> Iterator[CoActivation]:
        """The units that are active together; read when all sites have been."""
        for done, found in enumerate(self.together.neighbours(), start=1):
            yield found
            self.progress("comparing units", done, self.total)


def vocabulary_texts(model: AnyModel) -> list[str]:
    """The text of every token; those of a sequence, one after another, are its text.

    Encoders' tokenizers take the spaces away: there, a token begins with a space unless it continues a word.
    """
    if isinstance(model, HookedTransformer):
        return token_texts(model, range(model.cfg.d_vocab))
    tokens: list[str] = model.tokenizer.convert_ids_to_tokens(list(range(model.cfg.d_vocab)))
    return [token.removeprefix(CONTINUES) if token.startswith(CONTINUES) else f" {token}" for token in tokens]


TokenLists = tuple[tuple[tuple[int, float], ...] | None, tuple[tuple[int, float], ...] | None]


def _output_weights(site: Site) -> Float[Tensor, "unit d_model"] | None:
    weights = site.output_weights()
    return None if weights is None else at_least_float32(weights.detach())


def _token_lists(
    opened: OpenedModel, weights: Float[Tensor, "unit d_model"] | None, units: int
) -> Iterator[TokenLists]:
    """For each unit, the tokens that it promotes and suppresses; None for each if there are none."""
    model = opened.model
    if weights is None or not isinstance(model, HookedTransformer):
        yield from [(None, None)] * units
        return
    count = min(LISTED_TOKENS, model.cfg.d_vocab_out)
    for some in weights.split(UNITS_AT_ONCE):
        for found in logit_lists(logit_effects(model, some).cpu(), count):
            yield _pairs(found.top, found.top_values), _pairs(found.bottom, found.bottom_values)


def _pairs(tokens: Sequence[int], values: Sequence[float]) -> tuple[tuple[int, float], ...]:
    return tuple(zip(tokens, values, strict=True))
