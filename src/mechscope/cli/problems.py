"""`mechscope problems`: list open problems, show one, start one, and write a report of the work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from mechscope.cli.command_line import command_line
from mechscope.cli.commands import Problems
from mechscope.cli.console import Terminal
from mechscope.cli.errors import UserError, user_errors
from mechscope.near_names import did_you_mean
from mechscope.problems.listing import TIMES, all_problems, counts, find_problem, followers, select
from mechscope.problems.problem import AREAS, COMPUTE, RATINGS, STATUSES, Problem
from mechscope.problems.starter import shipped_measurement

ACTIONS = ("list", "show", "start", "report", "counts")
REPORT = Path("problems-report.html")
FILTERS = {"rating": RATINGS, "area": AREAS, "time": TIMES, "status": STATUSES, "compute": COMPUTE}


def problems(command: Problems) -> int:
    """Run `mechscope problems` and return its exit code."""
    console = Terminal()
    action, words = _split(command)
    _check_options(command, action)
    if action == "list":
        show_list(console, _conditions(command), words)
    elif action == "counts":
        show_counts(console)
    elif action == "show":
        show_problem(console, _find(words))
    elif action == "start":
        start_problem(console, _find(words), command.folder)
    else:
        write_report(console, [Path(word) for word in words], command.out or REPORT)
    return 0


def _split(command: Problems) -> tuple[str, Sequence[str]]:
    """The action and the words after it. `mechscope problems ID` shows a problem."""
    if not command.words:
        return "list", ()
    action, *words = command.words
    if action not in ACTIONS:
        question = did_you_mean(action, ACTIONS) or did_you_mean(action, all_problems())
        if len(command.words) == 1 and action in all_problems():
            return "show", command.words
        raise UserError(
            f"{action!r} is neither a problem nor one of {', '.join(ACTIONS)}.{question} "
            f"`mechscope problems list {action}` searches for it."
        )
    if action == "counts" and words:
        raise UserError(f"`mechscope problems counts` takes no words; found {words[0]!r}.")
    if action in ("show", "start") and not words:
        raise UserError(
            f"name a problem: mechscope problems {action} ID. `mechscope problems` lists all of them."
        )
    return action, words


def _check_options(command: Problems, action: str) -> None:
    given = [name for name in FILTERS if getattr(command, name)]
    if given and action != "list":
        raise UserError(f"--{given[0]} is a filter of `mechscope problems list`.")
    if command.folder is not None and action != "start":
        raise UserError("--folder is the folder that `mechscope problems start ID` makes.")
    if command.out is not None and action != "report":
        raise UserError("--out is the file that `mechscope problems report` writes.")


def _conditions(command: Problems) -> dict[str, str]:
    """The filters that are given, in their usual spelling."""
    conditions: dict[str, str] = {}
    for name, known in FILTERS.items():
        given: str = getattr(command, name)
        if not given:
            continue
        spellings = {_plain(value): value for value in known}
        if name == "area":
            spellings |= {_plain(title): value for value, title in AREAS.items()}
        if _plain(given) not in spellings:
            question = did_you_mean(given, known)
            raise UserError(f"--{name} is one of {', '.join(known)}; found {given!r}.{question}")
        conditions[name] = spellings[_plain(given)]
    return conditions


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").split())


def _find(words: Sequence[str]) -> Problem:
    with user_errors():
        return find_problem(" ".join(words))


def show_list(console: Console, conditions: dict[str, str], words: Sequence[str]) -> None:
    """Print the problems that fulfil all conditions, by area; a search prints the best match first."""
    query = " ".join(words)
    found = select(words=query, **conditions)
    if not found:
        asked = [f"{name} {value}" for name, value in conditions.items()]
        asked += [f"the words {query!r}"] if query else []
        console.print(
            f"No problem fits {' and '.join(asked)}. Leave out a condition; `mechscope problems counts` says "
            "what there is.",
            markup=False,
        )
        return
    if query:
        _show_lines(console, found)
    else:
        for area, title in AREAS.items():
            if here := [problem for problem in found if problem.area == area]:
                console.print(Text.assemble((title, "bold"), (f"  {area}  {len(here)}", "dim")))
                _show_lines(console, here)
    console.print("\n[dim]mechscope problems show ID prints one, start ID makes a folder to work in.[/]")


def _show_lines(console: Console, found: Iterable[Problem]) -> None:
    problems = list(found)
    table = Table.grid(padding=(0, 2))
    table.add_column()
    # An id that is cut cannot be typed.
    table.add_column(width=max((len(problem.slug) for problem in problems), default=0))
    for problem in problems:
        title = Text(problem.title)
        if problem.status != "open":
            title.append(f" ({problem.status})", "dim")
        table.add_row(Text(problem.rating, "bold"), Text(problem.slug), title)
    console.print(table)


def show_problem(console: Console, problem: Problem) -> None:
    """Print a problem with its baseline."""
    console.print(Text.assemble((problem.title, "bold"), (f"  {AREAS[problem.area]}", "dim")))
    console.print(Markdown(problem.text))
    console.print()
    rows = {
        "rating": f"{problem.rating}: {RATINGS[problem.rating]}",
        "status": f"{problem.status}: {STATUSES[problem.status]}",
        "compute": f"{problem.compute}: {COMPUTE[problem.compute]}",
        "baseline": _baseline(problem),
        "models": ", ".join(problem.models),
        "prepare": f"unit {problem.unit} of the course",
        "glossary": ", ".join(problem.glossary),
        "do first": ", ".join(problem.after),
        "do next": ", ".join(follower.slug for follower in followers(problem.slug)),
        "sources": "\n".join(problem.sources),
        "reviewed": problem.reviewed.isoformat(),
        "begin": command_line("problems", "start", problem.slug),
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        if value:
            table.add_row(Text(name, "dim"), Text(value))
    console.print(table)


def _baseline(problem: Problem) -> str:
    from mechscope.pages.formatting import number

    shipped = shipped_measurement(problem)
    if shipped is None:
        return "not measured yet; the starter measures it"
    return "\n".join(f"{words}: {number(value)}" for words, value in shipped.baseline.items())


def start_problem(console: Console, problem: Problem, folder: Path | None) -> None:
    """Make a folder to work on a problem in."""
    from mechscope.problems.started import start

    folder = folder or Path(problem.slug)
    with user_errors():
        start(problem, folder)
    steps = [
        f"Made {folder}: problem.md, notes.md and starter.py.",
        f"1. Read problem.md, and write your prediction into {folder / 'notes.md'}.",
        f"2. python {folder / 'starter.py'}",
        f"3. {command_line('problems', 'report', folder)}",
    ]
    for step in steps:
        console.print(step, markup=False, soft_wrap=True)


def write_report(console: Console, folders: Sequence[Path], out: Path) -> None:
    """Write the work in started folders as one page."""
    from mechscope.problems.report import report_page
    from mechscope.problems.started import read_started, started_folders
    from mechscope.storage.files import check_file, write_atomically

    with user_errors():
        folders = folders or started_folders(Path())
        if not folders:
            raise UserError(
                "no folder here was made by `mechscope problems start`; name one: mechscope problems report FOLDER."
            )
        check_file(out)
        started = [read_started(folder) for folder in folders]
        write_atomically(out, f"{report_page(started)}\n")
    for each in started:
        state = each.notes.unfinished or "every part of the notes is filled in"
        console.print(f"{each.folder}: {state}.", markup=False, soft_wrap=True)
        if not each.is_current:
            console.print(
                f"{each.folder}: starter.py has changed since it last ran; run it again for current numbers.",
                markup=False,
                soft_wrap=True,
            )
    console.print(f"Written: {out}", markup=False, soft_wrap=True)


def show_counts(console: Console) -> None:
    """Print how many problems each area has by rating, and how many have a starter that was measured."""
    table = Table(box=None, pad_edge=False)
    table.add_column("area")
    for heading in (*RATINGS, "all", "starters"):
        table.add_column(heading, justify="right")
    by_area = counts()
    has_starter = [problem for problem in all_problems().values() if problem.starter.is_file()]
    for area, title in AREAS.items():
        row = list(by_area[area].values())
        starters = sum(problem.area == area for problem in has_starter)
        table.add_row(title, *map(str, (*row, sum(row), starters)))
    total = [sum(row[rating] for row in by_area.values()) for rating in RATINGS]
    table.add_row("all", *map(str, (*total, sum(total), len(has_starter))), style="bold")
    console.print(table)
