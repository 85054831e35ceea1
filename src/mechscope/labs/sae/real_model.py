"""A dictionary on the residual stream of SmolLM2-135M: trained, spliced into the model, and compared with neurons."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.checkpoints.lab_models import SMOLLM2
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.dictionaries.building import build, from_state
from mechscope.dictionaries.config import DictionaryConfig, TopKConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import automatic_detection, evaluate, read_activations
from mechscope.dictionaries.model_stream import ModelStream
from mechscope.dictionaries.outliers import OutlierLimits, trained_limits
from mechscope.dictionaries.training import train
from mechscope.labs.sae.config import RealModelConfig
from mechscope.labs.sae.features_against_neurons import ACTIVE_SHARE, draw_units
from mechscope.labs.sae.language_model import in_rows, tokens_of, training_rows
from mechscope.labs.sae.training import settings
from mechscope.model.names import get_act_name
from mechscope.model.transformer import HookedTransformer
from mechscope.runs.training_state import with_prefix
from mechscope.runs.workspace import Workspace

SKIPPED = 1
"""Positions at the start of a sequence that are left out: the first one carries a massive activation."""
KINDS = ("features", "neurons", "directions")
"""Units that are detected: latents of the dictionary, neurons of the same layer, and random directions."""


@dataclass(frozen=True)
class RealStudy:
    """The dictionary, and what was measured with it on held-out text."""

    config: RealModelConfig
    """Settings."""
    dictionary: Dictionary
    """The TopK dictionary."""
    measures: dict[str, float]
    """Everything that claims and lesson read, by name."""
    features: list[int]
    """Features that are drawn."""
    activations: Float[Tensor, "batch pos feature"]
    """Their activations on the held-out text."""
    tokens: Int[Tensor, "batch pos"]
    """The held-out text."""
    promoted: Int[Tensor, "feature token"]
    """The tokens that each of them promotes most."""

    def named_measures(self) -> dict[str, float]:
        """The measures under the names that claims and lesson use."""
        return {f"smollm2_{name}": value for name, value in self.measures.items()}


def study_real_model(workspace: Workspace, config: RealModelConfig, seed: int) -> RealStudy:
    """Train a dictionary on one layer of SmolLM2-135M, or read it back, and evaluate it.

    The model is loaded only if there is something to compute.
    """
    device = workspace.device

    def trained() -> dict[str, Tensor]:
        return train_real(workspace, SMOLLM2.load(device), config, seed)

    part = workspace.load_or_compute(f"smollm2-dictionary-seed-{seed}", trained)
    limits = OutlierLimits(float(part.pop("limit")))
    left_out = float(part.pop("left_out"))
    cfg = dictionary_config(part["W_dec"].shape[1], config)
    dictionary = from_state(cfg, part).to(device)

    def evaluated() -> dict[str, Tensor]:
        return evaluate_real(SMOLLM2.load(device), dictionary, limits, config, seed)

    found = {
        name: tensor.cpu()
        for name, tensor in workspace.load_or_compute(f"smollm2-scores-seed-{seed}", evaluated).items()
    }
    measures = {name: float(value) for name, value in with_prefix(found, "measure/").items()}
    measures["left_out"] = left_out
    return RealStudy(
        config,
        dictionary,
        measures,
        found["features"].tolist(),
        found["activations"],
        found["tokens"],
        found["promoted"],
    )


def dictionary_config(d_model: int, config: RealModelConfig) -> DictionaryConfig:
    """The TopK dictionary's settings."""
    return TopKConfig(d_in=d_model, d_sae=config.size, k=config.k, b_dec_start="geometric_median")


def hook_name(config: RealModelConfig) -> str:
    """Where the dictionary reads and writes: the residual stream after the chosen layer."""
    return get_act_name("resid_post", config.layer)


