"""Compare sweeps of interventions with the classic library's; write docs/sweeps.md.

    python -m benchmarks.sweeps [--rounds 3] [--only residual heads positions attribution edges]

The model has the shape of GPT-2 small and random weights; batches are 8 × 15; one thread, CPU seconds. Both libraries
get the same classic call in alternation (`patching.get_act_patch_…` with the same metric function), and their results
are compared.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import torch  # noqa: E402

from benchmarks.gpt2_shape import D_MODEL, D_VOCAB, N_HEADS, N_LAYERS  # noqa: E402
from mechscope.pages.tables import markdown_table  # noqa: E402
from mechscope.pages.text_template import fill_page  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
BATCH, LENGTH = 8, 15
D_HEAD = D_MODEL // N_HEADS
READ = LENGTH - 1
SAMPLE = 60
"""Interventions that the classic library is timed on, drawn at random from each sweep."""
SHAPE = {
    "n_layers": N_LAYERS,
    "d_model": D_MODEL,
    "n_heads": N_HEADS,
    "d_head": D_HEAD,
    "d_mlp": 4 * D_MODEL,
    "n_ctx": 1024,
    "d_vocab": D_VOCAB,
    "act_fn": "gelu_new",
    "normalization_type": "LNPre",
}


@dataclass
class Row:
    """One line of the table."""

    work: str
    interventions: int
    ours: float
    classic: float | None
    ratio: float | None
    forwards: float
    floor: float | None
    note: str


class Pair:
    """The same random weights in both libraries, a clean and a corrupted batch, a metric."""

    def __init__(self, with_classic: bool = True) -> None:
        from mechscope import HookedTransformer

        torch.manual_seed(0)
        self.ours = HookedTransformer({**SHAPE, "seed": 0})
        generator = torch.Generator().manual_seed(1)
        self.clean = torch.randint(0, D_VOCAB, (BATCH, LENGTH), generator=generator)
        self.corrupted = torch.randint(0, D_VOCAB, (BATCH, LENGTH), generator=generator)
        self.right = torch.randint(0, D_VOCAB, (BATCH,), generator=generator)
        self.wrong = torch.randint(0, D_VOCAB, (BATCH,), generator=generator)
        self.rows = torch.arange(BATCH)
        if with_classic:
            from transformer_lens import HookedTransformer as Classic
            from transformer_lens import HookedTransformerConfig as ClassicConfig

            self.classic = Classic(ClassicConfig(**SHAPE, init_weights=False, device="cpu"))
            state = {name: value.contiguous() for name, value in self.ours.state_dict().items()}
            self.classic.load_state_dict({**self.classic.state_dict(), **state})

    def metric(self, logits: torch.Tensor) -> torch.Tensor:
        """The logit difference at the last position, as tutorials write it."""
        last = logits[:, -1]
        return (last[self.rows, self.right] - last[self.rows, self.wrong]).mean()

    def task(self) -> Any:
        """The same as a task."""
        from mechscope.tasks.metrics import Answers
        from mechscope.tasks.task import Task

        where = torch.full((BATCH, 1), READ)
        answers = Answers(where, self.right[:, None, None], self.wrong[:, None, None])
        return Task("random tokens", self.clean, self.corrupted, answers)


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it gave."""
    start = time.process_time()
    answer = call()
    return time.process_time() - start, answer


def forward_seconds(pair: Pair) -> float:
    """The median of one plain forward pass of the batch."""
    with torch.no_grad():
        pair.ours(pair.corrupted)
        return statistics.median(seconds(lambda: pair.ours(pair.corrupted))[0] for _ in range(5))


def multiply_rate() -> float:
    """Floating-point operations a second of a product as large as those of a sweep."""
    a, b = torch.randn(1024, D_MODEL), torch.randn(D_MODEL, 4 * D_MODEL)
    a @ b
    took = statistics.median(seconds(lambda: a @ b)[0] for _ in range(9))
    return 2 * a.shape[0] * b.numel() / took


