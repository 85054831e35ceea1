"""The endpoints of the HTTP interface about models. Torch is loaded with the first model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mechscope.neuroscope.messages import SiteRequest
from mechscope.pages.endpoints import Endpoint, Limits, Nothing, refused_as
from mechscope.web.models.messages import (
    AttentionRequest,
    AttributionRequest,
    LensRequest,
    LensTable,
    Losses,
    MachineModels,
    ModelRequest,
    ModelShape,
    NextRequest,
    NextTokens,
    PatchingMap,
    PatchingRequest,
    RunRequest,
    Table,
    TextRequest,
    TextTokens,
)
from mechscope.web.models.unit_messages import (
    Effect,
    EffectRequest,
    LiveReading,
    LiveSite,
    LiveTextRequest,
)

if TYPE_CHECKING:
    from mechscope.web.models.readings import Readings
    from mechscope.web.models.shelf import ModelShelf
    from mechscope.web.models.unit_readings import UnitReadings

MODELS = Limits("looking into models", at_once=1, waiting=32, seconds=180.0, body_bytes=262_144)
"""Requests that run a model: one after the other, because each uses all cores."""
LOADING = Limits("loading models", at_once=1, waiting=4, seconds=900.0, body_bytes=16_384)
LISTING = Limits("listing models", at_once=1, waiting=8, seconds=30.0, body_bytes=16_384)
PROBLEMS = {
    404: "This machine has no model of this name.",
    409: "The model cannot be opened, or the request does not fit the model.",
}


class _Handlers:
    """Handlers that import what they need when they are first called."""

    def __init__(self, shelf: ModelShelf | None) -> None:
        self._shelf = shelf

    @cached_property
    def shelf(self) -> ModelShelf:
        from mechscope.web.models.shelf import ModelShelf

        return self._shelf or ModelShelf()

    @cached_property
    def readings(self) -> Readings:
        from mechscope.web.models.readings import Readings

        return Readings(self.shelf)

    @cached_property
    def units(self) -> UnitReadings:
        from mechscope.neuroscope.endpoints import OpenStores
        from mechscope.web.models.unit_readings import UnitReadings

        return UnitReadings(self.readings, OpenStores())

    def read(self, name: str) -> Callable[[Any], Any]:
        return lambda request: getattr(self.readings, name)(request)


def model_endpoints(shelf: ModelShelf | None = None) -> list[Endpoint]:
    """The endpoints.

    Args:
        shelf: where models come from; None makes a new one.
    """
    handlers = _Handlers(shelf)

    def models(request: Nothing) -> MachineModels:
        with refused_as(409):  # MECHSCOPE_DATA may name a folder that does not exist
            return MachineModels(models=tuple(handlers.shelf.models()))

    def load(request: ModelRequest) -> ModelShape:
        return handlers.readings.shape(request.model)

    def reading(path: str, summary: str, request: type[Any], answer: type[Any]) -> Endpoint:
        return Endpoint(
            "POST", f"models/{path}", summary, request, answer, handlers.read(path), MODELS, problems=PROBLEMS
        )

    def live(
        path: str, summary: str, request: type[Any], answer: type[Any], limits: Limits = MODELS
    ) -> Endpoint:
        def handle(asked: Any) -> Any:
            return getattr(handlers.units, path)(asked)

        return Endpoint(
            "POST", f"neuroscope/live/{path}", summary, request, answer, handle, limits, problems=PROBLEMS
        )

    return [
        Endpoint(
            "GET",
            "models",
            "The models of this machine",
            Nothing,
            MachineModels,
            models,
            LISTING,
            problems={409: "The models cannot be listed: MECHSCOPE_DATA names a folder that does not exist."},
        ),
        Endpoint(
            "POST", "models/load", "Load a model", ModelRequest, ModelShape, load, LOADING, problems=PROBLEMS
        ),
        reading("tokens", "A text as tokens", TextRequest, TextTokens),
        reading("next", "The likeliest next tokens", NextRequest, NextTokens),
        reading("losses", "The loss on each token", RunRequest, Losses),
        reading("attention", "The attention patterns of a layer", AttentionRequest, bytes),
        reading("norms", "The length of the residual stream", RunRequest, Table),
        reading("lens", "The logit lens", LensRequest, LensTable),
        reading("attribution", "Direct logit attribution", AttributionRequest, Table),
        reading("patching", "A patching map", PatchingRequest, PatchingMap),
        live("load", "Load a model for a unit's page", SiteRequest, LiveSite, LOADING),
        live("read", "A unit on a text", LiveTextRequest, LiveReading),
        live("effect", "What a change of a unit does to the next token", EffectRequest, Effect),
    ]
