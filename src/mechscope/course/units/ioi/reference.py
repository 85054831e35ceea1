"""The solutions of unit 04."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

import mechscope as ms

Head = tuple[int, int]
"""(layer, number of the head), both from 0."""


def ioi_prompts(
    template: str, names: Sequence[str], encode: Callable[[str], list[int]], n: int, seed: int
) -> dict[str, Tensor]:
    """Prompts that name one person twice and another once, and a control for each.

    The template is a text such as "Then [A] and [B] went home, and [S] gave a ring to". S, the subject, is named twice:
    at [S], and at [A] or [B]. IO, the indirect object, is at the other of these two; it is also the right next word.
    Prompts 0, 2, 4, … name IO first (ABBA), prompts 1, 3, 5, … name S first (BABA). The control is the same text with
    three names that differ from each other and from IO and S (ABC), so that nobody is named twice.

    encode(text) gives the tokens of a text. In the middle of a text a name follows a space, and " Mary" is not the same
    token as "Mary". Use only names that are a single token with that space, so that every prompt has the same length.

    Draw the five names of each prompt with the `sample` of one random.Random(seed).

    Return a dictionary: "tokens" and "control" [n, pos], "io" and "s" [n].
    """
    kept = [name for name in names if len(encode(f" {name}")) == 1]
    rng = random.Random(seed)

    def fill(first: str, second: str, repeated: str) -> list[int]:
        text = template.replace("[A]", first).replace("[B]", second).replace("[S]", repeated)
        return encode(text)

    tokens, control, io_tokens, s_tokens = [], [], [], []
    for number in range(n):
        io, s, *others = rng.sample(kept, 5)
        first, second = (io, s) if number % 2 == 0 else (s, io)
        tokens.append(fill(first, second, s))
        control.append(fill(*others))
        io_tokens += encode(f" {io}")
        s_tokens += encode(f" {s}")
    columns = {"tokens": tokens, "control": control, "io": io_tokens, "s": s_tokens}
    return {name: torch.tensor(column) for name, column in columns.items()}


def logit_difference(
    logits: Float[Tensor, "batch pos d_vocab"],
    io: Int[Tensor, " batch"],
    s: Int[Tensor, " batch"],
    end: Int[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """The logit of the right name, IO, minus that of the wrong one, S, where each prompt ends.

    Prompts of different lengths are padded on the right: end[i] is the position of the last word of prompt i.
    """
    rows = torch.arange(len(logits))
    return logits[rows, end, io] - logits[rows, end, s]


def head_contributions(
    z: Float[Tensor, "batch layer head d_head"],
    W_O: Float[Tensor, "layer head d_head d_model"],
    scale: Float[Tensor, " batch"],
    W_U: Float[Tensor, "d_model d_vocab"],
    io: Int[Tensor, " batch"],
    s: Int[Tensor, " batch"],
) -> Float[Tensor, "layer head"]:
    """What each head adds directly to the logit difference, on average over the prompts.

    z is the mean of the values that each head attends to, at the end of each prompt; z @ W_O is what the head writes to
    the stream. The final LayerNorm subtracts the mean of that over d_model and divides by the prompt's `scale`; its own
    weights are folded into W_U.
    """
    written = einsum(z, W_O, "batch layer head d_head, layer head d_head d_model -> batch layer head d_model")
    written = written - written.mean(-1, keepdim=True)
    directions = (W_U[:, io] - W_U[:, s]) / scale
    return einsum(written, directions, "batch layer head d_model, d_model batch -> layer head") / len(z)


def patch_at(
    model: ms.HookedTransformer,
    source: Int[Tensor, "batch pos"],
    target: Int[Tensor, "batch pos"],
    name: str,
    positions: Int[Tensor, " batch"],
    head: int | None = None,
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of the target run, if one activation is taken from the source run at one position of each prompt.

    positions[i] is the position in prompt i. `name` is a hook point such as "blocks.2.hook_resid_pre" [batch, pos,
    d_model], or "blocks.2.attn.hook_z" (also hook_q, hook_k and hook_v) [batch, pos, head, d_head]. With a head axis,
    only `head` is patched, or all heads if it is None.

    model.run_with_cache(tokens, names_filter=name) keeps only that activation. model.run_with_hooks(tokens,
    fwd_hooks=[(name, hook)]) calls hook(value, hook=...) there; what it returns replaces the value.
    """
    _, cache = model.run_with_cache(source, names_filter=name)
    rows = torch.arange(len(target))
    where = (rows, positions) if head is None else (rows, positions, head)

    def patch(value: Tensor, hook: object) -> Tensor:
        value = value.clone()
        value[where] = cache[name][where]
        return value

    return model.run_with_hooks(target, fwd_hooks=[(name, patch)])


