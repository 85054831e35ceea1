"""Turn options into settings; options on the command line override those in a file. Does not load torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mechscope.cli.errors import UserError
from mechscope.cli.sae.commands import SourceOptions, Sweep, Train
from mechscope.dictionaries.frontier.presets import schedule
from mechscope.dictionaries.frontier.settings import SweepConfig, sweep_from_dict
from mechscope.dictionaries.jobs.choices import (
    CHOICES,
    dictionary_settings,
    known_architecture,
    nested_widths,
)
from mechscope.dictionaries.jobs.job import TrainingJob, job_from_dict, read_settings
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.reading import naming

SWEPT = ("relu", "gated", "jumprelu", "topk", "batch_topk", "matryoshka")
"""Default architectures of a sweep."""


def source_settings(command: SourceOptions, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a source: the saved ones, overridden by the given options."""
    given: dict[str, Any] = {
        name: getattr(command, name)
        for name in (
            "model",
            "text",
            "synthetic",
            "tokens",
            "held_out",
            "context",
            "skip_first",
            "head",
            "target_head",
        )
        if getattr(command, name, None) is not None
    }
    for name in ("hook", "target_hook"):
        if getattr(command, name, ()):
            given[name] = list(getattr(command, name))
    if command.exclude_special_tokens:
        given["exclude_special_tokens"] = True
    settings = {**kept, **given}
    # Options for another kind of source replace all source settings of the file.
    if "synthetic" in given and "model" not in given:
        settings = {
            key: value
            for key, value in settings.items()
            if key not in ("model", "hook", "target_hook", "head", "target_head", "exclude_special_tokens")
        }
    elif "model" in given and "synthetic" not in given:
        settings.pop("synthetic", None)
    return settings


def training_job(command: Train) -> TrainingJob:
    """The job described by the options of `sae train`.

    Raises:
        KeyError, ValueError, FileNotFoundError: for invalid settings, before anything is loaded.
    """
    file = {} if command.config is None else read_settings(command.config)
    # Check the file on its own first, so that errors name the file.
    if file:
        with naming(command.config or ""):
            file = job_from_dict(file).to_dict()
    source = source_settings(command, file.get("source", {}))
    for name, option in (
        ("batch_size", command.batch),
        ("buffer_size", command.buffer),
        ("seed", command.seed),
    ):
        if option is not None:
            source[name] = option
    known = bool(source.get("synthetic"))
    dictionaries = _dictionaries(command, file.get("dictionaries", {}), known)
    training: dict[str, Any] = dict(file.get("training", {}))
    if not training:
        steps = 2000 if command.steps is None else command.steps
        training = _training(steps, source.get("batch_size", 1024)).to_dict()
    for name in ("steps", "lr", "revive", "checkpoint_every", "seed"):
        if getattr(command, name) is not None:
            training[name] = getattr(command, name)
    return job_from_dict({"source": source, "dictionaries": dictionaries, "training": training})


def _training(steps: int, batch_size: int) -> TrainingConfig:
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
    command: Train, kept: Mapping[str, Mapping[str, Any]], known: bool
) -> dict[str, dict[str, Any]]:
    """Name → settings, from the named architectures, or from a file's dictionaries overridden by options."""
    if command.architecture or not kept:
        d_sae = command.d_sae if command.d_sae is not None else (128 if known else 1024)
        names = [known_architecture(name) for name in command.architecture or ("topk",)]
        few = {"k": 4.0} if known else {}
        found = {
            name: dictionary_settings(name, d_sae, few.get(CHOICES[name].sparsity))
            for name in dict.fromkeys(names)
        }
    else:
        found = {name: dict(settings) for name, settings in kept.items()}
        if command.d_sae is not None:
            for settings in found.values():
                settings["d_sae"] = command.d_sae
                if "widths" in settings:
                    settings["widths"] = nested_widths(command.d_sae)
    for option in ("k", "l1", "l0"):
        value = getattr(command, option)
        if value is None:
            continue
        mine = [
            settings for settings in found.values() if CHOICES[settings["architecture"]].sparsity == option
        ]
        if not mine:
            raise ValueError(
                f"--{option} has no effect on {', '.join(found)}: "
                + ", ".join(
                    f"{name} takes --{CHOICES[each['architecture']].sparsity}" for name, each in found.items()
                )
                + "."
            )
        for settings in mine:
            settings[option] = int(value) if option == "k" and float(value).is_integer() else value
    if command.skip:
        if not command.target_hook and not any(settings.get("d_out") for settings in found.values()):
            raise ValueError(
                "--skip gives a transcoder a skip term, so it needs --target-hook, the hook point that it writes to."
            )
        for settings in found.values():
            settings["skip"] = True
    return found


def sweep_config(command: Sweep) -> SweepConfig:
    """The sweep described by the options, which override a file's if there is one.

    Raises:
        KeyError, ValueError, FileNotFoundError: for invalid settings, before anything is loaded.
    """
    file: dict[str, Any] = {}
    if command.config is not None:
        with naming(command.config):
            file = sweep_from_dict(read_settings(command.config)).to_dict()
    source = source_settings(command, file.get("source", {}))
    known = bool(source.get("synthetic"))
    where = " + ".join(source.get("hook", ()))
    if command.batch is not None or not file:
        source["batch_size"] = 512 if command.batch is None else command.batch
    settings: dict[str, Any] = {
        "title": f"Known features ({source['synthetic']})" if known else f"{source.get('model')}, {where}",
        "d_sae": 128 if known else 512,
        "learning_rates": [2e-3],
        "seeds": [0],
        **file,
        "source": source,
    }
    if command.steps is not None or not file:
        steps = 1000 if command.steps is None else command.steps
        settings["training"] = schedule(steps, source["batch_size"]).to_dict()
    if command.d_sae is not None:
        settings["d_sae"] = command.d_sae
    if command.lr:
        settings["learning_rates"] = list(command.lr)
    if command.seeds is not None:
        settings["seeds"] = list(range(command.seeds))
    settings["contenders"] = _contenders(command, settings.get("contenders", []), known)
    return sweep_from_dict(settings)


def _contenders(command: Sweep, kept: list[dict[str, Any]], known: bool) -> list[dict[str, Any]]:
    usual = {"k": (2, 3, 5, 8) if known else (8, 16, 32, 64), "l1": (1, 2, 4, 8), "l0": (0.5, 1, 2, 4)}
    there = {each["architecture"]: each for each in kept}
    names = [known_architecture(name) for name in command.architecture] or list(there) or list(SWEPT)
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(names):
        option = CHOICES[name].sparsity
        given = getattr(command, option)
        contender = dict(there.get(name, {"architecture": name, "sparsities": usual[option]}))
        if given:
            contender["sparsities"] = given
        found.append(contender)
    return found


def check_presets(command: Sweep) -> None:
    """A preset is fixed: options that would change it raise an error.

    Raises:
        UserError: if both a preset and such options are given.
    """
    kept = ("preset", "print_config", "out", "docs", "device", "no_progress")
    names = [field.name for field in dataclasses.fields(command) if field.name not in kept]
    given = {name: getattr(command, name) for name in names}
    changing = [
        name for name, value in given.items() if value is not None and value is not False and value != ()
    ]
    if command.preset and changing:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in changing)
        raise UserError(
            f"a preset is fixed, and {options} would change it. Print it with --print-config, save the output, and "
            "pass that file with --config together with the option."
        )
    if command.docs is not None and not command.preset:
        raise UserError("--docs writes the page of the presets, so it needs --preset.")
