"""`mechscope neuroscope show`: print a unit's page."""

from __future__ import annotations

from rich.console import Console

from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.neuroscope._label_text import label_lines
from mechscope.cli.neuroscope._unit_text import page_text, strongest_of
from mechscope.cli.neuroscope.store_commands import Show
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.units import UnitAddress


def run_show(command: Show) -> int:
    """Run the command and return its exit code."""
    if command.contexts < 1:
        raise UserError(f"--contexts must be at least 1, not {command.contexts}.")
    console = Console(highlight=False)
    with user_errors():
        address = UnitAddress.parse(command.address)
        with NeuroscopeStore.open(command.store or address.model) as store:
            page, labels = store.unit(address), store.labels.of(address)
            left_out = next(site.left_out for site in store.sites() if site.name == address.site)
    console.print(page_text(page, left_out, console.width, command.contexts))
    if labels:
        # Last, so that a reader can guess from the texts first.
        console.print()
        for line in label_lines(labels, console.width, strongest_of(page), command.contexts):
            console.print(line, overflow="fold", soft_wrap=False)
    return 0
