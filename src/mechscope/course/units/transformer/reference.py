"""The solutions of unit T."""

import math
from collections.abc import Callable

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


def unembed(
    x: Float[Tensor, "batch pos d_model"], weights: dict[str, Tensor]
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits that the residual stream at the end stands for: the last LayerNorm, then one score per token.

    `weights` has ln_final.w, ln_final.b, unembed.W_U [d_model d_vocab] and unembed.b_U [d_vocab]. Logits are not
    probabilities yet: there is no softmax.
    """
    x = layer_norm(x, weights["ln_final.w"], weights["ln_final.b"])
    return x @ weights["unembed.W_U"] + weights["unembed.b_U"]


def gpt(
    tokens: Int[Tensor, "batch pos"], weights: dict[str, Tensor], n_layers: int
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of a whole GPT-2: embed, all blocks in order, unembed.

    The weights are named embed.W_E, pos_embed.W_pos, blocks.0.ln1.w, …, blocks.1.ln1.w, …, and as in `unembed`.
    """
    x = embed(tokens, weights["embed.W_E"], weights["pos_embed.W_pos"])
    for layer in range(n_layers):
        x = block(x, part(weights, f"blocks.{layer}."))
    return unembed(x, weights)


def language_model_loss(
    logits: Float[Tensor, "batch pos d_vocab"], tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, ""]:
    """The mean over all predictions of -log(probability of the token that came next), in nats.

    The logits at a position predict the token after it. The last position predicts nothing that is known.
    """
    log_probabilities = logits[:, :-1].log_softmax(-1)
    return -log_probabilities.gather(-1, tokens[:, 1:, None]).mean()


def train(
    weights: dict[str, Tensor], n_layers: int, texts: Int[Tensor, "step batch pos"], rate: float
) -> tuple[dict[str, Tensor], list[float]]:
    """Train a GPT-2 with Adam: one step for each batch of texts, in order.

    A step computes the loss of the batch (use gpt and language_model_loss), lets autograd find its gradients, and lets
    torch.optim.Adam, with learning rate `rate` and otherwise as it is, change all weights.

    Returns the trained weights under the same names, and the loss of each batch as it was before its step. The given
    weights stay as they are: train copies.
    """
    trained = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    optimizer = torch.optim.Adam(trained.values(), lr=rate)
    losses = []
    for tokens in texts:
        loss = language_model_loss(gpt(tokens, trained, n_layers), tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {name: weight.detach() for name, weight in trained.items()}, losses


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


def sample(
    logits: Float[Tensor, " d_vocab"], temperature: float, top_k: int, top_p: float, count: int, seed: int
) -> Int[Tensor, " count"]:
    """Draw `count` next tokens, each independently of the others, with next_token_probabilities.

    All chance comes from torch.Generator().manual_seed(seed): the same seed gives the same tokens again.
    """
    probabilities = next_token_probabilities(logits, temperature, top_k, top_p)
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(probabilities, count, replacement=True, generator=generator)


def attention_step(
    x: Float[Tensor, "batch d_model"],
    weights: dict[str, Tensor],
    keys: Float[Tensor, "batch earlier head d_head"],
    values: Float[Tensor, "batch earlier head d_head"],
) -> tuple[Float[Tensor, "batch d_model"], Tensor, Tensor]:
    """The output of an attention layer at one new position, with the keys and values of earlier positions kept.

    Returns the output, and the keys and values with those of the new position at the end. `weights` are those of
    `attention`. The output equals what `attention` gives at the last position of the whole text, but nothing is
    computed for the other positions.
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


def find_bug(
    suspect: Callable[..., Tensor],
    weights: dict[str, Tensor],
    n_layers: int,
    tokens: Int[Tensor, "batch pos"],
) -> str:
    """Find out by experiments what is wrong with somebody else's GPT-2, whose code you cannot see.

    suspect(tokens, weights, n_layers) is meant to do what your gpt does. It never raises an error, but it may have one
    of these bugs. Return its name:

        "future"      positions see later ones
        "positions"   the vectors of the positions are not added
        "last norm"   the last LayerNorm (ln_final) is missing
        "last block"  the last block is missing
        "mean"        no LayerNorm subtracts the mean
        "scale"       attention scores are not divided by the square root of d_head
        "none"        it is right

    Call it as often as you like, with changed tokens or changed weights, such as {**weights, "ln_final.b": 0 * ...}.
    For each bug, think of a change to which a right model and one with this bug answer differently.
    """

    def ask(changed: dict[str, Tensor], text: Tensor = tokens) -> Tensor:
        return suspect(text, {**weights, **changed}, n_layers)

    def same(one: Tensor, other: Tensor) -> bool:
        return torch.allclose(one, other, rtol=1e-3, atol=1e-3)

    logits = ask({})
    other_end = tokens.clone()
    other_end[:, -1] = (tokens[:, -1] + 1) % len(weights["embed.W_E"])
    if not same(ask({}, other_end)[:, :-1], logits[:, :-1]):
        return "future"
    if same(ask({"pos_embed.W_pos": 0 * weights["pos_embed.W_pos"]}), logits):
        return "positions"
    if same(ask({"ln_final.b": weights["ln_final.b"] + 1}), logits):
        return "last norm"
    last = f"blocks.{n_layers - 1}."
    if same(ask({name: 0 * weight for name, weight in weights.items() if name.startswith(last)}), logits):
        return "last block"
    # What is added to all dimensions alike is what LayerNorm takes away.
    if not same(ask({"embed.W_E": weights["embed.W_E"] + 1}), logits):
        return "mean"
    return "none" if same(gpt(tokens, weights, n_layers), logits) else "scale"
