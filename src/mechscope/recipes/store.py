"""How what a recipe makes lies on disk: written, read back, described. Most recipes make transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.save import is_own_folder, save_model
from mechscope.checkpoints.toy_models import ToyCollection, is_toy_folder, load_toy_models, save_toy_models
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.files import is_dictionary_folder
from mechscope.dictionaries.files import load as load_dictionary
from mechscope.dictionaries.files import save as save_dictionary
from mechscope.model.transformer import HookedTransformer
from mechscope.subjects.files import is_subject_folder, load_subject, save_subject
from mechscope.subjects.subject import Subject


@dataclass(frozen=True)
class Store:
    """One kind of model and its folder."""

    loader: str
    """The public function that loads such a folder, for messages."""
    save: Callable[[Any, Path], Path]
    """Writes the model in float16."""
    load: Callable[[Path], Any]
    """Reads it back as it is stored, on the CPU."""
    is_own: Callable[[Path], bool]
    """Whether a folder holds such a model, or nothing."""
    words: Callable[[Any], Mapping[str, str]]
    """`parameters` and `shape` for its card."""


def _save_transformer(model: HookedTransformer, folder: Path) -> Path:
    return save_model(model.cpu(), folder, dtype="float16")


def _load_transformer(folder: Path) -> HookedTransformer:
    return load_model(folder, process=False, device="cpu")


def _transformer_words(model: HookedTransformer) -> dict[str, str]:
    cfg = model.cfg
    count = sum(parameter.numel() for parameter in model.parameters())
    mlp = "no MLPs" if cfg.attn_only else f"{cfg.d_mlp} neurons a layer ({cfg.act_fn})"
    layers = "1 layer" if cfg.n_layers == 1 else f"{cfg.n_layers} layers"
    return {
        "parameters": f"{count:,}",
        "shape": f"{layers}, {cfg.n_heads} heads of {cfg.d_head}, d_model {cfg.d_model}, {mlp}, "
        f"context {cfg.n_ctx}, vocabulary {cfg.d_vocab}",
    }


def _toy_words(collection: ToyCollection) -> dict[str, str]:
    return {
        "parameters": f"{collection.n_parameters:,}",
        "shape": f"{collection.n_networks:,} networks in {len(collection)} groups",
    }


def _save_dictionary(dictionary: Dictionary, folder: Path) -> Path:
    # Folded before rounding, so that nothing is rounded twice.
    return save_dictionary(dictionary.cpu().folded_to_save().half(), folder, fold=False)


def _load_dictionary(folder: Path) -> Dictionary:
    # In float16 sums would be rounded too, not only the stored weights.
    return load_dictionary(folder).float()


def _dictionary_words(dictionary: Dictionary) -> dict[str, str]:
    cfg = dictionary.cfg
    count = sum(parameter.numel() for parameter in dictionary.parameters())
    return {
        "parameters": f"{count:,}",
        "shape": f"{cfg.d_sae} features of activations of width {cfg.d_in}, architecture {cfg.architecture}",
    }


def _subject_words(subject: Subject) -> dict[str, str]:
    count = sum(parameter.numel() for parameter in subject.parameters())
    return {"parameters": f"{count:,}", "shape": subject.shape_in_words}


TRANSFORMER = Store("load_model", _save_transformer, _load_transformer, is_own_folder, _transformer_words)
"""A `HookedTransformer`."""
TOY_MODELS = Store("load_toy_models", save_toy_models, load_toy_models, is_toy_folder, _toy_words)
"""A `ToyCollection`."""
DICTIONARY = Store(
    "dictionaries.load", _save_dictionary, _load_dictionary, is_dictionary_folder, _dictionary_words
)
"""A `Dictionary`."""
SUBJECT = Store("load_subject", save_subject, load_subject, is_subject_folder, _subject_words)
"""A `Subject`: a network that is not a transformer."""
