"""Open a model and its sites for a harvest, in the driver and in every worker, and check that they are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mechscope.checkpoints.weights_checksum import checksum_of_files
from mechscope.dictionaries.bundled_folders import BUNDLED, bundled_dictionary_names
from mechscope.dictionaries.sources.models import model_checksum, open_model
from mechscope.model.devices import pick_device
from mechscope.model.special_tokens import text_ids
from mechscope.neuroscope.plan import HarvestPlan
from mechscope.neuroscope.sites import Site, find_sites

if TYPE_CHECKING:
    from mechscope.neuroscope.store import NeuroscopeStore

SAMPLE_TEXT = (
    "\n".join(chr(code) for code in range(33, 127))
    + " The quick brown fox\u2014caf\u00e9 \u4e16\u754c \U0001f600"
)
"""A text with many different tokens, to find out whether a tokenizer fits a model."""


@dataclass(frozen=True)
class OpenedModel:
    """A model that is ready to be read, with the sites to read."""

    model: Any
    sites: tuple[Site, ...]

    @classmethod
    def open(cls, model: str, sites: str | Sequence[str], device: torch.device) -> OpenedModel:
        """Load a model and find its sites.

        Raises:
            FileNotFoundError, KeyError: for an unknown model, weights, site or dictionary; says how to fix it.
            ValueError: for a model that cannot read text, or a site that does not fit the model.
        """
        loaded = open_model(model, device)
        check_tokenizer(loaded, model)
        return cls(loaded, find_sites(loaded, sites))

    @classmethod
    def for_plan(cls, plan: HarvestPlan) -> OpenedModel:
        """Open what a plan names, as a worker does, and check that it is the same here as where the plan was made.

        Raises:
            FileNotFoundError, KeyError, ValueError: see `open`.
            ValueError: if the weights, or what the sites read, are others than in the plan.
        """
        weights = model_checksum(plan.model)
        if weights != plan.weights:
            raise ValueError(
                f"{plan.model} has other weights here (checksum {weights}) than where the harvest began "
                f"({plan.weights}): copy its files to every machine."
            )
        inputs = site_inputs(plan.sites)
        for site, here, there in zip(plan.sites, inputs, plan.site_inputs, strict=True):
            if here != there:
                raise ValueError(
                    f"{site} is another file here (checksum {here}) than where the harvest began ({there}): copy it to "
                    "every machine."
                )
        opened = cls.open(plan.model, plan.sites, pick_device(plan.device))
        found = tuple(site.source for site in opened.sites)
        assert found == plan.sites, f"{found} are not the sites of the plan, {plan.sites}"
        return opened


def check_tokenizer(model: Any, name: str) -> None:
    """Check that a model can read what its tokenizer makes of text.

    Raises:
        ValueError: if it has no tokenizer, or one with tokens that the model does not have.
    """
    if model.tokenizer is None:
        raise ValueError(f"{name} has no tokenizer, so it cannot read text: choose another model.")
    highest = max([*text_ids(model.tokenizer, SAMPLE_TEXT), *_regular_ids(model.tokenizer)])
    if highest >= model.cfg.d_vocab:
        raise ValueError(
            f"the tokenizer of {name} does not fit the model: it can make the token {highest:,}, but the model's last "
            f"token is {model.cfg.d_vocab - 1:,}. Give the model's folder its own tokenizer files."
        )


def _regular_ids(tokenizer: Any) -> list[int]:
    """The tokens of ordinary text, without those that were added, which ordinary text does not have."""
    vocabulary = getattr(tokenizer, "get_vocab", dict)()
    added = getattr(tokenizer, "get_added_vocab", dict)()
    return [int(number) for token, number in vocabulary.items() if token not in added]


def check_inputs(store: NeuroscopeStore, sites: Sequence[Site]) -> None:
    """Check that the files which sites read besides the model are those that were harvested.

    Raises:
        ValueError: if not, because then these are other units than those of the store.
    """
    harvested = store.about.site_inputs
    for site in sites:
        there = harvested.get(site.name)
        if there and there != (here := _checksum(site.source)):
            raise ValueError(
                f"{site.source} has changed since {site.name} was harvested from it (checksum {here}, then {there}): "
                "harvest it again."
            )


def site_inputs(sources: Sequence[str]) -> tuple[str, ...]:
    """For each site, the checksum of the files that it reads besides the model; empty if it reads none.

    Args:
        sources: `Site.source` of each.
    """
    return tuple(_checksum(source) for source in sources)


def _checksum(source: str) -> str:
    directions, _, _ = source.rpartition("@")
    path = BUNDLED / source if source in bundled_dictionary_names() else Path(directions or source)
    if path.is_file():
        return checksum_of_files([path])
    return (
        checksum_of_files(sorted(file for file in path.rglob("*") if file.is_file())) if path.is_dir() else ""
    )
