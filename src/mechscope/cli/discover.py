"""`mechscope discover`: run one discovery method on a planted program, and compare with its true circuit."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack

from mechscope.cli.commands import Discover
from mechscope.cli.errors import user_errors
from mechscope.pages.tables import text_table
from mechscope.storage.files import check_file
from mechscope.storage.folder_lock import hold_folder

SHOWN = 10
"""How many of the largest scores are printed."""


def discover(command: Discover) -> int:
    """Run the method, print its largest scores beside the truth, and write all of them to a file."""
    with user_errors():
        # Check names first: a typo should not have to wait for torch.
        from mechscope.scoreboard.discovery import (
            Discovery,
            checked,
            program_record,
            result_file,
            write_result,
        )

        options = {field.name: getattr(command, field.name) for field in dataclasses.fields(Discovery)}
        discovery = checked(Discovery(**options))
        path = result_file(discovery, command.out)
        check_file(path)
    from mechscope.runs.progress_file import progress_reporter

    reporter = progress_reporter()
    if reporter:
        reporter.step("loading PyTorch", 0, 0)
    from mechscope.scoreboard.discovering import discover as run_method

    with ExitStack() as held:
        held.enter_context(hold_folder(path.parent))
        found = run_method(**options, report=reporter.step if reporter else None)
        write_result(found, command.out)
    record = program_record(discovery.program)
    scores = found.scores
    edges = len(scores) == len(record["edges"])
    names = record["edges"] if edges else record["nodes"][1:-1]
    used = {end.partition("<")[0] for edge in record["true_edges"] for end in edge.split("->")}
    truth = set(record["true_edges"]) if edges else used
    largest = sorted(range(len(scores)), key=lambda index: -abs(scores[index]))[:SHOWN]
    rows = [
        [names[index], f"{scores[index]:.3g}", "yes" if names[index] in truth else "no"] for index in largest
    ]
    print(f"{record['methods'][discovery.method]} on {discovery.program}, the {len(rows)} largest scores")
    print(text_table(["edge" if edges else "part", "score", "true"], rows), end="\n\n")
    print(f"all {len(scores)} scores are in {path}")
    return 0
