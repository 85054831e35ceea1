"""`mechscope sae`: train, eval, sweep, show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

if TYPE_CHECKING:
    from mechscope.cli.sae.commands import Sae


def sae(command: Sae) -> int:
    """Run a command under `mechscope sae` and return its exit code."""
    # Imported late, so that help does not load torch.
    from mechscope.cli.sae.commands import Eval, Sweep, Train

    if isinstance(command.command, Train):
        from mechscope.cli.sae.train import train

        return train(command.command)
    if isinstance(command.command, Eval):
        from mechscope.cli.sae.evaluate import evaluate

        return evaluate(command.command)
    if isinstance(command.command, Sweep):
        from mechscope.cli.sae.sweep import sweep

        return sweep(command.command)
    from mechscope.cli.sae.show import show

    return show(command.command)
