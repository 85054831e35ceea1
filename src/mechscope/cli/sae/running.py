"""`mechscope sae`: dispatch to the subcommand. Imported late, so that help does not load torch."""

from __future__ import annotations

from mechscope.cli.sae.commands import Eval, Sae, Sweep, Train


def sae(command: Sae) -> int:
    """Run the command and return its exit code."""
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
