"""`mechscope scoreboard`: test every method on known circuits."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

from mechscope.cli.commands import Scoreboard
from mechscope.cli.errors import user_errors
from mechscope.near_names import did_you_mean
from mechscope.pages.tables import text_table
from mechscope.storage.files import check_file, check_folder, write_atomically
from mechscope.storage.folder_lock import hold_folder


def print_means(played: Any, kind: str) -> None:
    """Mean AUROC under each condition, as an aligned table."""
    from mechscope.scoreboard import METHODS

    columns = played.conditions()
    rows = {condition: played.summary(kind, condition) for condition in columns}
    names = [name for name in played.methods() if name in rows[columns[0]]]
    if not names:
        return
    table = [
        [
            METHODS[name].words,
            *(f"{rows[column][name][0]:.3f}" for column in columns),
            f"{played.median_seconds(name):.2f}",
        ]
        for name in names
    ]
    print(text_table([f"AUROC of {kind}", *columns, "CPU s"], table), end="\n\n")


def scoreboard(command: Scoreboard) -> int:
    """Run the methods, print the tables, and write matches, tables and plot to a folder."""
    if command.model:
        return compare_on_model(command)
    with ExitStack() as held:
        return _scoreboard(command, held)


def _scoreboard(command: Scoreboard, held: ExitStack) -> int:
    from mechscope import planted
    from mechscope.scoreboard import METHODS, make_tables, scoreboard_page, scoreboard_svg
    from mechscope.scoreboard import scoreboard as play_all

    with user_errors():
        for name in command.programs:
            if name not in planted.PROGRAMS:
                hint = did_you_mean(name, planted.PROGRAMS)
                raise KeyError(
                    f"there is no planted program {name!r}.{hint} There are: {', '.join(planted.PROGRAMS)}."
                )
        for name in command.methods:
            if name not in METHODS:
                raise KeyError(
                    f"there is no method {name!r}.{did_you_mean(name, METHODS)} There are: {', '.join(METHODS)}."
                )
        examples = 64 if command.examples is None else command.examples
        if command.seeds < 1 or examples < 2:
            raise ValueError("a scoreboard needs at least 1 seed and 2 pairs of prompts.")
        pages = [command.out / "scoreboard.md"] + ([] if command.docs is None else [command.docs])
        plots = [page.with_suffix(".svg") for page in pages]
        matches_file, tables_file = command.out / "scoreboard.json", command.out / "tables.json"
        for file in (*pages, *plots, matches_file, tables_file):
            check_file(file)
        if doubled := sorted({str(page) for page, plot in zip(pages, plots, strict=True) if page == plot}):
            raise ValueError(f"the plot is written to {doubled[0]}; give --docs a name that ends in .md.")
        matches = command.out / "matches"
        check_folder(matches)
        held.enter_context(hold_folder(command.out))
    played = play_all(
        command.programs or None,
        command.methods or None,
        seeds=range(command.seeds),
        examples=examples,
        keep=matches,
        progress=not command.no_progress and sys.stderr.isatty(),
    )
    for kind in ("edges", "nodes"):
        print_means(played, kind)
    played.save(matches_file)
    tables = make_tables(played)
    tables.save(tables_file)
    kind = "edges" if played.summary("edges") else "nodes"
    written = [write_atomically(plot, scoreboard_svg(tables, kind)) for plot in plots]
    written += [
        write_atomically(page, scoreboard_page(tables, plot.name))
        for page, plot in zip(pages, plots, strict=True)
    ]
    print(f"written to {', '.join(map(str, written))}")
    return 0


def compare_on_model(command: Scoreboard) -> int:
    """Compare the methods on a trained model, print the table, and write the page."""
    with user_errors():
        from mechscope.checkpoints.load import load_model
        from mechscope.scoreboard import (
            COMPARED,
            compare_methods,
            comparison_page,
            comparison_plot,
            comparison_tables,
            save_comparison,
        )
        from mechscope.tasks import ioi

        if command.programs:
            raise ValueError("--model compares methods on one trained model, so name no planted programs.")
        for name in command.methods:
            if name not in COMPARED:
                raise KeyError(
                    f"method {name!r} is not compared on a model.{did_you_mean(name, COMPARED)} These are: "
                    f"{', '.join(COMPARED)}."
                )
        examples = 8 if command.examples is None else command.examples
        if examples < 2:
            raise ValueError("a comparison needs at least 2 pairs of prompts.")
        pages = [command.out / f"{command.model}.md"] + ([] if command.docs is None else [command.docs])
        for page in pages:
            check_file(page)
        check_file(command.out / f"{command.model}.json")
        check_folder(command.out / command.model)
        model = load_model(command.model)
    found = compare_methods(
        model,
        lambda seed: ioi(model, n=examples, seed=seed),
        methods=command.methods or None,
        keep=command.out / command.model,
        progress=not command.no_progress and sys.stderr.isatty(),
    )
    agreement = found.with_reference()
    rows = [
        [COMPARED[name].words, f"{rho:.2f}", f"{area:.2f}", f"{found.seconds[name]:.1f}"]
        for name, (rho, area) in agreement.items()
    ]
    print(text_table(["method", "ρ with patching", "AUROC", "CPU s"], rows), end="\n\n")
    written = [write_atomically(page.with_suffix(".svg"), comparison_plot(found)) for page in pages]
    tables = comparison_tables(found)
    save_comparison(tables, command.out / f"{command.model}.json")
    written += [
        write_atomically(page, comparison_page(tables, page.with_suffix(".svg").name)) for page in pages
    ]
    print(f"written to {', '.join(map(str, written))}")
    return 0
