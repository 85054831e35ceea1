"""Compare speed and memory with a plain implementation and other libraries; write docs/benchmarks.md.

    python -m benchmarks.run [--rounds 7] [--only forward load …]

One thread, CPU seconds. The implementations alternate on the same inputs with the same weights; before one is timed,
its output is compared with ours.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

# Nothing here may wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import torch  # noqa: E402

from benchmarks.gpt2_shape import (  # noqa: E402
    D_VOCAB,
    N_HEADS,
    N_LAYERS,
    gpt2_config,
    random_gpt2_weights,
    save_gpt2,
)
from benchmarks.measure import Timing, alternate, median_of, run_in_process  # noqa: E402
from benchmarks.plain_gpt2 import PlainGPT2  # noqa: E402
from mechscope.pages.tables import markdown_table  # noqa: E402
from mechscope.pages.text_template import fill_page  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SHAPES = ((8, 128), (8, 15), (1, 5))
NEW_TOKENS = 50


class Contenders:
    """The same GPT-2-shaped model four times: ours, by hand, the classic library, transformers."""

    def __init__(self, folder: Path, weights: dict[str, torch.Tensor]) -> None:
        import transformers
        from transformer_lens import HookedTransformer as Classic
        from transformer_lens import HookedTransformerConfig as ClassicConfig

        import mechscope

        self.ours = mechscope.load_model(folder, process=False)
        self.plain = PlainGPT2(weights, N_LAYERS, N_HEADS)
        cfg = {
            name: getattr(self.ours.cfg, name)
            for name in ("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "d_mlp", "d_vocab", "act_fn")
        }
        self.classic = Classic(ClassicConfig(**cfg, init_weights=False, device="cpu"))
        state = {name: value.contiguous() for name, value in self.ours.state_dict().items()}
        state["unembed.W_U"] = self.ours.W_U.contiguous()
        self.classic.load_state_dict({**self.classic.state_dict(), **state})
        self.transformers = transformers.GPT2LMHeadModel(transformers.GPT2Config(**gpt2_config())).eval()
        self.transformers.transformer.load_state_dict(weights)

    def logits(self, tokens: torch.Tensor) -> dict[str, Any]:
        """Each contender's forward pass."""
        return {
            "mechscope": lambda: self.ours(tokens),
            "plain": lambda: self.plain(tokens),
            "classic": lambda: self.classic(tokens),
            "transformers": lambda: self.transformers(tokens).logits,
        }


def must_agree(answers: dict[str, torch.Tensor], tolerance: float = 1e-4) -> str:
    """Stop unless all answers equal ours; say how near they are."""
    ours = answers["mechscope"]
    worst = 0.0
    for label, answer in answers.items():
        difference = float((answer - ours).abs().max() / ours.abs().max())
        if not difference <= tolerance:
            raise SystemExit(f"{label} disagrees with mechscope: relative difference {difference:.1e}")
        worst = max(worst, difference)
    return f"outputs equal to {worst:.0e}"


def forward(contenders: Contenders, rounds: int) -> list[Timing]:
    """Logits of a batch."""
    timings = []
    for batch, length in SHAPES:
        tokens = torch.randint(0, D_VOCAB, (batch, length), generator=torch.Generator().manual_seed(1))
        calls = contenders.logits(tokens)
        note = must_agree({label: call() for label, call in calls.items()})
        small = batch * length < 64
        timings.append(
            alternate(
                f"forward {batch}×{length}",
                calls,
                rounds=rounds * (3 if small else 1),
                repeat=5 if small else 1,
                note=note,
            )
        )
    return timings


def cache_everything(contenders: Contenders, rounds: int) -> list[Timing]:
    """Every default activation of a batch; the plain implementation computes and keeps the same."""
    tokens = torch.randint(0, D_VOCAB, (8, 128), generator=torch.Generator().manual_seed(1))
    calls = {
        "mechscope": lambda: contenders.ours.run_with_cache(tokens)[0],
        "plain": lambda: contenders.plain.cache(tokens)["logits"],
        "classic": lambda: contenders.classic.run_with_cache(tokens)[0],
    }
    note = must_agree({label: call() for label, call in calls.items()})
    _, cache = contenders.ours.run_with_cache(tokens)
    _, theirs = contenders.classic.run_with_cache(tokens)
    ours_mb, classic_mb = (_distinct_bytes(c.cache_dict) / 2**20 for c in (cache, theirs))
    plain_mb = (
        _distinct_bytes({k: v for k, v in contenders.plain.cache(tokens).items() if k != "logits"}) / 2**20
    )
    sizes = f"{note}; cache in MiB of distinct tensors: {ours_mb:.0f}, plain {plain_mb:.0f}, classic {classic_mb:.0f}"
    return [alternate("run_with_cache, everything, 8×128", calls, rounds=rounds, note=sizes)]


