"""Train one dictionary, or several at once, on a stream of activations.

    run = train({"narrow": build(a), "wide": build(b)}, stream, TrainingConfig(steps=10_000), folder="runs/sae")

With a folder, a run that was killed goes on from its last checkpoint, with the same losses as if it had not been.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from mechscope.dictionaries.architectures.crosscoder import Crosscoder
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.files import save
from mechscope.dictionaries.stream import Stream, estimate_scale, scale_by_layer
from mechscope.dictionaries.student import MEASURES, Measures, Student
from mechscope.dictionaries.training_checkpoint import TrainingCheckpoint, read_checkpoint
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.results.provenance import Provenance
from mechscope.results.result import Result, make_result

SCALE_SAMPLE = 4096


@dataclass(frozen=True)
class TrainingRun:
    """What a training run gave."""

    dictionaries: Mapping[str, Dictionary]
    """The dictionaries, trained, in evaluation mode."""
    history: Result
    """Measures of training batches, dims (series, measure, step): series are the dictionaries."""
    seconds: float
    """Time that the steps took, over all the processes that took part."""
    tokens_per_second: float
    """Activations of the stream a second."""


def train(
    dictionaries: Dictionary | Mapping[str, Dictionary],
    stream: Stream,
    cfg: TrainingConfig,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> TrainingRun:
    """Train dictionaries, in place, on the same batches.

    Args:
        dictionaries: one, or several by name.
        stream: where batches come from.
        cfg: settings.
        folder: where checkpoints are kept, and in the end each dictionary, in a folder of its name with its scale
            folded in. A checkpoint that lies there is taken up.
        progress: show a bar: True, False, or None for "where a person is watching".

    Raises:
        ValueError: for dictionaries that do not fit the stream, or a checkpoint of another run; both before any step.
        FloatingPointError: where a loss is no longer finite.
    """
    named = {"dictionary": dictionaries} if isinstance(dictionaries, Dictionary) else dict(dictionaries)
    _check(named, stream)
    run = _describe(named, stream, cfg)
    place = None if folder is None else Path(folder)
    kept = None if place is None else read_checkpoint(place, run)
    students = [Student(name, dictionary, cfg) for name, dictionary in named.items()]
    history: list[list[list[float]]] = []
    steps: list[int] = []
    done, seconds = 0, 0.0
    if kept is None:
        _begin(named, stream, cfg)
    else:
        done, seconds = kept.step, kept.seconds
        for student in students:
            prefix = f"{student.name}/"
            student.take_state(
                {
                    name.removeprefix(prefix): tensor
                    for name, tensor in kept.tensors.items()
                    if name.startswith(prefix)
                }
            )
        history, steps = kept.tensors["history"].tolist(), kept.tensors["history_steps"].tolist()
        stream.load_state_dict(dict(kept.stream))
    begun = time.monotonic() - seconds
    # tqdm takes None to mean: only on a terminal.
    disable = None if progress is None else not progress
    size = stream.batch_size
    with tqdm(
        total=cfg.steps * size,
        initial=done * size,
        desc=" + ".join(named),
        unit="tok",
        unit_scale=True,
        disable=disable,
        dynamic_ncols=True,
    ) as bar:
        for number in range(done, cfg.steps):
            batch = next(stream)
            logged = number % cfg.log_every == 0 or number + 1 == cfg.steps
            measured = [student.step(batch, number, measure=logged) for student in students]
            if logged:
                rows = [measures for measures in measured if measures is not None]
                history.append([measures.row() for measures in rows])
                steps.append(number)
                bar.set_postfix_str(_in_short(rows))
            bar.update(size)
            finished = number + 1
            if place is not None and (finished % cfg.checkpoint_every == 0 or finished == cfg.steps):
                spent = time.monotonic() - begun
                tensors = _tensors(students, history, steps)
                TrainingCheckpoint(run, finished, spent, stream.state_dict(), tensors).write(place)
    seconds = time.monotonic() - begun
    for name, dictionary in named.items():
        dictionary.eval()
        if place is not None:
            save(dictionary, place / name)
    return TrainingRun(
        named, _history(history, steps, named, stream, cfg), seconds, cfg.steps * size / max(seconds, 1e-9)
    )


def _check(named: Mapping[str, Dictionary], stream: Stream) -> None:
    """Refuse what cannot be trained, before anything is computed."""
    if not named:
        raise ValueError("there is no dictionary to train.")
    for name, dictionary in named.items():
        cfg = dictionary.cfg
        if not name or "/" in name:
            raise ValueError(f"a dictionary's name becomes a folder's, so {name!r} will not do.")
        if cfg.d_in != stream.d_in:
            raise ValueError(
                f"the dictionary {name!r} reads activations of width d_in = {cfg.d_in}; those of {stream.source} "
                f"have width {stream.d_in}."
            )
        if cfg.transcodes and stream.d_out != cfg.d_out:
            have = "no targets" if stream.d_out is None else f"targets of width {stream.d_out}"
            raise ValueError(
                f"the transcoder {name!r} writes width d_out = {cfg.d_out}; {stream.source} has {have}."
            )


def _begin(named: Mapping[str, Dictionary], stream: Stream, cfg: TrainingConfig) -> None:
    """Scale and initial bias, from the stream's first activations."""
    sample = stream.peek(SCALE_SAMPLE)
    scales = estimate_scale(sample, stream.source) if cfg.scale else None
    for dictionary in named.values():
        if scales is not None and dictionary.cfg.normalize == "none":
            if isinstance(dictionary, Crosscoder):
                # Each layer by its own factor: the last one is often ten times as long as the first.
                dictionary.set_scale(scale_by_layer(sample.x, dictionary.n_layers, stream.source))
            else:
                dictionary.set_scale(scales.scale_in, scales.scale_out if dictionary.cfg.transcodes else None)
        device = dictionary.W_enc.device
        target = None
        if dictionary.cfg.transcodes and sample.target is not None:
            target = sample.target.to(device)
        dictionary.start_from(sample.x.to(device), target)


