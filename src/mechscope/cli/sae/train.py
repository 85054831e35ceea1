"""`mechscope sae train`: turn the options into a job, train it, and print the results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mechscope.cli.command_line import command_line
from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.sae._sources import given, source_settings
from mechscope.cli.sae.commands import Train
from mechscope.dictionaries.jobs.choices import (
    CHOICES,
    dictionary_settings,
    known_architecture,
    nested_widths,
)
from mechscope.dictionaries.jobs.job import TrainingJob, read_job
from mechscope.dictionaries.sources.config import source_from_dict
from mechscope.dictionaries.training_config import TrainingConfig

if TYPE_CHECKING:
    import torch

    from mechscope.dictionaries.distributed.ranks import Ranks
    from mechscope.dictionaries.jobs.running import PreparedJob
    from mechscope.dictionaries.training import TrainingRun


def train(command: Train) -> int:
    """Train or resume training, and print where the dictionaries are."""
    with user_errors():
        job = training_job(command)
    if command.print_config:
        print(job.to_json(), end="")
        return 0
    with ExitStack() as stack:
        with user_errors():
            # Imported late, so that --print-config does not load torch.
            from mechscope.dictionaries.jobs.running import prepare_job, run_job
            from mechscope.storage.folder_lock import hold_folder

            ranks, device = _processes(command, stack)
            if ranks.first and command.out.is_dir():
                # Before the model is loaded. A folder that does not exist yet cannot be in use.
                stack.enter_context(hold_folder(command.out))
            prepared = prepare_job(job, command.out, device, ranks=ranks, split=command.data == "split")
        if ranks.first:
            _print_beginning(prepared, device)
        try:
            run = run_job(prepared, progress=False if command.no_progress else None)
        except FloatingPointError as error:
            # Not a bug: with these settings the loss diverged.
            raise UserError(str(error)) from error
        if ranks.first:
            _print_results(prepared, run)
    return 0


def training_job(command: Train) -> TrainingJob:
    """The job described by the options, which override those of --config.

    Raises:
        KeyError, ValueError, FileNotFoundError: for invalid settings, before anything is loaded.
    """
    file = None if command.config is None else read_job(command.config)
    source = source_from_dict(
        source_settings(command, {} if file is None else file.source.to_dict())
        | given(batch_size=command.batch, buffer_size=command.buffer, seed=command.seed)
    )
    if file is None:
        training = _schedule(2000 if command.steps is None else command.steps, source.batch_size)
    else:
        training = file.training
    training = dataclasses.replace(
        training,
        **given(
            steps=command.steps,
            lr=command.lr,
            revive=command.revive,
            checkpoint_every=command.checkpoint_every,
            seed=command.seed,
        ),
    )
    if command.outlier_factor is not None:
        training = dataclasses.replace(training, outlier_factor=command.outlier_factor or None)
    dictionaries = _dictionaries(command, {} if file is None else file.dictionaries, bool(source.synthetic))
    return TrainingJob(source=source, dictionaries=dictionaries, training=training)


def _schedule(steps: int, batch_size: int) -> TrainingConfig:
    """Training settings without a config file."""
    return TrainingConfig(
        steps=steps,
        lr=1e-3,
        lr_warmup=steps // 20,
        lr_decay=steps // 5,
        sparsity_warmup=steps // 10,
        dead_after=max(1, min(1_000_000, steps * batch_size // 8)),
        log_every=max(1, min(50, steps // 50)),
        checkpoint_every=500,
    )


def _dictionaries(
    command: Train, file: Mapping[str, Mapping[str, Any]], synthetic: bool
) -> dict[str, dict[str, Any]]:
    """Name → settings: new dictionaries of the named architectures, or a file's, changed by the options."""
    if command.architecture or not file:
        d_sae = command.d_sae if command.d_sae is not None else (128 if synthetic else 1024)
        names = [known_architecture(name) for name in command.architecture or ("topk",)]
        few = {"k": 4.0} if synthetic else {}
        found = {
            name: dictionary_settings(name, d_sae, few.get(CHOICES[name].sparsity))
            for name in dict.fromkeys(names)
        }
    else:
        found = {name: dict(settings) for name, settings in file.items()}
        if command.d_sae is not None:
            for settings in found.values():
                settings["d_sae"] = command.d_sae
                if "widths" in settings:
                    settings["widths"] = nested_widths(command.d_sae)
    for option, value in given(k=command.k, l1=command.l1, l0=command.l0).items():
        _set_sparsity(found, option, value)
    if command.skip:
        if not command.target_hook and not any(settings.get("d_out") for settings in found.values()):
            raise ValueError(
                "--skip gives a transcoder a skip term, so it needs --target-hook, the hook point that it writes to."
            )
        for settings in found.values():
            settings["skip"] = True
    return found


