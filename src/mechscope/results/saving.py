"""Save a result in one file: the array as safetensors, the text as its metadata. Nothing is pickled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from mechscope.arguments import check_kinds, shown
from mechscope.reading import check_name, open_safetensors, parse_json
from mechscope.results.provenance import Provenance
from mechscope.results.result import Result, make_result
from mechscope.storage.files import write_atomically

FORMAT = "mechscope result 1"


def save_result(result: Result, path: str | Path) -> Path:
    """Write a result to `path` (usually ending in .safetensors), completely or not at all."""
    header = {
        "title": result.title,
        "unit": result.unit,
        "kind": result.kind,
        "dims": list(map(str, result.values.dims)),
        "coords": {str(dim): result.values.coords[dim].values.tolist() for dim in result.values.dims},
        "provenance": {
            "model": result.provenance.model,
            "task": result.provenance.task,
            "seed": result.provenance.seed,
            "versions": result.provenance.versions,
        },
    }
    data = safetensors.numpy.save(
        {"values": np.ascontiguousarray(result.values.values)},
        metadata={"format": FORMAT, "result": json.dumps(header)},
    )
    return write_atomically(path, data)


def load_result(path: str | Path) -> Result:
    """Read a result back.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file was not written by `save_result`, or is truncated or damaged.
    """
    path = check_name(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no result at {path}.")
    try:
        with open_safetensors(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            values = file.get_tensor("values") if "values" in file.keys() else None  # noqa: SIM118
    except (safetensors.SafetensorError, TypeError, AttributeError) as error:  # a dtype that NumPy lacks
        raise ValueError(f"{path} cannot be read as a result ({error}); write it again.") from error
    if metadata.get("format") != FORMAT or values is None:
        raise ValueError(f"{path} has format {shown(metadata.get('format'))}; a result has {FORMAT!r}.")
    header = parse_json(metadata.get("result", "null"), str(path))
    try:
        check_kinds(_Header, header if isinstance(header, dict) else {"result": header})
        provenance = header["provenance"]
        check_kinds(Provenance, provenance)
        return make_result(
            values,
            dims=header["dims"],
            title=header["title"],
            unit=header["unit"],
            provenance=Provenance(**provenance),
            coords=header["coords"],
            kind=header["kind"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not describe a result ({error}); write it again.") from error


@dataclass(frozen=True)
class _Header:
    """Read a file's description of its values."""

    title: str
    unit: str
    kind: str
    dims: list[str]
    coords: dict[str, list[Any]]
    provenance: dict[str, Any]
