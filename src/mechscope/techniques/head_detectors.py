"""Head detectors: how much each head attends like heads of a known kind.

Sources: Elhage et al. 2021 and Olsson et al. 2022 for previous-token, duplicate-token and induction heads; Xiao et al.
2023 for attention to the first token.

How it misleads. A score says where a head attends on these prompts, not what it does with what it reads there, nor
that anything uses its output: check with an ablation. On random tokens many heads attend to the first token, which
lowers every other score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int, Shaped

from mechscope.arguments import checked_arguments
from mechscope.data.repeated_tokens import repeated_twice
from mechscope.model.layer_checks import check_has_layers
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import Tokens
from mechscope.results import Provenance, Result, make_result
from mechscope.techniques._attention_targets import TARGETS, Target, make_target
from mechscope.techniques._inputs import Prompts, TaskOrTokens, as_prompts

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

DEFAULT_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class DetectedHeads:
    """Every head's score for every pattern."""

    scores: Result
    """Share of attention (label, layer, head); the labels are the names of the patterns."""
    spread: Result | None
    """Standard deviation over seeds; None if tokens were given."""

    def of(self, pattern: str) -> Result:
        """One pattern's scores (layer, head).

        Raises:
            KeyError: for a pattern that was not scored.
        """
        names = self.scores.values.coords["label"].values.tolist()
        if pattern not in names:
            raise KeyError(f"there are no scores for {pattern!r}, only for {', '.join(names)}.")
        return self.scores.replace(
            values=self.scores.values.sel(label=pattern).drop_vars("label"),
            title=f"{pattern.capitalize()} score",
        )

    def heads(self, pattern: str, threshold: float = 0.4) -> list[tuple[int, int]]:
        """(layer, head) of every head that scores at least `threshold`, highest score first."""
        values = self.of(pattern).values
        found = [
            (float(values[layer, head]), layer, head)
            for layer in range(values.sizes["layer"])
            for head in range(values.sizes["head"])
        ]
        return [(layer, head) for score, layer, head in sorted(found, reverse=True) if score >= threshold]

    def figure(self) -> Any:
        """One heat map (layer, head) for each pattern, side by side."""
        from mechscope.viz.panels import heatmap_panels

        names = [str(name) for name in self.scores.values.coords["label"].values]
        return heatmap_panels(
            {name: self.scores.values.sel(label=name).values for name in names},
            title="Share of attention that matches each pattern",
            x_title="head",
            y_title="layer",
            unit="attention",
            limits=(0.0, 1.0),
            top_row_first=False,
        )

    def show(self) -> Any:
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure


@checked_arguments
def head_scores(
    model: HookedTransformer,
    data: TaskOrTokens | None = None,
    pattern: Target = "induction",
    *,
    seeds: Sequence[int] = DEFAULT_SEEDS,
    batch_size: int = 16,
    attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None,
) -> Result:
    """Mean attention of every head to the keys of a pattern (layer, head), 0 to 1.

    The mean is over the queries that have such a key; if a query has several, their attention is summed.

    Args:
        data: a task or tokens [batch pos]; None uses repeated random tokens, for each seed.
        pattern: "previous" (the position before), "duplicate" (earlier copies of the token), "induction" (the tokens
            after earlier copies), "first" (position 0), "same" (the query itself), a matrix [query key], or a
            function from tokens [batch pos] to [batch query key].
        seeds: seeds of the random tokens.
        batch_size: prompts per pass.
        attention_mask: for plain tokens, True where a token is real; None uses their own mask.

    Raises:
        KeyError: for an unknown pattern.
        ValueError: for a pattern that does not fit, or that has no keys on these tokens.

    >>> import mechscope as ms
    >>> scores = head_scores(ms.load_model("induction-2l"), pattern="induction", seeds=(0,)).values
    >>> bool(scores.sel(layer=1).max() > 0.5)
    True
    """
    name = pattern if isinstance(pattern, str) else getattr(pattern, "__name__", "custom pattern")
    found = detect_heads(
        model, data, {name: pattern}, seeds=seeds, batch_size=batch_size, attention_mask=attention_mask
    )
    return found.of(name)


