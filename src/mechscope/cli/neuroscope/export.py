"""`mechscope neuroscope export` and `check`."""

from __future__ import annotations

from rich.text import Text

from mechscope.cli.console import Terminal
from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.neuroscope.store_commands import Check, Export
from mechscope.neuroscope.checking import check_store
from mechscope.neuroscope.export import export_pages
from mechscope.neuroscope.folders import find_store, known_stores
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.storage.files import check_folder


def run_export(command: Export) -> int:
    """Run `export` and return its exit code."""
    with user_errors(), NeuroscopeStore.open(command.model) as store:
        check_folder(command.out)
        written = export_pages(store, command.out, command.sites)
    console = Terminal()
    console.print(Text(f"Wrote {len(written)} files to {command.out}."), soft_wrap=True)
    return 0


def run_check(command: Check) -> int:
    """Run `check` and return its exit code."""
    console = Terminal()
    with user_errors():
        folders = [find_store(name) for name in command.stores] or list(known_stores().values())
    if not folders:
        raise UserError("there is no neuroscope store. `mechscope neuroscope harvest MODEL` makes one.")
    is_whole = True
    for folder in folders:
        with user_errors():
            found = check_store(folder)
        counts = ", ".join(f"{number:,} {what}" for what, number in found.counts.items())
        verdict = ("whole", "green") if not found.problems else ("damaged", "bold red")
        console.print(Text.assemble(f"{folder}: ", verdict, f" ({counts})" if counts else ""), soft_wrap=True)
        for sentence in (*found.problems, *found.notes):
            console.print(Text(f"  {sentence}"), soft_wrap=True)
        is_whole = is_whole and not found.problems
    return 0 if is_whole else 1
