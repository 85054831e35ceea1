"""The solutions of unit T."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def layer_norm(
    x: Float[Tensor, "*batch d_model"],
    w: Float[Tensor, " d_model"],
    b: Float[Tensor, " d_model"],
    eps: float = 1e-5,
) -> Float[Tensor, "*batch d_model"]:
    """LayerNorm: give each vector mean 0 and variance 1, then scale it by `w` and shift it by `b`.

    The variance is the mean of the squared distances from the mean (torch: correction=0). `eps` is added to it before
    its square root is taken.
    """
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + eps).sqrt() * w + b


def embed(
    tokens: Int[Tensor, "batch pos"],
    W_E: Float[Tensor, "d_vocab d_model"],
    W_pos: Float[Tensor, "n_ctx d_model"],
) -> Float[Tensor, "batch pos d_model"]:
    """What enters the residual stream: each token's vector, plus the vector of its position.

    There may be fewer tokens than positions in W_pos.
    """
    return W_E[tokens] + W_pos[: tokens.shape[1]]


def attention_pattern(
    q: Float[Tensor, "batch pos head d_head"], k: Float[Tensor, "batch pos head d_head"]
) -> Float[Tensor, "batch head query key"]:
    """How much each position (query) attends to each position (key), for every head.

    Scores are inner products of query and key, divided by the square root of d_head. A position sees itself and earlier
    ones. The softmax makes each row of what it sees add up to 1.
    """
    scores = torch.einsum("bqhd, bkhd -> bhqk", q, k) / math.sqrt(q.shape[-1])
    size = scores.shape[-1]
    later = torch.ones(size, size, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(-1)


def attention(
    x: Float[Tensor, "batch pos d_model"], weights: dict[str, Tensor]
) -> Float[Tensor, "batch pos d_model"]:
    """The output of an attention layer, summed over its heads. Use attention_pattern.

    `weights` has W_Q, W_K, W_V [head d_model d_head], b_Q, b_K, b_V [head d_head], W_O [head d_head d_model] and
    b_O [d_model]. Each head adds its values, weighted by its pattern, through its W_O; b_O is added once.
    """
    q, k, v = (
        torch.einsum("bpm, hmd -> bphd", x, weights[f"W_{name}"]) + weights[f"b_{name}"] for name in "QKV"
    )
    pattern = attention_pattern(q, k)
    mixed = torch.einsum("bhqk, bkhd -> bqhd", pattern, v)
    return torch.einsum("bqhd, hdm -> bqm", mixed, weights["W_O"]) + weights["b_O"]


def mlp(
    x: Float[Tensor, "batch pos d_model"], weights: dict[str, Tensor]
) -> Float[Tensor, "batch pos d_model"]:
    """The output of an MLP layer: W_in and b_in, the activation function, then W_out and b_out.

    `weights` has W_in [d_model d_mlp], b_in [d_mlp], W_out [d_mlp d_model], b_out [d_model]. GPT-2's activation
    function is GELU in its tanh form: torch.nn.functional.gelu(..., approximate="tanh").
    """
    before = x @ weights["W_in"] + weights["b_in"]
    after = torch.nn.functional.gelu(before, approximate="tanh")
    return after @ weights["W_out"] + weights["b_out"]


def part(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin with `prefix`, without it. (This one is given.)"""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def block(
    x: Float[Tensor, "batch pos d_model"], weights: dict[str, Tensor]
) -> Float[Tensor, "batch pos d_model"]:
    """The residual stream after a block: attention adds to it, and then the MLP does.

    Each reads the stream as it is then, through a LayerNorm of its own. The weights are named as in the model: ln1.w,
    ln1.b, attn.W_Q, …, ln2.w, ln2.b, mlp.W_in, …; part(weights, "attn.") gives those of the attention layer.
    """
    x = x + attention(layer_norm(x, weights["ln1.w"], weights["ln1.b"]), part(weights, "attn."))
    return x + mlp(layer_norm(x, weights["ln2.w"], weights["ln2.b"]), part(weights, "mlp."))


