"""The trained two-layer model as a folder that `load_model` reads: half-precision weights and a card."""

from __future__ import annotations

from pathlib import Path

from mechscope.checkpoints.save import save_model
from mechscope.labs.induction.config import InductionConfig
from mechscope.labs.induction.measures import Analysis
from mechscope.labs.induction.training import TrainedModel

CARD = """# induction-2l

A two-layer attention-only transformer that was trained by mechscope on random tokens with a repeated segment, and
nothing else. It copies: after `… A B … A` it says `B`. It knows no language.

- Made by: `mechscope run induction --seed {seed}` and `mechscope.labs.induction.export_model`, {steps} training
  steps, seed {seed}.
- Tokens: 0 to {last} stand for nothing in particular; {bos} is the beginning of a sequence and belongs first. There is
  no tokenizer.
- Shape: 2 layers, {n_heads} heads of {d_head}, d_model {d_model}, context {n_ctx}, LayerNorm, positions added to
  queries and keys only (shortformer). {size} stored in float16.
- Circuit: previous-token heads {previous}; induction heads {induction} (prefix score {prefix}). Ablating the former
  leaves the latter a prefix score of {without}.
- Loss on the second copy of a repeated block: {repeated} nats (guessing costs {guessing}).
- Licence: MIT, like mechscope.
"""


def export_model(
    trained: TrainedModel, analysis: Analysis, config: InductionConfig, seed: int, folder: str | Path
) -> Path:
    """Write the model to `folder` as float16 safetensors with its config and a card.

    Raises:
        FileExistsError: if the folder holds something that mechscope did not write.
    """

    def heads(chosen: tuple[tuple[int, int], ...]) -> str:
        return ", ".join(f"{layer}.{head}" for layer, head in chosen)

    count = sum(parameter.numel() for parameter in trained.model.parameters())
    card = CARD.format(
        seed=seed,
        steps=f"{config.steps:,}",
        last=config.n_tokens - 1,
        bos=config.n_tokens,
        n_heads=config.n_heads,
        d_head=config.d_head,
        d_model=config.d_model,
        n_ctx=config.n_ctx,
        size=f"{count:,} numbers,",
        previous=heads(analysis.previous_heads),
        induction=heads(analysis.induction_heads),
        prefix=f"{float(analysis.prefix.max()):.2f}",
        without=f"{float(analysis.prefix_without_previous.max()):.2f}",
        repeated=f"{float(trained.history.repeated[-1]):.2f}",
        guessing=f"{config.guessing_loss:.2f}",
    )
    return save_model(trained.model, folder, dtype="float16", card=card)
