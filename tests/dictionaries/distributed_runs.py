"""What test_distributed.py runs: the same trainings in one process and, as a script under torchrun, in two.

    torchrun --standalone --nproc-per-node 2 -m tests.dictionaries.distributed_runs FOLDER

The script ends in a training that one rank cannot finish.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import torch

from mechscope.dictionaries import config as c
from mechscope.dictionaries.building import build
from mechscope.dictionaries.distributed.gathering import gather_dictionary
from mechscope.dictionaries.distributed.ranks import ALONE, Ranks
from mechscope.dictionaries.distributed.split_stream import SplitStream
from mechscope.dictionaries.distributed.starting import start_ranks
from mechscope.dictionaries.files import save
from mechscope.dictionaries.model_stream import ModelStream
from mechscope.dictionaries.shards import ShardStream, write_shards
from mechscope.dictionaries.stream import GeneratorStream, Stream, TensorStream
from mechscope.dictionaries.training import train
from mechscope.dictionaries.training_config import TrainingConfig
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from tests.dictionaries.helpers import CONFIGS

BATCH = 16
STEPS = 13
STOP = 8
SETTINGS = TrainingConfig(
    steps=STEPS,
    lr=2e-2,
    lr_decay=4,
    sparsity_warmup=6,
    clip=1.0,
    dead_after=BATCH,
    aux_k=3,
    aux_coefficient=0.5,
    log_every=1,
    checkpoint_every=3,
)
RESAMPLING = dataclasses.replace(SETTINGS, revive="resample", resample_every=4, clip=None)
IN_FLOAT32 = ("topk", "batch_topk", "gated")
# Of those that are stopped and taken up: each kind of state that a checkpoint holds.
RESUMED = ("topk", "batch_topk", "jumprelu", "gated", "skip-topk-transcoder")


def built(names: tuple[str, ...], ranks: Ranks, dtype: c.Dtype = "float64", **sizes: int):
    """Small dictionaries of the test's configs."""
    configs = {name: dataclasses.replace(CONFIGS[name], dtype=dtype, **sizes) for name in names}
    return {name: build(cfg, number, ranks=ranks) for number, (name, cfg) in enumerate(configs.items())}


