"""Units of models that the server runs, on a text of the reader's: the same as neuroscope/local_units.js."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from mechscope.neuroscope.endpoints import OpenStores
from mechscope.neuroscope.fire import unusual_units
from mechscope.neuroscope.messages import SiteRequest
from mechscope.neuroscope.opening import check_inputs
from mechscope.neuroscope.sites import Site, find_sites
from mechscope.neuroscope.unit_changes import change_hook, changes_of
from mechscope.pages.endpoints import refused_as
from mechscope.web.models.interventions import check_tokens
from mechscope.web.models.messages import TextRequest
from mechscope.web.models.readings import Readings
from mechscope.web.models.token_labels import token_labels
from mechscope.web.models.unit_messages import (
    ActiveUnit,
    ChangedToken,
    Effect,
    EffectRequest,
    LiveReading,
    LiveSite,
    LiveTextRequest,
)

FIRST = 1
"""The first position that counts, as in a harvest."""
MOST_ACTIVE = 8
ROWS = 8
MOST_SITES = 4
"""How many sites are kept, because one may hold a dictionary."""


class UnitReadings:
    """Handlers of the endpoints about units.

    Args:
        readings: gives models and tokens.
        stores: gives the largest activations in the stored texts.
    """

    def __init__(self, readings: Readings, stores: OpenStores) -> None:
        self.readings, self.stores = readings, stores
        self._sites: OrderedDict[tuple[str, str], tuple[weakref.ref[Any], Site]] = OrderedDict()

    def load(self, request: SiteRequest) -> LiveSite:
        """Load a model and a site."""
        model, site = self._site(request)
        begin = model.tokenizer.bos_token_id if model.cfg.default_prepend_bos and model.tokenizer else None
        beginning = "" if begin is None else token_labels(model, [begin])[0]
        return LiveSite(changes=changes_of(site), beginning=beginning)

    def read(self, request: LiveTextRequest) -> LiveReading:
        """A unit on a text, and the most active units there."""
        model, site = self._site(request)
        tokens, strings = self._tokens(request)
        with refused_as(409):
            _check_unit(site, request.unit)
        with torch.no_grad():
            _, cache = model.run_with_cache(
                torch.tensor([tokens]), names_filter=list(site.hooks), return_type=None
            )
            values = site.read({name: cache[name] for name in site.hooks})[0].cpu()
        counts = np.arange(len(values)) >= FIRST
        with self.stores.get(request.model) as store:
            units = unusual_units(store, site.name, values.numpy(), counts, MOST_ACTIVE)
        active = tuple(
            ActiveUnit(
                unit=found.address.unit,
                value=found.value,
                share=found.share,
                position=found.position,
                is_low=found.is_low,
            )
            for found in units[:MOST_ACTIVE]
        )
        return LiveReading(
            strings=strings,
            values=tuple(values[:, request.unit].tolist()),
            first=FIRST,
            active=active,
        )

    def effect(self, request: EffectRequest) -> Effect:
        """The next token with and without a change of a unit."""
        model, site = self._site(request)
        tokens, _ = self._tokens(request)
        with refused_as(409):
            _check_unit(site, request.unit)
            if request.position >= len(tokens):
                raise ValueError(f"position is {request.position}, and the text has 0 to {len(tokens) - 1}.")
            hook = change_hook(site, request.unit, request.change, request.amount)
        with torch.no_grad():
            plain = model(torch.tensor([tokens]))[0, request.position]
            with model.hooks(fwd_hooks=[hook]):
                changed = model(torch.tensor([tokens]))[0, request.position]
        if not bool(changed.isfinite().all()):
            with refused_as(409):
                raise ValueError("with this change the logits are not finite numbers: use a smaller one.")
        before, after = plain.double().log_softmax(-1), changed.double().log_softmax(-1)
        divergence = float((after.exp() * (after - before)).sum().clamp(min=0))
        best = after.topk(min(ROWS, len(after))).indices.tolist()
        rows = [
            ChangedToken(name=name, before=float(before[token].exp()), after=float(after[token].exp()))
            for name, token in zip(token_labels(model, best), best, strict=True)
        ]
        return Effect(rows=tuple(rows), divergence=divergence)

    def _tokens(self, request: LiveTextRequest) -> tuple[tuple[int, ...], tuple[str, ...]]:
        found = self.readings.tokens(TextRequest(model=request.model, text=request.text))
        with refused_as(409):
            check_tokens(found.tokens, self.readings.shelf.get(request.model))
        return found.tokens, found.strings

    def _site(self, request: SiteRequest) -> tuple[Any, Site]:
        model = self.readings.shelf.get(request.model)
        key = (request.model, request.site)
        of_model, site = self._sites.get(key, (None, None))
        # A model that has been loaded again has other weights in memory.
        if site is None or of_model is None or of_model() is not model:
            with refused_as(409):
                (site,) = find_sites(model, [self._source(request)])
            with self.stores.get(request.model) as store, refused_as(409):
                check_inputs(store, [site])
            self._sites[key] = (weakref.ref(model), site)
            while len(self._sites) > MOST_SITES:
                self._sites.popitem(last=False)
        self._sites.move_to_end(key)
        return model, site

    def _source(self, request: SiteRequest) -> str:
        """Where the site's units come from: its name, or the path of a dictionary or of directions."""
        with self.stores.get(request.model) as store:
            sources = {site.name: site.source for site in store.sites()}
        return sources.get(request.site, request.site)


def _check_unit(site: Site, unit: int) -> None:
    if not 0 <= unit < site.units:
        raise ValueError(f"{site.name} has units 0 to {site.units - 1}; there is no unit {unit}.")
