"""Write the weights of a planted model, in float64."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from mechscope.planted._layout import BOS_DIM, Layout
from mechscope.planted._plan import HeadPlan, MapPlan, Plan, Variable
from mechscope.planted._scheduling import Schedule

Tensor = torch.Tensor


@dataclass(frozen=True)
class Weights:
    """All weights of a HookedTransformer without norms, stacked over layers."""

    W_E: Float[Tensor, "d_vocab d_model"]
    W_pos: Float[Tensor, "pos d_model"]
    W_Q: Float[Tensor, "layer head d_model d_head"]
    b_Q: Float[Tensor, "layer head d_head"]  # noqa: N815
    W_K: Float[Tensor, "layer head d_model d_head"]
    b_K: Float[Tensor, "layer head d_head"]  # noqa: N815
    W_V: Float[Tensor, "layer head d_model d_head"]
    b_V: Float[Tensor, "layer head d_head"]  # noqa: N815
    W_O: Float[Tensor, "layer head d_head d_model"]
    b_O: Float[Tensor, "layer d_model"]  # noqa: N815
    W_in: Float[Tensor, "layer d_model d_mlp"]
    b_in: Float[Tensor, "layer d_mlp"]
    W_out: Float[Tensor, "layer d_mlp d_model"]
    b_out: Float[Tensor, "layer d_model"]
    W_U: Float[Tensor, "d_model d_vocab"]
    b_U: Float[Tensor, " d_vocab"]  # noqa: N815

    def items(self) -> list[tuple[str, Tensor]]:
        """Pairs of name and tensor."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def write_weights(
    plan: Plan,
    places: Schedule,
    layout: Layout,
    vocabulary: tuple[str, ...],
    sharpness: float,
    margin: float,
    extra_neurons: int = 0,
) -> Weights:
    """The weights that compute a plan; unused ones are zero.

    Args:
        sharpness: by how many nats a selected key's attention score exceeds the others.
        margin: by how many logits the answer exceeds every other token.
        extra_neurons: neurons that compute nothing, in every layer.
    """
    neurons = [sum(len(part.neurons) for part in places.maps(layer)) for layer in range(places.n_layers)]
    queries = {part: _query_key(part, sharpness) for part in places.heads()}
    d_head = max(
        [1, *(len(slots) for slots in queries.values()), *(part.output.width for part in places.heads())]
    )
    d_mlp = max(neurons) + extra_neurons
    layers, heads, d_model = places.n_layers, places.n_heads, layout.d_model
    weights = Weights(
        *_embeddings(plan, layout, vocabulary),
        W_Q=_zeros(layers, heads, d_model, d_head),
        b_Q=_zeros(layers, heads, d_head),
        W_K=_zeros(layers, heads, d_model, d_head),
        b_K=_zeros(layers, heads, d_head),
        W_V=_zeros(layers, heads, d_model, d_head),
        b_V=_zeros(layers, heads, d_head),
        W_O=_zeros(layers, heads, d_head, d_model),
        b_O=_zeros(layers, d_model),
        W_in=_zeros(layers, d_model, d_mlp),
        b_in=_zeros(layers, d_mlp),
        W_out=_zeros(layers, d_mlp, d_model),
        b_out=_zeros(layers, d_model),
        W_U=_unembedding(plan, layout, vocabulary, margin),
        b_U=_output_bias(plan, vocabulary, margin),
    )
    for part, place in places.heads().items():
        assert place.head is not None
        where = place.layer, place.head
        for slot, (query, query_bias, key) in enumerate(queries[part]):
            for variable, direction in query.items():
                weights.W_Q[*where, layout[variable], slot] += direction
            weights.b_Q[*where, slot] = query_bias
            for variable, direction in key.items():
                dims = BOS_DIM if variable is None else layout[variable]
                weights.W_K[*where, dims, slot] += direction
        width = part.output.width
        if part.counts:
            weights.W_V[*where, BOS_DIM, 0] = part.output.encoding.max()
        else:
            weights.W_V[*where, layout[part.value.variable], :width] = part.value.weights(part.targets)
        weights.W_O[*where, :width, layout[part.output]] = torch.eye(width, dtype=torch.float64)
    for layer in range(layers):
        start = 0
        for part in places.maps(layer):
            _write_neurons(weights, layer, start, part, layout)
            start += len(part.neurons)
    return weights


Slot = tuple[dict[Variable, Tensor], float, dict[Variable | None, Tensor]]
"""One dimension of a head's queries and keys: query input, query bias, key input (None: BOS)."""