def enough_and_needed(
    model: ms.HookedTransformer,
    clean: Int[Tensor, "batch pos"],
    control: Int[Tensor, "batch pos"],
    site: str,
    positions: Int[Tensor, " batch"],
    metric: Callable[[Tensor], Tensor],
) -> tuple[Float[Tensor, "layer head"], Float[Tensor, "layer head"]]:
    """Patch every head in both directions, and say which are enough and which are needed.

    Enough (denoising): the head's clean activation goes into the control run; which share of the difference between
    the metrics of the clean and the control run comes back? Needed (noising): its control activation goes into the
    clean run; which share is lost? In both, 0 is no effect and 1 the whole difference.

    `site` is "z", "q", "k" or "v": the hook point blocks.LAYER.attn.hook_SITE. `metric` maps logits to a number. Patch
    at `positions`, with patch_at.
    """
    with torch.no_grad():
        best, worst = metric(model(clean)), metric(model(control))
        enough = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
        needed = torch.zeros_like(enough)
        for layer in range(model.cfg.n_layers):
            name = f"blocks.{layer}.attn.hook_{site}"
            for head in range(model.cfg.n_heads):
                restored = metric(patch_at(model, clean, control, name, positions, head))
                broken = metric(patch_at(model, control, clean, name, positions, head))
                enough[layer, head] = (restored - worst) / (best - worst)
                needed[layer, head] = (best - broken) / (best - worst)
    return enough, needed


