"""One full-batch step of step 02 (p = 113) beside the same step by transformer-lens and by our own plain transformer.

    python -m benchmarks.grokking_step [--rounds 7]

All 3,830 training pairs, float32, float64 loss at the last position, gradients, AdamW; one thread, CPU seconds, in
alternation, medians; a ratio is the median of the rounds' ratios. All start from the same weights, and before
anything is timed their losses and gradients are compared.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import statistics
import time
import warnings
from collections.abc import Callable

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import torch  # noqa: E402

from mechscope.labs.grokking import ModelConfig  # noqa: E402
from mechscope.labs.grokking.full_batch import TRAINED, FullBatch  # noqa: E402
from mechscope.labs.grokking.pairs import split_pairs  # noqa: E402
from mechscope.labs.grokking.training import initial_weights, to_transformer  # noqa: E402

OPTIONS = {"lr": 1e-3, "betas": (0.9, 0.98), "weight_decay": 1.0}
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
    """The step as one writes it with a transformer that runs every position."""
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


def main() -> None:
    """Compare, time and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = ModelConfig()
    start = initial_weights(config, 0)
    plain = to_transformer(config, start)
    contenders = {
        "mechscope": our_step(config, start),
        "plain": model_step(config, plain),
        "classic": model_step(config, classic_model(config, plain.state_dict())),
    }
    print(must_agree(contenders))
    seconds: dict[str, list[float]] = {label: [] for label in contenders}
    for _ in range(arguments.rounds):
        for label, (step, _) in contenders.items():
            begun = time.process_time()
            step()
            seconds[label].append(time.process_time() - begun)
    for label, values in seconds.items():
        ratio = statistics.median(v / o for v, o in zip(values, seconds["mechscope"], strict=True))
        print(f"{label:10} {1000 * statistics.median(values):6.0f} ms   {ratio:.1f} × ours")
    version = importlib.metadata.version("transformer-lens")
    print(
        f"plain: HookedTransformer of mechscope; classic: transformer-lens {version}; torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
