"""Compare one epoch of step 02 (p = 113) with transformer-lens and our plain transformer; write docs/grokking-step.md.

    python -m benchmarks.grokking_step [--rounds 15] [--wall]

One thread, CPU seconds, in alternation. All start from the same weights, and their losses and gradients are compared
before timing. `--wall` adds the wall-clock time of our step on all cores, which is meaningful only if nothing else runs
on the machine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import torch  # noqa: E402

from benchmarks.measure import Timing, alternate  # noqa: E402
from mechscope.labs.grokking import ModelConfig  # noqa: E402
from mechscope.labs.grokking.full_batch import TRAINED, FullBatch  # noqa: E402
from mechscope.labs.grokking.pairs import split_pairs  # noqa: E402
from mechscope.labs.grokking.training import initial_weights, to_transformer  # noqa: E402
from mechscope.pages.tables import markdown_table  # noqa: E402
from mechscope.pages.text_template import fill_page  # noqa: E402
from mechscope.storage.files import check_file, write_atomically  # noqa: E402

OPTIONS = {"lr": 1e-3, "betas": (0.9, 0.98), "weight_decay": 1.0}
OUTPUT = Path(__file__).parent.parent / "docs" / "grokking-step.md"
Step = Callable[[], torch.Tensor]


def our_step(config: ModelConfig, start: dict[str, torch.Tensor]) -> tuple[Step, dict[str, torch.Tensor]]:
    """The lab's step."""
    train, _ = split_pairs(config.p, config.n_train, 0)
    weights = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
    optimizer = torch.optim.AdamW(list(weights.values()), fused=True, **OPTIONS)
    batch = FullBatch(train)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = batch.loss(weights)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, weights


def model_step(config: ModelConfig, model: torch.nn.Module) -> tuple[Step, dict[str, torch.Tensor]]:
    """A step with a transformer that computes every position."""
    train, _ = split_pairs(config.p, config.n_train, 0)
    named = dict(model.named_parameters())
    weights = {name: named[name] for name in TRAINED}
    for name, parameter in named.items():
        parameter.requires_grad_(name in TRAINED)
    optimizer = torch.optim.AdamW(list(weights.values()), fused=True, **OPTIONS)
    tokens = train.tokens()

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        logits = model(tokens)[:, -1]
        loss = torch.nn.functional.cross_entropy(logits.double(), train.answer)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, weights


def classic_model(config: ModelConfig, state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The same weights in transformer-lens."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=1,
            d_model=config.d_model,
            n_ctx=3,
            d_head=config.d_model // config.n_heads,
            n_heads=config.n_heads,
            d_mlp=config.d_mlp,
            d_vocab=config.p + 1,
            d_vocab_out=config.p,
            act_fn="relu",
            normalization_type=None,
            init_weights=False,
            device="cpu",
        )
    )
    contiguous = {name: value.contiguous() for name, value in state.items()}
    model.load_state_dict({**model.state_dict(), **contiguous})
    return model


def must_agree(contenders: dict[str, tuple[Step, dict[str, torch.Tensor]]]) -> str:
    """Take one step with each; stop unless losses and gradients are ours."""
    losses = {label: float(step()) for label, (step, _) in contenders.items()}
    ours = contenders["mechscope"][1]
    worst = 0.0
    for label, (_, weights) in contenders.items():
        for name in TRAINED:
            mine, theirs = ours[name].grad, weights[name].grad
            worst = max(worst, float((mine - theirs).norm() / mine.norm()))
        if not (abs(losses[label] - losses["mechscope"]) < 1e-5 and worst < 1e-3):
            raise SystemExit(f"{label} disagrees: loss {losses[label]}, gradients by {worst:.1e}")
    return f"losses {losses['mechscope']:.6f}, equal to 1e-5; gradients equal to {worst:.0e}"


def wall_clock(step: Step, rounds: int) -> float:
    """Median seconds of a step with every core."""
    torch.set_num_threads(os.cpu_count() or 1)
    seconds: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def markdown(config: ModelConfig, timing: Timing, wall: float | None) -> str:
    """The page."""
    classic = importlib.metadata.version("transformer-lens")
    about = {
        "mechscope": "step 02's own step, which sums rows of precomputed tables",
        "plain": "mechscope's `HookedTransformer` at every position, with autograd",
        "classic": f"transformer-lens {classic}, likewise",
    }
    rows = [
        [label, f"{1000 * timing.seconds[label]:.0f}", f"{timing.ratio_to_ours[label]:.1f}", what]
        for label, what in about.items()
    ]
    return fill_page(
        Path(__file__).with_suffix(".md"),
        p=config.p,
        pairs=f"{config.n_train:,}",
        rounds=timing.rounds,
        agreement=timing.note,
        table=markdown_table(["contender", "ms", "÷ ours", "what it is"], rows),
        wall=wall,
        cores=os.cpu_count(),
        machine=f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}, "
        f"{os.cpu_count()} cores.",
    )


def main() -> None:
    """Compare, time, print and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--wall", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    check_file(OUTPUT)
    config = ModelConfig()
    start = initial_weights(config, 0)
    plain = to_transformer(config, start)
    contenders = {
        "mechscope": our_step(config, start),
        "plain": model_step(config, plain),
        "classic": model_step(config, classic_model(config, plain.state_dict())),
    }
    note = must_agree(contenders)
    steps = {label: step for label, (step, _) in contenders.items()}
    timing = alternate("a step", steps, arguments.rounds, note=note)
    wall = wall_clock(steps["mechscope"], 10 * arguments.rounds) if arguments.wall else None
    page = markdown(config, timing, wall)
    write_atomically(OUTPUT, page)
    print(page)


if __name__ == "__main__":
    main()