def path_patch(
    model: ms.HookedTransformer,
    clean: Int[Tensor, "batch pos"],
    control: Int[Tensor, "batch pos"],
    sender: Head,
    receiver: Head,
    site: str,
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits of the clean run, if only what `sender` says to `receiver` comes from the control run.

    `site` is "q", "k" or "v": which input of the receiver listens. Three steps (Wang et al. 2022):
    1. Keep the hook_z of all heads from the clean run, and the sender's from the control run.
    2. Run the clean prompts with every head's z held at its clean value, and the sender's at its control value. Keep
       the receiver's hook_SITE of this run: the sender has changed, and no head in between has reacted. (MLPs do.)
    3. Run the clean prompts with only the receiver's hook_SITE replaced by what you kept.

    The hook points are blocks.LAYER.attn.hook_z [batch, pos, head, d_head] and so on; all positions are replaced.
    """
    _, clean_cache = model.run_with_cache(clean, names_filter=lambda name: name.endswith("hook_z"))
    _, control_cache = model.run_with_cache(control, names_filter=lambda name: name.endswith("hook_z"))
    held = {}
    for layer in range(model.cfg.n_layers):
        name = f"blocks.{layer}.attn.hook_z"
        held[name] = clean_cache[name].clone()
        if layer == sender[0]:
            held[name][:, :, sender[1]] = control_cache[name][:, :, sender[1]]
    heard_at = f"blocks.{receiver[0]}.attn.hook_{site}"
    heard = {}

    def listen(value: Tensor, hook: object) -> None:
        heard[heard_at] = value[:, :, receiver[1]].clone()

    def hold(name: str) -> Callable[..., Tensor]:
        return lambda value, hook: held[name]

    model.run_with_hooks(clean, fwd_hooks=[*((name, hold(name)) for name in held), (heard_at, listen)])

    def tell(value: Tensor, hook: object) -> Tensor:
        value = value.clone()
        value[:, :, receiver[1]] = heard[heard_at]
        return value

    return model.run_with_hooks(clean, fwd_hooks=[(heard_at, tell)])


def copy_scores(
    streams: Float[Tensor, "name d_model"],
    tokens: Int[Tensor, " name"],
    W_V: Float[Tensor, "d_model d_head"],
    W_O: Float[Tensor, "d_head d_model"],
    W_U: Float[Tensor, "d_model d_vocab"],
    k: int,
) -> tuple[float, float]:
    """The share of names that a head copies, and the share that it suppresses.

    streams[i] is what the head reads at a position where the name tokens[i] stands. Suppose that it attends to nothing
    else: it then writes streams[i] @ W_V @ W_O, and adds that @ W_U to the logits. It copies the name if the name's own
    token is among the k highest of the whole vocabulary, and suppresses it if it is among the k lowest.
    """
    logits = streams @ W_V @ W_O @ W_U

    def share(values: Tensor) -> float:
        best = values.topk(k, dim=-1).indices
        return float((best == tokens[:, None]).any(-1).float().mean())

    return share(logits), share(-logits)


def early_head_scores(
    pattern: Float[Tensor, "batch head query key"], s1: Int[Tensor, " batch"], s2: Int[Tensor, " batch"]
) -> dict[str, Float[Tensor, " head"]]:
    """How much each head attends along the three paths on which the repetition is noticed, on average over the prompts.

    s1 and s2 are the positions of the first and the second mention of S in each prompt. The keys of the dictionary:
    "duplicate": from S2 to S1. "induction": from S2 to the position after S1. "previous": from the position after S1 to
    S1.
    """
    rows = torch.arange(len(pattern))
    return {
        "duplicate": pattern[rows, :, s2, s1].mean(0),
        "induction": pattern[rows, :, s2, s1 + 1].mean(0),
        "previous": pattern[rows, :, s1 + 1, s1].mean(0),
    }


def circuit_logits(
    model: ms.HookedTransformer,
    tokens: Int[Tensor, "batch pos"],
    templates: Int[Tensor, " batch"],
    others: Int[Tensor, "other pos"],
    other_templates: Int[Tensor, " other"],
    circuit: set[Head],
) -> Float[Tensor, "batch pos d_vocab"]:
    """The logits, if only the heads of a circuit work and every other head says what it says on average.

    The z of a head outside the circuit (blocks.LAYER.attn.hook_z [batch, pos, head, d_head]) is replaced by its mean
    over those prompts of `others` that have the same template, position by position: in another template the same
    position means something else. The other prompts run without any change.
    """
    _, cache = model.run_with_cache(others, names_filter=lambda name: name.endswith("hook_z"))

    def silence(layer: int) -> Callable[..., Tensor]:
        name = f"blocks.{layer}.attn.hook_z"
        outside = [head for head in range(model.cfg.n_heads) if (layer, head) not in circuit]

        def replace(z: Tensor, hook: object) -> Tensor:
            means = torch.stack([cache[name][other_templates == template].mean(0) for template in templates])
            z = z.clone()
            z[:, :, outside] = means[:, :, outside]
            return z

        return replace

    hooks = [(f"blocks.{layer}.attn.hook_z", silence(layer)) for layer in range(model.cfg.n_layers)]
    return model.run_with_hooks(tokens, fwd_hooks=hooks)


def judge_circuit(
    F: Callable[[frozenset[Head]], float],
    model: frozenset[Head],
    circuit: frozenset[Head],
    classes: Mapping[str, frozenset[Head]],
) -> tuple[float, dict[str, float], dict[Head, float]]:
    """Three tests of a circuit, all as shares of F(model).

    F(heads) is the mean logit difference if only these heads work. `model` has all heads, and `classes` divides those
    of the circuit into groups such as "name mover".

    1. Faithfulness: F(circuit) as a share of F(model).
    2. Incompleteness of each class: the distance between F(circuit without the class) and F(model without the class).
       If the circuit is all there is, both suffer equally.
    3. Minimality of each head: by how much F changes, up or down, if the head is taken out of the circuit, or out of
       the circuit that has already lost the rest of the head's class; whichever is more. The second shows what a head
       does if others of its class can stand in for it.
    """
    whole = F(model)
    incompleteness, minimality = {}, {}
    for name, members in classes.items():
        incompleteness[name] = abs(F(circuit - members) - F(model - members)) / whole
        for head in members:
            alone = abs(F(circuit) - F(circuit - {head}))
            rest = members - {head}
            without_rest = abs(F(circuit - rest) - F(circuit - members))
            minimality[head] = max(alone, without_rest) / whole
    return F(circuit) / whole, incompleteness, minimality


def null_circuits(circuit: Bool[Tensor, "layer head"], n: int, seed: int) -> Bool[Tensor, "n layer head"]:
    """n random circuits that have as many heads in each layer as `circuit`, and differ from it.

    True stands for a head that belongs to the circuit. Every head of a layer is equally likely to be drawn, those of
    the circuit included; a draw that gives the circuit itself is drawn again. Use one
    torch.Generator().manual_seed(seed), and torch.randperm(heads, generator=...) to draw heads.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn: list[Tensor] = []
    while len(drawn) < n:
        null = torch.zeros_like(circuit)
        for layer, row in enumerate(circuit):
            null[layer, torch.randperm(len(row), generator=generator)[: int(row.sum())]] = True
        if not torch.equal(null, circuit):
            drawn.append(null)
    return torch.stack(drawn)


def self_repair(
    model: ms.HookedTransformer,
    tokens: Int[Tensor, "batch pos"],
    head: Head,
    mean: Float[Tensor, "pos d_head"],
    io: Int[Tensor, " batch"],
    s: Int[Tensor, " batch"],
    end: Int[Tensor, " batch"],
) -> tuple[float, float, Float[Tensor, "layer head"]]:
    """What a head wrote to the answer, what is lost without it, and who made up for it.

    Replace the head's z by its `mean` at every position, and measure every head's direct contribution before and after
    (head_contributions). For both, use the `scale` of the run before: its ln_final.hook_scale [batch, pos, 1]. Return

    - direct: by how much the head's own contribution falls,
    - lost: by how much the logit difference really falls, on average (logit_difference),
    - gained [layer, head]: by how much every other head's contribution rises; 0 for the head itself.

    If less is lost than the head wrote, the model has repaired itself. W_O is model.W_O, W_U is model.W_U, and z is at
    blocks.LAYER.attn.hook_z [batch, pos, head, d_head].
    """
    rows, layer_name = torch.arange(len(tokens)), f"blocks.{head[0]}.attn.hook_z"

    def replace(z: Tensor, hook: object) -> Tensor:
        z = z.clone()
        z[:, :, head[1]] = mean
        return z

    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens)
        with model.hooks(fwd_hooks=[(layer_name, replace)]):
            logits_after, cache_after = model.run_with_cache(tokens)
        scale = cache["ln_final.hook_scale"][rows, end, 0]

        def contributions(of: Any) -> Tensor:
            layers = [of[f"blocks.{layer}.attn.hook_z"][rows, end] for layer in range(model.cfg.n_layers)]
            return head_contributions(torch.stack(layers, 1), model.W_O, scale, model.W_U, io, s)

        gained = contributions(cache_after) - contributions(cache)
        lost = logit_difference(logits, io, s, end) - logit_difference(logits_after, io, s, end)
    direct = -float(gained[head])
    gained[head] = 0
    return direct, float(lost.mean()), gained
