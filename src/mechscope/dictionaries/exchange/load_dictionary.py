"""Read a dictionary in any known format, which is recognised by the files in its folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Literal, get_args

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.exchange import dictionary_learning, gemma_scope, saelens, sparsify
from mechscope.dictionaries.files import WEIGHTS, load
from mechscope.near_names import did_you_mean
from mechscope.reading import check_name, regular_file

Format = Literal["auto", "mechscope", "saelens", "dictionary_learning", "sparsify", "gemma_scope"]

# Format → the file that only this format has.
MARKS: Mapping[str, str] = {
    "mechscope": WEIGHTS,
    "saelens": saelens.WEIGHTS,
    "dictionary_learning": dictionary_learning.WEIGHTS,
    "sparsify": sparsify.WEIGHTS,
    "gemma_scope": gemma_scope.WEIGHTS,
}


@checked_arguments
def load_dictionary(path: str | Path, format: Format = "auto", *, ignore: Collection[str] = ()) -> Dictionary:
    """Read a dictionary from a folder (or its weights file), in our own format or another tool's.

    If a format has options (a SAELens input scale, a Gemma Scope transcoder), call its own reader.

    Args:
        format: "auto" recognises it by the weights file: weights.safetensors (ours), sae_weights.safetensors (SAELens),
            ae.pt (dictionary_learning), sae.safetensors (sparsify), params.npz (Gemma Scope).
        ignore: names of unknown settings that are known to make no difference.

    Raises:
        FileNotFoundError: if there is nothing at `path`, or a file is missing.
        ValueError: if the format is not recognised (lists the files found), and as the format's reader.
    """
    path = check_name(path)
    if format not in get_args(Format):
        hint = did_you_mean(format, get_args(Format), show=repr)
        raise ValueError(f"format must be one of {', '.join(get_args(Format))}, not {format!r}.{hint}")
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}.")
    if not path.is_dir():
        regular_file(path)
    name = tell_format(path) if format == "auto" else format
    folder = path.parent if path.is_file() else path
    readers: Mapping[str, Callable[[], Dictionary]] = {
        "mechscope": lambda: load(folder),
        "saelens": lambda: saelens.load_saelens(folder, ignore=ignore),
        "dictionary_learning": lambda: dictionary_learning.load_dictionary_learning(path, ignore=ignore),
        "sparsify": lambda: sparsify.load_sparsify(folder, ignore=ignore),
        "gemma_scope": lambda: gemma_scope.load_gemma_scope(path),
    }
    return readers[name]()


def tell_format(path: Path) -> str:
    """The format of a folder, or of a weights file.

    Raises:
        ValueError: if it has weights of no known format, or of several.
    """
    if path.is_file() and path.suffix in (".pt", ".npz"):
        return "dictionary_learning" if path.suffix == ".pt" else "gemma_scope"
    folder = path.parent if path.is_file() else path
    if path.is_file() and path.name in MARKS.values():
        return next(name for name, mark in MARKS.items() if mark == path.name)
    found = [name for name, mark in MARKS.items() if (folder / mark).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{folder} has the weights of several formats ({', '.join(MARKS[name] for name in found)}); choose one "
            f"with format={found[0]!r} or another name."
        )
    entries = sorted(folder.iterdir())
    seen = ", ".join(entry.name + "/" * entry.is_dir() for entry in entries[:12]) or "nothing"
    more = f" and {len(entries) - 12} more" if len(entries) > 12 else ""
    inside = [
        entry.name
        for entry in entries
        if entry.is_dir() and any((entry / mark).is_file() for mark in MARKS.values())
    ]
    hint = f" There is a dictionary in {', '.join(inside[:5])}: give that folder." if inside else ""
    raise ValueError(
        f"no known dictionary in {folder}: it has {seen}{more}. A dictionary has one of "
        + ", ".join(f"{mark} ({name})" for name, mark in MARKS.items())
        + f".{hint}"
    )
