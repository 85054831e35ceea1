"""Circuits run the slow and obvious way: hooks that exchange one source's output after another."""

from __future__ import annotations

from typing import Any

import torch

from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.metrics import Answers
from mechscope.tasks.task import Task
from mechscope.techniques.circuits.graph import EdgeGraph


def random_task(
    batch: int = 3,
    length: int = 7,
    seed: int = 0,
    d_vocab: int = 30,
    padded: bool = False,
    metric: str = "logit_difference",
) -> Task:
    """Random prompts with random answers; two answers each, at positions of their own."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randint(0, d_vocab, shape, generator=generator)

    clean, corrupted = draw(batch, length), draw(batch, length)
    lengths = None
    if padded:
        lengths = torch.randint(length // 2, length + 1, (batch,), generator=generator)
        lengths[0] = length
    last = (torch.full((batch,), length) if lengths is None else lengths) - 1
    positions = torch.stack([last, last // 2], dim=1)
    task = Task(
        "random",
        clean,
        corrupted,
        Answers(positions, draw(batch, 2, 1), draw(batch, 2, 2)),
        lengths=lengths,
        seed=seed,
    )
    return task.with_metric(metric)


def contributions(model: HookedTransformer, cache: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What each node wrote, from a cache with hook_result, by name."""
    written: dict[str, torch.Tensor] = {}
    for name, value in cache.items():
        if name == "blocks.0.hook_resid_pre":
            written["input"] = value
        layer = name.split(".")[1] if name.startswith("blocks") else ""
        if name.endswith("hook_mlp_out"):
            written[f"m{layer}"] = value
        if not name.endswith("hook_result"):
            continue
        block = model.blocks[int(layer)]
        shares = value
        if block.ln1_post is not None:
            shares = value + block.attn.b_O / model.cfg.n_heads
            if block.ln1_post.centre:
                shares = shares - shares.mean(-1, keepdim=True)
            shares = shares / cache[f"blocks.{layer}.ln1_post.hook_scale"][:, :, None] * block.ln1_post.w
        for head in range(model.cfg.n_heads):
            written[f"a{layer}.h{head}"] = shares[:, :, head]
    return written


def writers(name: str) -> bool:
    return name == "blocks.0.hook_resid_pre" or name.endswith(
        ("hook_result", "hook_mlp_out", "ln1_post.hook_scale")
    )


def naive_logits(
    model: HookedTransformer,
    task: Task,
    kept: torch.Tensor,
    reference: str = "corrupted",
) -> torch.Tensor:
    """Logits at the answers with the edges outside `kept` patched; [batch answer d_vocab]."""
    graph = EdgeGraph.of(model)
    with torch.no_grad():
        _, cache = model.run_with_cache(
            task.corrupted,
            names_filter=writers,
            attention_mask=task.attention_mask,
            return_cache_object=False,
        )
        other = contributions(model, cache)
        if reference == "zero":
            other = {name: torch.zeros_like(value) for name, value in other.items()}
        if reference == "mean":
            other = {name: value.mean(0, keepdim=True).expand_as(value) for name, value in other.items()}
        now: dict[str, torch.Tensor] = {}

        def note(activation: torch.Tensor, hook: Any) -> None:
            now[hook.name] = activation.clone()

        def exchange(activation: torch.Tensor, column: int) -> torch.Tensor:
            written = contributions(model, now)
            changed = activation.clone()
            for row, source in enumerate(graph.sources):
                if graph.valid[row, column]:
                    changed += (1 - kept[row, column].float()) * (other[source] - written[source])
            return changed

        def by_heads(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            layer, which = hook.layer(), hook.name[-len("q_input")]
            changed = [
                exchange(activation[:, :, head], graph.destination_index[f"a{layer}.h{head}<{which}>"])
                for head in range(activation.shape[2])
            ]
            return torch.stack(changed, dim=2)

        def whole(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            last = hook.name.endswith("resid_post")
            return exchange(activation, -1 if last else graph.destination_index[f"m{hook.layer()}"])

        end = f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"
        hooks: list[tuple[Any, Any]] = [(writers, note)]
        hooks += [(lambda name: name.endswith(("q_input", "k_input", "v_input")), by_heads)]
        hooks += [] if model.cfg.attn_only else [(lambda name: name.endswith("hook_mlp_in"), whole)]
        hooks += [(end, whole)]
        logits = model.run_with_hooks(task.clean, fwd_hooks=hooks, attention_mask=task.attention_mask)
    return task.at_answers(logits)


def random_edges(graph: EdgeGraph, share: float, seed: int) -> torch.Tensor:
    """A random set of edges."""
    generator = torch.Generator().manual_seed(seed)
    return graph.valid & (torch.rand(graph.valid.shape, generator=generator) < share)