def _describe(named: Mapping[str, Dictionary], stream: Stream, cfg: TrainingConfig) -> dict[str, Any]:
    return {
        "training": cfg.to_dict(),
        "dictionaries": {name: dictionary.cfg.to_dict() for name, dictionary in named.items()},
        "stream": {
            "source": stream.source,
            "batch_size": stream.batch_size,
            "seed": getattr(stream, "seed", None),
        },
    }


def _tensors(
    students: list[Student], history: list[list[list[float]]], steps: list[int]
) -> dict[str, Tensor]:
    tensors = {
        f"{student.name}/{name}": tensor for student in students for name, tensor in student.state().items()
    }
    tensors["history"] = torch.tensor(history, dtype=torch.float64).reshape(-1, len(students), len(MEASURES))
    tensors["history_steps"] = torch.tensor(steps, dtype=torch.long)
    return tensors


def _in_short(rows: list[Measures]) -> str:
    """L0, explained variance and dead share, of each dictionary."""
    return " | ".join(f"L0 {m.l0:.1f} EV {m.explained_variance:.3f} dead {m.dead_share:.0%}" for m in rows)


def _history(
    history: list[list[list[float]]],
    steps: list[int],
    named: Mapping[str, Dictionary],
    stream: Stream,
    cfg: TrainingConfig,
) -> Result:
    values = torch.tensor(history, dtype=torch.float64).permute(1, 2, 0)
    return make_result(
        values,
        dims=("series", "measure", "step"),
        title="training batches",
        unit="1",
        provenance=Provenance(stream.source, "dictionary training", seed=cfg.seed),
        coords={"series": list(named), "measure": list(MEASURES), "step": steps},
        kind="curves",
    )
