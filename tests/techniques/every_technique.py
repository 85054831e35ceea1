"""Every public technique with a call that works on a small random model, for what must hold of all of them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from mechscope import techniques
from mechscope.model.padding import last_real
from mechscope.model.token_batch import Tokens
from mechscope.model.transformer import HookedTransformer
from mechscope.results import Result
from mechscope.tasks import from_tokens
from mechscope.tasks.task import Task
from mechscope.techniques.attention_statistics import value_norms
from mechscope.techniques.causal_scrubbing import Part
from mechscope.techniques.circuits import minimality
from mechscope.techniques.fourier import neuron_frequencies
from mechscope.techniques.redteam.evidence import Evidence

D_VOCAB = 40
LENGTH = 7


def small_model(**changes: Any) -> HookedTransformer:
    """Two layers with weights large enough that attention is not uniform and answers differ."""
    fields: dict[str, Any] = {
        "n_layers": 2,
        "d_model": 32,
        "n_ctx": 16,
        "d_head": 8,
        "d_vocab": D_VOCAB,
        "act_fn": "gelu",
        "seed": 3,
        "initializer_range": 0.3,
    }
    return HookedTransformer(fields | changes)


def small_task(model: HookedTransformer, examples: int = 8, length: int = LENGTH) -> Task:
    """Random prompts, and the same with other tokens from the third on (or in the last place of shorter ones).

    The right answer is what the model says on the clean prompt, the wrong one what it says on the corrupted one: so
    the two runs lie well apart, and an effect as a share of their distance is not made of rounding.
    """
    draw = torch.Generator().manual_seed(0)
    clean = torch.randint(0, model.cfg.d_vocab, (examples, length), generator=draw)
    corrupted = clean.clone()
    where = min(2, length - 1)
    corrupted[:, where:] = (corrupted[:, where:] + 7) % model.cfg.d_vocab
    with torch.no_grad():
        says = [copy.deepcopy(model).double()(tokens)[:, -1].topk(2).indices for tokens in (clean, corrupted)]
    correct, wrong = says[0][:, 0], says[1][:, 0]
    return from_tokens(clean, corrupted, correct, torch.where(wrong == correct, says[1][:, 1], wrong))


def direction_of(model: HookedTransformer) -> torch.Tensor:
    """A fixed direction of the residual stream, in float32 as a user would bring it."""
    return torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(5))


def _next_in_line(prompts: torch.Tensor) -> torch.Tensor:
    last = last_real(Tokens(prompts).is_real)
    return (prompts[torch.arange(len(prompts)), last][:, None] + 1) % D_VOCAB


def _numbers_in_pairs(model: HookedTransformer) -> torch.Tensor:
    """Neurons over all pairs of two numbers [p p neuron]."""
    p = 5
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    with torch.no_grad():
        _, cache = model.run_with_cache(pairs, names_filter=lambda name: name.endswith("mlp.hook_post"))
    return cache["post", 0][:, -1].unflatten(0, (p, p))


def _without(model: HookedTransformer, task: Task) -> torch.Tensor:
    with techniques.without_direction(model, direction_of(model)), torch.no_grad():
        return task.measure(task.logits(model, task.clean))


def _orthogonalized(model: HookedTransformer, task: Task) -> torch.Tensor:
    with torch.no_grad():
        return task.measure(
            task.logits(techniques.orthogonalize_weights(model, direction_of(model)), task.clean)
        )


def _steered(model: HookedTransformer, task: Task) -> torch.Tensor:
    with techniques.steered(model, direction_of(model), layer=0, coefficient=2.0), torch.no_grad():
        return task.measure(task.logits(model, task.clean))


def _swept(model: HookedTransformer, task: Task) -> torch.Tensor:
    sweep = techniques.Sweep(model, task.clean, task.answers.positions, progress=False)
    edits = [
        techniques.Edit("blocks.0.attn.hook_z", value=0.0, head=head) for head in range(model.cfg.n_heads)
    ]
    return sweep.run(edits, task.measure)


def _hypothesis() -> Part:
    token = [Part("input")]
    return Part("logits", inputs=[Part("a0.h0", inputs={"q": token, "k": token, "v": token})])


def _probed(model: HookedTransformer, task: Task) -> Any:
    labels = [row % 2 for row in range(task.n_examples)]
    return techniques.linear_probe(
        model,
        task.clean,
        labels,
        positions=[0],
        groups=list(range(task.n_examples)),
        seeds=(0,),
        progress=False,
    ).scores


def _circuit(model: HookedTransformer) -> techniques.Circuit:
    edges = ["input->a0.h0<v>", "a0.h0->logits", "input->logits"]
    return techniques.Circuit.from_edges(techniques.EdgeGraph.of(model), edges)


Call = Callable[[HookedTransformer, Task], Any]
# ACDC's tau keeps all but edges without any effect: near a larger one, rounding would decide which search is made.
CALLS: dict[str, Call] = {
    "Sweep, Edit": _swept,
    "ablation": lambda m, t: [
        techniques.ablation(m, t, how=how, draws=2, progress=False)
        for how in ("zero", "mean", "resample", "template_mean")
    ],
    "knock_out": lambda m, t: techniques.knock_out(m, t, ["a0.h0", "m0"], progress=False),
    "patch": lambda m, t: {
        site: techniques.patch(
            m, t, site, neurons=range(min(8, m.cfg.d_mlp)) if site == "post" else None, progress=False
        )
        for site in ("resid_mid", "mlp_out", "k", "pattern", "post")
    },
    "path_patching": lambda m, t: techniques.path_patching(m, t, ["a0.h0"], ["logits", "m0"], progress=False),
    "path_patching_every_head": lambda m, t: techniques.path_patching_every_head(
        m, t, ["logits"], progress=False
    ),
    "subspace_patching": lambda m, t: techniques.subspace_patching(
        m, t, direction_of(m), 0, n_random=3, progress=False
    ),
    "attribution_patching": lambda m, t: {
        f"{site} {options}": techniques.attribution_patching(m, t, site, progress=False, **options)
        for site, options in [
            ("head", {}),
            ("k", {"qk_fix": True}),
            ("head", {"steps": 3}),
            ("resid_pre", {"grad_drop": True}),
        ]
    },
    "acdc": lambda m, t: techniques.acdc(m, t, tau=1e-6, progress=False).effects,
    "discover": lambda m, t: {
        method: techniques.discover(m, t, method, progress=False).scores
        for method in ("eap", "eap-ig", "eap-ig-activations")
    },
    "evaluate, Circuit, EdgeGraph": lambda m, t: (
        techniques.evaluate(m, t, [_circuit(m)], draws=3, progress=False).faithfulness
    ),
    "minimality": lambda m, t: minimality(m, t, _circuit(m), progress=False).lost,
    "causal_scrubbing": lambda m, t: (
        techniques.causal_scrubbing(m, t, _hypothesis(), draws=3, progress=False).recovered
    ),
    "direct_logit_attribution": lambda m, t: {
        by: techniques.direct_logit_attribution(m, t, by)
        for by in ("component", "layer", "head", "neuron", "source")
    },
    "logit_lens": lambda m, t: techniques.logit_lens(m, t, incl_mid=True, progress=False),
    "head_scores": lambda m, t: techniques.head_scores(m, seeds=(0,)),
    "detect_heads": lambda m, t: techniques.detect_heads(m, t.clean),
    "attention_statistics": lambda m, t: techniques.attention_statistics(m, t),
    "norm_weighted_attention": lambda m, t: techniques.norm_weighted_attention(m, t, 0, 0),
    "value_norms": lambda m, t: value_norms(m, 0, m.run_with_cache(t.clean)[1]["v", 0]),
    "composition_scores": lambda m, t: {
        kind: techniques.composition_scores(m, kind, draws=4, progress=False) for kind in ("Q", "K", "V")
    },
    "copying_scores": lambda m, t: techniques.copying_scores(m),
    "full_circuit": lambda m, t: [techniques.full_circuit(m, 0, 0, which).AB for which in ("OV", "QK")],
    "top_token_pairs": lambda m, t: techniques.top_token_pairs(m, 0, 0).values,
    "singular_directions": lambda m, t: (
        techniques.singular_directions(m, 0, 0, n=min(3, m.cfg.d_head)).strength
    ),
    "neuron_tokens": lambda m, t: techniques.neuron_tokens(m, 0, [0, m.cfg.d_mlp - 1]).strength,
    "directional_ablation": lambda m, t: techniques.directional_ablation(
        m, t, direction_of(m), n_random=3, progress=False
    ),
    "without_direction": _without,
    "orthogonalize_weights": _orthogonalized,
    "steering_vector": lambda m, t: techniques.steering_vector(
        m, t, layer=m.cfg.n_layers - 1, positions=[-1]
    ),
    "steered": _steered,
    "steering_curve": lambda m, t: techniques.steering_curve(
        m, t, direction_of(m), 0, (-1.0, 0.0, 1.0), n_random=2, progress=False
    ),
    "linear_probe": _probed,
    "redteam, Behaviour": lambda m, t: techniques.redteam(
        m, t, techniques.Behaviour(_next_in_line), n_null=39, progress=False
    ),
    "redteam, Heads": lambda m, t: techniques.redteam(
        m, t, techniques.Heads(["a0.h0", "m0"]), n_null=39, progress=False
    ),
    "redteam, Direction": lambda m, t: techniques.redteam(
        m, t, techniques.Direction(direction_of(m), layer=0), n_null=39, progress=False
    ),
    "embedding_spectrum, gini": lambda m, t: [
        techniques.embedding_spectrum(m),
        techniques.gini(m.W_E[:, 0].abs()),
    ],
    "fourier_spectrum, fourier_basis": lambda m, t: techniques.fourier_spectrum(m.W_E),
    "key_frequencies": lambda m, t: float(len(techniques.key_frequencies(techniques.embedding_spectrum(m)))),
    "neuron_frequencies": lambda m, t: neuron_frequencies(_numbers_in_pairs(m)),
}
"""Each technique's name in `mechscope.techniques` (several, where one call runs them together), and its call."""
WITHOUT_A_MODEL = {"load_circuit", "scoreboard"}
"""Public names that are not called with a model: one reads a file, the other compiles models itself."""


