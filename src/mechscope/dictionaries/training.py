"""Train one dictionary, or several at once, on a stream of activations.

    run = train({"narrow": build(a), "wide": build(b)}, stream, TrainingConfig(steps=10_000), folder="runs/sae")

With a folder, a run that was killed goes on from its last checkpoint, with the same losses as if it had not been.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.architectures.crosscoder import Crosscoder
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.distributed.agreement import agree, agree_on_activations
from mechscope.dictionaries.distributed.gathering import gather_dictionary
from mechscope.dictionaries.distributed.ranks import Ranks
from mechscope.dictionaries.distributed.split_stream import SplitStream
from mechscope.dictionaries.distributed.starting import torchrun_size
from mechscope.dictionaries.files import save
from mechscope.dictionaries.stream import Stream, estimate_scale, scale_by_layer
from mechscope.dictionaries.student import MEASURES, Measures, Student
from mechscope.dictionaries.training_checkpoint import NAME as CHECKPOINT
from mechscope.dictionaries.training_checkpoint import Keeper, TrainingCheckpoint, read_checkpoint
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.model.gradients import refuse_inference_mode
from mechscope.reading import naming
from mechscope.results.provenance import Provenance
from mechscope.results.result import Result, make_result
from mechscope.runs.source_digest import source_digests
from mechscope.storage.files import keeping

SCALE_SAMPLE = 4096
SHOWN = 3
"""Dictionaries that the bar has room for by themselves."""


@dataclass(frozen=True)
class TrainingRun:
    """What a training run gave."""

    dictionaries: Mapping[str, Dictionary]
    """The dictionaries, trained, in evaluation mode; of several ranks, this one's share of each."""
    history: Result
    """Measures of training batches, dims (series, measure, step): series are the dictionaries."""
    seconds: float
    """Time that the steps took, over all the processes that took part."""
    tokens_per_second: float
    """Activations of the stream a second."""


@checked_arguments
def train(
    dictionaries: Dictionary | Mapping[str, Dictionary],
    stream: Stream,
    cfg: TrainingConfig,
    *,
    folder: str | Path | None = None,
    progress: bool | None = None,
    ranks: Ranks | None = None,
) -> TrainingRun:
    """Train dictionaries, in place, on the same batches.

    With several ranks, all of which make this call, each trains its share of every dictionary on every batch; the
    first writes what one process would have written, and either can go on from it.

    Args:
        dictionaries: one, or several by name.
        stream: where batches come from.
        cfg: settings.
        folder: where checkpoints are kept, and in the end each dictionary, in a folder of its name with its scale
            folded in. A checkpoint that lies there is taken up.
        progress: show a bar: True, False, or None for "where a person is watching". Only the first rank has one.
        ranks: the processes for which the dictionaries were built; None: whichever those are. ALONE says that a
            process which torchrun started shall train its own, whole ones.

    Raises:
        ValueError: for dictionaries that do not fit the stream, a checkpoint of another run, or ranks that were
            given different things; all before any step.
        RuntimeError: inside `torch.inference_mode()`.
        FloatingPointError: if a loss is no longer finite.
        NotKeptError: if what came out cannot be written; a checkpoint on the way that cannot be is only warned of.

    >>> from mechscope.dictionaries import TensorStream, TopKConfig, TrainingConfig, build
    >>> activations = torch.randn(512, 8, generator=torch.Generator().manual_seed(0))
    >>> sae = build(TopKConfig(d_in=8, d_sae=16, k=2))
    >>> run = train(sae, TensorStream(activations, batch_size=64), TrainingConfig(steps=20), progress=False)
    >>> sae.encode(activations[:1]).shape
    torch.Size([1, 16])
    """
    refuse_inference_mode("training")
    named = {"dictionary": dictionaries} if isinstance(dictionaries, Dictionary) else dict(dictionaries)
    _check(named, stream)
    together = _check_ranks(named, ranks)
    run = describe_run(named, stream, cfg)
    place = None if folder is None else Path(folder)
    agree(together, {**run, "split data": isinstance(stream, SplitStream), "has a folder": place is not None})
    students = [Student(name, dictionary, cfg) for name, dictionary in named.items()]
    kept = None if place is None else read_checkpoint(place, run, _parts(students))
    agree(together, {"checkpoint at step": None if kept is None else kept.step})
    history: list[list[list[float]]] = []
    steps: list[int] = []
    done, seconds = 0, 0.0
    if kept is None:
        _begin({student.name: student.learner for student in students}, stream, cfg, together)
    else:
        done, seconds = kept.step, kept.seconds
        with naming(Path(folder or "") / CHECKPOINT):
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
    keeper = Keeper()
    begun = time.monotonic() - seconds
    # tqdm takes None to mean: only on a terminal.
    disable = True if not together.first else None if progress is None else not progress
    size = stream.batch_size
    with (
        ExitStack() as stack,
        tqdm(
            total=cfg.steps * size,
            initial=done * size,
            desc=" + ".join(named) if len(named) <= SHOWN else f"{len(named)} dictionaries",
            unit="tok",
            unit_scale=True,
            disable=disable,
            dynamic_ncols=True,
        ) as bar,
    ):
        # After an interruption too, the dictionaries hold the weights trained so far.
        stack.callback(_hand_over, students)
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
                if tensors is not None:
                    checkpoint = TrainingCheckpoint(run, finished, spent, stream.state_dict(), tensors)
                    keeper.keep(checkpoint, place, last=finished == cfg.steps)
    seconds = time.monotonic() - begun
    for name, dictionary in named.items():
        dictionary.eval()
        if place is not None:
            whole = dictionary if together.alone else gather_dictionary(dictionary)
            if whole is not None:
                with keeping(place / name):
                    save(whole, place / name)
    # What the first rank has written can be read on all of them from here on.
    together.wait()
    return TrainingRun(
        named, _history(history, steps, named, stream, cfg), seconds, cfg.steps * size / max(seconds, 1e-9)
    )


