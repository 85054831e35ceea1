"""Sample the next token from its logits."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int

from mechscope.arguments import checked_arguments
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import Tokens


@checked_arguments
def sample_logits(
    final_logits: Float[torch.Tensor, "batch d_vocab"],
    top_k: int | None = None,
    top_p: float | None = None,
    temperature: float = 1.0,
    freq_penalty: float = 0.0,
    tokens: Int[torch.Tensor, "batch pos"] | None = None,
    generator: torch.Generator | None = None,
    *,
    repetition_penalty: float = 1.0,
) -> Int[torch.Tensor, " batch"]:
    """Sample one token per row, from logits [batch d_vocab] -> [batch].

    Args:
        final_logits: the logits of the next token.
        top_k: sample only from the k likeliest tokens.
        top_p: sample only from the smallest set of likeliest tokens with at least this probability (nucleus sampling,
            Holtzman et al. 2020).
        temperature: divide the logits by this; 0 takes the likeliest token.
        freq_penalty: subtract this from a token's logit for each time that it occurs in `tokens`; tokens without a
            logit (d_vocab_out below d_vocab) do not count.
        tokens: the tokens so far [batch pos]; the padding of `Tokens` does not count.
        generator: the source of randomness; None means torch's global generator.
        repetition_penalty: divide the positive logit of a token that occurs in `tokens` by this, and multiply a
            negative one (Keskar et al. 2019); 1 has no effect.

    Raises:
        ValueError: for impossible options, NaN logits, or a row without a finite logit.
    """
    if not 0 < repetition_penalty < float("inf"):
        raise ValueError(f"repetition_penalty must be a positive number, not {repetition_penalty}.")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be a finite number of at least 0, not {temperature}.")
    if not abs(freq_penalty) < float("inf"):
        raise ValueError(f"freq_penalty must be finite, not {freq_penalty}.")
    if not bool((final_logits > -torch.inf).any(-1).all()) or bool(final_logits.isnan().any()):
        raise ValueError("the logits hold NaN, or a row of −∞ only: there is no token to sample.")
    final_logits = at_least_float32(final_logits)
    if repetition_penalty != 1:
        if tokens is None:
            raise ValueError("repetition_penalty needs the tokens so far: pass them as `tokens`.")
        final_logits = _without_repetition(final_logits, tokens, repetition_penalty)
    if freq_penalty:
        if tokens is None:
            raise ValueError("freq_penalty needs the tokens so far: pass them as `tokens`.")
        counts = torch.zeros_like(final_logits)
        known = (tokens < counts.shape[1]) & Tokens(tokens).is_real
        counts.scatter_add_(1, tokens.masked_fill(~known, 0), known.to(counts))
        final_logits = final_logits - freq_penalty * counts
    if temperature == 0:
        return final_logits.argmax(-1)
    logits = final_logits / temperature
    if top_k is not None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}.")
        smallest = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest, -torch.inf)
    if top_p is not None:
        logits = _nucleus(logits, top_p)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)


def _nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}.")
    ordered, order = logits.sort(dim=-1, descending=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    outside = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= top_p)
    return logits.masked_fill(outside, -torch.inf)


def _without_repetition(logits: torch.Tensor, tokens: torch.Tensor, penalty: float) -> torch.Tensor:
    known = (tokens < logits.shape[1]) & Tokens(tokens).is_real
    seen = torch.zeros_like(logits).scatter_add_(
        1, tokens.clamp(max=logits.shape[1] - 1), known.to(logits.dtype)
    )
    return torch.where(seen > 0, torch.where(logits > 0, logits / penalty, logits * penalty), logits)
