"""Save a result in one file: the array as safetensors, the text as its metadata. Nothing is pickled."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
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
    header: dict[str, Any] = {
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
    tensors, described = _stored_labels(result)
    if described:
        header["labels"] = described
    data = safetensors.numpy.save(
        {"values": np.ascontiguousarray(result.values.values), **tensors},
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
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            values = tensors.get("values")
    except (safetensors.SafetensorError, TypeError, AttributeError) as error:  # a dtype that NumPy lacks
        raise ValueError(f"{path} cannot be read as a result ({error}); write it again.") from error
    if metadata.get("format") != FORMAT or values is None:
        raise ValueError(f"{path} has format {shown(metadata.get('format'))}; a result has {FORMAT!r}.")
    header = parse_json(metadata.get("result", "null"), str(path))
    try:
        check_kinds(_Header, header if isinstance(header, dict) else {"result": header})
        provenance = header["provenance"]
        described = {f"{_LABEL}{name}" for name in header.get("labels", {})}
        if missing := (tensors.keys() - {"values"}) ^ described:
            raise ValueError(f"{sorted(missing)[0]!r} is stored without its description, or described only")
        check_kinds(Provenance, provenance)
        return make_result(
            values,
            dims=header["dims"],
            title=header["title"],
            unit=header["unit"],
            provenance=Provenance(**provenance),
            coords=header["coords"],
            kind=header["kind"],
            labels={
                name: _read_label(tensors[f"{_LABEL}{name}"], each)
                for name, each in header.get("labels", {}).items()
            },
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
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
    labels: dict[str, dict[str, list[str]]] = field(default_factory=dict)


_LABEL = "label "
"""What the names of labels' tensors begin with."""


def _stored_labels(result: Result) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Labels as tensors by name, and their descriptions.

    Text is stored once per distinct text, as tokens occur many times; its tensor has its number in the list.
    """
    tensors: dict[str, np.ndarray] = {}
    described: dict[str, Any] = {}
    for name, label in result.values.coords.items():
        if name in result.values.dims or not label.dims:
            continue
        values, description = label.values, {"dims": list(map(str, label.dims))}
        if values.dtype.kind in "OU":
            texts, numbers = np.unique(values.astype(str), return_inverse=True)
            values, description["texts"] = numbers.reshape(values.shape), texts.tolist()
        tensors[f"{_LABEL}{name}"] = np.ascontiguousarray(values)
        described[str(name)] = description
    return tensors, described


def _read_label(values: np.ndarray, description: dict[str, list[str]]) -> tuple[list[str], np.ndarray]:
    texts = description.get("texts")
    if texts is None:
        return description["dims"], values
    if values.dtype.kind != "i" or (values.size and not 0 <= values.min() <= values.max() < len(texts)):
        raise ValueError("a label's text is missing")
    return description["dims"], np.array(texts, dtype=object)[values]
