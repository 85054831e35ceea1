"""A real browser for tests: Chromium, driven by Playwright, and the web lab served on a free port."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
HOW = "apt-get install chromium (or another Chromium), and pip install 'mechscope[browser]'"


@contextmanager
def open_browser() -> Iterator[Any]:
    """Chromium without a window; the test is skipped, with the way to get it, where it is missing.

    While it is open, this thread has a running event loop, and `asyncio.run` fails: close it at the end of a file.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason=f"needs a browser: {HOW}")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"needs a browser: {HOW}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def served_site(port: int = 0, **options: Any) -> Iterator[str]:
    """The address of the web lab, served from a thread.

    Args:
        port: 0 takes any free one.
        options: of `make_app`.
    """
    pytest.importorskip("uvicorn", reason="needs the web lab's server: pip install 'mechscope[web]'")
    from mechscope.web.server import make_app, make_server

    # A browser keeps its connections open, and the server would wait for their end.
    server = make_server(make_app(**options), port=port, timeout_graceful_shutdown=1)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()


class WatchedPage:
    """A page whose errors and requests are recorded."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.page = browser.new_page(**options)
        # A loaded machine takes its time.
        self.page.set_default_timeout(120_000)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self._console(message))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)
