"""The single vocabulary of axis names, shared by figures, tables and tests."""

from __future__ import annotations

from collections.abc import Iterable

from mechscope.near_names import did_you_mean_clause

DIMS: dict[str, str] = {
    "batch": "example",
    "pos": "position",
    "query": "query position (attends from)",
    "key": "key position (attends to)",
    "head": "head",
    "kv_head": "key/value head",
    "d_model": "residual dimension",
    "d_head": "head dimension",
    "d_mlp": "neuron",
    "d_vocab": "token",
    "layer": "layer",
    "component": "component",
    "feature": "feature",
    "neuron": "hidden unit",
    "step": "training step",
    "class": "class",
    "label": "label",
    "pixel": "pixel",
    "row": "pixel row",
    "col": "pixel column",
    "rank": "rank",
    "series": "series",
    "model": "model",
    "seed": "seed",
    "head_out": "head of the earlier layer (writes)",
    "head_in": "head of the later layer (reads)",
    "frequency": "frequency",
    "pair": "token pair",
    "coefficient": "steering coefficient",
    "density": "share of inputs in which a feature is present",
    "importance": "importance of a feature",
    "start": "random start",
    "dimension": "hidden dimension",
    "bin": "middle of the bin",
    "draw": "random draw",
    "size": "edges in the circuit",
    "edge": "edge",
    "node": "node",
    "bound": "end of the interval",
    "measure": "measure",
    "technique": "method",
    "program": "planted program",
    "source": "part that writes",
    "destination": "input that reads",
    "latent": "latent of a dictionary",
    "penalty": "L1 penalty",
    "width": "latents in the dictionary",
    "l0": "active latents (L0)",
}
"""Dimension name → axis label. New techniques add their dimensions here and nowhere else."""

LABELS: dict[str, str] = {
    "token": "token as text, with visible spaces and line breaks",
    "token_id": "token id",
    "row_token": "token of the row as text",
    "row_id": "token id of the row",
    "column_token": "token of the column as text",
    "column_id": "token id of the column",
    "query_heads": "query heads that read this key/value head",
}
"""Names of further coordinates, which describe entries of one or more dimensions (see `make_result`)."""


def check_dims(dims: Iterable[object]) -> tuple[str, ...]:
    """The dims as a tuple of names.

    Raises:
        ValueError: for a name outside the vocabulary; suggests the closest ones.
    """
    names = tuple(str(dim) for dim in dims)
    for name in names:
        if name not in DIMS:
            hint = did_you_mean_clause(name, DIMS, n=3) or f"the vocabulary is: {', '.join(DIMS)}."
            raise ValueError(f"{name!r} is not a dimension that results use; {hint}")
    if len(set(names)) < len(names):
        raise ValueError(f"a dimension is named twice in {names}; every axis needs a different name.")
    return names
