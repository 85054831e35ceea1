"""`mechscope notebook`: write steps as Jupyter notebooks."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path

from mechscope.cli.commands import Notebook
from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.run import expand
from mechscope.storage.files import check_file, write_atomically

SUFFIX = ".ipynb"


def notebook(command: Notebook) -> int:
    """Write all the notebooks or, if one of them must not be replaced, none; then say how to open them."""
    names = expand(command.steps)
    with user_errors():
        # Check names first: a typo should not have to wait for torch.
        from mechscope.labs.registry import find_entry, find_lab

        entries = [find_entry(name) for name in names]
        paths = [_path(command.out, f"{entry.folder_name}{SUFFIX}", len(entries)) for entry in entries]
        for path in paths:
            check_file(path)
        if not command.force:
            _refuse_to_replace([path for path in paths if path.exists() and not _is_as_written(path)])
        from mechscope.labs.notebooks import lab_notebook

        texts = [lab_notebook(find_lab(entry.slug), command.budget) for entry in entries]
    for path, text in zip(paths, texts, strict=True):
        print(write_atomically(path, text))
    print(_how_to_open(paths))
    return 0


def _path(out: Path, name: str, count: int) -> Path:
    """Where a notebook goes.

    Raises:
        UserError: if one file is to hold several notebooks, or a file has another ending.
    """
    if out.suffix == SUFFIX and not out.is_dir():
        if count > 1:
            raise UserError(f"--out names one file, {out}, for {count} notebooks; give a folder.")
        return out
    if out.suffix and not out.is_dir():
        raise UserError(f"--out is a folder, or a file that ends with {SUFFIX}, not {out}.")
    return out / name


def _is_as_written(path: Path) -> bool:
    from mechscope.pages.notebook import is_as_written

    return is_as_written(path.read_bytes().decode(errors="replace"))


def _refuse_to_replace(edited: list[Path]) -> None:
    if not edited:
        return
    was, it = ("was", "it") if len(edited) == 1 else ("were", "them")
    raise UserError(
        f"{', '.join(map(str, edited))} {was} edited or run, or {was} not written by mechscope. Choose another place "
        f"with --out, or replace {it} with --force."
    )


def _how_to_open(paths: list[Path]) -> str:
    one, it = (paths[0], "it") if len(paths) == 1 else (paths[0].parent, "them")
    command = f"jupyter lab {shlex.quote(str(one))}"
    needed = [
        package
        for package, module in (("'mechscope[notebook]'", "ipykernel"), ("jupyterlab", "jupyterlab"))
        if importlib.util.find_spec(module) is None
    ]
    first = f"pip install {' '.join(needed)}, then " if needed else ""
    return f"Open {it} in VS Code, or with {first}`{command}`."
