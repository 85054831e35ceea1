"""`mechscope neuroscope export` and `check`."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from mechscope.cli.console import Terminal, print_json
from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.neuroscope.store_commands import Check, Export
from mechscope.neuroscope.checking import StoreCheck, check_store
from mechscope.neuroscope.export import export_pages
from mechscope.neuroscope.folders import find_store, known_stores
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.storage.files import check_folder


def run_export(command: Export) -> int:
    """Run `export` and return its exit code."""
    with user_errors(), NeuroscopeStore.open(command.place) as store:
        check_folder(command.out)
        written = export_pages(store, command.out, command.sites)
    console = Terminal()
    console.print(Text(f"Wrote {len(written)} files to {command.out}."), soft_wrap=True)
    return 0


def run_check(command: Check) -> int:
    """Run `check` and return its exit code."""
    with user_errors():
        folders = [find_store(name) for name in command.stores] or list(known_stores().values())
    if not folders:
        raise UserError("there is no neuroscope store. `mechscope neuroscope harvest MODEL` makes one.")
    checks = {folder: _checked(folder) for folder in folders}
    if command.json:
        print_json(
            [
                {"folder": str(folder), "whole": not found.problems} | vars(found)
                for folder, found in checks.items()
            ]
        )
    else:
        console = Terminal()
        for folder, found in checks.items():
            counts = ", ".join(_counted(number, what) for what, number in found.counts.items())
            verdict = "whole" if not found.problems else "damaged" if counts else "cannot be read"
            style = "bold red" if found.problems else "green"
            console.print(
                Text.assemble(f"{folder}: ", (verdict, style), f" ({counts})" if counts else ""),
                soft_wrap=True,
            )
            for sentence in (*found.problems, *found.notes):
                console.print(Text(f"  {sentence}"), soft_wrap=True)
    return 1 if any(found.problems for found in checks.values()) else 0


def _checked(folder: Path) -> StoreCheck:
    """A store's check. One that cannot be opened does not keep the others from being checked."""
    try:
        return check_store(folder)
    except (ValueError, OSError) as error:
        return StoreCheck((str(error),), {}, ())


def _counted(number: int, what: str) -> str:
    """A number with what it counts, a regular plural."""
    return f"{number:,} {what.removesuffix('s') if number == 1 else what}"