def _hand_over(students: Sequence[Student]) -> None:
    for student in students:
        student.hand_over()


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


def _check_ranks(named: Mapping[str, Dictionary], ranks: Ranks | None) -> Ranks:
    """The ranks that all the dictionaries were built for."""
    first = next(iter(named.values())).ranks if ranks is None else ranks
    for name, dictionary in named.items():
        if dictionary.ranks != first and not (dictionary.ranks.alone and first.alone):
            raise ValueError(
                f"the dictionary {name!r} was built for {_of(dictionary.ranks)}, and is to be trained by {_of(first)}: "
                "give build the same ranks, build(cfg, seed, ranks=ranks)."
            )
        if dictionary.W_enc.device.type != first.device.type and not first.alone:
            raise ValueError(
                f"the dictionary {name!r} is on {dictionary.W_enc.device}, and its ranks talk through "
                f"{first.device}: call dictionary.to(ranks.device)."
            )
    size = torchrun_size()
    if ranks is None and first.alone and size > 1:
        raise ValueError(
            f"torchrun started {size} processes, and the dictionaries were built for one: all would train the same. "
            "Build them with `with start_ranks() as ranks: build(cfg, seed, ranks=ranks)`; or pass ranks=ALONE, if "
            "each process trains its own in a folder of its own."
        )
    return first


def _of(ranks: Ranks) -> str:
    return "one process" if ranks.alone else f"rank {ranks.rank} of {ranks.size}"


def _parts(students: list[Student]) -> dict[str, tuple[slice, ...]]:
    """What of a checkpoint's tensors is read where features are divided among ranks."""
    parts: dict[str, tuple[slice, ...]] = {}
    for student in students:
        if not student.dictionary.ranks.alone:
            for name, axis in student.feature_axes().items():
                if axis is not None:
                    parts[f"{student.name}/{name}"] = (slice(None),) * axis + (student.dictionary.mine,)
    return parts


def _begin(named: Mapping[str, Dictionary], stream: Stream, cfg: TrainingConfig, ranks: Ranks) -> None:
    """Scale and initial bias, from the stream's first activations."""
    sample = stream.peek(SCALE_SAMPLE)
    agree_on_activations(ranks, sample, stream.source)
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
        for name, tensor in dictionary.state_dict().items():
            if dictionary.feature_axis(name) is None:
                # Alike to the last bit, on whatever machines the ranks are.
                ranks.like_first(tensor)


def describe_run(named: Mapping[str, Dictionary], stream: Stream, cfg: TrainingConfig) -> dict[str, Any]:
    """What a training is, as its checkpoint says it: only the same one goes on from there."""
    described: dict[str, Any] = {
        "source": stream.source,
        "batch_size": stream.batch_size,
        "seed": getattr(stream, "seed", None),
    }
    if made_from := stream.made_from():
        described["made_from"] = dict(made_from)
    return {
        "training": cfg.to_dict(),
        "dictionaries": {name: dictionary.cfg.to_dict() for name, dictionary in named.items()},
        "stream": described,
        "source": _source(named, stream),
    }


def _source(named: Mapping[str, Dictionary], stream: Stream) -> dict[str, str]:
    """Digests of the source files that compute a training, on however many ranks."""
    read = stream.inner if isinstance(stream, SplitStream) else stream
    return source_digests(
        __name__, type(read).__module__, *{type(each).__module__ for each in named.values()}
    )


def _tensors(
    students: list[Student], history: list[list[list[float]]], steps: list[int]
) -> dict[str, Tensor] | None:
    """What a checkpoint holds, on the first rank; None on the others."""
    tensors: dict[str, Tensor] = {}
    for student in students:
        state = student.state()
        tensors.update({f"{student.name}/{name}": tensor for name, tensor in (state or {}).items()})
    if not tensors:
        return None
    tensors["history"] = torch.tensor(history, dtype=torch.float64).reshape(-1, len(students), len(MEASURES))
    tensors["history_steps"] = torch.tensor(steps, dtype=torch.long)
    return tensors


def _in_short(rows: list[Measures]) -> str:
    """L0, explained variance and dead share, of each dictionary; of many, from the least to the most."""
    if len(rows) > SHOWN:
        ends = [
            (min(values), max(values))
            for values in zip(*[(m.l0, m.explained_variance, m.dead_share) for m in rows], strict=True)
        ]
        (l0, l0_most), (ev, ev_most), (dead, dead_most) = ends
        return f"L0 {l0:.1f}–{l0_most:.1f} EV {ev:.3f}–{ev_most:.3f} dead {dead:.0%}–{dead_most:.0%}"
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
