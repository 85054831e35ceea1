"""Write what the live figures of the steps read, into the folders of their labs.

python -m mechscope.labs.live_data            all of them
python -m mechscope.labs.live_data grokking   those of one step
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from mechscope.labs.registry import LABS
from mechscope.near_names import did_you_mean
from mechscope.storage.files import write_atomically

MODULES = {
    entry.slug: f"{entry.package}.live_data"
    for entry in LABS
    if (Path(__file__).parent / entry.package.rpartition(".")[2] / "live_data.py").is_file()
}
"""Step's name → the module that makes its files (`make_files`) and says where they lie (`FOLDER`)."""


def main(names: Sequence[str]) -> None:
    """Make the files of these steps, or of all.

    Raises:
        SystemExit: for a step without such files, with the nearest names.
    """
    for name in names:
        if name not in MODULES:
            hint = did_you_mean(name, MODULES) or f" Steps that have some: {', '.join(MODULES)}."
            raise SystemExit(f"the step {name!r} has no files for a live figure.{hint}")
    for name in names or MODULES:
        made: ModuleType = importlib.import_module(MODULES[name])
        for file, content in made.make_files().items():
            path = write_atomically(made.FOLDER / file, content)
            sys.stdout.write(f"{name}: {path.name}, {len(content):,} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1:])
