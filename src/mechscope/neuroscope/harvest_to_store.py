"""From a corpus to an open store in one call: harvest, publish, open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mechscope.neuroscope.comparing import WORK
from mechscope.neuroscope.corpus import Corpus
from mechscope.neuroscope.corpus.opening import Report
from mechscope.neuroscope.engines.engine import Engine
from mechscope.neuroscope.folders import store_folder
from mechscope.neuroscope.harvest import finish_harvest
from mechscope.neuroscope.prepared_harvest import prepare_harvest
from mechscope.neuroscope.publish import publish
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.store import NeuroscopeStore, open_store
from mechscope.neuroscope.work_folder import hold_work_folder
from mechscope.neuroscope.writing import check_destination


def harvest_to_store(
    model: str,
    folder: str | Path | None = None,
    *,
    sites: str | Sequence[str] = ("mlp",),
    corpus: str | Sequence[str] | Corpus = "library",
    settings: HarvestSettings | None = None,
    max_tokens: int | None = None,
    engine: Engine | None = None,
    device: str | torch.device = "auto",
    progress: bool | None = None,
    report: Report | None = None,
) -> NeuroscopeStore:
    """Harvest a corpus, or go on with a harvest that was stopped, publish it, and open the store.

    This does what `mechscope neuroscope harvest` does, and either can go on where the other has stopped. Labels in the
    store stay.

    >>> import tempfile
    >>> from mechscope.neuroscope.corpus import corpus_of_texts
    >>> texts = corpus_of_texts(["def one():\\n    return 1\\n", "import os\\n\\nimport sys\\n"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with harvest_to_store("mini-gelu-1l", folder, sites=["mlp0"], corpus=texts, progress=False) as store:
    ...         store.about.documents, store.statistics("mlp0").mean.shape
    (2, (256,))

    Args:
        model: a name for `load_model`.
        folder: the folder of the store; None means the model's own in the user's data folder. The harvest's own
            files lie in a folder `harvest` in it.
        sites, corpus, settings, max_tokens, engine, device, report: see `harvest`.
        progress: whether to show a bar: True, as in a notebook, False, or None for "on a terminal".

    Raises:
        FolderInUseError, FileNotFoundError, KeyError, ValueError, NotKeptError, WorkerError: see `harvest`.
        ValueError: if the folder has the store of another model.
    """
    place = store_folder(model) if folder is None else Path(folder)
    with hold_work_folder(place / WORK):
        prepared = prepare_harvest(
            model,
            place / WORK,
            sites=sites,
            corpus=corpus,
            settings=settings,
            max_tokens=max_tokens,
            device=device,
        )
        check_destination(place, prepared.plan.model)
        found = finish_harvest(prepared, engine, progress=progress, report=report)
        publish(found.folder, place, opened=prepared.opened)
    return open_store(place)
