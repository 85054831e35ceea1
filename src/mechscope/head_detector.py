"""Find heads whose attention follows a given pattern: previous token, duplicate token, induction.

Source: Elhage et al. 2021 and Olsson et al. 2022 for what these heads are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int

from mechscope.arguments import checked_arguments
from mechscope.model.layer_checks import check_has_layers
from mechscope.model.names import get_act_name
from mechscope.model.precision import at_least_float32
from mechscope.model.token_ids import is_text, token_ids

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

HeadName = Literal["previous_token_head", "duplicate_token_head", "induction_head"]
ErrorMeasure = Literal["abs", "mul"]
LayerHeadTuple = tuple[int, int]
LayerToHead = Mapping[int, Sequence[int]]
Heads = Sequence[LayerHeadTuple] | LayerToHead | None
NOT_SCORED = -1.0


@checked_arguments
def get_previous_token_head_detection_pattern(
    tokens: Int[torch.Tensor, "*one pos"],
) -> Float[torch.Tensor, "pos pos"]:
    """1 from each position to the previous one [pos pos], for tokens [1 pos]."""
    length = _one_sequence(tokens).shape[0]
    return torch.diag(torch.ones(length - 1, device=tokens.device), diagonal=-1)


@checked_arguments
def get_duplicate_token_head_detection_pattern(
    tokens: Int[torch.Tensor, "*one pos"],
) -> Float[torch.Tensor, "pos pos"]:
    """1 from each position to earlier copies of its token [pos pos], for tokens [1 pos]."""
    sequence = _one_sequence(tokens)
    return (sequence[:, None] == sequence).float().tril(diagonal=-1)


@checked_arguments
def get_induction_head_detection_pattern(
    tokens: Int[torch.Tensor, "*one pos"],
) -> Float[torch.Tensor, "pos pos"]:
    """1 from each position to the tokens after earlier copies of its token [pos pos], for tokens [1 pos].

    >>> get_induction_head_detection_pattern(torch.tensor([[7, 8, 7]]))
    tensor([[0., 0., 0.],
            [0., 0., 0.],
            [0., 1., 0.]])
    """
    duplicates = get_duplicate_token_head_detection_pattern(tokens)
    # Shift to the right by one; the first column, which the last one wraps around to, is empty.
    shifted = torch.roll(duplicates, shifts=1, dims=1)
    shifted[:, 0] = 0
    return shifted


DETECTION_PATTERNS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "previous_token_head": get_previous_token_head_detection_pattern,
    "duplicate_token_head": get_duplicate_token_head_detection_pattern,
    "induction_head": get_induction_head_detection_pattern,
}
HEAD_NAMES = tuple(DETECTION_PATTERNS)


@checked_arguments
def get_supported_heads() -> tuple[str, ...]:
    """The heads that `detect_head` knows by name."""
    return HEAD_NAMES


@checked_arguments
def detect_head(
    model: HookedTransformer,
    seq: str | list[Any] | tuple[Any, ...] | Int[torch.Tensor, "*batch pos"],
    detection_pattern: Float[torch.Tensor, "pos pos"] | HeadName,
    heads: Heads = None,
    cache: Any = None,
    *,
    exclude_bos: bool = False,
    exclude_current_token: bool = False,
    error_measure: ErrorMeasure = "mul",
) -> Float[torch.Tensor, "layer head"]:
    """Score how well the attention of every head agrees with a pattern [layer head].

    Args:
        model: the model.
        seq: a text, several (the scores are averaged), or token ids [pos] or [batch pos], in a tensor or lists.
        detection_pattern: the name of a kind of head, or a lower triangular matrix [dest_pos src_pos].
        heads: (layer, head) pairs, or lists of heads by layer; all other heads score -1. None means all heads.
        cache: the activations of a run on `seq`, which must be a single sequence; None runs the model.
        exclude_bos: ignore attention to the first token.
        exclude_current_token: ignore attention of a token to itself.
        error_measure: "mul" is the share of attention that the pattern covers (0 to 1, for a pattern of
            zeros and ones); "abs" is 1 minus the mean over positions of the summed absolute difference.

    Raises:
        ValueError: for an unknown kind of head, a pattern of another shape or not lower triangular, a sequence of fewer
            than two tokens or too long for the model, or a head that the model does not have.

    >>> from mechscope.model.transformer import HookedTransformer
    >>> model = HookedTransformer({"n_layers": 1, "d_model": 8, "n_ctx": 8, "d_head": 4, "d_vocab": 5,
    ...                            "attn_only": True, "seed": 0})
    >>> detect_head(model, [0, 1, 2, 0, 1, 2], "induction_head").shape
    torch.Size([1, 2])
    """
    if error_measure not in ("abs", "mul"):
        raise ValueError(f"error_measure must be 'mul' or 'abs', not {error_measure!r}.")
    check_has_layers(model, "detecting heads")
    chosen = _chosen_heads(model, heads)
    sequences = _sequences(model, seq)
    if cache is not None and len(sequences) > 1:
        raise ValueError(
            f"a cache belongs to one run, but seq has {len(sequences)} sequences; leave cache out."
        )
    dtype = torch.promote_types(model.cfg.dtype, torch.float32)
    total = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, device=model.cfg.device, dtype=dtype)
    for tokens in sequences:
        pattern = _detection_pattern(detection_pattern, tokens)
        if error_measure == "mul" and not bool(((pattern == 0) | (pattern == 1)).all()):
            raise ValueError(
                "error_measure='mul' needs a pattern of zeros and ones, but this one has other values; use "
                "error_measure='abs'."
            )
        total += _scores(model, tokens, pattern, cache, exclude_bos, exclude_current_token, error_measure)
    scores = torch.full_like(total, NOT_SCORED)
    layers, numbers = (list(part) for part in zip(*chosen, strict=True)) if chosen else ([], [])
    scores[layers, numbers] = total[layers, numbers] / len(sequences)
    return scores


@checked_arguments
def compute_head_attention_similarity_score(
    attention_pattern: Float[torch.Tensor, "pos pos"],
    detection_pattern: Float[torch.Tensor, "pos pos"],
    *,
    exclude_bos: bool,
    exclude_current_token: bool,
    error_measure: ErrorMeasure,
) -> float:
    """How well one head's attention [dest_pos src_pos] agrees with a pattern (see `detect_head`)."""
    return float(
        _agreement(attention_pattern, detection_pattern, exclude_bos, exclude_current_token, error_measure)
    )


