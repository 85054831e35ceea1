"""`mechscope replications`: write the page of what was and was not reproduced, from finished runs."""

from __future__ import annotations

import sys

from mechscope.cli.command_line import command_line
from mechscope.cli.commands import Replications
from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.run import same_runs
from mechscope.storage.files import check_file, write_atomically


def replications(command: Replications) -> int:
    """Write the page and summarise it; raises an error if there is no run to read."""
    with user_errors():
        from mechscope.labs.registry import all_labs
        from mechscope.labs.replications import read_replications, replications_page
        from mechscope.labs.running import check_request

        for lab in all_labs():
            check_request(lab, command.budget, command.seed, command.out)
        pages = [command.out / "replications.md"] + ([] if command.docs is None else [command.docs])
        for page in pages:
            check_file(page)
        found = read_replications(all_labs(), command.budget, command.seed, command.out)
        for replication in found:
            if replication.problem:
                print(
                    f"{replication.lab.step} {replication.lab.slug}: {replication.problem}", file=sys.stderr
                )
        if not any(replication.found for replication in found):
            raise UserError(
                f"no step has a current run with the {command.budget} budget and seed {command.seed} in "
                f"{command.out}; make them with `{command_line('run', 'all', *same_runs(command))}`."
            )
    page = replications_page(found, command.budget, command.seed)
    written = [write_atomically(path, page) for path in pages]
    for replication in found:
        if replication.found is not None:
            counts = replication.found.count
            print(
                f"{replication.lab.step} {replication.lab.slug}: {counts('pass')} reproduced, "
                f"{counts('fail')} not reproduced, {counts('not-run')} not run"
            )
    print(f"written to {', '.join(map(str, written))}")
    return 0
