"""How fast a neuroscope's store answers at 100,000 units with 20 contexts each.

    python -m benchmarks.neuroscope_store [--units 100000] [--contexts 20] [--folder FOLDER]

The store is synthetic: random tokens and values, in the shapes that a harvest has (windows of 33 tokens, one sequence
of 128 tokens for every four units). A new process asks, after the operating system was told to drop the files from its
cache; times are wall-clock milliseconds of single calls.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mechscope.neuroscope.connections import FILE
from mechscope.neuroscope.contents import (
    About,
    CoActivation,
    Contents,
    SiteContents,
    StoredContext,
    StoredSequence,
    StoredUnit,
)
from mechscope.neuroscope.queries import find_by_statistic, find_by_text, find_by_token
from mechscope.neuroscope.statistics import SiteStatistics
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.writing import write_contents

SITES, LENGTH, WINDOW, TOKENS, BINS = 20, 128, 33, 50_000, 145
LIMIT_MS = 20.0
"""What a unit's page may take."""


def synthetic(units: int, contexts: int) -> Contents:
    """A store's contents with `units` units over 20 sites."""
    draw = np.random.default_rng(0)
    n_sequences = max(units // 4, contexts)
    # Frequencies as in text: the token with rank r is drawn in proportion to 1 / (r + 10).
    weights = 1 / (np.arange(TOKENS) + 10)
    tokens = draw.choice(TOKENS, (n_sequences, LENGTH), p=weights / weights.sum())
    sizes = {f"mlp{site}": units // SITES for site in range(SITES)}

    def stored_units(number: int) -> Iterator[StoredUnit]:
        values = draw.standard_normal((64, WINDOW)).astype(np.float32)
        for _ in range(number):
            # One context per sequence.
            chosen = (draw.integers(n_sequences) + np.arange(contexts) * 7919) % n_sequences
            starts = draw.integers(0, LENGTH - WINDOW, contexts)
            found = [
                StoredContext(
                    "top", 5 - rank / 10, sequence, start + 24, int(tokens[sequence, start + 24]), start,
                    values[(sequence + rank) % 64],
                )
                for rank, (sequence, start) in enumerate(zip(chosen.tolist(), starts.tolist(), strict=True))
            ]  # fmt: skip
            effects = tuple((int(token), 0.5) for token in draw.integers(0, TOKENS, 10))
            near = tuple((int(other), 0.5) for other in draw.integers(0, number, 10))
            yield StoredUnit(tuple(found), effects, effects, near)

    def sites() -> Iterator[SiteContents]:
        for name, number in sizes.items():
            numbers = draw.standard_normal((7, number))
            counts = draw.integers(0, 1000, (number, BINS))
            statistics = SiteStatistics(np.full(number, counts.sum(1).max()), *numbers)
            edges = np.linspace(-1, 1, BINS + 1)
            yield SiteContents(name, name, False, 0, statistics, edges, counts, stored_units(number))

    def together() -> Iterator[CoActivation]:
        for name, number in sizes.items():
            for unit in range(number):
                other = ("mlp0", int(draw.integers(sizes["mlp0"])), 0.5)
                yield CoActivation(name, unit, (other,) * 10)

    return Contents(
        About("synthetic", "0" * 16, "random tokens", 10**8, 1000),
        ((token, f" w{token}") for token in range(TOKENS)),
        sizes,
        sites(),
        (
            StoredSequence(number, f"document {number}", row, np.ones(LENGTH, bool) if number < 512 else None)
            for number, row in enumerate(tokens)
        ),
        together(),
    )


def forget(folder: Path) -> None:
    """Ask the operating system to drop the files of a folder from its cache."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def ask(folder: Path, queries: int = 300) -> None:
    """Time single calls and print them."""
    draw = np.random.default_rng(1)
    opening = milliseconds(lambda: NeuroscopeStore(folder).close())
    store = NeuroscopeStore(folder)
    units = sum(site.units for site in store.sites())
    chosen = [f"mlp{draw.integers(SITES)}/{draw.integers(units // SITES)}" for _ in range(queries)]
    times = np.array([milliseconds(lambda unit=unit: store.unit(unit)) for unit in chosen])
    again = np.array([milliseconds(lambda unit=unit: store.unit(unit)) for unit in chosen])
    print(f"opening: {opening:.1f} ms")
    for name, found in (("unit's page, files not in the cache", times), ("unit's page, again", again)):
        print(
            f"{name}: median {np.median(found):.2f} ms, 99th percentile {np.percentile(found, 99):.2f} ms, "
            f"slowest {found.max():.2f} ms, first {found[0]:.2f} ms"
        )
    for name, work in {
        "units by kurtosis, all sites": lambda: find_by_statistic(store, "kurtosis"),
        "statistics of one site": lambda: store.statistics("mlp3"),
        "units by a frequent token": lambda: find_by_token(store, "w0"),
        "units by a rare token": lambda: find_by_token(store, "w40000"),
        "text, a rare word": lambda: find_by_text(store, "w40000"),
        "text, two words": lambda: find_by_text(store, "w700 w900"),
        "text, a word that nearly every sequence has": lambda: find_by_text(store, "w0 "),
    }.items():
        first = milliseconds(work)
        print(f"{name}: {first:.1f} ms, again {milliseconds(work):.1f} ms")
    slow = float((times > LIMIT_MS).mean())
    print(f"pages slower than {LIMIT_MS:.0f} ms: {slow:.1%} of {queries}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--contexts", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only-ask", action="store_true")
    options = parser.parse_args()
    if options.only_ask:
        ask(options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "store"
        seconds = (
            milliseconds(lambda: write_contents(folder, synthetic(options.units, options.contexts))) / 1000
        )
        sizes = {path.name: path.stat().st_size / 2**20 for path in folder.iterdir()}
        listed = ", ".join(f"{name} {size:.0f} MiB" for name, size in sizes.items())
        print(f"{options.units:,} units × {options.contexts} contexts: written in {seconds:.0f} s; {listed}")
        assert (folder / FILE).is_file()
        forget(folder)
        subprocess.run(
            [sys.executable, "-m", "benchmarks.neuroscope_store", "--only-ask", "--folder", str(folder)],
            check=True,
        )


if __name__ == "__main__":
    main()
