"""`mechscope sae eval`: print every metric of a dictionary as a table and write JSON."""

from __future__ import annotations

from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.sae.commands import Eval


def evaluate(command: Eval) -> int:
    """Measure, print the table, write evaluation.json; or print the figures that are still valid there."""
    with user_errors():
        from mechscope.cli.sae._feature_text import outlier_line
        from mechscope.cli.sae._sources import evaluation_path, open_for, source_of
        from mechscope.dictionaries.evaluation.evaluating import measure_lines
        from mechscope.dictionaries.exchange import load_dictionary
        from mechscope.dictionaries.sources.evaluation_file import (
            StoredEvaluation,
            evaluation_key,
            read_evaluation,
            to_json,
        )
        from mechscope.model.devices import pick_device
        from mechscope.storage.files import check_file, write_atomically

        device = pick_device(command.device)
        dictionary = load_dictionary(command.folder)
        out = evaluation_path(command.folder) if command.out is None else command.out
        try:
            check_file(out)
        except OSError as error:
            raise OSError(f"{error} Use --out to choose another file.") from error
        config = source_of(command, dictionary)
        if config is None:
            raise UserError(
                f"{command.folder} does not say which activations it was trained on: give --model and --hook, or "
                "--synthetic."
            )
        source = open_for(dictionary, config, device, command.folder)
    key = evaluation_key(dictionary, source)
    stored, why = (None, "") if command.again else read_evaluation(out, key)
    found = StoredEvaluation.of(source.evaluate(dictionary.to(device))) if stored is None else stored
    written = to_json(found, key, dictionary, source, command.folder)
    if command.json:
        print(written, end="", flush=True)
    else:
        if why:
            print(f"{why}\n")
        print(f"{dictionary.cfg.architecture}, {dictionary.cfg.d_sae:,} features, on {source.description}")
        print(f"{found.activity.examples:,} held-out activations; {outlier_line(found)}\n")
        print(measure_lines(found.measures), flush=True)
    # Printed first, so that the results are not lost if the file cannot be written.
    if stored is not None:
        if not command.json:
            print(f"\nread from {out}: nothing has changed since (--again measures anew)")
        return 0
    write_atomically(out, written)
    if not command.json:
        print(f"\nwritten to {out}")
    return 0
