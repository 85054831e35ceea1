"""`mechscope`: parse the command line, run the command, and turn errors into exit codes.

Exit codes: 0 done · 1 a claim failed, something could not be finished or written, or doctor found a problem ·
2 the arguments are invalid · 130 stopped with Ctrl-C, 143 by SIGTERM, 129 because the terminal closed ·
141 the output pipe was closed. A bug keeps its traceback.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from typing import TYPE_CHECKING

from mechscope.cli.errors import UserError
from mechscope.cli.stopping import Stopping, StopRequest

if TYPE_CHECKING:
    from mechscope.cli.commands import Command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    # OpenMP reads this when torch is loaded. By default its threads wait for each other in a busy loop; with another
    # program on the same cores, a training step of milliseconds was seen to take a hundred times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    make_output_safe()
    stopping = Stopping(sys.argv[1:] if arguments is None else arguments)
    with stopping.handled():
        code = _run(arguments, stopping)
    if os.environ.get("MECHSCOPE_PROGRESS"):
        from mechscope.runs.progress_file import progress_reporter

        if reporter := progress_reporter():
            reporter.end(code)
    sys.exit(code)


def make_output_safe() -> None:
    """Let every character be printed, and let a program run whose output was closed before it began (`>&-`).

    On Windows, a file that output is redirected to has no bars and no arrows; they are written as escapes there.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: Sequence[str] | None, stopping: Stopping) -> int:
    try:
        _refuse_empty_values(sys.argv[1:] if arguments is None else arguments)
        command = _parse(arguments)
        stopping.kept = command.kept
        code = _dispatch(command)
        sys.stdout.flush()
    except UserError as error:
        print(f"mechscope: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, StopRequest) else signal.SIGINT
        print(f"\n{stopping.message(number)}", file=sys.stderr)
        return 128 + number
    except BrokenPipeError:
        # The reader of the pipe has exited (`mechscope models | head`). Avoid a second error at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        from mechscope.storage.files import as_not_kept
        from mechscope.storage.folder_lock import FolderInUseError

        if isinstance(error, FolderInUseError):
            print(f"mechscope: {error}", file=sys.stderr)
            return 2
        not_kept = as_not_kept(error)
        if not_kept is None:
            if not str(error):
                raise
            # What the system refused is all that there is to say.
            where = f"{error.filename}: " if error.filename else ""
            print(f"mechscope: {where}{error.strerror or error}", file=sys.stderr)
            return 1
        print(f"mechscope: {not_kept} {stopping.how_to_resume()}".rstrip(), file=sys.stderr)
        return 1
    return code


def _refuse_empty_values(arguments: Sequence[str]) -> None:
    """Reject empty options and names, which usually come from an unset variable in a script.

    Raises:
        UserError: names the option.
    """
    option = ""
    for word in arguments:
        name, equals, value = word.partition("=")
        if not word.strip() or (name.startswith("--") and equals and not value.strip()):
            where = name if word.strip() else option or "one of the names"
            raise UserError(f"{where} is empty; give it a value (is a variable not set in your script?).")
        option = word if word.startswith("--") else option


def _parse(
    arguments: Sequence[str] | None,
) -> Command:
    # Imported late, like everything heavy, so that the signal handler is installed first.
    import tyro

    from mechscope.cli.commands import GROUPS, Command
    from mechscope.cli.whole_numbers import whole_numbers

    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words in [[group] for group in GROUPS]:
        # Whoever names no command wants to see which ones there are.
        with redirect_stdout(sys.stderr), suppress(SystemExit):
            _parse([*words, "--help"])
        sys.exit(2)
    return tyro.cli(
        Command,  # type: ignore[arg-type]
        prog="mechscope",
        description="Look inside neural networks: replications that run on a laptop, with reports and checked claims.",
        args=words,
        registry=whole_numbers(),
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )


def _dispatch(command: Command) -> int:
    # Imported late, so that help and option errors do not load torch.
    from mechscope.cli.commands import (
        Course,
        Discover,
        Glossary,
        Models,
        Neuroscope,
        Notebook,
        Problems,
        Replications,
        Run,
        Sae,
        Scoreboard,
        Serve,
        Site,
        Verify,
    )

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
    if isinstance(command, Serve):
        from mechscope.cli.web import serve

        return serve(command)
    if isinstance(command, Site):
        from mechscope.cli.web import site

        return site(command)
    if isinstance(command, Notebook):
        from mechscope.cli.notebook import notebook

        return notebook(command)
    if isinstance(command, Discover):
        from mechscope.cli.discover import discover

        return discover(command)
    if isinstance(command, Course):
        from mechscope.cli.course import course

        return course(command)
    if isinstance(command, Sae):
        from mechscope.cli.sae import sae

        return sae(command)
    if isinstance(command, Glossary):
        from mechscope.cli.glossary import glossary

        return glossary(command)
    if isinstance(command, Neuroscope):
        from mechscope.cli.neuroscope import neuroscope

        return neuroscope(command)
    if isinstance(command, Problems):
        from mechscope.cli.problems import problems

        return problems(command)
    from mechscope.cli.doctor import doctor

    return doctor(command)


if __name__ == "__main__":
    main()
