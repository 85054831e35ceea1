"""The same measures on two small language models, with one layer and with two, at every training checkpoint."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.registry import BUNDLED, bundled_names
from mechscope.checkpoints.schedules import schedule_in
from mechscope.checkpoints.weights_checksum import bundled_checksum
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.labs.induction.correlated_increments import increments_test
from mechscope.labs.induction.head_scores import score_heads
from mechscope.labs.induction.losses import in_context_score, repeated_loss, token_losses
from mechscope.labs.induction.relabelling import Relabelling, relabelling_test
from mechscope.model.transformer import HookedTransformer
from mechscope.runs.training_state import stack_rows
from mechscope.runs.workspace import Workspace
from mechscope.techniques.composition import composition_scores
from mechscope.techniques.head_detectors import random_repeats_for

NAMES = {1: "mini-attn-only-1l", 2: "mini-attn-only-2l"}
"""Layers → bundled model."""
ROWS = 256
"""Sequences of held-out code."""
SEQUENCES = 32
"""Sequences of repeated random tokens."""


@dataclass(frozen=True)
class TextHistory:
    """One language model's scores over its checkpoints."""

    step: Int[Tensor, " step"]
    """Training steps of each checkpoint."""
    prefix: Float[Tensor, "step layer head"]
    """Prefix score of every head, on a block of random tokens repeated twice."""
    previous: Float[Tensor, "step layer head"]
    """Previous-token score of every head, on the same tokens."""
    composition: Float[Tensor, "step head_out head_in"]
    """K-composition of each head of layer 0 with each of layer 1; zeros for a model of one layer."""
    repeated: Float[Tensor, " step"]
    """Loss on the second copy of such a block, in nats."""
    text: Float[Tensor, " step"]
    """Loss on source code that it was not trained on, in nats."""
    gain: Float[Tensor, " step"]
    """In-context gain on that code: loss on the first quarter of a sequence minus loss on the last, in nats."""

    @property
    def best_prefix(self) -> Float[Tensor, " step"]:
        """The largest prefix score of any head."""
        return self.prefix.amax((1, 2))

    def relabelling(self, row: int) -> Relabelling:
        """The test of whether induction heads read previous-token heads, at one checkpoint."""
        return relabelling_test(self.previous[row, 0], self.prefix[row, -1], self.composition[row])

    @property
    def drop(self) -> float:
        """How far the loss on repeated random tokens fell over the training, in nats."""
        return float(self.repeated[0] - self.repeated[-1])


def why_no_text_models() -> str | None:
    """Why these models cannot be studied here, in words; None if they can."""
    absent = [
        name for name in NAMES.values() if name not in bundled_names() or schedule_in(BUNDLED / name) is None
    ]
    if absent:
        return f"this installation comes without {' and '.join(absent)} and their training checkpoints"
    return None


def describe_text_models() -> str:
    """The models that would be read, in words. Other weights give other words."""
    missing = why_no_text_models()
    if missing:
        return f"{missing} (claims 3.10 and 3.11 are not run)"
    sums = [bundled_checksum(name) for name in NAMES.values()]
    return (
        f"{' and '.join(NAMES.values())}, bundled (sha256 {' and '.join(sums)}…); held-out code of Python "
        f"{platform.python_version()}"
    )


def study_text_models(workspace: Workspace) -> dict[int, TextHistory] | None:
    """Number of layers → history of that model; None if the models are not bundled."""
    if why_no_text_models() is not None:
        return None
    found: dict[int, TextHistory] = {}
    for n_layers, name in NAMES.items():

        def compute(name: str = name) -> dict[str, Tensor]:
            with workspace.bar(len(_steps(name)), f"checkpoints of {name}") as bar:
                evaluations: list[dict[str, Tensor]] = []
                code: Tensor | None = None
                for step, model in checkpoints(name, workspace.device):
                    # All checkpoints have the same tokenizer.
                    code = held_out_code(model) if code is None else code
                    evaluations.append(
                        {"step": torch.tensor(step), **evaluate(model, code, workspace.seeds[0])}
                    )
                    bar.update()
            return stack_rows(evaluations)

        part = workspace.load_or_compute(name, compute)
        found[n_layers] = TextHistory(**{key: value.cpu() for key, value in part.items()})
    return found


