"""`mechscope sae sweep`: train and measure every point, print the tables, write the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.sae._sources import given, source_settings
from mechscope.cli.sae.commands import Sweep
from mechscope.dictionaries.frontier.presets import find_preset, schedule
from mechscope.dictionaries.frontier.settings import Contender, SweepConfig, read_sweep
from mechscope.dictionaries.jobs.choices import CHOICES, known_architecture
from mechscope.dictionaries.sources.config import source_from_dict

if TYPE_CHECKING:
    from mechscope.dictionaries.frontier.points import Sweep as Found

SWEPT = ("relu", "gated", "jumprelu", "topk", "batch_topk", "matryoshka")
"""Default architectures of a sweep."""


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
        for line in result_lines(result):
            print(line)
        print(f"report: {report}\n", flush=True)
    if page is not None:
        for name, result in found.items():
            for file, image in plots(result, name, page.stem).items():
                write_atomically(page.parent / file, image)
        print(f"written to {write_atomically(page, frontiers_page(found, page.stem))}")
    return 0


def result_lines(result: Found) -> list[str]:
    """The results at equal L0; if nothing can be compared that way, every point."""
    from mechscope.dictionaries.frontier.comparing import levels_of
    from mechscope.dictionaries.frontier.tables import as_text, level_table, order_table, point_table

    if not levels_of(result):
        why = (
            " No two architectures reach the same L0: try other sparsities."
            if len(result.architectures) > 1
            else ""
        )
        return [f"Every point, on held-out data.{why}", "", as_text(point_table(result))]
    ordered = order_table(result)
    return [as_text(level_table(result)), *(["", as_text(ordered)] if len(ordered) > 1 else [])]


def sweep_config(command: Sweep) -> SweepConfig:
    """The sweep described by the options, which override those of --config.

    Raises:
        KeyError, ValueError, FileNotFoundError: for invalid settings, before anything is loaded.
    """
    file = None if command.config is None else read_sweep(command.config)
    batch = 512 if command.batch is None and file is None else command.batch
    source = source_from_dict(
        source_settings(command, {} if file is None else file.source.to_dict()) | given(batch_size=batch)
    )
    synthetic = bool(source.synthetic)
    if file is None:
        settings: dict[str, Any] = {
            "title": f"Known features ({source.synthetic})"
            if synthetic
            else f"{source.model}, {' + '.join(source.hook)}",
            "d_sae": 128 if synthetic else 512,
            "learning_rates": (2e-3,),
            "seeds": (0,),
        }
    else:
        settings = {field.name: getattr(file, field.name) for field in dataclasses.fields(file)}
    if command.steps is not None or file is None:
        settings["training"] = schedule(1000 if command.steps is None else command.steps, source.batch_size)
    seeds = None if command.seeds is None else tuple(range(command.seeds))
    settings |= given(d_sae=command.d_sae, learning_rates=command.lr or None, seeds=seeds)
    settings["source"] = source
    settings["contenders"] = _contenders(command, () if file is None else file.contenders, synthetic)
    return SweepConfig(**settings)


def _contenders(command: Sweep, file: Sequence[Contender], synthetic: bool) -> tuple[Contender, ...]:
    usual = {"k": (2, 3, 5, 8) if synthetic else (8, 16, 32, 64), "l1": (1, 2, 4, 8), "l0": (0.5, 1, 2, 4)}
    in_file = {contender.architecture: contender for contender in file}
    names = [known_architecture(name) for name in command.architecture] or list(in_file) or list(SWEPT)
    found: list[Contender] = []
    for name in dict.fromkeys(names):
        option = CHOICES[name].sparsity
        contender = in_file.get(name) or Contender(architecture=name, sparsities=usual[option])
        if sparsities := getattr(command, option):
            contender = dataclasses.replace(contender, sparsities=sparsities)
        found.append(contender)
    return tuple(found)


def check_presets(command: Sweep) -> None:
    """A preset is fixed: options that would change it raise an error.

    Raises:
        UserError: if both a preset and such options are given.
    """
    allowed = ("preset", "print_config", "out", "docs", "device", "no_progress")
    names = [field.name for field in dataclasses.fields(command) if field.name not in allowed]
    changing = [name for name in names if getattr(command, name) not in (None, False, ())]
    if command.preset and changing:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in changing)
        raise UserError(
            f"a preset is fixed, and {options} would change it. Print it with --print-config, save the output, and "
            "pass that file with --config together with the option."
        )
    if command.docs is not None and not command.preset:
        raise UserError("--docs writes the page of the presets, so it needs --preset.")
