"""`mechscope sae show`: describe a dictionary, its feature densities, and individual features."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mechscope.cli.command_line import command_line
from mechscope.cli.errors import user_errors
from mechscope.cli.sae._sources import evaluation_path
from mechscope.cli.sae.commands import Show

if TYPE_CHECKING:
    from mechscope.dictionaries.dictionary import Dictionary
    from mechscope.dictionaries.sources.opening import Source


def show(command: Show) -> int:
    """Print the description; features only if their activations are available."""
    with user_errors():
        from mechscope.cli.sae._sources import open_for, source_of
        from mechscope.dictionaries.exchange import load_dictionary
        from mechscope.model.devices import pick_device

        device = pick_device(command.device)
        dictionary = load_dictionary(command.folder)
        wrong = [feature for feature in command.feature if not 0 <= feature < dictionary.cfg.d_sae]
        if wrong:
            raise ValueError(
                f"{command.folder} has features 0 to {dictionary.cfg.d_sae - 1}, but not {wrong[0]}."
            )
        if command.contexts < 1:
            raise ValueError(f"contexts must be at least 1, not {command.contexts}.")
        config = source_of(command, dictionary)
    if not command.feature:
        for line in describe(dictionary):
            print(line)
    if config is None:
        print(
            "It does not say which activations it was trained on; give --model and --hook, or --synthetic, to see "
            "how often its features are active."
        )
        return 2 if command.feature else 0
    with user_errors():
        source = open_for(dictionary, config, device, command.folder)
    dictionary = dictionary.to(device)

    from mechscope.cli.sae._feature_text import feature_lines

    if not command.feature:
        _print_densities(command, dictionary, source)
        print(f"\nA feature's page: {command_line('sae', 'show', command.folder, '--feature', 0)}")
        return 0
    for lines in feature_lines(dictionary, source, command.feature, command.contexts):
        print("\n".join(lines))
    return 0


def _print_densities(command: Show, dictionary: Dictionary, source: Source) -> None:
    """How often features are active: from evaluation.json if nothing has changed since, or else measured."""
    from mechscope.cli.sae._feature_text import density_lines
    from mechscope.dictionaries.sources.evaluation_file import (
        StoredEvaluation,
        evaluation_key,
        read_evaluation,
    )

    path = evaluation_path(command.folder)
    found, why = read_evaluation(path, evaluation_key(dictionary, source))
    where = f"Read from {path}."
    if found is None:
        if why:
            print(f"\n{why}")
        found = StoredEvaluation.of(source.evaluate(dictionary))
        where = f"Measured now; this keeps the figures: {command_line('sae', 'eval', command.folder)}"
    print(f"\nOn {source.description}, held out:")
    for line in density_lines(found):
        print(f"  {line}")
    print(f"  {where}")


def describe(dictionary: Dictionary) -> list[str]:
    """Architecture, sizes, every non-default setting, and metadata."""
    cfg = dictionary.cfg
    writes = f" and writes {cfg.width_out}" if cfg.transcodes else ""
    lines = [f"{cfg.architecture} dictionary: {cfg.d_sae:,} features, reads width {cfg.d_in}{writes}"]
    said = {"d_in", "d_sae", "d_out"}
    settings = {
        field.name: getattr(cfg, field.name)
        for field in dataclasses.fields(cfg)
        if field.name not in said and getattr(cfg, field.name) != field.default
    }
    if settings:
        lines.append(f"  settings: {', '.join(f'{name} {value}' for name, value in settings.items())}")
    norms = dictionary.decoder_norms().detach()
    lines.append(f"  decoder rows: length {float(norms.min()):.3g} to {float(norms.max()):.3g}")
    kept = {key: value for key, value in dictionary.metadata.items() if key != "source"}
    source = dictionary.metadata.get("source", {})
    of_source = ("synthetic", "seed") if source.get("synthetic") else ("text", "skip_first", "seed")
    kept |= {key: source[key] for key in of_source if source.get(key) not in ("", None)}
    lines += [f"  {key}: {value}" for key, value in kept.items() if isinstance(value, (str, int, float))]
    return lines
