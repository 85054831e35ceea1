"""`mechscope`: read the command line, hand over to the command, turn what went wrong into an exit code.

Exit codes: 0 done · 1 a claim failed, a step could not be finished, or doctor found a problem ·
2 the request cannot be met as it stands · 130 stopped with Ctrl-C ·
141 nobody reads the output any more. A defect of ours keeps its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import tyro

from mechscope.cli.commands import Command, Doctor, Models, Replications, Run, Sae, Scoreboard, Verify
from mechscope.cli.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    # Read by OpenMP when torch is loaded. Its threads wait for each other in a busy loop otherwise, and beside any
    # other program on the same cores a training step of milliseconds was seen to take a hundred times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    command = tyro.cli(
        Command,  # type: ignore[arg-type]
        prog="mechscope",
        description="Look inside neural networks: replications that run on a laptop, with reports and checked claims.",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )
    try:
        code = _dispatch(command)
        sys.stdout.flush()
    except UserError as error:
        print(f"mechscope: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from the parts that were finished.", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        # The reader went away (`mechscope models | head`). Python would complain once more while shutting down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)


def _dispatch(command: Run | Verify | Replications | Models | Doctor | Scoreboard | Sae) -> int:
    # Imported late: help and mistakes in the options are answered without loading torch.
    if isinstance(command, Run):
        from mechscope.cli.run import run

        return run(command)
    if isinstance(command, Verify):
        from mechscope.cli.verify import verify

        return verify(command)
    if isinstance(command, Replications):
        from mechscope.cli.replications import replications

        return replications(command)
    if isinstance(command, Models):
        from mechscope.cli.models import models

        return models(command)
    if isinstance(command, Scoreboard):
        from mechscope.cli.scoreboard import scoreboard

        return scoreboard(command)
    if isinstance(command, Sae):
        from mechscope.cli.sae.running import sae

        return sae(command)
    from mechscope.cli.doctor import doctor

    return doctor(command)


if __name__ == "__main__":
    main()
