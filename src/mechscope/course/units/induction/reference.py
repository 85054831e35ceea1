"""The solutions of unit 03."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def repeated_tokens(batch: int, length: int, d_vocab: int, seed: int) -> Int[Tensor, "batch twice_length"]:
    """Random tokens, and then the same tokens again: what a model can only predict by looking back.

    Draw the first half with torch.randint(d_vocab, (batch, length), generator=torch.Generator().manual_seed(seed)).
    """
    first = torch.randint(d_vocab, (batch, length), generator=torch.Generator().manual_seed(seed))
    return torch.cat([first, first], 1)


def loss_gap(losses: Float[Tensor, "batch prediction"], length: int) -> float:
    """How much lower the mean loss is on the second copy than on the first, in nats.

    losses[:, i] is the loss of the prediction of token i + 1, so there are 2 * length - 1 of them. The first token of
    the second copy cannot be known and counts for neither copy.
    """
    return float(losses[:, : length - 1].mean() - losses[:, length:].mean())


def induction_score(pattern: Float[Tensor, "batch head query key"], length: int) -> Float[Tensor, " head"]:
    """How much each head attends, from a token of the second copy, to the token after the same one in the first copy.

    From query i that is key i - length + 1. The average goes over texts and over all queries of the second copy.
    """
    return pattern[:, :, length:].diagonal(1, dim1=-2, dim2=-1).mean((0, -1))


def copying_score(
    W_E: Float[Tensor, "d_vocab d_model"],
    W_V: Float[Tensor, "d_model d_head"],
    W_O: Float[Tensor, "d_head d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
) -> float:
    """The share of tokens whose own logit a head raises most when it attends to them.

    A head that attends to a token adds that token's row of W_E @ W_V @ W_O @ W_U to the logits.
    """
    circuit = W_E @ W_V @ W_O @ W_U
    return float((circuit.argmax(-1) == torch.arange(len(W_E))).float().mean())


def k_composition(W_OV: Float[Tensor, "d_model d_model"], W_QK: Float[Tensor, "d_model d_model"]) -> float:
    """How strongly the keys of a later head read what an earlier head writes, between 0 and 1.

    W_OV = W_V @ W_O of the earlier head: it writes x @ W_OV. W_QK = W_Q @ W_K.T of the later one: its score is
    query @ W_QK @ key. Put what the earlier head writes in the place of the key, and compare Frobenius norms:
    |W_QK @ W_OV.T| / (|W_QK| |W_OV|). (Elhage et al. 2021)
    """
    return float((W_QK @ W_OV.T).norm() / (W_QK.norm() * W_OV.norm()))


def null_p_value(score: float, null_scores: Float[Tensor, " n"]) -> float:
    """The probability of a score at least this high under the null, estimated from n draws of it.

    The score itself counts as one more draw, so that the estimate is never 0.
    """
    return float((1 + (null_scores >= score).sum()) / (1 + len(null_scores)))


def predict_by_induction(tokens: Int[Tensor, " pos"]) -> Int[Tensor, " pos"]:
    """What a perfect induction head predicts after each token: what came after the most recent earlier occurrence of
    the same token; -1 if it has not occurred before.
    """
    predictions = torch.full_like(tokens, -1)
    for position in range(len(tokens)):
        for earlier in range(position):
            if tokens[earlier] == tokens[position]:
                predictions[position] = tokens[earlier + 1]
    return predictions


def wire_induction(d_vocab: int, n_ctx: int) -> dict[str, Tensor]:
    """Weights, by hand, of a model with two attention layers of one head each that continues repeated tokens.

    Everything is given in four parts of the residual stream, whose width is d_model = 3 * d_vocab + n_ctx: dimensions
    [0, d_vocab) hold the token, [d_vocab, 2 * d_vocab) the previous token, [2 * d_vocab, 3 * d_vocab) the prediction,
    and the last n_ctx the position. The embeddings write one-hot vectors there; the unembedding reads the prediction.

    Return Q0, K0, V0, O0 and Q1, K1, V1, O1. Q, K and V are [d_model, d_head] with d_head = max(d_vocab, n_ctx); O is
    [d_head, d_model]. Scores are not divided by anything, and a later position is masked. The first layer should copy
    each previous token into the second part; the second layer should look for a position whose previous token is the
    current one, and copy its token into the prediction. Make scores large (such as 50) where a head should look.
    """
    d_model, d_head = 3 * d_vocab + n_ctx, max(d_vocab, n_ctx)
    weights = {f"{name}{layer}": torch.zeros(d_model, d_head) for name in "QKV" for layer in (0, 1)}
    weights |= {f"O{layer}": torch.zeros(d_head, d_model) for layer in (0, 1)}
    token = previous = torch.arange(d_vocab)
    position = 3 * d_vocab + torch.arange(n_ctx)
    # Layer 0: the query of position p meets the key of position p - 1.
    weights["Q0"][position, torch.arange(n_ctx)] = 50.0
    weights["K0"][position[:-1], torch.arange(1, n_ctx)] = 1.0
    weights["V0"][token, token] = 1.0
    weights["O0"][token, d_vocab + token] = 1.0
    # Layer 1: the current token meets the previous token of another position.
    weights["Q1"][token, token] = 50.0
    weights["K1"][d_vocab + previous, previous] = 1.0
    # Position 0 has none before it and has copied itself: it must not be found.
    weights["K1"][position[0], :d_vocab] = -1.0
    weights["V1"][token, token] = 1.0
    weights["O1"][token, 2 * d_vocab + token] = 1.0
    return weights