def names_called() -> set[str]:
    """Every public name that a call of `CALLS` runs."""
    return {name for key in CALLS for name in key.split(", ")}


def numbers_of(found: Any, path: str = "") -> Iterator[tuple[str, np.ndarray, float]]:
    """Every array of floats in what a technique returned: where it is, the numbers, and their natural scale.

    The scale of shares is 1, the whole effect; that of other quantities is their largest magnitude.
    """
    if isinstance(found, Result):
        array = found.values.values
        if array.dtype.kind == "f":
            yield path, array, max(_largest(array), 1.0 if "share" in found.unit else 0.0)
    elif isinstance(found, Evidence):
        for rung in found.checks:
            if rung.measured is not None:
                yield f"{path}.{rung.name}", np.asarray(rung.measured, dtype=np.float64), 1.0
    elif isinstance(found, torch.Tensor):
        if found.is_floating_point():
            # NumPy has no bfloat16: what is in it is told by an array of a type that no test accepts.
            array = found.detach().numpy() if found.dtype.itemsize >= 4 else found.detach().half().numpy()
            yield path, array, _largest(array)
    elif isinstance(found, float):
        yield path, np.asarray(found), abs(found)
    elif dataclasses.is_dataclass(found):
        for field in dataclasses.fields(found):
            yield from numbers_of(getattr(found, field.name), f"{path}.{field.name}")
    elif isinstance(found, Mapping):
        for key, value in found.items():
            yield from numbers_of(value, f"{path}[{key}]")
    elif isinstance(found, (list, tuple)):
        for index, value in enumerate(found):
            yield from numbers_of(value, f"{path}[{index}]")


def _largest(array: np.ndarray) -> float:
    finite = array[np.isfinite(array)]
    return float(np.abs(finite).max()) if finite.size else 0.0