def _distinct_bytes(cache: dict[str, torch.Tensor]) -> int:
    storages = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in cache.values()
    }
    return sum(storages.values())


def generate(contenders: Contenders, rounds: int) -> list[Timing]:
    """Fifty tokens, the likeliest each time, with a key/value cache."""
    tokens = torch.randint(0, D_VOCAB, (1, 5), generator=torch.Generator().manual_seed(1))
    options = {"max_new_tokens": NEW_TOKENS, "do_sample": False}
    silent = {"stop_at_eos": False, "verbose": False}
    calls = {
        "mechscope": lambda: contenders.ours.generate(tokens, **options, **silent),
        "plain": lambda: contenders.plain.generate(tokens, NEW_TOKENS),
        "classic": lambda: contenders.classic.generate(tokens, **options, **silent),
        "transformers": lambda: contenders.transformers.generate(
            tokens, **options, min_new_tokens=NEW_TOKENS, pad_token_id=0
        ),
    }
    answers = {label: call() for label, call in calls.items()}
    # Without a tokenizer, the classic model generates other tokens with its cache than without. Its output without the
    # cache must agree with ours; the difference is reported.
    cached = answers["classic"]
    answers["classic"] = contenders.classic.generate(tokens, use_past_kv_cache=False, **options, **silent)
    note = must_agree({label: answer.float() for label, answer in answers.items()}, tolerance=0)
    wrong = int((cached != answers["classic"]).sum())
    if wrong:
        note += f"; with its cache, classic gives {wrong} of {NEW_TOKENS} tokens other than without"
    return [alternate(f"generate {NEW_TOKENS} tokens", calls, rounds=rounds, note=note)]


