"""Read settings and tensors from files, without unpickling anything but tensors."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mechscope import reading
from mechscope.arguments import first_line


def must_exist(*paths: Path) -> None:
    """Raise FileNotFoundError for missing files, naming them and the files that are there.

    A folder, pipe or device instead of a file is an error too.
    """
    missing = [path for path in paths if not reading.check_name(path).exists()]
    if missing:
        folder = missing[0].parent
        there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        present = (
            f"{folder} has {', '.join(there[:12]) or 'no files'}"
            if folder.is_dir()
            else f"there is no {folder}"
        )
        raise FileNotFoundError(f"missing {', '.join(path.name for path in missing)}: {present}.")
    for path in paths:
        reading.regular_file(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: for a file that is damaged or contains something else.
    """
    return reading.read_json_object(path)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        ValueError: for a damaged file.
    """
    return reading.read_safetensors(path)


def read_npz(path: Path) -> dict[str, Tensor]:
    """Arrays of a NumPy archive.

    Raises:
        ValueError: for a damaged file, one with Python objects, or one that would fill the memory when unpacked.
    """
    reading.regular_file(path)
    try:
        _check_arrays(path)
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(_in_our_order(archive[name])) for name in archive.files}
    except Exception as error:  # zip, zlib and NumPy raise different errors
        raise ValueError(
            f"{str(path)!r} is not a complete archive of arrays ({first_line(error)}); download it again."
        ) from error


def _check_arrays(path: Path) -> None:
    """Compare the arrays' shapes with their sizes in the archive, because NumPy allocates before it reads."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("two of its arrays have the same name")
        reading.check_unpacked_size(path, sum(entry.file_size for entry in entries))
        for entry in entries:
            with archive.open(entry) as file:
                version = np.lib.format.read_magic(file)
                if version == (1, 0):
                    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                elif version == (2, 0):
                    shape, _, dtype = np.lib.format.read_array_header_2_0(file)
                else:
                    raise ValueError(
                        f"{entry.filename} has NumPy's format {version}; only 1.0 and 2.0 can be read"
                    )
                announced = file.tell() + math.prod(shape) * dtype.itemsize
            if announced != entry.file_size:
                raise ValueError(
                    f"{entry.filename} declares shape {shape} of {dtype}, which is {announced:,} bytes, and has "
                    f"{entry.file_size:,}"
                )


def _in_our_order(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array(array, dtype=array.dtype.newbyteorder("="))
