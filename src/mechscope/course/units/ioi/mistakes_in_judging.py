"""Mistakes in running a circuit alone and in judging it."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import random

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.ioi import checks, reference


def _is_z(name):
    return name.endswith("hook_z")


# The circuit alone


def _run(model, tokens, circuit, value, *, inside=False):
    """Args: value: the replacement for z of a layer, from its name."""

    def silence(layer):
        name = f"blocks.{layer}.attn.hook_z"
        heads = [head for head in range(model.cfg.n_heads) if ((layer, head) in circuit) == inside]

        def replace(z, hook):
            z = z.clone()
            z[:, :, heads] = value(name)[:, :, heads]
            return z

        return name, replace

    return model.run_with_hooks(tokens, fwd_hooks=[silence(layer) for layer in range(model.cfg.n_layers)])


def _template_means(cache, templates, other_templates):
    return lambda name: torch.stack([cache[name][other_templates == each].mean(0) for each in templates])


def _circuit_silenced(model, tokens, templates, others, other_templates, circuit):
    _, cache = model.run_with_cache(others, names_filter=_is_z)
    return _run(model, tokens, circuit, _template_means(cache, templates, other_templates), inside=True)


def _zeroed(model, tokens, templates, others, other_templates, circuit):
    _, cache = model.run_with_cache(tokens)
    return _run(model, tokens, circuit, lambda name: torch.zeros_like(cache[name]))


def _all_templates(model, tokens, templates, others, other_templates, circuit):
    _, cache = model.run_with_cache(others, names_filter=_is_z)
    return _run(model, tokens, circuit, lambda name: cache[name].mean(0).expand(len(tokens), -1, -1, -1))


def _own_means(model, tokens, templates, others, other_templates, circuit):
    return reference.circuit_logits(model, tokens, templates, tokens, templates, circuit)


def _over_positions(model, tokens, templates, others, other_templates, circuit):
    _, cache = model.run_with_cache(others, names_filter=_is_z)
    means = _template_means(cache, templates, other_templates)
    return _run(model, tokens, circuit, lambda name: means(name).mean(1, keepdim=True).expand_as(means(name)))


# Three tests


def _judged(
    F, model, circuit, classes, *, removed_from_model=True, both=True, whole=None, gaps=True, signed=False
):
    whole = F(model) if whole is None else whole
    incompleteness, minimality = {}, {}
    for name, members in classes.items():
        other = F(model - members) if removed_from_model else F(model)
        gap = F(circuit - members) - other if gaps else F(circuit) - F(circuit - members)
        incompleteness[name] = abs(gap) / whole
        for head in members:
            changes = [F(circuit) - F(circuit - {head})]
            if both:
                changes.append(F(circuit - (members - {head})) - F(circuit - members))
            minimality[head] = (max(changes) if signed else max(map(abs, changes))) / whole
    return F(circuit) / whole, incompleteness, minimality


def _whole_model_kept(F, model, circuit, classes):
    return _judged(F, model, circuit, classes, removed_from_model=False)


def _only_alone(F, model, circuit, classes):
    return _judged(F, model, circuit, classes, both=False)


def _in_logits(F, model, circuit, classes):
    return _judged(F, model, circuit, classes, whole=1.0)


def _knock_outs(F, model, circuit, classes):
    return _judged(F, model, circuit, classes, gaps=False)


def _of_the_circuit(F, model, circuit, classes):
    faithfulness, incompleteness, minimality = reference.judge_circuit(F, model, circuit, classes)
    return (
        faithfulness,
        {name: value / faithfulness for name, value in incompleteness.items()},
        {head: value / faithfulness for head, value in minimality.items()},
    )


# Nulls


def _drawn(circuit, n, draw, *, others=True):
    found = []
    while len(found) < n:
        null = torch.zeros_like(circuit)
        for layer, row in enumerate(circuit):
            null[layer, draw(row)] = True
        if not (others and torch.equal(null, circuit)):
            found.append(null)
    return torch.stack(found)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _any_layer(circuit, n, seed):
    generator, size = _generator(seed), int(circuit.sum())
    nulls = torch.zeros(n, circuit.numel(), dtype=torch.bool)
    for null in nulls:
        null[torch.randperm(circuit.numel(), generator=generator)[:size]] = True
    return nulls.view(n, *circuit.shape)


def _with_replacement(circuit, n, seed):
    generator = _generator(seed)
    return _drawn(circuit, n, lambda row: torch.randint(len(row), (int(row.sum()),), generator=generator))


def _keeps_the_circuit_out(circuit, n, seed):
    generator = _generator(seed)

    def draw(row):
        free = (~row).nonzero()[:, 0]
        return free[torch.randperm(len(free), generator=generator)[: int(row.sum())]]

    return _drawn(circuit, n, draw)


def _one_draw(circuit, n, seed):
    return reference.null_circuits(circuit, 1, seed).repeat(n, 1, 1)


def _unseeded(circuit, n, seed):
    return reference.null_circuits(circuit, n, random.randrange(10**6))


def _circuit_among_them(circuit, n, seed):
    return torch.cat([circuit[None], reference.null_circuits(circuit, n - 1, seed)])


# Self-repair


def _changed(model, tokens, head, mean):
    def replace(z, hook):
        z = z.clone()
        z[:, :, head[1]] = mean
        return z

    return model.hooks(fwd_hooks=[(f"blocks.{head[0]}.attn.hook_z", replace)])


def _repair(model, tokens, head, mean, io, s, end, *, own_scale=False, keep=False):
    rows = torch.arange(len(tokens))
    with torch.no_grad():
        logits, before = model.run_with_cache(tokens)
        with _changed(model, tokens, head, mean):
            logits_after, after = model.run_with_cache(tokens)
        found = []
        for cache in (before, after):
            z = torch.stack(
                [cache[f"blocks.{layer}.attn.hook_z"][rows, end] for layer in range(model.cfg.n_layers)], 1
            )
            scale = (cache if own_scale else before)["ln_final.hook_scale"][rows, end, 0]
            found.append(reference.head_contributions(z, model.W_O, scale, model.W_U, io, s))
        gained = found[1] - found[0]
        lost = reference.logit_difference(logits, io, s, end) - reference.logit_difference(
            logits_after, io, s, end
        )
    direct = -float(gained[head])
    if not keep:
        gained[head] = 0
    return direct, float(lost.mean()), gained


def _two_scales(model, tokens, head, mean, io, s, end):
    return _repair(model, tokens, head, mean, io, s, end, own_scale=True)


def _itself_gains(model, tokens, head, mean, io, s, end):
    return _repair(model, tokens, head, mean, io, s, end, keep=True)


def _zero_instead(model, tokens, head, mean, io, s, end):
    return reference.self_repair(model, tokens, head, torch.zeros_like(mean), io, s, end)


def _before_minus_after(model, tokens, head, mean, io, s, end):
    direct, lost, gained = reference.self_repair(model, tokens, head, mean, io, s, end)
    return direct, lost, -gained


def _all_that_it_wrote(model, tokens, head, mean, io, s, end):
    # Its whole contribution, not what it wrote beyond its mean.
    _, lost, gained = reference.self_repair(model, tokens, head, mean, io, s, end)
    rows = torch.arange(len(tokens))
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        z = torch.stack(
            [cache[f"blocks.{layer}.attn.hook_z"][rows, end] for layer in range(model.cfg.n_layers)], 1
        )
        scale = cache["ln_final.hook_scale"][rows, end, 0]
        written = reference.head_contributions(z, model.W_O, scale, model.W_U, io, s)
    return float(written[head]), lost, gained


MISTAKES = {
    "circuit_logits": (
        Mistake(_circuit_silenced, "You silenced the heads of the circuit. They are the ones that work."),
        Mistake(_zeroed, "This is zero ablation: a head outside the circuit says its mean, not nothing."),
        Mistake(
            _all_templates, "You averaged over all templates. Each prompt needs the mean of its own template."
        ),
        Mistake(
            _own_means,
            "You took the means over the prompts themselves, which contain the answers. Use `others` for them.",
        ),
        Mistake(_over_positions, "You averaged over positions as well. Each position has a mean of its own."),
    ),
    "judge_circuit": (
        Mistake(
            _whole_model_kept,
            "You took the class out of the circuit only. For completeness it goes out of both circuit and model.",
        ),
        Mistake(
            _only_alone,
            "Each head was taken out of the whole circuit only. Where heads stand in for each other, it takes the "
            "circuit without the rest of the class to show what one of them does.",
        ),
        Mistake(_in_logits, "These are logits: divide by F(model)."),
        Mistake(
            _knock_outs,
            "This is what the circuit loses without the class. Compare it with the model without the class.",
        ),
        Mistake(_of_the_circuit, "You divided by F(circuit). All three are shares of F(model)."),
    ),
    "null_circuits": (
        Mistake(_any_layer, checks.UNMATCHED),
        Mistake(_with_replacement, ""),
        Mistake(_keeps_the_circuit_out, checks.DISJOINT),
        Mistake(_one_draw, checks.EQUAL),
        Mistake(_unseeded, checks.UNSEEDED),
        Mistake(_circuit_among_them, checks.ITSELF),
    ),
    "self_repair": (
        Mistake(
            _two_scales,
            "You divided each run by its own scale. With two scales, every head seems to change although only the "
            "LayerNorm did.",
        ),
        Mistake(_itself_gains, "The head itself is among those that gained; its own place is 0."),
        Mistake(_zero_instead, "You replaced the head's z by 0. Its mean is asked for."),
        Mistake(_before_minus_after, "`gained` has the wrong sign: after minus before."),
        Mistake(
            _all_that_it_wrote,
            "This is all that the head wrote. Its mean is still there, so only the part above the mean falls away.",
        ),
    ),
}
"""Exercise → its known mistakes."""
