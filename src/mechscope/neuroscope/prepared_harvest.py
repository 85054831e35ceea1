"""Everything that is checked and decided before the first shard is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mechscope.arguments import shown
from mechscope.dictionaries.sources.models import model_checksum
from mechscope.model.devices import pick_device
from mechscope.neuroscope.corpus import Corpus, open_corpus
from mechscope.neuroscope.opening import OpenedModel, site_inputs
from mechscope.neuroscope.plan import HarvestPlan, check_same_plan, read_plan
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.shards import shards_of
from mechscope.neuroscope.sinks import calibrated
from mechscope.neuroscope.work_folder import WorkFolder


@dataclass
class PreparedHarvest:
    """A harvest that can begin, or go on."""

    folder: Path
    """The work folder, which has the plan."""
    plan: HarvestPlan
    corpus: Corpus
    work: WorkFolder
    """The shards that are finished."""
    max_tokens: int | None
    opened: OpenedModel | None
    """The model, as long as it is needed in this process."""
    site_names: tuple[str, ...] = ()
    """The names of the sites in unit addresses."""


def prepare_harvest(
    model: str,
    folder: str | Path,
    *,
    sites: str | Sequence[str] = ("mlp",),
    corpus: str | Sequence[str] | Corpus = "library",
    settings: HarvestSettings | None = None,
    max_tokens: int | None = None,
    device: str | torch.device = "auto",
) -> PreparedHarvest:
    """Check everything, load the model, and write the plan, or compare it with the one in the folder.

    The caller holds the folder's lock. Arguments and errors: see `harvest`.
    """
    if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
        raise ValueError(f"max_tokens must be a whole number of at least 1, not {shown(max_tokens)}.")
    folder = Path(folder)
    text = corpus if isinstance(corpus, Corpus) else open_corpus(corpus)
    text.check()
    place = device if isinstance(device, torch.device) else pick_device(device)
    # Damaged files are found before the model is loaded.
    there, work = read_plan(folder), WorkFolder(folder)
    opened = OpenedModel.open(model, sites, place)
    here = _plan(there, model, opened, text, settings or HarvestSettings(), place)
    if there is None:
        here.write(folder)
    else:
        check_same_plan(folder, there, here)
    names = tuple(site.name for site in opened.sites)
    return PreparedHarvest(folder, here, text, work, max_tokens, opened, names)


def _plan(
    there: HarvestPlan | None,
    model: str,
    opened: OpenedModel,
    corpus: Corpus,
    settings: HarvestSettings,
    device: torch.device,
) -> HarvestPlan:
    """The plan that is wanted now.

    Args:
        there: the plan in the folder. What was measured for it is not measured again.
    """
    if settings.massive_limits is None:
        if there is not None and there.settings.leave_out_sinks == settings.leave_out_sinks:
            settings = dataclasses.replace(settings, massive_limits=there.settings.massive_limits)
        else:
            first = next(shards_of(corpus.documents(lambda problem: None), settings.shard_characters))
            settings = calibrated(opened.model, settings, first)
    sources = tuple(site.source for site in opened.sites)
    return HarvestPlan(
        model=model,
        weights=model_checksum(model),
        device=device.type,
        sites=sources,
        site_inputs=site_inputs(sources),
        corpus=corpus.names,
        field=corpus.field,
        corpus_description=corpus.description,
        settings=settings,
    )
