"""Serve the web lab on this machine."""

from __future__ import annotations

import asyncio
import posixpath
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from mechscope.pages.site import Site, collect_site
from mechscope.web.api.routes import Api, http_problem
from mechscope.web.jobs.endpoints import job_endpoints
from mechscope.web.jobs.process import Command
from mechscope.web.jobs.queue import JobQueue
from mechscope.web.rendering import render_site_page, static_files, style_sheet
from mechscope.web.security import HEADER_BYTES, LOOPBACK_NAMES, Guard, is_loopback

if TYPE_CHECKING:
    import socket

    import uvicorn

CONNECTIONS = 200
"""How many connections may be open."""
EVERY_INTERFACE = ("0.0.0.0", "::")
TYPES = {
    ".js": "text/javascript",
    ".json": "application/json",
    ".css": "text/css",
    ".ipynb": "application/x-ipynb+json",
}


def make_app(
    site: Site | None = None,
    names: tuple[str, ...] = LOOPBACK_NAMES,
    token: str = "",
    runs: Path = Path("runs"),
    command: Command | None = None,
) -> Starlette:
    """The web lab as an ASGI application.

    Args:
        site: what to serve; None means everything that all rooms contribute.
        names: host names under which it may be addressed.
        token: what requests must know; empty if only this machine can reach it.
        runs: the folder of the learner's runs, which pages show; it may be missing.
        command: runs all jobs instead of `mechscope`, for tests.
    """
    site = collect_site() if site is None else site
    modules = static_files(site)
    queue = JobQueue(runs, site.jobs.values(), command)
    api = Api([*site.endpoints.values(), *job_endpoints(queue)])

    def stop() -> None:
        api.stop()
        queue.close()

    async def answer(request: Request) -> Response:
        path = request.url.path.removeprefix("/")
        if path.endswith("index.html"):
            path = path.removesuffix("index.html")
        if page := site.pages.get(path):
            # In a thread, so that a slow page does not block the others.
            text = await run_in_threadpool(render_site_page, site, page, is_served=True, runs=runs)
            return HTMLResponse(text)
        if f"{path}/" in site.pages:
            return RedirectResponse(f"/{path}/", 308)
        if path == "static/site.css":
            return Response(style_sheet(site), media_type=TYPES[".css"])
        # Only files that rooms listed, looked up by their exact name: no path can lead elsewhere.
        folder, _, name = path.partition("/")
        file = modules.get(name) if folder == "static" else site.files.get(path)
        if file is not None:
            kind = TYPES.get(posixpath.splitext(name)[1], "application/octet-stream")
            # The browser keeps a copy, and asks each time whether the file is still the same.
            headers = {"cache-control": "no-cache"}
            found = FileResponse(file, media_type=kind, headers=headers, stat_result=file.stat())
            if request.headers.get("if-none-match") == found.headers["etag"]:
                return Response(status_code=304, headers={**headers, "etag": found.headers["etag"]})
            return found
        if find := site.run_files.get(path):
            found = await run_in_threadpool(find, runs)
            if found is None:
                return PlainTextResponse("Your runs do not have this file any more: reload the page.", 404)
            # To be saved: what it holds was written by a run, and this server lets no other scripts run.
            headers = {"cache-control": "no-store"}
            folder, file_name = posixpath.split(path)
            return FileResponse(found, filename=f"{posixpath.basename(folder)}-{file_name}", headers=headers)
        if make := site.made_files.get(path):
            kind = TYPES.get(posixpath.splitext(name)[1], "application/octet-stream")
            return Response(await run_in_threadpool(make), media_type=kind)
        if (other := site.redirected(path)) is not None:
            return RedirectResponse(f"/{other}", 307)
        return PlainTextResponse(f"There is no page {request.url.path} here. The pages start at /.", 404)

    app = Starlette(
        routes=[api.mount(), Route("/{path:path}", answer, methods=["GET"])],
        middleware=[Middleware(Guard, names=names, token=token)],
        exception_handlers={HTTPException: http_problem},
    )
    app.state.stop = stop
    return app


def make_server(app: Starlette, **options: Any) -> uvicorn.Server:
    """A server for the application of `make_app`, which ends open streams before it waits for connections to close.

    Args:
        options: of `uvicorn.Config`.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # In a thread: a job's process may need some seconds to end.
            await asyncio.to_thread(app.state.stop)
            await super().shutdown(sockets)

    limits: dict[str, Any] = {
        "http": "h11",
        "ws": "none",
        "h11_max_incomplete_event_size": HEADER_BYTES,
        "limit_concurrency": CONNECTIONS,
    }
    return Server(
        uvicorn.Config(app, log_level="warning", server_header=False, lifespan="off", **limits, **options)
    )


def serve(host: str, port: int, started: Callable[[str], None], runs: Path = Path("runs")) -> None:
    """Serve until interrupted.

    Args:
        host: the address to listen on; anything but a loopback address asks for a random token.
        port: the port; 0 takes any free one.
        started: called with the address to open, once requests are answered.
        runs: the folder of the learner's runs.

    Raises:
        OSError: if the address or port cannot be used.
    """
    import socket

    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family)
    port = listening.getsockname()[1]
    # The address of all interfaces is none that a browser could open.
    shown = socket.gethostname() if host in EVERY_INTERFACE else f"[{host}]" if ":" in host else host
    names = (*LOOPBACK_NAMES, host) if is_loopback(host) else (*LOOPBACK_NAMES, *_own_names(host))
    app = make_app(names=names, token=token, runs=runs)
    server = make_server(app, timeout_graceful_shutdown=2)
    started(f"http://{shown}:{port}/" + (f"?token={token}" if token else ""))
    try:
        server.run(sockets=[listening])
    finally:
        # Also if a closed terminal has ended the server.
        app.state.stop()


def _own_names(host: str) -> tuple[str, ...]:
    """The names under which other machines may address this one."""
    import socket

    if host in EVERY_INTERFACE:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
        return (host, socket.gethostname().lower(), *sorted(addresses))
    return (host,)