def whole_data(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations whose width 8 and targets of width 6 fit all configs."""
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(200, 8, generator=draw, dtype=torch.float64)
    target = torch.randn(200, 6, generator=draw, dtype=torch.float64)
    return x.to(dtype), target.to(dtype)


def data(dtype: torch.dtype = torch.float64) -> TensorStream:
    """The stream of most trainings."""
    return TensorStream(*whole_data(dtype), batch_size=BATCH, seed=1)


class Interrupted(TensorStream):
    """A stream that ends in the middle."""

    # A checkpoint records the source files of its stream. This class stands for an ordinary TensorStream in a killed
    # process, from which another process resumes.
    __module__ = TensorStream.__module__
    end = STOP

    def __next__(self):
        if self._epoch * (200 // BATCH) + self._next // BATCH >= self.end:
            raise InterruptedError("stopped here")
        return super().__next__()


def interrupted(dtype: torch.dtype = torch.float64, end: int = STOP) -> Interrupted:
    """The same data, until a step."""
    stream = Interrupted(*whole_data(dtype), batch_size=BATCH, seed=1)
    stream.end = end
    return stream


def model_stream() -> ModelStream:
    """Activations of a tiny model over padded rows; blocks whose rows two ranks cannot divide evenly."""
    cfg = HookedTransformerConfig(
        n_layers=1, d_model=8, n_ctx=12, d_head=4, n_heads=2, d_vocab=20, act_fn="gelu", seed=0, d_mlp=16
    )
    draw = torch.Generator().manual_seed(5)
    tokens = torch.randint(0, 20, (19, 12), generator=draw)
    mask = torch.arange(12) < torch.randint(6, 13, (19, 1), generator=draw)
    return ModelStream(
        HookedTransformer(cfg),
        tokens,
        "blocks.0.hook_resid_post",
        target_hook_name="blocks.0.hook_mlp_out",
        batch_size=10,
        buffer_size=90,
        mask=mask,
        rows_at_once=2,
        seed=2,
    )


def batches(stream: Stream, n: int = 40) -> list[torch.Tensor]:
    """The next batches, activations and targets side by side."""
    taken = [next(stream) for _ in range(n)]
    return [b.x if b.target is None else torch.cat([b.x, b.target], -1) for b in taken]


def run_all(ranks: Ranks, folder: Path) -> dict[str, object]:
    """Trainings whose histories must not depend on the number of ranks."""
    found: dict[str, object] = {}
    plain = train(built(tuple(CONFIGS), ranks), data(), SETTINGS, folder=folder / "plain")
    found["plain"] = plain.history.values.values.tolist()
    stream = data() if ranks.alone else SplitStream(data(), ranks)
    found["resampling"] = train(
        built(tuple(CONFIGS), ranks), stream, RESAMPLING
    ).history.values.values.tolist()
    bf16 = dataclasses.replace(SETTINGS, bf16=True)
    found["bfloat16"] = train(
        built(IN_FLOAT32, ranks, "float32"), data(torch.float32), bf16
    ).history.values.values.tolist()
    try:
        train(built(RESUMED, ranks), interrupted(), SETTINGS, folder=folder / "stopped")
    except InterruptedError:
        found["stopped"] = True
    return found


def float32_until(end: int, ranks: Ranks, folder: Path) -> None:
    """Train in float32 until a step, from where the folder's checkpoint is; a checkpoint follows each step."""
    settings = dataclasses.replace(SETTINGS, checkpoint_every=1)
    with contextlib.suppress(InterruptedError):
        train(built(IN_FLOAT32, ranks, "float32"), interrupted(torch.float32, end), settings, folder=folder)


def resume(ranks: Ranks, folder: Path) -> list[object]:
    """The history of a run that goes on from what was stopped in a folder."""
    return train(built(RESUMED, ranks), data(), SETTINGS, folder=folder).history.values.values.tolist()


def refusals(ranks: Ranks) -> dict[str, str]:
    """What each rank is told where something is wrong on one of them."""
    one = ("topk",)
    made = GeneratorStream(lambda n, g: torch.randn(n, 8, generator=g), batch_size=BATCH)
    other_data = TensorStream(
        torch.randn(64, 8, generator=torch.Generator().manual_seed(ranks.rank)), batch_size=8
    )
    tries = {
        "settings": lambda: train(
            built(one, ranks), data(), dataclasses.replace(SETTINGS, lr=0.1 * (ranks.rank + 1))
        ),
        "activations": lambda: train(built(one, ranks, "float32"), other_data, SETTINGS),
        "split": lambda: SplitStream(other_data, ranks),
        "generator": lambda: SplitStream(made, ranks),
        "uneven": lambda: build(c.ReluConfig(d_in=8, d_sae=25), ranks=ranks),
        "unsplit": lambda: train(built(one, ALONE), data(), SETTINGS),
        "mixed": lambda: train(built(one, ALONE), data(), SETTINGS, ranks=ranks),
        "fold": lambda: built(one, ranks)["topk"].fold(),
        "save": lambda: save(built(one, ranks)["topk"], "nowhere", fold=False),
        "explosion": lambda: train(
            built(("relu-free", "topk", "batch_topk", "jumprelu"), ranks, "float32"),
            data(torch.float32),
            TrainingConfig(steps=50, lr=1e30),
        ),
    }
    told: dict[str, str] = {}
    for name, action in tries.items():
        try:
            action()
            told[name] = "nothing"
        except (ValueError, FloatingPointError) as error:
            told[name] = f"{type(error).__name__}: {error}"
    return told


class Broken(TensorStream):
    """A stream that one rank cannot read to its end."""

    __module__ = TensorStream.__module__  # as above

    def __next__(self):
        if self._next >= 3 * BATCH:
            raise OSError("the third batch cannot be read")
        return super().__next__()


def main() -> None:
    """Run as a script under torchrun; what is found is written for the tests to compare."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    with start_ranks("cpu") as ranks:
        found = run_all(ranks, folder)
        if ranks.first:
            shutil.copytree(folder / "stopped", folder / "for-two")
            write_shards(data(), folder / "shards", shards=3, batches=3)
        ranks.wait()
        float32_until(STOP + 1, ranks, folder / "float32-next")
        found["resumed from two"] = resume(ranks, folder / "for-two")
        found["resumed from one"] = resume(ranks, folder / "from-one")
        streams = {
            "model": model_stream(),
            "shards": ShardStream(folder / "shards", batch_size=7, seed=4),
        }
        for name, stream in streams.items():
            split = SplitStream(stream, ranks)
            torch.save([split.peek(30).x, *batches(split)], folder / f"{name}-{ranks.rank}.pt")
            found[f"{name} block"] = ranks.gather(torch.tensor(len(split._block))).tolist()
        drawn = gather_dictionary(built(("transcoder",), ranks, d_sae=50)["transcoder"])
        found["drawn"] = None if drawn is None else drawn.W_enc.tolist()
        found["told"] = [json.loads(text) for text in ranks.texts(json.dumps(refusals(ranks)))]
        if ranks.first:
            (folder / "found.json").write_text(json.dumps(found))
    # A second start in one process, after the first was ended properly.
    with start_ranks("cpu") as ranks:
        kind = Broken if ranks.rank == 1 else TensorStream
        train(built(("topk",), ranks), kind(*whole_data(), batch_size=BATCH), SETTINGS)


if __name__ == "__main__":
    main()