def checkpoints(name: str, device: torch.device) -> Iterator[tuple[int, HookedTransformer]]:
    """(step, model) of each bundled training checkpoint, in order."""
    for step in _steps(name):
        yield step, load_model(name, checkpoint_value=step).to(device)


def evaluate(model: HookedTransformer, code: Int[Tensor, "batch pos"], seed: int) -> dict[str, Tensor]:
    """Scores and losses of a language model, on repeated random tokens and on code."""
    device = model.W_E.device
    blocks = random_repeats_for(model, seed, SEQUENCES).to(device)
    losses = token_losses(model, code.to(device))
    scores = score_heads(model, blocks)
    n_heads = model.cfg.n_heads
    composition = torch.zeros(n_heads, n_heads)
    if model.cfg.n_layers == 2:
        found = composition_scores(model, "K", seed=seed, progress=False).scores
        composition = torch.as_tensor(found.values.values.copy(), dtype=torch.float32)
    return {
        "prefix": scores.prefix,
        "previous": scores.previous,
        "composition": composition,
        "repeated": torch.tensor(repeated_loss(token_losses(model, blocks), blocks.shape[1] // 2)),
        "text": losses.mean().cpu(),
        "gain": torch.tensor(-in_context_score(losses)),
    }


def held_out_code(model: HookedTransformer) -> Int[Tensor, "batch pos"]:
    """Sequences of a BOS and a full context of source code that the bundled family was not trained on.

    Raises:
        ValueError: for a model without a tokenizer.
    """
    if model.tokenizer is None:
        raise ValueError(
            "this model has no tokenizer to read code with; set one with model.set_tokenizer(…)."
        )
    library = read_standard_library()
    text = "\n".join(library[name] for name in HELD_OUT_CODE)
    tokens = model.to_tokens(text, prepend_bos=True, truncate=False)[0]
    bos, rest = tokens[:1], tokens[1:]
    width = model.cfg.n_ctx - 1
    rows = rest[: min(ROWS, len(rest) // width) * width].view(-1, width)
    return torch.cat([bos.expand(len(rows), 1), rows], dim=1)


def text_measures(found: dict[int, TextHistory]) -> dict[str, float]:
    """The measures of the claims about the language models."""
    one, two = found[1], found[2]
    together = increments_test(two.best_prefix, -two.repeated)
    # The null: one of the curves is shifted by a checkpoint. Of the two shifts, the one with the smaller p counts.
    shifted = min(
        increments_test(two.best_prefix[1:], -two.repeated[:-1]),
        increments_test(two.best_prefix[:-1], -two.repeated[1:]),
        key=lambda test: test.p,
    )
    tests = [two.relabelling(row) for row in (0, -1)]
    return {
        "text_prefix_2l": float(two.best_prefix[-1]),
        "text_prefix_1l": float(one.best_prefix[-1]),
        "text_drop_2l": two.drop,
        "text_drop_1l": one.drop,
        "text_gain_2l": float(two.gain[-1]),
        "text_gain_1l": float(one.gain[-1]),
        "text_loss_2l": float(two.text[-1]),
        "text_loss_1l": float(one.text[-1]),
        "text_together_r": together.r,
        "text_together_p": together.p,
        "text_shifted_r": shifted.r,
        "text_shifted_p": shifted.p,
        "text_relabelling_p_untrained": tests[0].p,
        "text_relabelling_p": tests[1].p,
        "text_checkpoints": float(len(two.step)),
    }


def _steps(name: str) -> tuple[int, ...]:
    schedule = schedule_in(BUNDLED / name)
    return () if schedule is None else schedule.steps
