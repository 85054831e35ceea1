"""Path patching: the effect of one set of parts on another through direct paths only.

The base run is changed only at the inputs of the receivers, where what the senders wrote is replaced by what they
write on the source prompt. Parts between senders and receivers keep their base values, so only the direct paths carry
the change; everything after the receivers is recomputed. Queries, keys and values of a head are separate receivers.
Source: Wang et al. 2022 (section 3); Goldowsky-Dill et al. 2023.

In detail: (1) the output of the senders in one layer is the output of that layer's attention (including the norm of
its output, if there is one) or MLP with the senders replaced; (2) the sum over layers of source minus base is added to
each receiver's input before its norm; (3) with `through_mlps`, MLPs in between are recomputed on the changed residual
stream, while attention stays fixed (Wang et al. freeze only heads); (4) if one receiver comes after another, the later
one also receives the changed output of the earlier one: paths are sender -> receiver -> anything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from mechscope.arguments import checked_arguments
from mechscope.model.grouped_heads import key_value_head_of, query_heads_in_words
from mechscope.model.layer_checks import check_has_layers
from mechscope.model.names import get_act_name
from mechscope.results import Result, make_result
from mechscope.tasks.positions import named_positions
from mechscope.tasks.task import Task
from mechscope.techniques._direct_paths import DirectPaths
from mechscope.techniques._node_names import NodeName, all_heads, parse_node, with_readers
from mechscope.techniques.sweep import Edit
from mechscope.techniques.sweep.task_sweep import Direction, TaskSweep, in_words

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

__all__ = ["NodeName", "all_heads", "parse_node", "path_patching", "path_patching_every_head"]

Separately = Literal["senders", "receivers"] | None


@checked_arguments
def path_patching(
    model: HookedTransformer,
    task: Task,
    senders: str | Sequence[str],
    receivers: str | Sequence[str],
    separately: Separately = None,
    *,
    through_mlps: bool = False,
    positions: Sequence[str | int] | str | int | None = None,
    direction: Direction = "denoise",
    normalize: bool = True,
    memory: int | None = None,
    progress: bool = True,
) -> Result:
    """Measure the effect of patching direct paths from senders to receivers.

    Args:
        senders: "input", heads ("a0.h1"), MLPs ("m0").
        receivers: inputs of heads ("a9.h6<q>", "<k>", "<v>"; "a9.h6" for all three), MLPs ("m5"), "logits".
            Under grouped-query attention, k and v inputs count key/value heads, and there is no short form:
            "a9.h1<k>" changes the one copy of the keys that all query heads of key/value head 1 read.
        separately: None patches all paths at once; "senders" or "receivers" patches them one at a time.
        through_mlps: let MLPs in between pass on the change.
        positions: patch only at these positions (numbers or names); None for all. A direct path stays at its
            position.
        direction: "denoise" (base corrupted, source clean) or "noise".
        normalize: report shares of the whole effect, not the metric itself.
        memory: bytes that a batch may use.
        progress: show a progress bar.

    Returns:
        effects with axes ("component",): one entry for all paths, or one per sender or receiver. Under grouped-query
        attention, receivers have the label "query_heads": who reads the keys or values that a name stands for.

    Raises:
        KeyError: for parts or positions that do not exist.
        ValueError: for empty lists, parts that cannot send or receive, a sender without a path to a receiver, or a
            task that does not fit.

    >>> import mechscope as ms
    >>> model = ms.load_model("induction-2l")
    >>> task = ms.tasks.repeated_random_tokens(model, n=8, bos=128)
    >>> path_patching(model, task, ["input", "a0.h0"], "logits", "senders", progress=False).values.dims
    ('component',)
    """
    sending = _senders(model, senders)
    receiving = _receivers(model, receivers)
    names = [senders] if isinstance(senders, str) else list(senders)
    goals = [receivers] if isinstance(receivers, str) else list(receivers)
    if separately not in (None, "senders", "receivers"):
        raise ValueError(f"separately must be None, 'senders' or 'receivers', not {separately!r}.")
    parallel = model.cfg.parallel_attn_mlp
    for name, sender in zip(names, sending, strict=True):
        if not any(sender.writes_before(receiver, parallel) for group in receiving for receiver in group):
            raise ValueError(
                f"there is no direct path from {name} to {', '.join(goals)}, which read before it writes."
            )
    everything = [receiver for group in receiving for receiver in group]
    shown = ", ".join(with_readers(model, goal) for goal in goals)
    if separately == "senders":
        trials, labels = [([sender], everything) for sender in sending], names
    elif separately == "receivers":
        trials, labels = [(sending, group) for group in receiving], goals
    else:
        trials, labels = [(sending, everything)], [f"{', '.join(names)} → {shown}"]
    run = TaskSweep(model, task, direction, normalize=normalize, memory=memory, progress=progress)
    effects = _effects(run, trials, through_mlps, positions)
    fixed = {"senders": f" to {shown}", "receivers": f" from {', '.join(names)}"}.get(separately or "", "")
    readers = {}
    if separately == "receivers" and model.cfg.n_kv_heads != model.cfg.n_heads:
        readers = {"query_heads": (("component",), [_readers(model, group) for group in receiving])}
    return _result(
        run, effects, ("component",), {"component": np.array(labels)}, fixed, through_mlps, readers
    )


@checked_arguments
def path_patching_every_head(
    model: HookedTransformer,
    task: Task,
    receivers: str | Sequence[str],
    *,
    through_mlps: bool = False,
    positions: Sequence[str | int] | str | int | None = None,
    direction: Direction = "denoise",
    normalize: bool = True,
    memory: int | None = None,
    progress: bool = True,
) -> Result:
    """Measure the effect of each head separately on the receivers, through direct paths (Wang et al. 2022, figure 3).

    Arguments and errors are those of `path_patching`.

    Returns:
        effects with axes ("layer", "head"); heads that write after every receiver has read have no effect.
    """
    check_has_layers(model, "path patching from heads")
    group = [receiver for each in _receivers(model, receivers) for receiver in each]
    run = TaskSweep(model, task, direction, normalize=normalize, memory=memory, progress=progress)
    trials = [([sender], group) for sender in all_heads(model)]
    effects = _effects(run, trials, through_mlps, positions).reshape(model.cfg.n_layers, model.cfg.n_heads)
    goals = [receivers] if isinstance(receivers, str) else list(receivers)
    shown = ", ".join(with_readers(model, goal) for goal in goals)
    return _result(run, effects, ("layer", "head"), {}, f" from every head to {shown}", through_mlps, {})


def _senders(model: HookedTransformer, names: str | Sequence[str]) -> list[NodeName]:
    several = [names] if isinstance(names, str) else list(names)
    if not several or len(set(several)) < len(several):
        raise ValueError(f"senders are one or more names, each once, not {several}.")
    nodes = [parse_node(model, name) for name in several]
    for node in nodes:
        if node.kind not in ("input", "head", "mlp") or node.reads:
            raise ValueError(
                f"{node} cannot send: senders are 'input', heads such as 'a0.h1', and MLPs such as 'm0'."
            )
    return nodes


def _receivers(model: HookedTransformer, names: str | Sequence[str]) -> list[list[NodeName]]:
    """The inputs that each name stands for."""
    several = [names] if isinstance(names, str) else list(names)
    if not several:
        raise ValueError("the list of receivers is empty; name at least one, such as 'logits'.")
    groups: list[list[NodeName]] = []
    for name in several:
        node = parse_node(model, name)
        if node.kind not in ("head", "mlp", "logits"):
            raise ValueError(
                f"{name} cannot receive: receivers are 'a9.h6<q>' (or <k>, <v>), 'm5', and 'logits'."
            )
        if node.kind == "head" and not node.reads:
            if model.cfg.n_kv_heads != model.cfg.n_heads:
                assert node.index is not None
                cfg = model.cfg
                shared = key_value_head_of(node.index, cfg.n_heads, cfg.n_kv_heads)
                readers = query_heads_in_words(shared, cfg.n_heads, cfg.n_kv_heads)
                raise ValueError(
                    f"{name} shares its keys and values with the others of {readers}, "
                    f"so name its inputs: '{name}<q>', and 'a{node.layer}.h{shared}<k>' or '<v>' for key/value head "
                    f"{shared}, which it reads."
                )
            groups.append([NodeName("head", node.layer, node.index, reads) for reads in "qkv"])
        else:
            groups.append([node])
    flat = [node for group in groups for node in group]
    if len(set(flat)) < len(flat):
        raise ValueError(f"an input is named twice among the receivers {several}.")
    return groups


def _readers(model: HookedTransformer, group: Sequence[NodeName]) -> str:
    """The query heads that read the keys or values that a receiver names; "" for other receivers."""
    node, cfg = group[0], model.cfg
    if node.reads not in ("k", "v") or node.index is None:
        return ""
    return query_heads_in_words(node.index, cfg.n_heads, cfg.n_kv_heads)


def _effects(
    run: TaskSweep,
    trials: Sequence[tuple[Sequence[NodeName], Sequence[NodeName]]],
    through_mlps: bool,
    positions: Sequence[str | int] | str | int | None,
) -> torch.Tensor:
    """The effect of each trial; 0 if there is no path from its senders to its receivers."""
    paths = DirectPaths(run.model, run.sweep.cache, run.source, through_mlps, _mask(run.task, positions))
    reading = {receiver for _, receivers in trials for receiver in receivers}
    resumed = [
        get_act_name("z", _layer_of(run.model, receiver)) for receiver in reading if receiver.kind != "head"
    ]
    paths.require([sender for senders, _ in trials for sender in senders], resumed)
    measured = torch.full((len(trials),), run.base)
    at_once = _trials_at_once(run, reading, through_mlps)
    parts = range(0, len(trials), at_once)
    for number, start in enumerate(parts):
        interventions: dict[int, list[Edit]] = {}
        for place, (senders, receivers) in enumerate(trials[start : start + at_once], start):
            arriving = zip(receivers, paths.at(senders, receivers), strict=True)
            edits = [
                _edit(run.model, receiver, change) for receiver, change in arriving if change is not None
            ]
            if edits:
                interventions[place] = edits
        if interventions:
            words = f", part {number + 1} of {len(parts)}" if len(parts) > 1 else ""
            scores = run.per_example(list(interventions.values()), f"path patching{words}")
            measured = measured.to(scores)
            measured[list(interventions)] = scores.mean(1)
    return run.effect(measured)


def _trials_at_once(run: TaskSweep, receivers: Collection[NodeName], through_mlps: bool) -> int:
    """How many trials' changes at the receivers take half of the memory budget."""
    # Without MLPs in between, all receivers of a trial share one tensor.
    different = len({(receiver.kind, receiver.layer) for receiver in receivers}) if through_mlps else 1
    dtype = run.model.cfg.dtype
    each = run.task.n_examples * run.task.length * run.model.cfg.d_model * torch.finfo(dtype).bits // 8
    return max(1, run.sweep.memory // (2 * each * max(1, different)))


def _layer_of(model: HookedTransformer, receiver: NodeName) -> int:
    return model.cfg.n_layers - 1 if receiver.kind == "logits" else receiver.layer


def _edit(model: HookedTransformer, receiver: NodeName, change: torch.Tensor) -> Edit:
    if receiver.kind == "logits":
        return Edit(get_act_name("resid_post", _layer_of(model, receiver)), change, how="add")
    if receiver.kind == "mlp":
        return Edit(get_act_name("mlp_in", receiver.layer), change, how="add")
    heads = model.cfg.n_heads if receiver.reads == "q" else model.cfg.n_kv_heads
    by_head = change[:, :, None].expand(-1, -1, heads, -1)
    return Edit(
        get_act_name(f"{receiver.reads}_input", receiver.layer), by_head, head=receiver.index, how="add"
    )


def _mask(task: Task, positions: Sequence[str | int] | str | int | None) -> torch.Tensor | None:
    """True at positions that are patched [batch pos]."""
    if positions is None:
        return None
    mask = torch.zeros(task.n_examples, task.length, dtype=torch.bool)
    for place in named_positions(task, positions):
        mask[torch.arange(task.n_examples), place.pos] = True
    return mask


def _result(
    run: TaskSweep,
    effects: torch.Tensor,
    dims: tuple[str, ...],
    coords: dict[str, Any],
    words: str,
    through_mlps: bool,
    labels: dict[str, tuple[tuple[str, ...], list[str]]],
) -> Result:
    passing = ", MLPs in between recomputed" if through_mlps else ""
    title = f"Path patching{words}, {in_words(run.direction)}{passing}: {run.task.metric.name}"
    return make_result(effects, dims, title, run.unit, run.provenance, coords, labels=labels)
