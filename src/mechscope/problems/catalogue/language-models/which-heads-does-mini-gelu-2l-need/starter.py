"""Measure what each head of mini-gelu-2l is worth on Python code, alone and together with the other spare ones."""

import inspect
import textwrap

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

KEPT = 4
"""How many of the eight heads may stay."""


def starting_point(seed: int = 0) -> StartingPoint:
    """The heads ranked by what each costs alone, and the cost of removing the lower half of the ranking at once."""
    model = ms.load_model("mini-gelu-2l")
    cfg = model.cfg
    # A module that the model was not trained on, in rows of one context each. The seed decides which rows.
    ids = model.to_tokens(inspect.getsource(textwrap), prepend_bos=False, truncate=False)[0]
    rows = ids[: len(ids) // 63 * 63].reshape(-1, 63)
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:64]]
    tokens = torch.cat([model.to_tokens("")[:, :1].expand(len(rows), 1), rows], 1)
    names = [f"blocks.{layer}.attn.hook_z" for layer in range(cfg.n_layers)]
    with torch.no_grad():
        loss, cache = model.run_with_cache(tokens, return_type="loss", names_filter=names)
    means = {name: cache[name].mean((0, 1)) for name in names}

    def cost(removed: list[tuple[int, int]]) -> float:
        """Nats per token lost when heads give their mean output everywhere."""

        def to_mean(z, hook):
            for layer, head in removed:
                if hook.name == names[layer]:
                    z[:, :, head] = means[hook.name][head]
            return z

        hooks = [(names[layer], to_mean) for layer in sorted({layer for layer, _ in removed})]
        with torch.no_grad():
            return float(model.run_with_hooks(tokens, return_type="loss", fwd_hooks=hooks) - loss)

    heads = [(layer, head) for layer in range(cfg.n_layers) for head in range(cfg.n_heads)]
    alone = {head: cost([head]) for head in heads}
    ranked = sorted(heads, key=lambda head: alone[head], reverse=True)
    spare = ranked[KEPT:]
    together, added = cost(spare), sum(alone[head] for head in spare)
    figure = viz.bars(
        [f"{layer}.{head}" for layer, head in ranked],
        {"alone": [alone[head] for head in ranked]},
        title="What each head of mini-gelu-2l is worth on Python code",
        x_title="head (layer.head)",
        y_title="loss added by its mean (nats per token)",
    )
    return StartingPoint(
        baseline={
            "loss of the whole model (nats per token)": float(loss),
            "loss added by removing the four heads that cost least alone (nats per token)": together,
            "sum of what these four cost alone (nats per token)": added,
        },
        figure=figure,
        caption=(
            f"The head at the top of the ranking is {ranked[0][0]}.{ranked[0][1]}, worth {alone[ranked[0]]:.2f} nats. "
            f"The last four add up to {added:.2f} nats, and removing them together costs {together:.2f}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
