"""Streams of server-sent events, which every browser reads with EventSource."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mechscope.pages.endpoints import Event
from mechscope.web.api.running import Slots

KEEP_ALIVE_SECONDS = 15.0
"""After this time without an event a comment is sent, so that a connection whose other end is gone is noticed."""
END = "event: end\ndata: {}\n\n"
"""The last event of a stream that is over: without it, a browser would connect again."""


class EventStream(StreamingResponse):
    """A response that sends events as they come, and holds a slot meanwhile.

    Args:
        first: the first event.
        events: the others, from an endpoint's handler.
        slots: of its kind.
    """

    def __init__(self, first: Event | None, events: AsyncGenerator[Event | None], slots: Slots) -> None:
        super().__init__(
            _texts(first, events, slots),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )
        self._slots = slots

    @classmethod
    async def begin(cls, events: AsyncGenerator[Event | None], slots: Slots) -> EventStream:
        """The response, once the handler has accepted the request: its first step shows that.

        Raises:
            RefusedError: if it has not, or too many streams are open.
        """
        slots.take()
        try:
            return cls(await anext(events, None), events, slots)
        except BaseException:
            slots.give_back()
            raise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slots.give_back()


async def _texts(
    first: Event | None, events: AsyncGenerator[Event | None], slots: Slots
) -> AsyncIterator[str]:
    if first is not None:
        yield event_text(first)
    sent = time.monotonic()
    async with aclosing(events):
        async for event in events:
            if slots.stopping.is_set():
                return
            if event is not None:
                yield event_text(event)
            elif time.monotonic() - sent > KEEP_ALIVE_SECONDS:
                yield ": still here\n\n"
            else:
                continue
            sent = time.monotonic()
    yield END


def event_text(event: Event) -> str:
    """An event as it is sent: JSON has no line breaks outside of its texts and none unescaped inside them."""
    lines = [f"id: {event.id}"] if event.id else []
    return "\n".join([*lines, f"data: {json.dumps(event.data.to_dict(), allow_nan=False)}"]) + "\n\n"