def load(folder: Path, rounds: int) -> list[Timing]:
    """Load and process a folder in a fresh process: CPU seconds after imports, and peak memory.

    Raises:
        AssertionError: if loading holds much more than the weights that it returns.
    """
    ready = "import torch; torch.set_num_threads(1)\nfrom pathlib import Path\n"
    timed = (
        "start = time.process_time()\n{}\n"
        "print(f'seconds={{time.process_time() - start}}')\nprint(f'peak={{peak_mb()}}')\n"
    )
    codes = {
        "mechscope": ready
        + "import mechscope; mechscope.load_model\nimport mechscope.model.transformer\n"
        + "print(f'before={peak_mb()}')\n"
        + timed.format(f"model = mechscope.load_model({str(folder)!r})")
        + "print(f'weights={sum(w.nbytes for w in model.parameters()) / 2**20}')\n",
        "plain": ready
        + "from benchmarks.plain_gpt2 import load_and_process_plain\n"
        + timed.format(f"weights = load_and_process_plain(Path({str(folder)!r}))"),
        "classic": ready
        + "import warnings; warnings.simplefilter('ignore')\nimport logging; logging.disable()\n"
        + "import transformers, transformer_lens as tl\n"
        + timed.format(
            f"hf = transformers.GPT2LMHeadModel.from_pretrained({str(folder)!r})\n"
            "cfg = tl.HookedTransformerConfig(n_layers=12, d_model=768, n_ctx=1024, d_head=64, n_heads=12, d_mlp=3072, "
            "d_vocab=50257, act_fn='gelu_new', init_weights=False, device='cpu', normalization_type='LNPre')\n"
            "from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights\n"
            "model = tl.HookedTransformer(cfg, move_to_device=False)\n"
            "model.load_and_process_state_dict(convert_gpt2_weights(hf, cfg))"
        ),
    }
    runs: dict[str, list[dict[str, float]]] = {label: [] for label in codes}
    for _ in range(rounds):
        for label, code in codes.items():
            runs[label] += run_in_process(code, 1)
    ours = runs["mechscope"]
    held = median_of(ours, "peak") - median_of(ours, "before")
    weights = median_of(ours, "weights")
    # One tensor of the file at a time, plus 32 MiB of the file.
    assert held < 1.2 * weights, f"loading {weights:.0f} MiB of weights took {held:.0f} MiB of memory"
    medians = {label: median_of(results, "seconds") for label, results in runs.items()}
    peaks = {label: median_of(results, "peak") for label, results in runs.items()}
    ratios = {
        label: sorted(r["seconds"] / o["seconds"] for r, o in zip(results, ours, strict=True))[rounds // 2]
        for label, results in runs.items()
    }
    memory = ", ".join(f"{label} {peak:.0f}" for label, peak in peaks.items())
    share = peaks["mechscope"] / peaks["plain"]
    note = f"peak memory of the process in MiB: {memory}; ours is {share:.2f}× the plain one's"
    return [Timing("load and process from a folder", medians, ratios, rounds, note)]


def imports(rounds: int) -> list[Timing]:
    """A fresh process: importing torch, and importing it through us."""
    codes = {
        "mechscope": "import mechscope; mechscope.HookedTransformer",
        "plain": "import torch",
        "classic": "import transformer_lens",
    }
    runs: dict[str, list[float]] = {label: [] for label in codes}
    for _ in range(rounds):
        for label, code in codes.items():
            timed = f"start = time.process_time()\n{code}\nprint(f'seconds={{time.process_time() - start}}')"
            runs[label].append(run_in_process(timed, 1)[0]["seconds"])
    medians = {label: sorted(values)[rounds // 2] for label, values in runs.items()}
    ratios = {
        label: sorted(v / o for v, o in zip(values, runs["mechscope"], strict=True))[rounds // 2]
        for label, values in runs.items()
    }
    bare = "start = time.process_time()\nimport mechscope\nprint(f'seconds={time.process_time() - start}')"
    alone = 1000 * median_of(run_in_process(bare, rounds), "seconds")
    note = f"'plain' is `import torch`; `import mechscope` alone, before torch is needed: {alone:.0f} ms"
    return [Timing("import", medians, ratios, rounds, note)]


def table(timings: list[Timing]) -> str:
    """A Markdown table of medians and ratios."""
    labels = ("mechscope", "plain", "classic", "transformers")
    headers = ["work", *(f"{label}, s" for label in labels), "ours ÷ plain", "classic ÷ ours", "note"]
    rows: list[list[str]] = []
    for timing in timings:
        seconds = [f"{timing.seconds[label]:.3f}" if label in timing.seconds else "–" for label in labels]
        to_plain = f"{1 / timing.ratio_to_ours['plain']:.2f}" if "plain" in timing.ratio_to_ours else "–"
        to_classic = f"{timing.ratio_to_ours['classic']:.1f}" if "classic" in timing.ratio_to_ours else "–"
        rows.append([timing.name, *seconds, to_plain, to_classic, timing.note])
    return markdown_table(headers, rows)


def page(timings: list[Timing], rounds: int) -> str:
    """The whole of docs/benchmarks.md."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformer-lens", "transformers")
    )
    return fill_page(
        Path(__file__).with_suffix(".md"),
        rounds=rounds,
        table=table(timings),
        machine=f"Python {platform.python_version()}, {versions}, {platform.machine()}, {os.cpu_count()} cores.",
    )


PARTS = ("import", "load", "forward", "cache", "generate")


def main() -> None:
    """Run the requested parts, print the table, and write the page if all parts ran."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    from mechscope.storage.files import check_file, write_atomically

    target = ROOT / "docs" / "benchmarks.md"
    check_file(target)
    timings: list[Timing] = []
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        folder = Path(scratch) / "gpt2"
        weights = random_gpt2_weights()
        save_gpt2(folder, weights)
        if "import" in arguments.only:
            timings += imports(arguments.rounds)
        if "load" in arguments.only:
            timings += load(folder, arguments.rounds)
        if {"forward", "cache", "generate"} & set(arguments.only):
            contenders = Contenders(folder, weights)
            if "forward" in arguments.only:
                timings += forward(contenders, arguments.rounds)
            if "cache" in arguments.only:
                timings += cache_everything(contenders, arguments.rounds)
            if "generate" in arguments.only:
                timings += generate(contenders, arguments.rounds)
    print(table(timings))
    if set(arguments.only) == set(PARTS):
        write_atomically(target, page(timings, arguments.rounds))
        print(f"written to {target.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
