"""Train one dictionary, or several at once, on a stream of activations.

    run = train({"narrow": build(a), "wide": build(b)}, stream, TrainingConfig(steps=10_000), folder="runs/sae")

With a folder, a run that was killed resumes from its last checkpoint, with the losses that it would have had anyway.
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
from mechscope.dictionaries.distributed._agreement import agree, agree_on_activations
from mechscope.dictionaries.distributed.gathering import gather_dictionary
from mechscope.dictionaries.distributed.ranks import Ranks
from mechscope.dictionaries.distributed.split_stream import SplitStream
from mechscope.dictionaries.distributed.starting import torchrun_size
from mechscope.dictionaries.files import save
from mechscope.dictionaries.outliers import LIMITS, OutlierFilter, estimate_limits
from mechscope.dictionaries.stream import Stream, estimate_scale, scale_by_layer
from mechscope.dictionaries.trainer import MEASURES, Measures, Trainer
from mechscope.dictionaries.training_checkpoint import NAME as CHECKPOINT
from mechscope.dictionaries.training_checkpoint import Keeper, TrainingCheckpoint, read_checkpoint
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.model.gradients import refuse_inference_mode
from mechscope.model.massive_activations import SAMPLE
from mechscope.reading import naming
from mechscope.results.provenance import Provenance
from mechscope.results.result import Result, make_result
from mechscope.runs.source_digest import source_digests
from mechscope.storage.files import keeping

SHOWN = 3
"""The progress bar shows the numbers of each dictionary if there are no more than this."""


@dataclass(frozen=True)
class TrainingRun:
    """The result of a training run."""

    dictionaries: Mapping[str, Dictionary]
    """The trained dictionaries, in evaluation mode; with several ranks, this rank's share of each."""
    history: Result
    """Measures of training batches, dims (series, measure, step); each series is a dictionary."""
    seconds: float
    """Duration of all steps, including those before the run was resumed."""
    tokens_per_second: float
    """Activations per second."""
    outliers: int = 0
    """Activations that were left out because they are massive (see `TrainingConfig.outlier_factor`)."""


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

    With several ranks, all of them make this call, and each trains its share of every dictionary on every batch. The
    first rank writes the same files as a single process would, so either can resume the other's run.

    Args:
        dictionaries: one dictionary, or several by name.
        stream: the source of the batches.
        cfg: settings.
        folder: for checkpoints and, at the end, each dictionary in a subfolder with its name and its scale folded in.
            If there is a checkpoint, the run resumes from it.
        progress: whether to show a progress bar; None shows one on a terminal. Only the first rank has one.
        ranks: the processes for which the dictionaries were built; None takes them from the dictionaries. ALONE says
            that a process started by torchrun trains whole dictionaries of its own.

    Raises:
        ValueError: for dictionaries that do not fit the stream, a checkpoint of another run, or ranks that were
            given different arguments; all before the first step. At the end, for weights that are not finite.
        RuntimeError: inside `torch.inference_mode()`.
        FloatingPointError: if a loss is no longer finite.
        NotKeptError: if the results cannot be written. A failed checkpoint along the way is only a warning.

    >>> from mechscope.dictionaries import TensorStream, TopKConfig, TrainingConfig, build
    >>> activations = torch.randn(512, 8, generator=torch.Generator().manual_seed(0))
    >>> sae = build(TopKConfig(d_in=8, d_sae=16, k=2))
    >>> run = train(sae, TensorStream(activations, batch_size=64), TrainingConfig(steps=20), progress=False)
    >>> sae.encode(activations[:1]).shape
    torch.Size([1, 16])
    """
    refuse_inference_mode("training")
    named = {"dictionary": dictionaries} if isinstance(dictionaries, Dictionary) else dict(dictionaries)
    folder = None if folder is None else Path(folder)
    _check(named, stream)
    ranks = _check_ranks(named, ranks)
    run = describe_run(named, stream, cfg)
    agree(ranks, {**run, "split data": isinstance(stream, SplitStream), "has a folder": folder is not None})
    trainers = [Trainer(name, dictionary, cfg) for name, dictionary in named.items()]
    checkpoint = None if folder is None else read_checkpoint(folder, run, _parts(trainers))
    agree(ranks, {"checkpoint at step": None if checkpoint is None else checkpoint.step})
    history = _History(list(named))
    outliers = OutlierFilter(ranks=ranks)
    done, seconds = 0, 0.0
    if checkpoint is None:
        _begin({trainer.name: trainer.learner for trainer in trainers}, stream, cfg, outliers)
    else:
        done, seconds = checkpoint.step, checkpoint.seconds
        with naming(Path(folder or "") / CHECKPOINT):
            _restore(checkpoint, trainers, history, outliers, stream)
    for dictionary in named.values():
        dictionary.metadata.update(stream.metadata())
        if cfg.outlier_factor is not None:
            dictionary.metadata[LIMITS] = outliers.limits.to_metadata()
    begun = time.monotonic() - seconds
    keeper = Keeper()
    with ExitStack() as stack:
        bar = stack.enter_context(_progress_bar(named, cfg.steps, done, stream.batch_size, progress, ranks))
        # After an interruption too, the dictionaries hold the weights trained so far.
        stack.callback(_hand_over, trainers)
        for number in range(done, cfg.steps):
            batch = outliers.next_batch(stream)
            logged = number % cfg.log_every == 0 or number + 1 == cfg.steps
            measured = [trainer.step(batch, number, measure=logged) for trainer in trainers]
            if logged:
                rows = [measures for measures in measured if measures is not None]
                history.add(number, rows)
                bar.set_postfix_str(_summary(rows))
            bar.update(stream.batch_size)
            finished = number + 1
            if folder is not None and (finished % cfg.checkpoint_every == 0 or finished == cfg.steps):
                spent = time.monotonic() - begun
                tensors = _tensors(trainers, history, outliers)
                if tensors is not None:
                    state = TrainingCheckpoint(run, finished, spent, stream.state_dict(), tensors)
                    keeper.keep(state, folder, last=finished == cfg.steps)
    seconds = time.monotonic() - begun
    for name, dictionary in named.items():
        dictionary.eval()
        if folder is not None:
            whole = dictionary if ranks.alone else gather_dictionary(dictionary)
            if whole is not None:
                with keeping(folder / name):
                    save(whole, folder / name)
    # From here on, every rank can read what the first one has written.
    ranks.wait()
    trained = cfg.steps * stream.batch_size
    speed = trained / max(seconds, 1e-9)
    return TrainingRun(named, history.result(stream, cfg), seconds, speed, outliers.left_out)


class _History:
    """Measures of the logged steps."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.rows: list[list[list[float]]] = []
        """By step, dictionary and measure."""
        self.steps: list[int] = []

    def add(self, step: int, measured: Sequence[Measures]) -> None:
        self.rows.append([measures.row() for measures in measured])
        self.steps.append(step)

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        rows = torch.tensor(self.rows, dtype=torch.float64)
        return {
            "history": rows.reshape(-1, len(self.names), len(MEASURES)),
            "history_steps": torch.tensor(self.steps, dtype=torch.long),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        self.rows, self.steps = tensors["history"].tolist(), tensors["history_steps"].tolist()

    def result(self, stream: Stream, cfg: TrainingConfig) -> Result:
        return make_result(
            torch.tensor(self.rows, dtype=torch.float64).permute(1, 2, 0),
            dims=("series", "measure", "step"),
            title="training batches",
            unit="1",
            provenance=Provenance(stream.source, "dictionary training", seed=cfg.seed),
            coords={"series": self.names, "measure": list(MEASURES), "step": self.steps},
            kind="curves",
        )


def _restore(
    checkpoint: TrainingCheckpoint,
    trainers: Sequence[Trainer],
    history: _History,
    outliers: OutlierFilter,
    stream: Stream,
) -> None:
    for trainer in trainers:
        prefix = f"{trainer.name}/"
        trainer.take_state(
            {
                name.removeprefix(prefix): tensor
                for name, tensor in checkpoint.tensors.items()
                if name.startswith(prefix)
            }
        )
    history.restore(checkpoint.tensors)
    outliers.restore(checkpoint.tensors)
    stream.load_state_dict(dict(checkpoint.stream))


def _progress_bar(
    named: Mapping[str, Dictionary], steps: int, done: int, size: int, progress: bool | None, ranks: Ranks
) -> Any:
    return tqdm(
        total=steps * size,
        initial=done * size,
        desc=" + ".join(named) if len(named) <= SHOWN else f"{len(named)} dictionaries",
        unit="tok",
        unit_scale=True,
        # For tqdm, None means: only on a terminal.
        disable=True if not ranks.first else None if progress is None else not progress,
        dynamic_ncols=True,
    )


def _hand_over(trainers: Sequence[Trainer]) -> None:
    for trainer in trainers:
        trainer.hand_over()


def _check(named: Mapping[str, Dictionary], stream: Stream) -> None:
    """Raise ValueError for dictionaries that cannot be trained on this stream."""
    if not named:
        raise ValueError("there is no dictionary to train.")
    for name, dictionary in named.items():
        cfg = dictionary.cfg
        if not name or "/" in name:
            raise ValueError(f"{name!r} cannot be a dictionary's name, which becomes the name of a folder.")
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
    """The ranks for which all dictionaries were built."""
    first = next(iter(named.values())).ranks if ranks is None else ranks
    for name, dictionary in named.items():
        if dictionary.ranks != first and not (dictionary.ranks.alone and first.alone):
            raise ValueError(
                f"the dictionary {name!r} was built for {_of(dictionary.ranks)}, but would be trained by {_of(first)}: "
                "build it with the same ranks, build(cfg, seed, ranks=ranks)."
            )
        if dictionary.W_enc.device.type != first.device.type and not first.alone:
            raise ValueError(
                f"the dictionary {name!r} is on {dictionary.W_enc.device}, but its ranks communicate through "
                f"{first.device}: call dictionary.to(ranks.device)."
            )
    size = torchrun_size()
    if ranks is None and first.alone and size > 1:
        raise ValueError(
            f"torchrun started {size} processes, but the dictionaries were built for one, so all would train the same. "
            "Build them with `with start_ranks() as ranks: build(cfg, seed, ranks=ranks)`. If each process should "
            "train its own dictionaries in its own folder, pass ranks=ALONE."
        )
    return first


def _of(ranks: Ranks) -> str:
    return "one process" if ranks.alone else f"rank {ranks.rank} of {ranks.size}"


def _parts(trainers: list[Trainer]) -> dict[str, tuple[slice, ...]]:
    """The slice of each checkpoint tensor that this rank reads, if features are divided among ranks."""
    parts: dict[str, tuple[slice, ...]] = {}
    for trainer in trainers:
        if not trainer.dictionary.ranks.alone:
            for name, axis in trainer.feature_axes().items():
                if axis is not None:
                    parts[f"{trainer.name}/{name}"] = (slice(None),) * axis + (trainer.dictionary.mine,)
    return parts


def _begin(
    named: Mapping[str, Dictionary], stream: Stream, cfg: TrainingConfig, outliers: OutlierFilter
) -> None:
    """Set the limits of outliers, the scale and the initial bias from the stream's first activations."""
    sample, ranks = stream.peek(SAMPLE), outliers.ranks
    agree_on_activations(ranks, sample, stream.source)
    outliers.limits = estimate_limits(sample, cfg.outlier_factor)
    sample = outliers.without_outliers(sample)
    scales = estimate_scale(sample, stream.source) if cfg.scale else None
    for dictionary in named.values():
        if scales is not None and dictionary.cfg.normalize == "none":
            if isinstance(dictionary, Crosscoder):
                # One factor per layer: activations of the last are often ten times as long as those of the first.
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
                # Equal to the last bit, even if the ranks are on different machines.
                ranks.like_first(tensor)


def describe_run(named: Mapping[str, Dictionary], stream: Stream, cfg: TrainingConfig) -> dict[str, Any]:
    """What identifies a run in its checkpoint; only the same run can resume from it."""
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


def _tensors(trainers: list[Trainer], history: _History, outliers: OutlierFilter) -> dict[str, Tensor] | None:
    """The tensors of a checkpoint, on the first rank; None on the others."""
    tensors: dict[str, Tensor] = {}
    for trainer in trainers:
        state = trainer.state()
        tensors.update({f"{trainer.name}/{name}": tensor for name, tensor in (state or {}).items()})
    if not tensors:
        return None
    return tensors | history.tensors() | outliers.tensors()


def _summary(rows: list[Measures]) -> str:
    """L0, explained variance and dead share of each dictionary, or their ranges if there are many."""
    if len(rows) > SHOWN:
        ends = [
            (min(values), max(values))
            for values in zip(*[(m.l0, m.explained_variance, m.dead_share) for m in rows], strict=True)
        ]
        (l0, l0_most), (ev, ev_most), (dead, dead_most) = ends
        return f"L0 {l0:.1f}–{l0_most:.1f} EV {ev:.3f}–{ev_most:.3f} dead {dead:.0%}–{dead_most:.0%}"
    return " | ".join(f"L0 {m.l0:.1f} EV {m.explained_variance:.3f} dead {m.dead_share:.0%}" for m in rows)
