"""The mistakes that the checks of unit 03 name."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.induction import checks, reference

# Repeated tokens and losses


def _half(batch, length, d_vocab, seed):
    return torch.randint(d_vocab, (batch, length), generator=torch.Generator().manual_seed(seed))


def _one_for_all(batch, length, d_vocab, seed):
    return _half(1, length, d_vocab, seed).repeat(batch, 2)


def _each_token_twice(batch, length, d_vocab, seed):
    return _half(batch, length, d_vocab, seed).repeat_interleave(2, 1)


def _mirrored(batch, length, d_vocab, seed):
    half = _half(batch, length, d_vocab, seed)
    return torch.cat([half, half.flip(1)], 1)


def _twice_in_batch(batch, length, d_vocab, seed):
    return _half(batch, length, d_vocab, seed).repeat(2, 1)


def _boundary_counted(losses, length):
    return float(losses[:, : length - 1].mean() - losses[:, length - 1 :].mean())


def _boundary_in_first(losses, length):
    return float(losses[:, :length].mean() - losses[:, length:].mean())


def _gap_turned(losses, length):
    return -reference.loss_gap(losses, length)


def _second_only(losses, length):
    return float(losses[:, length:].mean())


# Scores of heads


def _same_token(pattern, length):
    return pattern[:, :, length:].diagonal(0, dim1=-2, dim2=-1).mean((0, -1))


def _token_before(pattern, length):
    # From query length + 1 on, since the first token has none before it.
    return pattern[:, :, length + 1 :].diagonal(0, dim1=-2, dim2=-1).mean((0, -1))


def _last_of_first_copy(pattern, length):
    return pattern.diagonal(-(length - 1), dim1=-2, dim2=-1).mean((0, -1))


def _summed(pattern, length):
    return pattern[:, :, length:].diagonal(1, dim1=-2, dim2=-1).sum(-1).mean(0)


def _over_all_queries(pattern, length):
    return pattern[:, :, length:].diagonal(1, dim1=-2, dim2=-1).sum(-1).mean(0) / pattern.shape[-2]


def _circuit(W_E, W_V, W_O, W_U):
    return W_E @ W_V @ W_O @ W_U


def _by_column(W_E, W_V, W_O, W_U):
    return float((_circuit(W_E, W_V, W_O, W_U).argmax(0) == torch.arange(len(W_E))).float().mean())


def _raised_at_all(W_E, W_V, W_O, W_U):
    return float((_circuit(W_E, W_V, W_O, W_U).diagonal() > 0).float().mean())


def _largest_size(W_E, W_V, W_O, W_U):
    return float((_circuit(W_E, W_V, W_O, W_U).abs().argmax(-1) == torch.arange(len(W_E))).float().mean())


def _lowered_most(W_E, W_V, W_O, W_U):
    return float((_circuit(W_E, W_V, W_O, W_U).argmin(-1) == torch.arange(len(W_E))).float().mean())


def _score(product, W_OV, W_QK):
    return float(product.norm() / (W_OV.norm() * W_QK.norm()))


def _queries_instead(W_OV, W_QK):
    return _score(W_OV @ W_QK, W_OV, W_QK)


def _not_turned(W_OV, W_QK):
    return _score(W_QK @ W_OV, W_OV, W_QK)


def _not_normalised(W_OV, W_QK):
    return float((W_QK @ W_OV.T).norm())


def _spectral(W_OV, W_QK):
    def norm(matrix):
        return torch.linalg.matrix_norm(matrix, 2)

    return float(norm(W_QK @ W_OV.T) / (norm(W_QK) * norm(W_OV)))


# Nulls and baselines


def _never_one_more(score, null_scores):
    return float((null_scores >= score).float().mean())


def _strictly(score, null_scores):
    return float((1 + (null_scores > score).sum()) / (1 + len(null_scores)))


def _other_tail(score, null_scores):
    return float((1 + (null_scores <= score).sum()) / (1 + len(null_scores)))


def _added_above_only(score, null_scores):
    return float((1 + (null_scores >= score).sum()) / len(null_scores))


def _predicted(tokens, *, first=False, offset=1, repeat=False):
    predictions = torch.full_like(tokens, -1)
    for position in range(len(tokens)):
        for earlier in range(position):
            if tokens[earlier] == tokens[position] and not (first and predictions[position] >= 0):
                predictions[position] = tokens[earlier] if repeat else tokens[max(earlier + offset, 0)]
    return predictions


def _first_occurrence(tokens):
    return _predicted(tokens, first=True)


def _token_itself(tokens):
    return _predicted(tokens, repeat=True)


def _came_before(tokens):
    return _predicted(tokens, offset=-1)


def _predictions_of_the_next(tokens):
    predictions = reference.predict_by_induction(tokens)
    return torch.cat([predictions[:1].new_tensor([-1]), predictions[:-1]])


# Wiring


def _wired(d_vocab, n_ctx, **changes):
    weights = reference.wire_induction(d_vocab, n_ctx)
    for name, change in changes.items():
        weights[name] = change(weights[name])
    return weights


def _looks_at_itself(d_vocab, n_ctx):
    def unshifted(K0):
        changed = torch.zeros_like(K0)
        changed[3 * d_vocab + torch.arange(n_ctx), torch.arange(n_ctx)] = 1
        return changed

    return _wired(d_vocab, n_ctx, K0=unshifted)


def _matches_tokens(d_vocab, n_ctx):
    def of_token(K1):
        changed = torch.zeros_like(K1)
        changed[torch.arange(d_vocab), torch.arange(d_vocab)] = 1
        return changed

    return _wired(d_vocab, n_ctx, K1=of_token)


def _first_layer_missing(d_vocab, n_ctx):
    return _wired(d_vocab, n_ctx, O0=torch.zeros_like)


def _position_0_found(d_vocab, n_ctx):
    def found(K1):
        changed = K1.clone()
        changed[3 * d_vocab, :] = 2
        return changed

    return _wired(d_vocab, n_ctx, K1=found)


def _prediction_into_token(d_vocab, n_ctx):
    return _wired(d_vocab, n_ctx, O1=lambda O1: O1.roll(-2 * d_vocab, 1))


MISTAKES = {
    "repeated_tokens": (
        Mistake(_one_for_all, "Every text has the same tokens: draw [batch, length]."),
        Mistake(
            _each_token_twice, "Each token stands twice in a row. The whole half is repeated, not its tokens."
        ),
        Mistake(_mirrored, "The second half runs backwards."),
        Mistake(_twice_in_batch, ""),
    ),
    "loss_gap": (
        Mistake(
            _boundary_counted, "The first token of the second copy was counted, which nobody could know."
        ),
        Mistake(_boundary_in_first, "The first token of the second copy was counted with the first copy."),
        Mistake(_gap_turned, "The sign is turned: first copy minus second."),
        Mistake(_second_only, "This is the loss of the second copy alone."),
    ),
    "induction_score": (
        Mistake(
            _same_token,
            "This looks at the same token in the first copy. Induction looks at the one after it.",
        ),
        Mistake(_token_before, "This looks at the token before the same one."),
        Mistake(_last_of_first_copy, "The last token of the first copy is among your queries."),
        Mistake(_summed, "This is the sum over the queries, not the mean."),
        Mistake(_over_all_queries, "You divided by all positions. Only queries of the second copy count."),
    ),
    "copying_score": (
        Mistake(
            _by_column,
            "You took the largest value per column. What a token does to all logits is a row.",
        ),
        Mistake(_raised_at_all, "You asked whether the own logit rises at all; it has to rise most."),
        Mistake(
            _largest_size, "A logit that falls most has a large magnitude, too: do not take absolute values."
        ),
        Mistake(_lowered_most, "This finds the logit that falls most."),
    ),
    "k_composition": (
        Mistake(
            _queries_instead,
            "This is Q-composition: what the earlier head writes took the place of the query.",
        ),
        Mistake(_not_turned, "The key stands on the right of W_QK, so that W_OV has to be transposed."),
        Mistake(_not_normalised, "Divide by the norms of both matrices."),
        Mistake(_spectral, "This uses the largest singular value. The Frobenius norm is asked for."),
    ),
    "null_p_value": (
        Mistake(
            _never_one_more,
            "This can be 0. The score itself counts as one more draw, above and below the line.",
        ),
        Mistake(_strictly, "At least this high: a draw that equals the score counts."),
        Mistake(_other_tail, "This is the probability of a score at most this high."),
        Mistake(_added_above_only, "The score itself is missing in the number of draws."),
    ),
    "predict_by_induction": (
        Mistake(_first_occurrence, "You took the first occurrence. The most recent one is asked for."),
        Mistake(_token_itself, "You predicted the same token again, not the one that came after it."),
        Mistake(_came_before, "You predicted what came before the earlier occurrence."),
        Mistake(_predictions_of_the_next, "Your predictions stand one position too late."),
    ),
    "wire_induction": (
        Mistake(_looks_at_itself, checks.NO_LAYER_0),
        Mistake(_matches_tokens, checks.SAME_TOKEN),
        Mistake(_first_layer_missing, checks.NO_LAYER_0),
        Mistake(_position_0_found, ""),
        Mistake(_prediction_into_token, ""),
    ),
}
"""Exercise → its known mistakes."""
