"""Compare speed and memory on a real language model with transformers and the classic library.

    python -m benchmarks.real_model [--rounds 5] [--only load peak forward cache sweeps edges] [--keep FILE]

Writes docs/real-model-benchmarks.md from all parts; those that are not run now are taken from FILE, where an earlier
run kept them. The model is SmolLM2-135M: `mechscope models get smollm2-135m` fetches it. One thread, CPU seconds; the
implementations alternate, with the same weights, and their outputs are compared first. Takes about ten minutes on a
quiet machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import torch  # noqa: E402

from benchmarks.gpt2_shape import random_gpt2_weights, save_gpt2  # noqa: E402
from benchmarks.measure import alternate, median_of, run_in_process  # noqa: E402
from benchmarks.run import must_agree  # noqa: E402
from benchmarks.sweeps import seconds, silent  # noqa: E402
from mechscope.checkpoints.packaged_models import PACKAGED  # noqa: E402
from mechscope.pages.tables import markdown_table  # noqa: E402
from mechscope.pages.text_template import fill_page  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
NAME = "smollm2-135m"
FILE = PACKAGED[NAME].file
SAMPLE = 30
"""Edits that the classic library is timed on, drawn at random from each sweep."""
PARTS = ("load", "peak", "forward", "cache", "sweeps", "edges")
TEMPLATE = 4
"""The template of the prompts: one only, so that none is padded; 17 tokens."""
PRODUCTS = "products"
"""The contender that only multiplies matrices."""
READY = "import os; os.environ['HF_HUB_OFFLINE'] = '1'\nimport torch; torch.set_num_threads(1)\n"


@dataclass(frozen=True)
class Row:
    """One line of the table of times."""

    work: str
    seconds: dict[str, float]
    """Contender → CPU seconds."""
    note: str


class Contenders:
    """SmolLM2-135M three times with the same weights: ours, transformers', the classic library's."""

    def __init__(self) -> None:
        import transformers
        from transformer_lens import HookedTransformer as Classic
        from transformer_lens import HookedTransformerConfig as ClassicConfig

        import mechscope

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.ours = mechscope.load_model(NAME, process=False)
        self.transformers = transformers.AutoModelForCausalLM.from_pretrained(
            FILE.parent, gguf_file=FILE.name, dtype=torch.float32
        ).eval()
        same = (
            "n_layers", "d_model", "n_heads", "n_key_value_heads", "d_head", "d_mlp", "d_vocab", "act_fn", "eps",
            "normalization_type", "gated_mlp", "final_rms", "positional_embedding_type", "rotary_dim",
            "original_architecture",
        )  # fmt: skip
        cfg = {name: getattr(self.ours.cfg, name) for name in same}
        # The classic class builds its mask and its rotary tables for the whole context.
        cfg |= {"n_ctx": 256, "rotary_base": int(self.ours.cfg.rotary_base)}
        self.classic = Classic(ClassicConfig(**cfg, init_weights=False, device="cpu"))
        state = {name: value.contiguous() for name, value in self.ours.state_dict().items()}
        state["unembed.W_U"] = self.ours.W_U.contiguous()
        self.classic.load_state_dict({**self.classic.state_dict(), **state})

    def products(self, rows: int) -> Callable[[], None]:
        """A function that computes nothing but the matrix products of a forward pass on so many tokens.

        No implementation can be faster than this with the same library below it. The products of queries with keys,
        and of patterns with values, are left out.
        """
        layers = [m for m in self.transformers.modules() if isinstance(m, torch.nn.Linear)]
        inputs = {layer.in_features: torch.randn(rows, layer.in_features) for layer in layers}

        def multiply() -> None:
            for layer in layers:
                layer(inputs[layer.in_features])

        return multiply

    def tokens(self, batch: int, length: int) -> torch.Tensor:
        """Random tokens."""
        generator = torch.Generator().manual_seed(length)
        return torch.randint(0, self.ours.cfg.d_vocab, (batch, length), generator=generator)


def forward(contenders: Contenders, rounds: int) -> list[Row]:
    """Logits of a batch."""
    rows: list[Row] = []
    for batch, length in ((8, 15), (4, 128)):
        tokens = contenders.tokens(batch, length)
        calls: dict[str, Callable[[], Any]] = {
            "mechscope": lambda: contenders.ours(tokens),  # noqa: B023 - called in this round
            "transformers": lambda: contenders.transformers(tokens).logits,  # noqa: B023
            "classic": lambda: contenders.classic(tokens),  # noqa: B023
        }
        note = must_agree({label: call() for label, call in calls.items()})
        calls[PRODUCTS] = contenders.products(batch * length)
        rows.append(Row(f"forward {batch}×{length}", alternate("", calls, rounds).seconds, note))
    return rows


def cache_everything(contenders: Contenders, rounds: int) -> list[Row]:
    """Every default activation of a batch."""
    tokens = contenders.tokens(4, 128)
    calls: dict[str, Callable[[], Any]] = {
        "mechscope": lambda: contenders.ours.run_with_cache(tokens)[0],
        "classic": lambda: contenders.classic.run_with_cache(tokens)[0],
    }
    note = must_agree({label: call() for label, call in calls.items()})
    return [Row("`run_with_cache` 4×128", alternate("", calls, rounds).seconds, note)]


def sweeps(contenders: Contenders, rounds: int) -> list[Row]:
    """Activation patching on indirect objects, once: the residual stream everywhere, and every head."""
    del rounds  # hundreds of edits are an average already
    import transformer_lens.patching as classic_patching

    import mechscope
    import mechscope.patching as our_patching
    from mechscope.patching.sweep import make_df_from_ranges

    # One template, so that no prompt is padded.
    task = mechscope.tasks.ioi(contenders.ours, n=8, templates=(TEMPLATE,))
    n_layers, n_heads, length = contenders.ours.cfg.n_layers, contenders.ours.cfg.n_heads, task.clean.shape[1]

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return task.measure(logits[:, -1:]).mean()

    _, our_cache = contenders.ours.run_with_cache(task.clean)
    _, their_cache = contenders.classic.run_with_cache(task.clean)

    def classic(setter: str, activation: str, edits: Any) -> tuple[float, torch.Tensor]:
        with silent():
            return seconds(
                lambda: classic_patching.generic_activation_patch(
                    contenders.classic,
                    task.corrupted,
                    their_cache,
                    metric,
                    patch_setter=getattr(classic_patching, setter),
                    activation_name=activation,
                    index_df=edits,
                )
            )

    rows: list[Row] = []
    for name, axes, *what in (
        (
            "get_act_patch_resid_pre",
            {"layer": n_layers, "pos": length},
            "layer_pos_patch_setter",
            "resid_pre",
        ),
        (
            "get_act_patch_attn_head_out_all_pos",
            {"layer": n_layers, "head": n_heads},
            "layer_head_vector_patch_setter",
            "z",
        ),
    ):
        every = make_df_from_ranges(list(axes.values()), list(axes))
        some = every.sample(SAMPLE, random_state=0)
        ours_patches = getattr(our_patching, name)
        before, first = classic(*what, some.iloc[: SAMPLE // 2])
        start = time.process_time()
        ours = ours_patches(contenders.ours, task.corrupted, our_cache, metric, progress=False)
        our_time = time.process_time() - start
        after, second = classic(*what, some.iloc[SAMPLE // 2 :])
        theirs = torch.cat([first, second])
        same = ours.flatten()[torch.tensor(list(some.index))]
        worst = float((same - theirs).abs().max() / theirs.abs().max())
        if not worst < 1e-4:
            raise SystemExit(f"{name}: the libraries disagree by {worst:.1e}")
        rows.append(
            Row(
                f"`{name}`, {len(every)} edits of 8×{length}",
                {"mechscope": our_time, "classic": (before + after) / SAMPLE * len(every)},
                f"results equal to {worst:.0e}; classic from {SAMPLE} edits",
            )
        )
    return rows


def edges() -> list[Row]:
    """EAP with integrated gradients on every edge, in a fresh process."""
    code = READY + (
        "import mechscope as ms\nfrom mechscope.techniques.circuits import EdgeGraph, discover\n"
        f"model = ms.load_model({NAME!r})\ntask = ms.tasks.ioi(model, n=8, templates=({TEMPLATE},))\n"
        "print(f'edges={EdgeGraph.of(model).n_edges}')\nstart = time.process_time()\n"
        "discover(model, task, method='eap-ig', progress=False)\n"
        "print(f'seconds={time.process_time() - start}')\nprint(f'peak={peak_mb()}')\n"
    )
    (found,) = run_in_process(code, 1)
    if found["peak"] > 2048:
        raise SystemExit(f"EAP-IG peaks at {found['peak']:.0f} MiB, above 2 GiB")
    note = f"5 steps, 8 pairs; peak memory of the process {found['peak']:,.0f} MiB"
    return [Row(f"EAP-IG on {found['edges']:,.0f} edges", {"mechscope": found["seconds"]}, note)]


def load(rounds: int) -> list[Row]:
    """Load the file twice in a fresh process: CPU seconds of the second time, when everything is imported."""
    codes = {
        "mechscope": f"import mechscope as ms\ndef load():\n    return ms.load_model({NAME!r}), 0.0\n",
        "transformers": (
            "from transformers import AutoModelForCausalLM as Model, AutoTokenizer as Tokenizer, utils\n"
            f"utils.logging.disable_progress_bar()\nwhere = {{'gguf_file': {FILE.name!r}}}\n"
            f"folder = {str(FILE.parent)!r}\n"
            "def load():\n"
            "    Tokenizer.from_pretrained(folder, **where)\n"
            "    start = time.process_time()\n"
            "    model = Model.from_pretrained(folder, dtype=torch.float32, **where)\n"
            "    return model, time.process_time() - start\n"
        ),
    }
    timed = (
        "load()\nstart = time.process_time()\nmodel, alone = load()\n"
        "print(f'seconds={time.process_time() - start}')\nprint(f'alone={alone}')\n"
    )
    runs: dict[str, list[dict[str, float]]] = {label: [] for label in codes}
    for _ in range(rounds):
        for label, code in codes.items():
            runs[label] += run_in_process(READY + code + timed, 1)
    medians = {label: median_of(found, "seconds") for label, found in runs.items()}
    alone = median_of(runs["transformers"], "alone")
    note = f"model and tokenizer, ours processed; transformers without the tokenizer {alone:.1f} s"
    return [Row("load the GGUF file", medians, note)]


@dataclass(frozen=True)
class Peak:
    """The memory that loading took in a fresh process, in MiB beyond what it held before."""

    model: str
    dtype: str
    processed: bool
    weights: float
    largest: float
    taken: float


def peaks(scratch: Path) -> list[Peak]:
    """Load each kind of file in each precision, processed and not.

    Raises:
        SystemExit: if loading takes more than 1.2 times the weights and one tensor.
    """
    import transformers

    save_gpt2(scratch / "gpt2", random_gpt2_weights())
    sizes = {
        "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "intermediate_size": 1536, "vocab_size": 49_152, "tie_word_embeddings": True,
    }  # fmt: skip
    transformers.utils.logging.disable_progress_bar()
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))
    llama.to(torch.bfloat16).save_pretrained(scratch / "llama")
    del llama
    sources = {
        "SmolLM2-135M, GGUF": NAME,
        "its shape, safetensors in bfloat16": str(scratch / "llama"),
        "GPT-2 small's shape, safetensors in float32": str(scratch / "gpt2"),
    }
    found: list[Peak] = []
    for title, source in sources.items():
        for dtype in ("float32", "bfloat16"):
            for processed in (False, True):
                # What a first load imports is not the model's.
                code = READY + (
                    "import mechscope as ms, gguf.quants\nms.load_model('mini-gelu-1l')\n"
                    "pathlib.Path('/proc/self/clear_refs').write_text('5')\nbefore = peak_mb()\n"
                    f"model = ms.load_model({source!r}, dtype={dtype!r}, process={processed})\n"
                    "print(f'taken={peak_mb() - before}')\n"
                    "weights = [weight for weight in model.parameters()]\n"
                    "print(f'weights={sum(weight.nbytes for weight in weights) / 2**20}')\n"
                    "print(f'largest={max(weight.numel() for weight in weights) * 4 / 2**20}')\n"
                )
                (run,) = run_in_process(code, 1)
                peak = Peak(title, dtype, processed, run["weights"], run["largest"], run["taken"])
                if peak.taken > 1.2 * peak.weights + peak.largest:
                    raise SystemExit(f"loading takes too much memory: {peak}")
                found.append(peak)
    return found


def table(rows: list[Row]) -> str:
    """A Markdown table of times and ratios."""
    labels = ("mechscope", "transformers", "classic")
    headers = [
        "work",
        *(f"{label}, s" for label in labels),
        "matrix products alone, s",
        "transformers ÷ ours",
        "classic ÷ ours",
        "classic ÷ products",
        "note",
    ]
    cells: list[list[str]] = []
    for row in rows:
        times = [
            f"{row.seconds[label]:.2f}" if label in row.seconds else "–" for label in (*labels, PRODUCTS)
        ]
        ratios = [
            f"{row.seconds[label] / row.seconds['mechscope']:.1f}" if label in row.seconds else "–"
            for label in labels[1:]
        ]
        has_both = {"classic", PRODUCTS} <= row.seconds.keys()
        ratios.append(f"{row.seconds['classic'] / row.seconds[PRODUCTS]:.1f}" if has_both else "–")
        cells.append([row.work, *times, *ratios, row.note])
    return markdown_table(headers, cells)


def peak_table(found: list[Peak]) -> str:
    """A Markdown table of memory."""
    headers = ["model", "loaded in", "weights", "weights, MiB", "peak, MiB", "peak ÷ weights"]
    cells = [
        [
            peak.model,
            peak.dtype,
            "processed" if peak.processed else "as stored",
            f"{peak.weights:.0f}",
            f"{peak.taken:.0f}",
            f"{peak.taken / peak.weights:.2f}",
        ]
        for peak in found
    ]
    return markdown_table(headers, cells)


def page(parts: dict[str, Any], rounds: int) -> str:
    """The whole of docs/real-model-benchmarks.md."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformer-lens", "transformers")
    )
    rows = {name: part["rows"] for name, part in parts.items()}
    missing = [part for part in PARTS if part not in parts]
    return fill_page(
        Path(__file__).with_suffix(".md"),
        rounds=rounds,
        sample=SAMPLE,
        missing=f" Not run this time: {', '.join(missing)}." if missing else "",
        table=table([Row(**row) for part in PARTS if part != "peak" for row in rows.get(part, [])]),
        peaks=peak_table([Peak(**row) for row in rows.get("peak", [])]),
        minutes=f"{sum(part['minutes'] for part in parts.values()):.0f}",
        machine=f"Python {platform.python_version()}, {versions}, {platform.machine()}, {os.cpu_count()} cores.",
    )


