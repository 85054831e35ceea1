"""`mechscope sae sweep`: train and measure every point, print the tables, write the report."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.sae.commands import Sweep
from mechscope.cli.sae.options import check_presets, sweep_config
from mechscope.dictionaries.frontier.presets import find_preset
from mechscope.dictionaries.frontier.settings import SweepConfig

if TYPE_CHECKING:
    from mechscope.dictionaries.frontier.points import Sweep as Found


def sweep(command: Sweep) -> int:
    """Run one sweep, or several presets one after another."""
    with ExitStack() as held:
        return _sweep(command, held)


def _sweep(command: Sweep, held: ExitStack) -> int:
    with user_errors():
        check_presets(command)
        wanted: dict[str, tuple[SweepConfig, Path]] = {
            name: (find_preset(name), command.out / name) for name in command.preset
        } or {"": (sweep_config(command), command.out)}
    if command.print_config:
        for config, _ in wanted.values():
            print(config.to_json(), end="")
        return 0
    with user_errors():
        from mechscope.dictionaries.frontier.docs_page import frontiers_page, plots
        from mechscope.dictionaries.frontier.sweep_page import write_sweep_report
        from mechscope.dictionaries.frontier.sweeping import Sweeper
        from mechscope.model.devices import pick_device
        from mechscope.storage.files import check_file, check_folder, write_atomically
        from mechscope.storage.folder_lock import hold_folder

        device = pick_device(command.device)
        for _, folder in wanted.values():
            for inner in ("points", "dictionaries", "unfinished", "activations"):
                check_folder(folder / inner)
            for file in ("config.json", "sweep.json", "report.html", "seconds.json"):
                check_file(folder / file)
        page = command.docs
        if page is not None:
            check_file(page)
        # All are opened before the first one is trained.
        sweepers = {
            name: Sweeper(config, folder, device, False if command.no_progress else None)
            for name, (config, folder) in wanted.items()
        }
        for config, folder in wanted.values():
            held.enter_context(hold_folder(folder))
            write_atomically(folder / "config.json", config.to_json())
    found: dict[str, Found] = {}
    for name, sweeper in sweepers.items():
        config, folder = wanted[name]
        points = sum(len(contender.sparsities) for contender in config.contenders) * len(config.seeds)
        many = "1 dictionary" if points == 1 else f"{points} dictionaries"
        print(f"{config.title}: {many} of {config.d_sae:,} features on {sweeper.words}", flush=True)
        try:
            result = sweeper.run()
        except FloatingPointError as error:
            raise UserError(f"{error} (Finished points are saved.)") from error
        result.save(folder / "sweep.json")
        report = write_sweep_report(result, folder / "report.html")
        found[name] = result
        for line in found_lines(result):
            print(line)
        print(f"report: {report}\n", flush=True)
    if page is not None:
        for name, result in found.items():
            for file, image in plots(result, name, page.stem).items():
                write_atomically(page.parent / file, image)
        print(f"written to {write_atomically(page, frontiers_page(found, page.stem))}")
    return 0


def found_lines(result: Found) -> list[str]:
    """The results at equal L0; if nothing can be compared that way, every point."""
    from mechscope.dictionaries.frontier.comparing import levels_of
    from mechscope.dictionaries.frontier.tables import as_text, level_table, order_table, point_table

    if not levels_of(result):
        beside = (
            " No two architectures reach the same L0: try other sparsities."
            if len(result.architectures) > 1
            else ""
        )
        return [f"Every point, on held-out data.{beside}", "", as_text(point_table(result))]
    ordered = order_table(result)
    return [as_text(level_table(result)), *(["", as_text(ordered)] if len(ordered) > 1 else [])]
