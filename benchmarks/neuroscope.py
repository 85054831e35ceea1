"""Compare a harvest of all MLP neurons with the model's bare forward pass on the same tokens, and with a plain runner.

    python -m benchmarks.neuroscope [--models mini-gelu-2l …] [--rounds 5] [--tokens 250000] [--keep FILE]

Three ways to spend CPU time on the same texts, in alternation:

- **bare**: the model's forward pass to the logits, without hooks, gradients or a cache;
- **mechscope**: `harvest_shard` for all neurons, with contexts, windows, histograms and moments, from the tokens on;
- **plain**: what one writes without a harvester: TransformerLens's `run_with_cache` on the same weights, and the 20
  highest activations of each neuron in NumPy. It keeps no contexts, histograms or moments, and does not leave out
  duplicates.

Reading text into tokens takes all of them equally long; it is timed separately. Writes docs/neuroscope-benchmarks.md;
models that are not measured now are taken from FILE, where an earlier run kept them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402

import mechscope  # noqa: E402
from benchmarks.measure import Timing, alternate  # noqa: E402
from mechscope.neuroscope.harvest_shard import harvest_shard  # noqa: E402
from mechscope.neuroscope.sequences import Batch, Cutter, in_batches  # noqa: E402
from mechscope.neuroscope.settings import HarvestSettings  # noqa: E402
from mechscope.neuroscope.shards import Shard  # noqa: E402
from mechscope.neuroscope.sinks import calibrated  # noqa: E402
from mechscope.neuroscope.sites import find_sites  # noqa: E402
from mechscope.neuroscope.state import HarvestState  # noqa: E402
from mechscope.pages.tables import markdown_table  # noqa: E402
from mechscope.pages.text_template import fill_page  # noqa: E402
from mechscope.reading import read_json_object  # noqa: E402
from mechscope.storage.files import check_file, write_atomically  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "neuroscope-benchmarks.md"
TOP = 20


@dataclass
class Inputs:
    """The same texts for everybody."""

    model: Any
    shard: Shard
    settings: HarvestSettings
    batches: list[Batch]
    tokens: int


def inputs(name: str, tokens: int, document: int) -> Inputs:
    """Source files of this package, in documents of so many characters, up to a number of tokens."""
    model = mechscope.load_model(name)
    settings = HarvestSettings(top=TOP)
    cutter = Cutter(model, settings)
    documents, sequences = list[tuple[str, str]](), list[np.ndarray]()
    for path in sorted(Path(mechscope.__file__).parent.rglob("*.py")):
        text = path.read_text()
        for start in range(0, len(text), document):
            documents.append((f"{path.name}:{start}", text[start : start + document]))
            sequences += cutter.sequences(documents[-1][1])
            if sum(map(len, sequences)) >= tokens:
                shard = Shard(0, tuple(documents))
                return Inputs(
                    model,
                    shard,
                    calibrated(model, settings, shard),
                    list(in_batches(sequences, settings.batch_tokens)),
                    sum(map(len, sequences)),
                )
    raise SystemExit(f"this package has fewer than {tokens:,} tokens of source; ask for fewer.")


def bare(given: Inputs) -> None:
    """The forward pass to the logits."""
    with torch.inference_mode():
        for batch in given.batches:
            given.model(batch.tokens, attention_mask=batch.real)


def harvest(given: Inputs) -> HarvestState:
    """Everything that a harvest keeps of all neurons."""
    return harvest_shard(given.model, find_sites(given.model, ["mlp"]), given.settings, given.shard)


def peer_model(given: Inputs) -> Any:
    """A TransformerLens model with the same weights; None if it cannot be made here."""
    try:
        from transformer_lens import HookedTransformer as Peer
        from transformer_lens import HookedTransformerConfig as PeerConfig
    except ImportError:
        return None
    cfg = given.model.cfg
    if cfg.positional_embedding_type not in ("standard", "shortformer"):
        return None
    peer = Peer(
        PeerConfig(
            n_layers=cfg.n_layers, d_model=cfg.d_model, n_ctx=cfg.n_ctx, d_head=cfg.d_head, n_heads=cfg.n_heads,
            d_mlp=cfg.d_mlp, d_vocab=cfg.d_vocab, act_fn=cfg.act_fn, normalization_type=cfg.normalization_type,
            positional_embedding_type=cfg.positional_embedding_type,
            device="cpu",
        )
    )  # fmt: skip
    peer.load_state_dict(given.model.state_dict(), strict=False)
    return peer.eval()


def plain(given: Inputs, peer: Any) -> dict[str, np.ndarray]:
    """The highest activations of every neuron, from TransformerLens's cache and NumPy."""
    best: dict[str, np.ndarray] = {}
    with torch.inference_mode():
        for batch in given.batches:
            _, cache = peer.run_with_cache(
                batch.tokens, names_filter=lambda name: name.endswith("mlp.hook_post")
            )
            counts = batch.real.clone()
            counts[:, 0] = False
            for name, values in cache.items():
                found = values[counts].numpy()
                together = found if name not in best else np.concatenate([best[name], found])
                best[name] = np.partition(together, max(0, len(together) - TOP), axis=0)[-TOP:]
    return {name: -np.sort(-values, axis=0) for name, values in best.items()}