@checked_arguments
def detect_heads(
    model: HookedTransformer,
    data: TaskOrTokens | None = None,
    patterns: Mapping[str, Target] | Sequence[str] = tuple(TARGETS),
    *,
    seeds: Sequence[int] = DEFAULT_SEEDS,
    batch_size: int = 16,
    attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None,
) -> DetectedHeads:
    """Score every head for several patterns in the same passes (label, layer, head).

    Other arguments and errors are those of `head_scores`.

    Args:
        patterns: names of known patterns, or a mapping from names to patterns of your own.
    """
    wanted: dict[str, Target] = (
        dict(patterns) if isinstance(patterns, Mapping) else {str(name): str(name) for name in patterns}
    )
    if not wanted:
        raise ValueError("the list of patterns is empty; name at least one.")
    if data is not None:
        prompts = as_prompts(model, data, attention_mask=attention_mask)
        values = _scores(model, prompts, wanted, batch_size)
        return DetectedHeads(_result(values, wanted, prompts.provenance), None)
    if attention_mask is not None:
        raise ValueError("attention_mask needs tokens, but `data` was not given.")
    if not seeds:
        raise ValueError("random tokens need at least one seed.")
    draws: list[torch.Tensor] = []
    provenance: Provenance | None = None
    for seed in seeds:
        prompts = as_prompts(model, random_repeats_for(model, seed), "random tokens, twice")
        provenance = Provenance(prompts.provenance.model, prompts.provenance.task, seeds[0])
        draws.append(_scores(model, prompts, wanted, batch_size))
    stack = torch.stack(draws)
    assert provenance is not None
    spread = None
    if len(seeds) > 1:
        spread = _result(stack.std(0), wanted, provenance, "standard deviation over seeds")
    return DetectedHeads(_result(stack.mean(0), wanted, provenance), spread)


def random_repeats_for(
    model: HookedTransformer, seed: int, batch: int = 10, longest: int = 50
) -> Int[torch.Tensor, "batch pos"]:
    """BOS, then the same random tokens twice, for this model's vocabulary and context.

    BOS is the tokenizer's begin token; without a tokenizer it is the last token, as in the bundled models.

    Raises:
        ValueError: if the context is too short for a repeat.
    """
    half = min(longest, (model.cfg.n_ctx - 1) // 2)
    if half < 2:
        raise ValueError(f"a context of {model.cfg.n_ctx} positions is too short for a repeat of 2 tokens.")
    generator = torch.Generator().manual_seed(seed)
    bos = getattr(model.tokenizer, "bos_token_id", None)
    last = model.cfg.d_vocab - 1
    tokens = repeated_twice(batch, half, last, generator)
    if bos is not None and bos != last:
        tokens = tokens.masked_fill(tokens == bos, last)
        tokens[:, 0] = bos
    return Tokens(tokens)


def _scores(
    model: HookedTransformer, prompts: Prompts, patterns: Mapping[str, Target], batch_size: int
) -> Float[torch.Tensor, "label layer head"]:
    """Scores summed inside the hooks, so that the patterns of only one layer are in memory at a time."""
    check_has_layers(model, "detecting heads")
    real = prompts.real
    both = real[:, :, None] & real[:, None, :]
    targets = [make_target(pattern, prompts.tokens) * both for pattern in patterns.values()]
    counts = [int(target.to(torch.bool).any(-1).sum()) for target in targets]
    for name, count in zip(patterns, counts, strict=True):
        if not count:
            raise ValueError(
                f"on these prompts no query has a key in the pattern {name!r} (no token occurs twice?), so there is "
                "nothing to score."
            )
    sums = torch.zeros(
        len(targets), model.cfg.n_layers, model.cfg.n_heads, dtype=torch.float64, device=prompts.tokens.device
    )

    def add(rows: slice, layer: int):
        def hook_fn(pattern: Float[torch.Tensor, "batch head query key"], hook: Any) -> None:
            for index, target in enumerate(targets):
                weights = at_least_float32(target[rows, None])
                sums[index, layer] += (at_least_float32(pattern) * weights).sum(
                    (0, 2, 3), dtype=torch.float64
                )

        return hook_fn

    with torch.no_grad():
        for rows in prompts.batches(batch_size):
            hooks: list[Any] = [
                (f"blocks.{layer}.attn.hook_pattern", add(rows, layer)) for layer in range(model.cfg.n_layers)
            ]
            model.run_with_hooks(
                prompts.tokens[rows], return_type=None, fwd_hooks=hooks, attention_mask=prompts.mask_of(rows)
            )
    if not bool(torch.isfinite(sums).all()):
        raise ValueError("attention is not finite on these prompts: does the model give NaN?")
    return sums / torch.tensor(counts, device=sums.device)[:, None, None]


def _result(
    values: torch.Tensor,
    patterns: Mapping[str, Target],
    provenance: Provenance,
    what: str = "mean over prompts",
) -> Result:
    return make_result(
        values,
        ("label", "layer", "head"),
        f"Attention to the keys of each pattern, {what}",
        "attention",
        provenance,
        {"label": list(patterns)},
    )
