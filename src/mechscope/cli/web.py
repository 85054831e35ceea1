"""`mechscope serve` and `mechscope site`: the web lab on this machine, or as a folder of files."""

from __future__ import annotations

import errno
import importlib.util
from pathlib import Path

from mechscope.cli.commands import Serve, Site
from mechscope.cli.errors import UserError, user_errors


def serve(command: Serve) -> int:
    """Serve the web lab until Ctrl-C."""
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the web lab needs {' and '.join(missing)}: pip install 'mechscope[web]'. Without a server, "
            "`mechscope site build DIR` writes the same pages as files."
        )
    if not 0 <= command.port <= 65_535:
        raise UserError(f"--port must be between 0 and 65535, not {command.port}.")
    _check_runs(command.runs)
    from mechscope.web.server import serve as run

    def started(address: str) -> None:
        print(f"The web lab is at {address} (Ctrl-C stops it)", flush=True)
        if command.open:
            import webbrowser

            webbrowser.open(address)

    try:
        run(command.host, command.port, started, command.runs)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        hint = " --port 0 takes any free port." if error.errno == errno.EADDRINUSE else ""
        raise UserError(f"cannot listen on {command.host}, port {command.port}: {reason}.{hint}") from error
    return 0


def site(command: Site) -> int:
    """Write the web lab to a folder."""
    if command.action[:1] != ("build",) or len(command.action) != 2:
        raise UserError("say what to do: mechscope site build DIR, where DIR is the folder to write.")
    if command.runs is not None:
        _check_runs(command.runs)
        if not command.runs.exists():
            raise UserError(
                f"--runs: there is no folder {command.runs}. Without --runs, the pages show runs that come with "
                "mechscope."
            )
    from mechscope.neuroscope.site_data import with_stores
    from mechscope.pages.site import collect_site
    from mechscope.web.static_site import build_site

    folder = Path(command.action[1])
    with user_errors():
        lab = collect_site()
        if command.stores is not None:
            lab = with_stores(lab, command.stores)
        pages = build_site(folder, lab, runs=command.runs)
    print(f"{pages} pages in {folder}: open {folder / 'index.html'} in a browser.")
    return 0


def _check_runs(folder: Path) -> None:
    # The server accepts a missing folder: the first run creates it.
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--runs: {folder} is not a folder; give the folder that `mechscope run` writes to.")
