"""Dictionaries: sparse autoencoders and transcoders, trained, evaluated, stored and spliced into models.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.dictionaries import config, evaluation, exchange, synthetic
    from mechscope.dictionaries.architectures.transcoder import transcoder
    from mechscope.dictionaries.attach import Attached, attached
    from mechscope.dictionaries.building import build, from_state
    from mechscope.dictionaries.config import (
        BatchTopKConfig,
        CrosscoderConfig,
        DictionaryConfig,
        GatedConfig,
        JumpReluConfig,
        MatryoshkaConfig,
        ReluConfig,
        TopKConfig,
        config_from_dict,
    )
    from mechscope.dictionaries.dictionary import Dictionary
    from mechscope.dictionaries.distributed.gathering import gather_dictionary
    from mechscope.dictionaries.distributed.ranks import ALONE, Ranks
    from mechscope.dictionaries.distributed.split_stream import SplitStream
    from mechscope.dictionaries.distributed.starting import start_ranks
    from mechscope.dictionaries.features import SparseFeatures
    from mechscope.dictionaries.files import load, save
    from mechscope.dictionaries.losses import DeadFeatures, Loss
    from mechscope.dictionaries.model_stream import ModelStream
    from mechscope.dictionaries.shards import ShardStream, write_shards
    from mechscope.dictionaries.stream import GeneratorStream, TensorStream, estimate_scale
    from mechscope.dictionaries.synthetic import SyntheticFeatures
    from mechscope.dictionaries.training import TrainingRun, train
    from mechscope.dictionaries.training_config import TrainingConfig

_HERE = "mechscope.dictionaries"
_HOMES = {
    "ALONE": f"{_HERE}.distributed.ranks",
    "Attached": f"{_HERE}.attach",
    "BatchTopKConfig": f"{_HERE}.config",
    "CrosscoderConfig": f"{_HERE}.config",
    "DeadFeatures": f"{_HERE}.losses",
    "Dictionary": f"{_HERE}.dictionary",
    "DictionaryConfig": f"{_HERE}.config",
    "GatedConfig": f"{_HERE}.config",
    "GeneratorStream": f"{_HERE}.stream",
    "JumpReluConfig": f"{_HERE}.config",
    "Loss": f"{_HERE}.losses",
    "MatryoshkaConfig": f"{_HERE}.config",
    "ModelStream": f"{_HERE}.model_stream",
    "Ranks": f"{_HERE}.distributed.ranks",
    "ReluConfig": f"{_HERE}.config",
    "ShardStream": f"{_HERE}.shards",
    "SparseFeatures": f"{_HERE}.features",
    "SplitStream": f"{_HERE}.distributed.split_stream",
    "SyntheticFeatures": f"{_HERE}.synthetic",
    "TensorStream": f"{_HERE}.stream",
    "TopKConfig": f"{_HERE}.config",
    "TrainingConfig": f"{_HERE}.training_config",
    "TrainingRun": f"{_HERE}.training",
    "attached": f"{_HERE}.attach",
    "build": f"{_HERE}.building",
    "config_from_dict": f"{_HERE}.config",
    "estimate_scale": f"{_HERE}.stream",
    "from_state": f"{_HERE}.building",
    "gather_dictionary": f"{_HERE}.distributed.gathering",
    "load": f"{_HERE}.files",
    "save": f"{_HERE}.files",
    "start_ranks": f"{_HERE}.distributed.starting",
    "train": f"{_HERE}.training",
    "transcoder": f"{_HERE}.architectures.transcoder",
    "write_shards": f"{_HERE}.shards",
}
_MODULES = ("config", "evaluation", "exchange", "synthetic")

_MOVED: dict[str, str] = dict.fromkeys(
    (
        "FeatureEdges",
        "FeatureEffects",
        "FeatureLogits",
        "ablate_features",
        "attribute_edges",
        "attribute_features",
        "direct_feature_attribution",
        "patch_features",
    ),
    "mechscope.feature_effects",
)

__all__ = [
    "ALONE",
    "Attached",
    "BatchTopKConfig",
    "CrosscoderConfig",
    "DeadFeatures",
    "Dictionary",
    "DictionaryConfig",
    "GatedConfig",
    "GeneratorStream",
    "JumpReluConfig",
    "Loss",
    "MatryoshkaConfig",
    "ModelStream",
    "Ranks",
    "ReluConfig",
    "ShardStream",
    "SparseFeatures",
    "SplitStream",
    "SyntheticFeatures",
    "TensorStream",
    "TopKConfig",
    "TrainingConfig",
    "TrainingRun",
    "attached",
    "build",
    "config",
    "config_from_dict",
    "estimate_scale",
    "evaluation",
    "exchange",
    "from_state",
    "gather_dictionary",
    "load",
    "save",
    "start_ranks",
    "synthetic",
    "train",
    "transcoder",
    "write_shards",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, _MODULES, _MOVED)
