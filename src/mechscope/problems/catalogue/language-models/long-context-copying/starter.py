"""How much of the gain from a long context is left when the copying heads are silenced."""

import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

CONTEXTS = [1, 2, 4, 8, 16, 32, 62]


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-2l")
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:800]]
    scores = techniques.head_scores(model, pattern="induction", seeds=(seed,)).values.values[1]
    copying = [int(head) for head in (scores > 0.3).nonzero()[0]]
    feeding = list(range(model.cfg.n_heads))  # induction needs a previous-token head in layer 0

    def loss(context: int, layer: int, heads: list[int]) -> float:
        """Loss on the last token, given the last `context` tokens before it, with some heads silenced."""
        short = torch.cat([rows[:, :1], rows[:, -context - 1 :]], 1)

        def silence(z: torch.Tensor, hook: ms.HookPoint) -> torch.Tensor:
            z[:, :, heads] = z[:, :, heads].mean((0, 1))
            return z

        losses = model.run_with_hooks(
            short,
            return_type="loss",
            loss_per_token=True,
            fwd_hooks=[(f"blocks.{layer}.attn.hook_z", silence)],
        )
        return float(losses[:, -1].mean())

    lines = {
        "as usual": [loss(context, 1, []) for context in CONTEXTS],
        "copying heads silenced": [loss(context, 1, copying) for context in CONTEXTS],
        "attention of layer 0 silenced": [loss(context, 0, feeding) for context in CONTEXTS],
    }
    gains = {name: line[CONTEXTS.index(8)] - line[-1] for name, line in lines.items()}
    figure = viz.curves(
        CONTEXTS,
        lines,
        title="Loss on the same tokens, with more and more context (mini-gelu-2l, Python code)",
        x_title="tokens of context",
        y_title="loss (nats)",
        log_x=True,
        points=True,
    )
    return StartingPoint(
        baseline={
            f"gain from {CONTEXTS[-1]} tokens over 8, {name} (nats)": gain for name, gain in gains.items()
        },
        figure=figure,
        caption=f"From 8 to {CONTEXTS[-1]} tokens of context the loss falls by {gains['as usual']:.2f} nats. Without "
        f"the {len(copying)} copying heads of layer 1 it falls by {gains['copying heads silenced']:.2f}. But without "
        f"attention in layer 0, on which induction depends, it falls by {list(gains.values())[-1]:.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
