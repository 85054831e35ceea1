"""The edges of a circuit on a path from the input to the logits; the others dangle and have no effect.

There is one exception: if a norm spans all heads of a layer (their output, or their queries), a head that nothing reads
still changes the norm's scale a little.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool

from mechscope.techniques.circuits.graph import EdgeGraph

Edges = Bool[torch.Tensor, "*circuit source destination"]


def reaches_logits(graph: EdgeGraph, edges: Edges) -> Bool[torch.Tensor, "*circuit source"]:
    """The sources from which a path leads to the logits."""
    heard = torch.zeros(*edges.shape[:-2], len(graph.destinations), dtype=torch.bool, device=edges.device)
    heard[..., -1] = True
    reaches = torch.zeros(edges.shape[:-1], dtype=torch.bool, device=edges.device)
    feeds = graph.feeds.to(edges.device)
    for stage in reversed(graph.stages[:-1]):
        rows = slice(stage.sources.start, stage.sources.stop)
        columns = slice(stage.destinations.start, stage.destinations.stop)
        reaches[..., rows] = (edges[..., rows, :] & heard[..., None, :]).any(-1)
        heard[..., columns] = (feeds[columns, rows] & reaches[..., None, rows]).any(-1)
    reaches[..., 0] = (edges[..., 0, :] & heard).any(-1)
    return reaches


def reached_from_input(graph: EdgeGraph, edges: Edges) -> Bool[torch.Tensor, "*circuit source"]:
    """The sources to which a path leads from the input; the input itself is one."""
    reached = torch.zeros(edges.shape[:-1], dtype=torch.bool, device=edges.device)
    reached[..., 0] = True
    feeds = graph.feeds.to(edges.device)
    for stage in graph.stages[:-1]:
        rows = slice(stage.sources.start, stage.sources.stop)
        columns = slice(stage.destinations.start, stage.destinations.stop)
        fed = (edges[..., columns] & reached[..., None]).any(-2)
        reached[..., rows] = (feeds[columns, rows] & fed[..., None]).any(-2)
    return reached


def live_edges(graph: EdgeGraph, edges: Edges) -> Edges:
    """The edges that lie on a path from the input to the logits."""
    reached = reached_from_input(graph, edges)
    kept = edges & reached[..., None]
    reaches = reaches_logits(graph, kept)
    heard = (graph.feeds.to(edges.device) & reaches[..., None, :]).any(-1)
    heard[..., -1] = True
    return kept & heard[..., None, :]