def floor_operations(kind: str) -> float:
    """The operations of matrix products that no exact sweep of this kind can do without.

    In units of d_model² multiply-adds a position and block: queries, keys, values and output one each,
    the MLP eight. An edit of the residual stream at (l, p) needs block l for p, and for later positions
    all but what they read of themselves (output and MLP); then whole blocks; in the last block keys and
    values, and the one position that is read. A head's output enters after attention.
    """
    last, slice_of_output = N_LAYERS - 1, D_HEAD / D_MODEL

    def through_the_rest(layer: int, n: int) -> float:
        """From the start of `layer`, where all of the last n positions changed, to the end."""
        if layer > last:
            return 0
        return 12 * n * (last - layer) + 2 * n + 10

    def from_one_position(layer: int, pos: int) -> float:
        """From the start of `layer`, where only `pos` changed."""
        n = LENGTH - pos
        if layer == last:
            return 12 if pos == READ else 2 + 9
        return 12 + 9 * (n - 1) + through_the_rest(layer + 1, n)

    total = 0.0
    for layer in range(N_LAYERS):
        if kind == "heads":
            enters = 8 + slice_of_output
            here = enters if layer == last else enters * LENGTH + through_the_rest(layer + 1, LENGTH)
            total += N_HEADS * here
        for pos in range(LENGTH):
            if kind == "residual":
                total += from_one_position(layer, pos)
            elif kind == "positions":
                enters = 8 + slice_of_output
                if layer == last:
                    here = enters if pos == READ else 0
                else:
                    here = enters + from_one_position(layer + 1, pos)
                total += N_HEADS * here
    return 2 * BATCH * D_MODEL**2 * total


def compare(pair: Pair, kind: str, rounds: int) -> Row:
    """One classic sweep, by both libraries in turn."""
    import transformer_lens.patching as classic_patching

    import mechscope.patching as our_patching

    name = {
        "residual": "get_act_patch_resid_pre",
        "heads": "get_act_patch_attn_head_out_all_pos",
        "positions": "get_act_patch_attn_head_out_by_pos",
    }[kind]
    from mechscope.patching.sweep import make_df_from_ranges

    # What those names stand for, which alone takes a list of interventions there.
    setter, activation = {
        "residual": ("layer_pos_patch_setter", "resid_pre"),
        "heads": ("layer_head_vector_patch_setter", "z"),
        "positions": ("layer_pos_head_vector_patch_setter", "z"),
    }[kind]
    axes = {
        "residual": {"layer": N_LAYERS, "pos": LENGTH},
        "heads": {"layer": N_LAYERS, "head": N_HEADS},
        "positions": {"layer": N_LAYERS, "pos": LENGTH, "head": N_HEADS},
    }[kind]
    every = make_df_from_ranges(list(axes.values()), list(axes))
    # The classic loop takes equally long for every intervention, so a random sample is enough.
    some = every.sample(SAMPLE, random_state=0).sort_index()
    with torch.no_grad():
        _, our_cache = pair.ours.run_with_cache(pair.clean)
        _, their_cache = pair.classic.run_with_cache(pair.clean)
    ours: list[float] = []
    theirs: list[float] = []
    worst = 0.0
    for _ in range(rounds):
        our_time, our_answer = seconds(
            lambda: getattr(our_patching, name)(
                pair.ours, pair.corrupted, our_cache, pair.metric, progress=False
            )
        )
        with torch.no_grad(), silent():
            their_time, their_answer = seconds(
                lambda: classic_patching.generic_activation_patch(
                    pair.classic,
                    pair.corrupted,
                    their_cache,
                    pair.metric,
                    patch_setter=getattr(classic_patching, setter),
                    activation_name=activation,
                    index_df=some,
                )
            )
        ours.append(our_time / our_answer.numel())
        theirs.append(their_time / their_answer.numel())
        our_answer = our_answer.flatten()[torch.tensor(list(some.index))]
        worst = max(worst, float((our_answer - their_answer).abs().max() / their_answer.abs().max()))
    if worst > 1e-4:
        raise SystemExit(f"{name}: the libraries disagree by {worst:.1e}")
    count = len(every)
    note = f"results equal to {worst:.0e}"
    forward, rate = forward_seconds(pair), multiply_rate()
    mine = statistics.median(ours) * count
    return Row(
        f"{kind}: `{name}`",
        count,
        mine,
        statistics.median(theirs) * count,
        statistics.median(their / our for their, our in zip(theirs, ours, strict=True)),
        mine / forward,
        mine / (floor_operations(kind) / rate),
        note,
    )


