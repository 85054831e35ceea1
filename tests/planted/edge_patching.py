"""Brute force on edges: swap what one node sends to one input of another, and see what the logits do.

Written with hooks alone, so that the planted truth is not tested by what is to be tested with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mechscope.model.transformer import HookedTransformer


def senders_before(model: HookedTransformer, layer: int, after_attention: bool) -> list[str]:
    """Every node whose output the inputs at this place can read."""
    names = ["input"]
    for earlier in range(layer + after_attention):
        names += [f"a{earlier}.h{head}" for head in range(model.cfg.n_heads)]
        if earlier < layer and not model.cfg.attn_only:
            names.append(f"m{earlier}")
    return names


def all_edges(model: HookedTransformer) -> Iterator[str]:
    """Every edge of the full graph."""
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            for which in "qkv":
                for sender in senders_before(model, layer, False):
                    yield f"{sender}->a{layer}.h{head}<{which}>"
        if not model.cfg.attn_only:
            for sender in senders_before(model, layer, True):
                yield f"{sender}->m{layer}"
    for sender in senders_before(model, model.cfg.n_layers, False):
        yield f"{sender}->logits"


def outputs(model: HookedTransformer, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """What every node adds to the residual stream [batch pos d_model]."""
    watched = ("hook_embed", "hook_pos_embed", "hook_result", "hook_mlp_out")
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith(watched))
    sent = {"input": cache["hook_embed"] + cache["hook_pos_embed"]}
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            sent[f"a{layer}.h{head}"] = cache[f"blocks.{layer}.attn.hook_result"][:, :, head]
        if not model.cfg.attn_only:
            sent[f"m{layer}"] = cache[f"blocks.{layer}.hook_mlp_out"]
    return sent


def swap_edge(
    model: HookedTransformer, tokens: torch.Tensor, edge: str, change: torch.Tensor
) -> torch.Tensor:
    """Logits of a run in which `change` is added to what the edge's destination, and nothing else, reads."""
    destination = edge.split("->")[1]
    head = None
    if destination == "logits":
        name = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
    elif destination.startswith("m"):
        name = f"blocks.{destination[1:]}.hook_mlp_in"
    else:
        place, which = destination.rstrip(">").split("<")
        layer, head = (int(part) for part in place[1:].split(".h"))
        name = f"blocks.{layer}.hook_{which}_input"

    def add(activation: torch.Tensor, hook: object) -> torch.Tensor:
        if head is None:
            return activation + change
        activation = activation.clone()
        activation[:, :, head] += change
        return activation

    return model.run_with_hooks(tokens, fwd_hooks=[(name, add)])


def edge_effects(
    model: HookedTransformer, clean: torch.Tensor, corrupted: torch.Tensor, where: torch.Tensor
) -> dict[str, float]:
    """The largest change of any logit at the positions `where` [batch answer], for each edge swapped alone."""
    rows = torch.arange(len(clean))[:, None]
    with torch.no_grad():
        base = model(clean)[rows, where]
        here, there = outputs(model, clean), outputs(model, corrupted)
        effects: dict[str, float] = {}
        for edge in all_edges(model):
            sender = edge.split("->")[0]
            logits = swap_edge(model, clean, edge, there[sender] - here[sender])
            effects[edge] = float((logits[rows, where] - base).abs().max())
    return effects