def _query_key(part: HeadPlan, sharpness: float) -> list[Slot]:
    """Scores: `strength` per satisfied condition, a bonus for preferred keys, and BOS just below a full match."""
    bonus: dict[Variable, Tensor] = {}
    ranks, base = 0, 1
    for reading in reversed(part.prefer):
        ordered = sorted(reading.classes)  # type: ignore[type-var]
        rank = torch.tensor(
            [0.0 if one is None else 1.0 + ordered.index(one) for one in reading.values], dtype=torch.float64
        )
        weights = reading.weights(sharpness * base * rank[:, None])[:, 0]
        bonus[reading.variable] = bonus.get(reading.variable, torch.zeros_like(weights)) + weights
        ranks += base * len(ordered)
        base *= len(ordered) + 1
    # Leave room for BOS between a full match and the next best score, unless BOS itself is selected.
    strength = sharpness * (1 if part.counts else 2 + ranks)
    root = strength**0.5
    slots: list[Slot] = []
    for atom in part.atoms:
        for query, key in _factor(atom.table):
            slots.append(
                (
                    {atom.query.variable: root * atom.query.weights(query[:, None])[:, 0]},
                    0.0,
                    {atom.key.variable: root * atom.key.weights(key[:, None])[:, 0]},
                )
            )
    full = strength * len(part.atoms)
    at_bos = torch.tensor(full if part.counts else full - sharpness, dtype=torch.float64)
    always: dict[Variable | None, Tensor] = {None: at_bos / root}
    for variable, weights in bonus.items():
        always[variable] = weights / root
    return [*slots, ({}, root, always)]


def _factor(table: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Factor a table [query, key] into a sum of products, one per distinct row or column, whichever are fewer."""
    if table.numel() == 0:
        return []
    by_row, row_of = torch.unique(table, dim=0, return_inverse=True)
    by_column, column_of = torch.unique(table, dim=1, return_inverse=True)
    if len(by_row) <= by_column.shape[1]:
        pairs = [((row_of == index).double(), row) for index, row in enumerate(by_row)]
    else:
        pairs = [(column, (column_of == index).double()) for index, column in enumerate(by_column.T)]
    return [(query, key) for query, key in pairs if bool(query.any()) and bool(key.any())]


def _write_neurons(weights: Weights, layer: int, start: int, part: MapPlan, layout: Layout) -> None:
    for index, reads in enumerate(part.neurons.reads):
        neuron = start + index
        for variable, direction in reads:
            weights.W_in[layer, layout[variable], neuron] += direction
        weights.W_in[layer, BOS_DIM, neuron] += part.neurons.at_bos[index]
        weights.b_in[layer, neuron] = part.neurons.bias[index]
        weights.W_out[layer, neuron, layout[part.output]] = part.neurons.out[index]


def _embeddings(plan: Plan, layout: Layout, vocabulary: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Token and position embeddings; BOS is at position 0 and writes only to its own dimension."""
    W_E, W_pos = (
        _zeros(len(vocabulary), layout.d_model),
        _zeros(len(plan.positions.values) + 1, layout.d_model),
    )
    W_E[0, BOS_DIM] = 1.0
    W_E[1:, layout[plan.one]] = 1.0
    for token, direction in zip(plan.tokens.values, plan.tokens.encoding, strict=True):
        W_E[vocabulary.index(str(token)), layout[plan.tokens]] = direction
    W_pos[1:, layout[plan.positions]] = plan.positions.encoding
    return W_E, W_pos


def _unembedding(plan: Plan, layout: Layout, vocabulary: tuple[str, ...], margin: float) -> Tensor:
    targets = _zeros(len(plan.output.values), len(vocabulary))
    for row, answer in zip(targets, plan.output.values, strict=True):
        if answer is not None:
            row[vocabulary.index(str(answer))] = margin
        if plan.none_answer is not None:
            row[vocabulary.index(str(plan.none_answer))] -= margin
    W_U = _zeros(layout.d_model, len(vocabulary))
    encoding = plan.output.variable.encoding
    try:
        read = plan.output.weights(targets)
    except ValueError:
        # On circles, each residue is read along its own direction; the right one matches best.
        read = encoding.T @ targets / encoding.square().sum(1).mean()
    W_U[layout[plan.output.variable]] = read
    return W_U


def _output_bias(plan: Plan, vocabulary: tuple[str, ...], margin: float) -> Tensor:
    b_U = _zeros(len(vocabulary))
    if plan.none_answer is not None:
        b_U[vocabulary.index(str(plan.none_answer))] = margin
    return b_U


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float64)


def build_model(weights: Weights, name: str, causal: bool, device: str = "cpu") -> HookedTransformer:
    """A HookedTransformer (no norms, ReLU, unscaled attention scores) with these weights, in float32."""
    n_layers, n_heads, d_model, d_head = weights.W_Q.shape
    d_mlp = weights.W_in.shape[-1]
    attention = ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O", "b_O")
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=n_layers,
            d_model=d_model,
            n_ctx=len(weights.W_pos),
            d_head=d_head,
            n_heads=n_heads,
            d_mlp=d_mlp or None,
            act_fn="relu",
            d_vocab=len(weights.W_E),
            attn_only=d_mlp == 0,
            normalization_type=None,
            attention_dir="causal" if causal else "bidirectional",
            use_attn_scale=False,
            init_weights=False,
            default_prepend_bos=False,
            device=device,
            model_name=name,
        )
    )
    with torch.no_grad():
        model.embed.W_E.copy_(weights.W_E)
        model.pos_embed.W_pos.copy_(weights.W_pos)
        model.unembed.W_U.copy_(weights.W_U)
        model.unembed.b_U.copy_(weights.b_U)
        for layer, block in enumerate(model.blocks):
            for part in attention:
                getattr(block.attn, part).copy_(getattr(weights, part)[layer])
            if d_mlp:
                for part in ("W_in", "b_in", "W_out", "b_out"):
                    getattr(block.mlp, part).copy_(getattr(weights, part)[layer])
    return model.eval().requires_grad_(False)
