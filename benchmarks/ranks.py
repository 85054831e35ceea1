"""Memory and time of a training step of one dictionary, divided among one or several processes.

    python -m benchmarks.ranks [--ranks 1 2] [--steps 20] [--write]

Memory is counted between steps: weights, Adam's moments and the counts of dead features. Time is processor seconds of
one thread, for the rank that needs most, including messages but not waiting. If every rank has a processor of its own,
a step takes about as long.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

SETTINGS = {
    "topk 512→4096, batch 1024": ("topk", 512, 4096, 1024),
    "relu 512→4096, batch 1024": ("relu", 512, 4096, 1024),
}
MARK = "measured: "
PAGE = Path(__file__).resolve().parent.parent / "docs" / "dictionaries.md"
BEGIN, END = "<!-- ranks: written by python -m benchmarks.ranks --write -->", "<!-- end of ranks -->"


def measure(steps: int) -> None:
    """The work of one rank; the first rank prints the results of all."""
    import torch

    from mechscope.dictionaries import Ranks, build, start_ranks
    from mechscope.dictionaries.config import DictionaryConfig, ReluConfig, TopKConfig
    from mechscope.dictionaries.stream import Batch
    from mechscope.dictionaries.trainer import Trainer
    from mechscope.dictionaries.training_config import TrainingConfig

    torch.set_num_threads(1)

    def one(kind: str, d_in: int, d_sae: int, size: int, ranks: Ranks) -> tuple[float, float]:
        cfg: DictionaryConfig = (
            TopKConfig(d_in=d_in, d_sae=d_sae, k=32)
            if kind == "topk"
            else ReluConfig(d_in=d_in, d_sae=d_sae, l1=5.0)
        )
        dictionary = build(cfg, 0, ranks=ranks).to(ranks.device)
        trainer = Trainer(kind, dictionary, TrainingConfig(steps=10_000, clip=1.0))
        draw = torch.Generator().manual_seed(0)
        batches = [Batch(torch.randn(size, d_in, generator=draw).to(ranks.device)) for _ in range(4)]
        seconds: list[float] = []
        for number in range(steps + 2):
            ranks.wait()
            begun = time.process_time()
            trainer.step(batches[number % 4], number, measure=False)
            ranks.wait()
            seconds.append(time.process_time() - begun)
        held = [*dictionary.state_dict().values(), trainer.since_active]
        held += [t for state in trainer.optimizer.state.values() for t in state.values()]
        most = -ranks.least(-statistics.median(seconds[2:]))
        return most, sum(t.numel() * t.element_size() for t in held) / 2**20

    with start_ranks("cpu") as ranks:
        rows = {name: one(*setting, ranks) for name, setting in SETTINGS.items()}
        if ranks.first:
            print(MARK + json.dumps(rows), flush=True)


def main() -> None:
    """Start each number of processes in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="put the table into docs/dictionaries.md")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.steps)
        return
    from mechscope.pages.tables import markdown_table
    from mechscope.storage.files import check_file, write_atomically

    if given.write:
        check_file(PAGE)
    rows: list[list[str]] = []
    for size in given.ranks:
        ended = subprocess.run(
            [
                sys.executable,
                *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)),
                *("-m", "benchmarks.ranks", "--measure", "--steps", str(given.steps)),
            ],
            cwd=Path(__file__).resolve().parent.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        found = [line for line in ended.stdout.splitlines() if line.startswith(MARK)]
        if not found:
            sys.exit(ended.stderr)
        for name, (seconds, held) in json.loads(found[0].removeprefix(MARK)).items():
            rows.append([name, str(size), f"{held:.1f}", f"{1000 * seconds:.0f}"])
    lines = [
        markdown_table(["dictionary", "processes", "each holds, MiB", "each works, ms per step"], rows),
        "",
        f"{platform.machine()}, one thread each, processor seconds, medians of {given.steps} steps, float32, gloo.",
    ]
    text = "\n".join(lines)
    print(text)
    if given.write:
        page = PAGE.read_text()
        if BEGIN not in page or END not in page:
            sys.exit(f"{PAGE} lacks the marks between which the table belongs.")
        head, rest = page.split(BEGIN)
        write_atomically(PAGE, f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