def _set_sparsity(dictionaries: Mapping[str, dict[str, Any]], option: str, value: float) -> None:
    """Set k, l1 or l0 of the dictionaries whose sparsity it controls."""
    controls = {name: CHOICES[each["architecture"]].sparsity for name, each in dictionaries.items()}
    if option not in controls.values():
        takes = ", ".join(f"{name} takes --{own}" for name, own in controls.items())
        raise ValueError(f"--{option} has no effect on {', '.join(dictionaries)}: {takes}.")
    for name, own in controls.items():
        if own == option:
            dictionaries[name][option] = int(value) if option == "k" and float(value).is_integer() else value


def _processes(command: Train, stack: ExitStack) -> tuple[Ranks, torch.device]:
    """The processes that torchrun started (or this one alone), and the device of this one."""
    from mechscope.dictionaries.distributed.ranks import ALONE
    from mechscope.dictionaries.distributed.starting import start_ranks, torchrun_size
    from mechscope.model.devices import pick_device

    if torchrun_size() == 1:
        return ALONE, pick_device(command.device)
    if command.device == "mps":
        raise ValueError("several processes can use CPUs or CUDA devices, but not mps.")
    pick_device(command.device)
    # Each process has its own GPU, chosen by its rank.
    ranks = stack.enter_context(start_ranks(None if command.device == "auto" else command.device))
    return ranks, ranks.device


def _print_beginning(prepared: PreparedJob, device: torch.device) -> None:
    training = prepared.job.training
    names = ", ".join(f"{name} ({each.cfg.d_sae:,} features)" for name, each in prepared.dictionaries.items())
    print(f"{names} on {prepared.source.description}, width {prepared.source.d_in}")
    total = training.steps * prepared.stream.batch_size
    processes = "" if prepared.ranks.alone else f", {prepared.ranks.size} processes"
    resumes = f"; resuming from step {prepared.done:,} in {prepared.folder}" if prepared.done else ""
    if prepared.done == training.steps:
        resumes = f"; all of them are done in {prepared.folder}"
    print(f"{training.steps:,} steps, {total:,} activations, on {device}{processes}{resumes}", flush=True)


def _print_results(prepared: PreparedJob, run: TrainingRun) -> None:
    last = run.history.values.isel(step=-1)
    for name in prepared.dictionaries:
        of = {str(measure): float(last.sel(series=name, measure=measure)) for measure in last.measure.values}
        print(
            f"   {name}: L0 {of['L0']:.1f}, explained variance {of['explained variance']:.3f}, "
            f"{of['dead share']:.0%} dead (last batch): {prepared.folder / name}"
        )
    if run.outliers:
        total = prepared.job.training.steps * prepared.stream.batch_size
        print(
            f"left out {run.outliers:,} of {total:,} activations, more than "
            f"{prepared.job.training.outlier_factor:g} times as long as the median one"
        )
    print(f"{run.seconds:.0f} s, {run.tokens_per_second:,.0f} activations per second")
    first = prepared.folder / next(iter(prepared.dictionaries))
    print(f"Next: {command_line('sae', 'eval', first)}")
