"""`mechscope sae eval`: print every metric of a dictionary as a table and write JSON."""

from __future__ import annotations

import json

from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.sae.commands import Eval


def evaluate(command: Eval) -> int:
    """Measure, print the table, write evaluation.json."""
    with user_errors():
        from mechscope.cli.sae._sources import open_for, source_of
        from mechscope.dictionaries.exchange import load_dictionary
        from mechscope.model.devices import pick_device
        from mechscope.results import versions
        from mechscope.storage.files import check_file, write_atomically

        device = pick_device(command.device)
        dictionary = load_dictionary(command.folder)
        folder = command.folder if command.folder.is_dir() else command.folder.parent
        out = folder / "evaluation.json" if command.out is None else command.out
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
    found = source.evaluate(dictionary.to(device))
    numbers = found.table.values
    measures = {str(name): float(numbers.sel(measure=name)) for name in numbers.coords["measure"].values}
    described = {
        "folder": str(command.folder),
        "dictionary": dictionary.cfg.to_dict(),
        "source": config.to_dict(),
        "examples": found.examples,
        "measures": measures,
        "versions": versions(),
    }
    written = json.dumps(described, indent=1) + "\n"
    # Printed first, so that the results are not lost if the file cannot be written.
    if command.json:
        print(written, end="", flush=True)
        write_atomically(out, written)
        return 0
    print(f"{dictionary.cfg.architecture}, {dictionary.cfg.d_sae:,} features, on {source.description}")
    print(f"{found.examples:,} held-out activations\n")
    print(found, flush=True)
    print(f"\nwritten to {write_atomically(out, written)}")
    return 0