def main() -> None:
    """Run the requested parts, print the tables, and write the page if all parts are there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--keep", type=Path, help="a JSON file for the results of parts")
    parser.add_argument("--partial", action="store_true", help="write the page even if parts are missing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    from mechscope.checkpoints.packaged_models import packaged_file
    from mechscope.reading import read_json_object
    from mechscope.storage.files import check_file, write_atomically

    try:
        packaged_file(PACKAGED[NAME])
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from error
    target = ROOT / "docs" / "real-model-benchmarks.md"
    check_file(target)
    keep: Path | None = arguments.keep
    parts: dict[str, Any] = dict(read_json_object(keep)) if keep is not None and keep.exists() else {}
    contenders: Contenders | None = None
    for part in (part for part in PARTS if part in arguments.only):
        start = time.monotonic()
        rows: list[Row] | list[Peak]
        with torch.no_grad():
            if part in ("forward", "cache", "sweeps"):
                contenders = contenders or Contenders()
            if part == "load":
                rows = load(arguments.rounds)
            elif part == "peak":
                with tempfile.TemporaryDirectory() as scratch:
                    rows = peaks(Path(scratch))
            elif part == "edges":
                rows = edges()
            else:
                assert contenders is not None
                rows = {"forward": forward, "cache": cache_everything, "sweeps": sweeps}[part](
                    contenders, arguments.rounds
                )
        minutes = (time.monotonic() - start) / 60
        parts[part] = {"rows": [dataclasses.asdict(row) for row in rows], "minutes": minutes}
        if keep is not None:
            write_atomically(keep, json.dumps(parts, indent=1))
        print(table(rows) if part != "peak" else peak_table(rows), f"\n{minutes:.1f} minutes", flush=True)
    if set(PARTS) <= parts.keys() or arguments.partial:
        write_atomically(target, page(parts, arguments.rounds))
        print(f"written to {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
