"""Answer requests in threads, within the limits of their kind: a slow one blocks neither pages nor other kinds."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mechscope.pages.endpoints import Endpoint, Limits, RefusedError, time_limit


class Slots:
    """What all requests of one kind share: threads for as many as may run at once, and a count of those that wait.

    Args:
        limits: of the kind.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stopping = threading.Event()
        """Set when the server stops."""
        self._taken = 0
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(limits.at_once, thread_name_prefix=f"mechscope-{limits.name}")

    async def answer(self, endpoint: Endpoint, request: Any) -> Any:
        """What the endpoint's handler answers.

        A thread cannot be stopped from outside: a handler that goes on after its time keeps its slot until it ends or
        calls `check_time`.

        Raises:
            RefusedError: if too many requests wait already, or the time is over.
        """
        deadline = time.monotonic() + self.limits.seconds

        def is_over() -> bool:
            return self.stopping.is_set() or time.monotonic() > deadline

        def work() -> Any:
            with time_limit(is_over):
                return endpoint.handle(request)

        self.take()
        # A context of its own: a handler's hooks and settings must not reach the next one in the same thread.
        future = self._threads.submit(contextvars.copy_context().run, work)
        future.add_done_callback(lambda _: self.give_back())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.seconds)
        except TimeoutError as error:
            if future.done() and not future.cancelled() and future.exception() is error:
                raise  # the handler's own
            raise RefusedError(
                422, f"This took longer than {self.limits.seconds:.0f} seconds. Ask for less at once."
            ) from error

    def stop(self) -> None:
        """Refuse what waits, and ask what runs to end."""
        self.stopping.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def take(self) -> None:
        """Take a slot, for a request that gives it back itself.

        Raises:
            RefusedError: if there is none left.
        """
        with self._lock:
            if self.stopping.is_set():
                raise RefusedError(429, "The server is stopping.")
            if self._taken >= self.limits.at_once + self.limits.waiting:
                raise RefusedError(
                    429,
                    f"The server is busy with {self._taken} other requests of this kind ({self.limits.name}). "
                    "Try again in a moment.",
                )
            self._taken += 1

    def give_back(self) -> None:
        """Give back what `take` took."""
        with self._lock:
            self._taken -= 1