def attribution(pair: Pair, rounds: int) -> Row:
    """Attribution patching of every head and neuron at every position."""
    from mechscope.techniques.attribution_patching import attribution_patching

    task = pair.task()

    def call() -> Any:
        return attribution_patching(pair.ours, task, ["head", "neuron"], progress=False)

    call()
    forwards, times = [], []
    for _ in range(rounds):
        forward = forward_seconds(pair)
        took, _ = seconds(call)
        times.append(took)
        forwards.append(took / forward)
    return Row(
        "attribution patching, all heads and neurons",
        N_LAYERS * (N_HEADS + 4 * D_MODEL),
        statistics.median(times),
        None,
        None,
        statistics.median(forwards),
        None,
        f"both prompts and the gradient included; {peak()}",
    )


def edges(pair: Pair) -> Row:
    """EAP with integrated gradients on every edge."""
    from mechscope.techniques.circuits import EdgeGraph, discover

    task = pair.task()
    graph = EdgeGraph.of(pair.ours)
    forward = forward_seconds(pair)
    took, _ = seconds(lambda: discover(pair.ours, task, method="eap-ig", progress=False))
    return Row(
        "EAP-IG, every edge, 5 steps",
        graph.n_edges,
        took,
        None,
        None,
        took / forward,
        None,
        f"queries, keys and values apart; {peak()}",
    )


def peak() -> str:
    """The most memory that this process has held."""
    return f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"


class silent:  # noqa: N801 - reads as a word in a with statement
    """Without the classic library's progress bars."""

    def __enter__(self) -> None:
        import transformer_lens.patching as classic_patching

        self.module, self.tqdm = classic_patching, classic_patching.tqdm
        classic_patching.tqdm = lambda each, **_: each

    def __exit__(self, *_: object) -> None:
        self.module.tqdm = self.tqdm


def table(rows: list[Row]) -> str:
    """A Markdown table."""
    headers = ["work", "interventions", "mechscope, s", "classic, s", "classic ÷ ours"]
    headers += ["in forward passes", "time ÷ floor", "note"]

    def number(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    cells = [
        [
            row.work,
            str(row.interventions),
            f"{row.ours:.1f}",
            number(row.classic, 1),
            number(row.ratio, 1),
            f"{row.forwards:.1f}",
            number(row.floor, 2),
            row.note,
        ]
        for row in rows
    ]
    return markdown_table(headers, cells)


def page(rows: list[Row], rounds: int) -> str:
    """The whole of docs/sweeps.md."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformer-lens")
    )
    return fill_page(
        Path(__file__).with_suffix(".md"),
        batch=BATCH,
        length=LENGTH,
        rounds=rounds,
        sample=SAMPLE,
        table=table(rows),
        machine=f"Python {platform.python_version()}, {versions}, {platform.machine()}, {os.cpu_count()} cores.",
    )


PARTS = ("residual", "heads", "positions", "attribution", "edges")


def main() -> None:
    """Run the requested parts, print the table, and write the page if all parts ran."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    from mechscope.storage.files import check_file, write_atomically

    target = ROOT / "docs" / "sweeps.md"
    check_file(target)
    rows: list[Row] = []
    small = [part for part in ("edges", "attribution") if part in arguments.only]
    if small:
        # First, so that the peak of memory is theirs and not the classic library's.
        pair = Pair(with_classic=False)
        if "edges" in small:
            rows.append(edges(pair))
        if "attribution" in small:
            rows.append(attribution(pair, arguments.rounds))
    classic = [part for part in ("residual", "heads", "positions") if part in arguments.only]
    if classic:
        pair = Pair()
        rows = [compare(pair, part, arguments.rounds) for part in classic] + rows
    print(table(rows))
    if set(arguments.only) == set(PARTS):
        write_atomically(target, page(rows, arguments.rounds))
        print(f"written to {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
