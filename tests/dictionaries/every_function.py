"""Every public function of dictionaries and of their evaluation, with a call on a small model and dictionary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from mechscope import dictionaries as d
from mechscope import feature_effects as effects
from mechscope.dictionaries import evaluation as e
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.task import Task
from tests.techniques.every_technique import small_model, small_task

WHERE = "blocks.0.hook_mlp_out"
LATER = "blocks.1.hook_resid_post"
D_SAE = 48


@dataclass(frozen=True)
class Setting:
    """A model with a task, and dictionaries at two of its hook points."""

    model: HookedTransformer
    task: Task
    tokens: torch.Tensor
    dictionary: Dictionary
    later: Dictionary
    activations: torch.Tensor
    """What the first dictionary reads [example d_in], in the type of the model."""

    @property
    def features(self) -> torch.Tensor:
        """The first dictionary's features of them."""
        with torch.no_grad():
            return self.dictionary.encode(self.activations)

    @property
    def labels(self) -> torch.Tensor:
        """Two classes of the examples, the same in every precision."""
        return torch.arange(len(self.activations)) % 2


def setting(model_dtype: torch.dtype, dictionary_dtype: torch.dtype, like: Setting | None = None) -> Setting:
    """Models and dictionaries of these types; with `like`, those with the same weights, converted."""
    model = small_model()
    tokens = torch.randint(0, model.cfg.d_vocab, (6, 8), generator=torch.Generator().manual_seed(7))
    one, two = (_dictionary(model.cfg.d_model, seed) for seed in (0, 1))
    if like is not None:
        model.load_state_dict({name: value.float() for name, value in like.model.state_dict().items()})
        for own, theirs in ((one, like.dictionary), (two, like.later)):
            own.load_state_dict({name: value.float() for name, value in theirs.state_dict().items()})
    model, one, two = model.to(model_dtype), one.to(dictionary_dtype), two.to(dictionary_dtype)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=WHERE)
    return Setting(model, small_task(model), tokens, one, two, cache[WHERE].flatten(0, 1))


def _dictionary(d_in: int, seed: int) -> Dictionary:
    """Features of very different activity, so that those of narrow activations are the same ones."""
    dictionary = d.build(d.ReluConfig(d_in=d_in, d_sae=D_SAE), seed).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        dictionary.b_enc += 0.3 * torch.randn(D_SAE, generator=draw)
        dictionary.b_dec += 0.1 * torch.randn(d_in, generator=draw)
    return dictionary


def _spliced(s: Setting, call: Callable[[Any], Any]) -> Any:
    with s.dictionary.attached(s.model, WHERE) as attached:
        return call(attached)


def _edges(s: Setting) -> Any:
    with s.dictionary.attached(s.model, WHERE) as earlier, s.later.attached(s.model, LATER) as later:
        return effects.attribute_edges(s.model, s.task, earlier, later, (1, 5), progress=False).edges


def _attached_loss(s: Setting) -> torch.Tensor:
    with d.attached(s.dictionary, s.model, WHERE, error_term=False), torch.no_grad():
        return s.model(s.tokens, return_type="loss")


def _trained(s: Setting) -> torch.Tensor:
    cfg = d.TopKConfig(d_in=s.dictionary.cfg.d_in, d_sae=24, k=4, dtype=s.dictionary.cfg.dtype)
    dictionary = d.build(cfg, 0)
    stream = d.ModelStream(s.model, s.tokens, WHERE, batch_size=16, buffer_size=32)
    run = d.train(dictionary, stream, d.TrainingConfig(steps=5, log_every=1), progress=False)
    return torch.tensor(run.history.values.sel(measure="squared error").values)


