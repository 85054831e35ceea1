"""`mechscope neuroscope`: one module per command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

if TYPE_CHECKING:
    from mechscope.cli.neuroscope.commands import Neuroscope


def neuroscope(command: Neuroscope) -> int:
    """Run a command under `mechscope neuroscope` and return its exit code."""
    # Each command is imported late, so that help does not load torch.
    from mechscope.cli.neuroscope.commands import Compare, Harvest

    match command.command:
        case Harvest() as harvest:
            from mechscope.cli.neuroscope.harvest import run_harvest

            return run_harvest(harvest)
        case Compare() as compare:
            from mechscope.cli.neuroscope.compare import run_compare

            return run_compare(compare)