def _agreement(
    attention: torch.Tensor,
    pattern: torch.Tensor,
    exclude_bos: bool,
    exclude_current_token: bool,
    error_measure: ErrorMeasure,
) -> torch.Tensor:
    """The scores [...] of attention [... dest_pos src_pos]."""
    counted = torch.ones_like(pattern)
    if exclude_bos:
        counted[:, 0] = 0
    if exclude_current_token:
        counted.fill_diagonal_(0)
    if error_measure == "mul":
        attention = at_least_float32(attention) * counted
        total = attention.sum((-1, -2))
        # If no attention is counted, the score is 0.
        return (attention * pattern).sum((-1, -2)) / total.masked_fill(total == 0, 1.0)
    difference = (at_least_float32(attention) - pattern).abs() * counted
    return 1 - difference.sum((-1, -2)) / pattern.shape[0]


def _scores(
    model: HookedTransformer,
    tokens: torch.Tensor,
    pattern: torch.Tensor,
    cache: Any,
    exclude_bos: bool,
    exclude_current_token: bool,
    error_measure: ErrorMeasure,
) -> torch.Tensor:
    names = [get_act_name("pattern", layer) for layer in range(model.cfg.n_layers)]
    if cache is None:
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, return_type=None, names_filter=names)
    attention = torch.stack([cache[name].reshape(-1, *cache[name].shape[-2:]) for name in names])
    expected = (model.cfg.n_heads, *pattern.shape)
    if tuple(attention.shape[1:]) != expected:
        raise ValueError(
            f"the cache holds attention of shape {tuple(attention.shape[1:])}, but this sequence needs {expected}; "
            "make the cache from a run on the same single sequence."
        )
    pattern = pattern.to(attention.device, attention.dtype)
    return _agreement(attention, pattern, exclude_bos, exclude_current_token, error_measure)


def _sequences(
    model: HookedTransformer, seq: str | list[Any] | tuple[Any, ...] | torch.Tensor
) -> list[torch.Tensor]:
    """Each sequence as tokens [1 pos]."""
    if is_text(seq) or not len(seq):
        texts = [seq] if isinstance(seq, str) else list(seq)
        if not texts:
            raise ValueError("there is no sequence to detect heads on: the list is empty.")
        sequences: list[torch.Tensor] = [model.to_tokens(text, truncate=False) for text in texts]  # type: ignore[arg-type]
    else:
        ids = seq if isinstance(seq, torch.Tensor) else token_ids(seq)
        rows = model.as_tokens(ids.reshape(-1, ids.shape[-1]))
        sequences = [row.ids[row.is_real][None] for row in rows]
    for tokens in sequences:
        length = tokens.shape[-1]
        if not 1 < length <= model.cfg.n_ctx:
            raise ValueError(
                f"a sequence of {length} tokens cannot be used: it needs at least 2 and at most the model's "
                f"context of {model.cfg.n_ctx}."
            )
    return sequences


def _detection_pattern(pattern: torch.Tensor | str, tokens: torch.Tensor) -> torch.Tensor:
    if isinstance(pattern, str):
        if pattern not in DETECTION_PATTERNS:
            raise ValueError(
                f"there is no detection pattern {pattern!r}; give a matrix, or one of {', '.join(HEAD_NAMES)}."
            )
        return DETECTION_PATTERNS[pattern](tokens)
    length = tokens.shape[-1]
    if pattern.shape != (length, length) or not torch.equal(pattern, pattern.tril()):
        raise ValueError(
            f"the detection pattern must be lower triangular of shape {(length, length)}, one row and column for "
            f"each token; this one has shape {tuple(pattern.shape)}"
            + (" and entries above the diagonal." if pattern.shape == (length, length) else ".")
        )
    return pattern.to(tokens.device)


def _chosen_heads(model: HookedTransformer, heads: Heads) -> list[tuple[int, int]]:
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    if heads is None:
        return [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    if isinstance(heads, Mapping):
        pairs = [(layer, head) for layer, numbers in heads.items() for head in numbers]
    else:
        pairs = [(layer, head) for layer, head in heads]
    for layer, head in pairs:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise ValueError(
                f"there is no head {head} in layer {layer}: this model has {n_layers} layers of {n_heads} heads."
            )
    return pairs


def _one_sequence(tokens: torch.Tensor) -> torch.Tensor:
    if tokens.ndim == 2 and tokens.shape[0] == 1:
        return tokens[0]
    if tokens.ndim == 1:
        return tokens
    raise ValueError(f"a detection pattern needs one sequence [1 pos] or [pos], not {tuple(tokens.shape)}.")