def gpt(
    tokens: Int[Tensor, "batch pos"], weights: dict[str, Tensor], n_layers: int
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of a whole GPT-2: embed, all blocks in order, the last LayerNorm, unembed.

    The weights are named embed.W_E, pos_embed.W_pos, blocks.0.ln1.w, …, ln_final.w, ln_final.b, unembed.W_U
    [d_model d_vocab] and unembed.b_U [d_vocab].
    """
    x = embed(tokens, weights["embed.W_E"], weights["pos_embed.W_pos"])
    for layer in range(n_layers):
        x = block(x, part(weights, f"blocks.{layer}."))
    x = layer_norm(x, weights["ln_final.w"], weights["ln_final.b"])
    return x @ weights["unembed.W_U"] + weights["unembed.b_U"]


def language_model_loss(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, ""]:
    """The mean over all predictions of -log(probability of the token that came next), in nats.

    The logits at a position predict the token after it. The last position predicts nothing that is known.
    """
    log_probabilities = logits[:, :-1].log_softmax(-1)
    return -log_probabilities.gather(-1, tokens[:, 1:, None]).mean()


def next_token_probabilities(
    logits: Float[Tensor, " d_vocab"], temperature: float, top_k: int, top_p: float
) -> Float[Tensor, " d_vocab"]:
    """The probabilities to sample the next token from.

    In this order: divide the logits by the temperature; keep the `top_k` likeliest tokens; of these, keep the fewest
    likeliest ones whose probabilities (renormalised after top-k) add up to at least `top_p`. The others get probability
    0, and what is kept adds up to 1.
    """
    probabilities = (logits / temperature).softmax(-1)
    ordered, order = probabilities.sort(descending=True)
    ordered = ordered[:top_k] / ordered[:top_k].sum()
    # A token is kept if those before it do not reach top_p.
    before = ordered.cumsum(-1) - ordered
    ordered = ordered * (before < top_p)
    kept = torch.zeros_like(probabilities)
    kept[order[:top_k]] = ordered / ordered.sum()
    return kept


def attention_step(
    x: Float[Tensor, "batch d_model"],
    weights: dict[str, Tensor],
    keys: Float[Tensor, "batch earlier head d_head"],
    values: Float[Tensor, "batch earlier head d_head"],
) -> tuple[Float[Tensor, "batch d_model"], Tensor, Tensor]:
    """The output of an attention layer at one new position, with the keys and values of earlier positions kept.

    Returns the output, and the keys and values with those of the new position at the end. `weights` are those of
    `attention`. The output equals what `attention` gives at the last position of the whole text, with less work.
    """
    q, k, v = (
        torch.einsum("bm, hmd -> bhd", x, weights[f"W_{name}"]) + weights[f"b_{name}"] for name in "QKV"
    )
    keys = torch.cat([keys, k[:, None]], 1)
    values = torch.cat([values, v[:, None]], 1)
    scores = torch.einsum("bhd, bkhd -> bhk", q, keys) / math.sqrt(q.shape[-1])
    mixed = torch.einsum("bhk, bkhd -> bhd", scores.softmax(-1), values)
    return torch.einsum("bhd, hdm -> bm", mixed, weights["W_O"]) + weights["b_O"], keys, values


def rms_norm(
    x: Float[Tensor, "*batch d_model"], w: Float[Tensor, " d_model"], eps: float = 1e-6
) -> Float[Tensor, "*batch d_model"]:
    """RMSNorm, as in Llama: divide each vector by the root of its mean square, then scale it by `w`.

    `eps` is added to the mean square before the root is taken.
    """
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * w


def rotary(
    x: Float[Tensor, "batch pos head d_head"], base: float = 10_000.0
) -> Float[Tensor, "batch pos head d_head"]:
    """Rotary position embedding, as in Llama: turn pairs of dimensions by angles that grow with the position.

    Dimension i of the first half goes with dimension i of the second half. At position p the pair (a, b) becomes
    (a cos - b sin, b cos + a sin) of the angle p * base ** (-i / half), where half is d_head / 2 and positions count
    from 0.
    """
    half = x.shape[-1] // 2
    frequencies = base ** (-torch.arange(half) / half)
    angles = torch.arange(x.shape[1])[:, None, None] * frequencies
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)