def check_agreement(given: Inputs, peer: Any) -> float:
    """The largest difference between the highest activations that both find, relative to the highest of all."""
    ours, theirs = harvest(given), plain(given, peer)
    return max(
        float(
            np.abs(
                ours.sites[f"mlp{layer}"].maximum.numpy() - theirs[f"blocks.{layer}.mlp.hook_post"][0]
            ).max()
        )
        / float(theirs[f"blocks.{layer}.mlp.hook_post"].max())
        for layer in range(given.model.cfg.n_layers)
    )


def measure(name: str, tokens: int, document: int, rounds: int) -> list[object]:
    """A row of the table."""
    given = inputs(name, tokens, document)
    cutter = Cutter(given.model, given.settings)
    start = time.process_time()
    for _, text in given.shard.documents:
        cutter.sequences(text)
    reading = time.process_time() - start
    contenders: dict[str, Callable[[], object]] = {
        "bare": lambda: bare(given),
        "mechscope": lambda: harvest(given),
    }
    if (peer := peer_model(given)) is not None:
        agreement = check_agreement(given, peer)
        if agreement > 1e-4:
            raise SystemExit(
                f"{name}: the highest activations differ by {agreement:.1e}; there is nothing to time."
            )
        contenders["plain"] = lambda: plain(given, peer)
    timing: Timing = alternate(name, contenders, rounds)
    ours = timing.seconds["mechscope"] - reading
    return [
        name,
        f"{given.model.cfg.n_layers * (given.model.cfg.d_mlp or 0):,}",
        f"{given.tokens:,}",
        rounds,
        f"{given.tokens / timing.seconds['bare']:,.0f}",
        f"{given.tokens / ours:,.0f}",
        f"{timing.seconds['bare'] / ours:.2f}",
        f"{given.tokens / timing.seconds['plain']:,.0f}" if peer is not None else "",
        f"{given.tokens / reading:,.0f}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=["mini-gelu-2l", "mini-gelu-4l", "smollm2-135m"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=250_000)
    parser.add_argument("--document", type=int, default=4000, help="characters per document")
    parser.add_argument("--keep", type=Path, help="a JSON file for the results of models")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep: Path | None = arguments.keep
    rows: dict[str, Any] = dict(read_json_object(keep)) if keep is not None and keep.exists() else {}
    check_file(TARGET)
    for name in arguments.models:
        rows[name] = measure(name, arguments.tokens, arguments.document, arguments.rounds)
        if keep is not None:
            write_atomically(keep, json.dumps(rows, indent=1))
    headers = [
        "model",
        "neurons",
        "tokens",
        "rounds",
        "bare, tokens/s",
        "harvest, tokens/s",
        "harvest ÷ bare",
        "plain, tokens/s",
        "tokenizer, tokens/s",
    ]
    table = markdown_table(headers, list(rows.values()))
    machine = f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}"
    write_atomically(
        TARGET,
        fill_page(Path(__file__).with_suffix(".md"), table=table, machine=machine, top=TOP),
    )
    print(table)


if __name__ == "__main__":
    main()