CALLS: dict[str, Callable[[Setting], Any]] = {
    "attached, Attached": _attached_loss,
    "attribute_features, FeatureEffects": lambda s: _spliced(
        s, lambda a: [effects.attribute_features(s.model, s.task, a, steps=n, progress=False) for n in (1, 3)]
    ),
    "attribute_edges, FeatureEdges": _edges,
    "direct_feature_attribution, FeatureLogits": lambda s: _spliced(
        s, lambda a: effects.direct_feature_attribution(s.model, s.task, a, features=range(10))
    ),
    "patch_features": lambda s: _spliced(
        s, lambda a: effects.patch_features(s.model, s.task, a, features=range(10), progress=False)
    ),
    "ablate_features": lambda s: _spliced(
        s, lambda a: effects.ablate_features(s.model, s.task, a, "mean", features=range(10), progress=False)
    ),
    "train, ModelStream, TrainingRun, TrainingConfig, TopKConfig, build": _trained,
    "estimate_scale, TensorStream": lambda s: (
        d.estimate_scale(d.TensorStream(s.activations, batch_size=16).peek(48), "x").scale_in
    ),
    "evaluate, Evaluation, Splice, spliced_loss, Activity, ActivityCounts, MeanCosine, Shrinkage": lambda s: (
        e.evaluate(s.dictionary, s.tokens, model=s.model, hook_name=WHERE).table
    ),
    "OutlierLimits, NO_LIMITS": lambda s: [
        e.evaluate(s.dictionary, s.activations, outlier_limits=limits).fvu
        for limits in (d.OutlierLimits(x=1e4), d.NO_LIMITS)
    ],
    "activity": lambda s: e.activity(s.features).densities,
    "VarianceUnexplained, fraction_of_variance_unexplained": lambda s: e.fraction_of_variance_unexplained(
        s.activations, s.dictionary(s.activations)
    ),
    "absorption": lambda s: float(
        e.absorption(s.features, s.dictionary.W_dec, s.labels.bool(), s.dictionary.W_dec[0], [0]).recall
    ),
    "hierarchy_probe": lambda s: e.hierarchy_probe(
        s.features[:, 0], torch.ones(len(s.features)).bool(), s.labels.bool()
    ),
    "automatic_detection": lambda s: (
        e.automatic_detection(s.tokens, s.features.unflatten(0, s.tokens.shape), units=[0, 1], least=1).auc
    ),
    "detection, Detection, ExampleContexts, windows": lambda s: (
        e.detection(
            e.ExampleContexts(e.windows(s.tokens, 3)[0], e.windows(s.tokens, 3)[1]),
            e.windows(s.tokens, 3).flatten(0, 1),
            s.labels.bool(),
        ).auc
    ),
    "universality, Correlations, encoded": lambda s: (
        e.universality(e.encoded(s.dictionary.encode, s.later.encode, [s.activations])).max_correlation
    ),
    "feature_pages, FeaturePage": lambda s: [
        page.to_dict()["density"] for page in e.feature_pages(s.model, s.dictionary, s.tokens, WHERE, [0, 1])
    ],
    "feature_recovery, Recovery": lambda s: (
        e.feature_recovery(s.dictionary.W_dec, s.later.W_dec.float()).mmcs
    ),
    "logit_effects": lambda s: e.logit_effects(s.model, s.dictionary.W_dec),
    "logit_lists": lambda s: [
        each.top_values[0] for each in e.logit_lists(e.logit_effects(s.model, s.dictionary.W_dec), 1)
    ],
    "nearest_features": lambda s: [
        each.cosines[0] for each in e.nearest_features(s.dictionary.W_dec, range(4))
    ],
    "read_activations": lambda s: [
        float(x.double().norm()) for x, _ in e.read_activations(s.model, s.tokens, WHERE)
    ],
    "read_features": lambda s: e.read_features(s.model, s.dictionary, s.tokens, WHERE, [0, 1]),
    "refit_gain": lambda s: e.refit_gain(s.dictionary, s.activations),
    "sparse_probing": lambda s: (
        e.sparse_probing(s.features, s.activations, s.labels, ks=(1,), seeds=(0,)).chance
    ),
    "splitting": lambda s: float(e.splitting(s.features, s.labels, most=2, seeds=(0,)).features > 0),
    "top_contexts": lambda s: e.top_contexts(s.tokens, _first_feature(s), 2)[0].activation,
    "spread_contexts": lambda s: e.spread_contexts(s.tokens, _first_feature(s), groups=2, count=1)[0].low,
}
"""Public names that a call runs, and the call; with what must come out alike in any precision."""
TESTED_BY_ARCHITECTURE = {
    "BatchTopKConfig", "CrosscoderConfig", "Dictionary", "DictionaryConfig", "GatedConfig", "JumpReluConfig",
    "MatryoshkaConfig", "ReluConfig", "transcoder", "Loss", "DeadFeatures", "SparseFeatures", "from_state", "save",
    "load", "config_from_dict",
}  # fmt: skip
WITHOUT_ARITHMETIC = {
    "ALONE", "Ranks", "SplitStream", "gather_dictionary", "start_ranks", "config", "evaluation", "exchange",
    "synthetic", "SyntheticFeatures", "GeneratorStream", "ShardStream", "write_shards",
}  # fmt: skip
"""Processes, files and modules; streams that hand on what they are given; and features drawn in float32."""


def names_called() -> set[str]:
    """Every public name that a call of `CALLS` runs."""
    return {name for key in CALLS for name in key.split(", ")}


def _first_feature(s: Setting) -> torch.Tensor:
    return s.features[:, 0].unflatten(0, s.tokens.shape)