def train_real(
    workspace: Workspace, model: HookedTransformer, config: RealModelConfig, seed: int
) -> dict[str, Tensor]:
    """Train the dictionary in one pass over the training text. An interrupted training resumes.

    Returns:
        The dictionary's tensors, "limit" (the length above which activations count as massive) and "left_out" (how
        many of them were).
    """
    library = read_standard_library()
    for name in HELD_OUT_CODE:
        library.pop(name)
    stream = ModelStream(
        model,
        training_rows(model, library, config.train_rows, config.width, seed),
        hook_name(config),
        batch_size=config.batch,
        buffer_size=config.buffer_rows * (config.width - SKIPPED),
        skip_first=SKIPPED,
        seed=seed,
    )
    training = settings(
        config.steps,
        config.learning_rate,
        seed,
        revive="auxiliary",
        dead_after=config.dead_after,
        checkpoint_every=max(1, config.steps // 10),
    )
    dictionary = build(dictionary_config(model.cfg.d_model, config), seed).to(workspace.device)
    folder = workspace.unfinished_folder(f"smollm2-dictionary-seed-{seed}")
    run = train(dictionary, stream, training, folder=folder, progress=workspace.progress)
    limits = trained_limits(dictionary)
    return {
        **dictionary.state(),
        "limit": torch.tensor(math.inf if limits is None else limits.x),
        "left_out": torch.tensor(run.outliers),
    }


def evaluate_real(
    model: HookedTransformer,
    dictionary: Dictionary,
    limits: OutlierLimits,
    config: RealModelConfig,
    seed: int,
) -> dict[str, Tensor]:
    """Everything that is measured on the held-out text, as tensors: "measure/NAME", and what the figures draw."""
    tokens = held_out_rows(model, config)
    hook, neurons = hook_name(config), get_act_name("post", config.layer)
    scores = evaluate(
        dictionary,
        tokens[: config.spliced_rows].to(model.W_E.device),
        model=model,
        hook_name=hook,
        skip_first=SKIPPED,
        outlier_limits=limits,
    )
    splice = scores.splice
    assert splice is not None
    pairs = list(read_activations(model, tokens, hook, neurons))
    x, post = (torch.cat(parts)[:, SKIPPED:].cpu() for parts in zip(*pairs, strict=True))
    ordinary = ~limits.outliers(x)
    with torch.no_grad():
        encoded = torch.cat([dictionary.encode(row.to(dictionary.W_dec)).cpu() for row in x.split(8)])
    aligned = (x - x[ordinary].mean(0)) @ random_directions(x.shape[-1], config.detected, seed)
    text = tokens[:, SKIPPED:]
    auc: dict[str, float] = {}
    for name, values in zip(KINDS, (encoded, post, aligned), strict=True):
        values = values * ordinary[..., None]
        units = draw_units(values, config.detected, seed)
        auc[name] = automatic_detection(
            text, values, units=units, active_share=ACTIVE_SHARE, seed=seed
        ).mean_auc
    encoded = encoded * ordinary[..., None]
    density = (encoded[ordinary] > 0).double().mean(0)
    features = draw_features(density, config.pages, seed)
    effects = dictionary.W_dec[features].to(model.W_U) @ model.W_U
    measures = {
        "tokens": ordinary.sum(),
        "massive": (~ordinary).sum(),
        "l0": scores.l0,
        "fvu": scores.fvu,
        "pca_fvu": principal_fvu(x[ordinary], config.k),
        "ce": splice.ce,
        "delta_ce": splice.delta_ce,
        "mean_ce": splice.ce_mean - splice.ce,
        "zero_ce": splice.ce_zero - splice.ce,
        "dead": 100 * (density == 0).double().mean(),
        **{f"detected_{name}": value for name, value in auc.items()},
    }
    return {
        **{
            f"measure/{name}": torch.as_tensor(float(value), dtype=torch.float64)
            for name, value in measures.items()
        },
        "features": torch.tensor(features),
        "activations": encoded[..., features],
        "tokens": text,
        "promoted": effects.topk(3).indices,
    }


def held_out_rows(model: HookedTransformer, config: RealModelConfig) -> Int[Tensor, "batch pos"]:
    """Sequences from the modules that dictionaries are never trained on."""
    library = read_standard_library()
    text = "\n".join(library[name] for name in HELD_OUT_CODE)
    return in_rows(tokens_of(model, text), config.width)[: config.test_rows]


def random_directions(width: int, count: int, seed: int) -> Float[Tensor, "width count"]:
    """Directions drawn uniformly."""
    drawn = torch.randn(width, count, generator=torch.Generator().manual_seed(5000 + seed))
    return drawn / drawn.norm(dim=0)


def draw_features(density: Float[Tensor, " feature"], count: int, seed: int) -> list[int]:
    """Features drawn at random among those that are active on 0.1 % to 10 % of the tokens."""
    usable = ((density > 1e-3) & (density < 0.1)).nonzero().flatten()
    if not len(usable):
        usable = density.argsort(descending=True)[:count]
    return usable[torch.randperm(len(usable), generator=torch.Generator().manual_seed(seed))[:count]].tolist()


def principal_fvu(x: Float[Tensor, "example d_model"], count: int) -> float:
    """Fraction of variance that the first principal components of these activations leave unexplained."""
    centred = (x - x.mean(0)).double()
    variances = torch.linalg.eigvalsh(centred.T @ centred)
    return float(1 - variances[-count:].sum() / variances.sum())
