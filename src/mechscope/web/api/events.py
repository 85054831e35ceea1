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
        events: from an endpoint's handler.
        slots: of its kind.
    """

    def __init__(self, events: AsyncGenerator[Event | None], slots: Slots) -> None:
        super().__init__(
            _texts(events, slots),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._slots.held():
            await super().__call__(scope, receive, send)


async def _texts(events: AsyncGenerator[Event | None], slots: Slots) -> AsyncIterator[str]:
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
