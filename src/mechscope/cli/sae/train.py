"""`mechscope sae train`: check the options, train, and print the results."""

from __future__ import annotations

from contextlib import ExitStack

from mechscope.cli.command_line import command_line
from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.sae.commands import Train
from mechscope.cli.sae.options import training_job


def train(command: Train) -> int:
    """Train or resume training, and print where the dictionaries are."""
    with user_errors():
        job = training_job(command)
    if command.print_config:
        print(job.to_json(), end="")
        return 0
    with user_errors():
        from mechscope.dictionaries.distributed.ranks import ALONE
        from mechscope.dictionaries.distributed.starting import start_ranks, torchrun_size
        from mechscope.dictionaries.jobs.running import prepare_job, run_job
        from mechscope.model.devices import pick_device
        from mechscope.storage.folder_lock import hold_folder

        alone = torchrun_size() == 1
        if not alone and command.device == "mps":
            raise ValueError("several processes can use CPUs or CUDA devices, but not mps.")
        device = pick_device(command.device)
    # Each of torchrun's processes has its own GPU, chosen by rank.
    wanted = None if command.device in ("auto", "mps") else command.device
    with ExitStack() as stack:
        with user_errors():
            ranks = ALONE if alone else stack.enter_context(start_ranks(wanted))
            device = device if alone else ranks.device
            if ranks.first and command.out.is_dir():
                # Before the model is loaded. A folder that does not exist yet cannot be in use.
                stack.enter_context(hold_folder(command.out))
            prepared = prepare_job(job, command.out, device, ranks=ranks, split=command.data == "split")
        training = prepared.job.training
        if ranks.first:
            names = ", ".join(
                f"{name} ({each.cfg.d_sae:,} features)" for name, each in prepared.dictionaries.items()
            )
            print(f"{names} on {prepared.source.words}, width {prepared.source.d_in}")
            total = training.steps * prepared.stream.batch_size
            many = "" if alone else f", {ranks.size} processes"
            goes_on = f"; resuming from step {prepared.done:,} in {prepared.folder}" if prepared.done else ""
            if prepared.done == training.steps:
                goes_on = f"; all of them are done in {prepared.folder}"
            print(f"{training.steps:,} steps, {total:,} activations, on {device}{many}{goes_on}", flush=True)
        try:
            run = run_job(prepared, progress=False if command.no_progress else None)
        except FloatingPointError as error:
            # Not a bug: with these settings the loss diverged.
            raise UserError(str(error)) from error
        if ranks.first:
            last = run.history.values.isel(step=-1)
            for name in prepared.dictionaries:
                of = {
                    str(measure): float(last.sel(series=name, measure=measure))
                    for measure in last.measure.values
                }
                print(
                    f"   {name}: L0 {of['L0']:.1f}, explained variance {of['explained variance']:.3f}, "
                    f"{of['dead share']:.0%} dead (last batch): {prepared.folder / name}"
                )
            print(f"{run.seconds:.0f} s, {run.tokens_per_second:,.0f} activations a second")
            first = prepared.folder / next(iter(prepared.dictionaries))
            print(f"Next: {command_line('sae', 'eval', first)}")
    return 0
