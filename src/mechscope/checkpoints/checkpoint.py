"""A checkpoint: a config and access to its weights, before anything is processed or built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from mechscope.checkpoints.adapters import HfConfig, family_of
from mechscope.checkpoints.gguf_architectures import as_hugging_face
from mechscope.checkpoints.gguf_file import SUFFIX, GgufFile, gguf_files, is_gguf
from mechscope.checkpoints.hub import weight_files
from mechscope.checkpoints.legacy import fit_classic, is_classic, is_toy_config, toy_config
from mechscope.checkpoints.llama2c import is_llama2c, read_llama2c
from mechscope.checkpoints.mapping import as_stored, layer_of
from mechscope.checkpoints.quantised import refuse_quantised
from mechscope.checkpoints.save import is_own_config, own_config
from mechscope.checkpoints.weights_file import (
    DictSource,
    TensorSource,
    has_weights,
    open_weights,
    read_pickle,
)
from mechscope.data.tokenizer import Tokenizer
from mechscope.data.tokenizer_gguf import tokenizer_from_gguf
from mechscope.model.classic_state import weights_of
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.state_dict_check import listed, refuse_weights, weight_problem
from mechscope.reading import naming, read_json_object, regular_file

GivenConfig = HookedTransformerConfig | Mapping[str, Any] | None


class ReadParts(Protocol):
    """Reads the state dict of the layers that a config keeps, in a data type: first what is outside of the blocks, then
    one block after another, each read when it is asked for.

    With `own`, nobody else holds the tensors or their mapping, so that they can be edited; otherwise they may be the
    file's memory or the caller's.
    """

    def __call__(
        self, cfg: HookedTransformerConfig, dtype: torch.dtype, /, *, own: bool = False
    ) -> Iterator[dict[str, torch.Tensor]]: ...


@dataclass(frozen=True)
class Checkpoint:
    """What `load_model` needs to know about a set of weights."""

    cfg: HookedTransformerConfig
    """The config of the whole model as stored."""
    read_parts: ReadParts
    """Reads the weights, part by part."""
    where: str
    """Where it comes from, for messages."""
    encoder: bool = False
    """Whether it belongs to a HookedEncoder."""
    mapped: bool = False
    """Whether unprocessed weights may stay in their file until they are used."""
    tokenizer_folder: Path | None = None
    """A folder that may contain a tokenizer."""
    read_tokenizer: Callable[[], Tokenizer | None] | None = None
    """Reads the tokenizer that the weights' own file contains, if its format can."""

    def read(self, cfg: HookedTransformerConfig, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """The whole state dict of the layers that a config keeps, in a data type."""
        state: dict[str, torch.Tensor] = {}
        for part in self.read_parts(cfg, dtype):
            state |= part
        return state


def open_folder(folder: Path, cfg: GivenConfig = None, weights: str | None = None) -> Checkpoint:
    """The checkpoint in a folder: a Hugging Face model, one of ours, a toy model, or a llama2.c file.

    Args:
        weights: which weights to use if the folder has several: a file's path in one of our folders, or a regular
            expression for a toy model's file.

    Raises:
        FileNotFoundError: if the folder lacks a config or weights.
        ValueError: if its content is not a model that can be loaded.
    """
    described = folder / "config.json"
    # Some repositories have the config.json of the model that their GGUF file was made from.
    if not described.exists() or (not has_weights(folder) and gguf_files(folder)):
        return _open_single_file_in(folder, cfg)
    fields = read_json_object(described)
    if cfg is not None:
        raise ValueError(f"{str(folder)!r} has its own config.json; leave cfg out.")
    if is_own_config(fields):
        own = own_config(fields, str(described))
        stored = open_weights(folder if weights is None else folder / weights)
        return _stored_classic(stored, own, folder, fields.get("class") == "HookedEncoder")
    if is_toy_config(fields):
        own = toy_config(fields, folder.name, str(described))
        return _stored_classic(_toy_weights(folder, weights), own, folder, encoder=False)
    with naming(described):
        return _from_hugging_face(fields, lambda: open_weights(folder), str(folder), folder)


def open_file(path: Path, cfg: GivenConfig = None) -> Checkpoint:
    """The checkpoint in one file: a GGUF or llama2.c model, or a state dict in the classic layout."""
    regular_file(path)
    if path.suffix == ".bin" and is_llama2c(path):
        found, state = read_llama2c(path)
        return _fixed(found, state, str(path), path.parent)
    if is_gguf(path):
        if cfg is not None:
            raise ValueError(f"{str(path)!r} contains its own config; leave cfg out.")
        return _from_gguf(GgufFile(path))
    source = open_weights(path)
    return open_state({name: source.get(name) for name in source.names()}, cfg, str(path), copy=False)


def open_state(
    state: Mapping[str, torch.Tensor], cfg: GivenConfig, where: str = "the state dict", *, copy: bool = True
) -> Checkpoint:
    """The checkpoint in a state dict: classic, or Hugging Face's if its config.json is passed as `cfg`."""
    state = weights_of(state)
    if isinstance(cfg, Mapping) and "model_type" in cfg:
        return _from_hugging_face(cfg, lambda: DictSource(state, where, copy=copy), where)
    if not is_classic(state) and cfg is None:
        shown = ", ".join(list(state)[:4])
        raise ValueError(
            f"{where} is not in the classic layout ({shown}, …): pass its Hugging Face config as cfg (a "
            "mapping with model_type)."
        )
    source = DictSource(state, where, copy=copy)
    found, kept = fit_classic({name: source.get(name) for name in source.names()}, cfg, where)
    return _fixed(found, kept, where)


def open_in_memory(hf_model: Any) -> Checkpoint:
    """The checkpoint of a Hugging Face model that is in memory; its tensors are copied."""
    where = f"the {type(hf_model).__name__} in memory"
    state = hf_model.state_dict()
    return _from_hugging_face(hf_model.config.to_dict(), lambda: DictSource(state, where, copy=True), where)


def _from_hugging_face(
    fields: Mapping[str, Any], source: Callable[[], TensorSource], where: str, folder: Path | None = None
) -> Checkpoint:
    config = HfConfig(fields)
    family = family_of(config)
    quantisation = config.get("quantization_config")
    whole = family.read_config(config, model_name=Path(where).name if folder else config["model_type"])
    opened = source()
    if quantisation is not None:
        refuse_quantised(opened, quantisation)

    def read(
        cfg: HookedTransformerConfig, dtype: torch.dtype, *, own: bool = False
    ) -> Iterator[dict[str, torch.Tensor]]:
        layers = dataclasses.replace(whole, n_layers=cfg.n_layers, attn_types=cfg.attn_types)
        parts = family.convert(opened, config, layers, dtype=dtype, n_layers_in_file=whole.n_layers, own=own)
        return (restrict(part, cfg) for part in parts)

    return Checkpoint(whole, read, where, family.encoder, not opened.fresh, folder)


def _from_gguf(file: GgufFile) -> Checkpoint:
    fields, source = as_hugging_face(file)
    found = _from_hugging_face(fields, lambda: source, str(file.path), file.path.with_suffix(""))
    cfg, says = found.cfg, file.metadata.get("tokenizer.ggml.add_bos_token")
    if says is not None:
        # The file knows how this model's texts begin; the family's default is a guess.
        cfg = dataclasses.replace(cfg, default_prepend_bos=bool(says))
    return dataclasses.replace(
        found,
        cfg=cfg,
        tokenizer_folder=None,
        read_tokenizer=lambda: tokenizer_from_gguf(file.metadata, str(file.path)),
    )


def _stored_classic(
    source: TensorSource, cfg: HookedTransformerConfig, folder: Path, encoder: bool
) -> Checkpoint:
    state = {name: source.get(name) for name in source.names()}
    if not encoder:
        cfg, state = fit_classic(state, cfg, source.where)
    else:
        blocks = {name.split(".")[1] for name in state if name.startswith("blocks.")}
        if len(blocks) != cfg.n_layers:
            raise ValueError(
                f"{source.where}: the config says n_layers={cfg.n_layers}, but the weights have {len(blocks)} blocks."
            )
    return _fixed(cfg, state, source.where, folder, encoder, source)


def _fixed(
    cfg: HookedTransformerConfig,
    state: Mapping[str, torch.Tensor],
    where: str,
    folder: Path | None = None,
    encoder: bool = False,
    source: TensorSource | None = None,
) -> Checkpoint:
    """A checkpoint of tensors that have their names and shapes already; `source` is where they were taken from."""
    stored = set(source.names()) if source is not None else set[str]()

    def read(
        wanted: HookedTransformerConfig, dtype: torch.dtype, *, own: bool = False
    ) -> Iterator[dict[str, torch.Tensor]]:
        parts: dict[int | None, dict[str, torch.Tensor]] = {None: {}}
        for name, tensor in restrict(state, wanted).items():
            parts.setdefault(layer_of(name), {})[name] = tensor
        problems: list[str] = []
        for layer in sorted(parts, key=lambda layer: -1 if layer is None else layer):
            read: dict[str, torch.Tensor] = {}
            for name, tensor in parts[layer].items():
                once = tensor
                if source is not None and name in stored and source.shape(name) == tuple(tensor.shape):
                    once = source.peek(name)
                if (problem := weight_problem(once)) is not None:
                    problems.append(f"{name} {problem}")
                elif not problems:
                    made = as_stored(once, dtype)
                    if made is once:
                        made = once.clone() if own else tensor
                    read[name] = made
            if not problems:
                yield read
        refuse_weights(problems, where)

    return Checkpoint(cfg, read, where, encoder, True, folder)


def restrict(state: Mapping[str, torch.Tensor], cfg: HookedTransformerConfig) -> dict[str, torch.Tensor]:
    """The weights of the layers and positions that a config keeps."""
    kept = {
        name: tensor
        for name, tensor in state.items()
        if (layer := layer_of(name)) is None or layer < cfg.n_layers
    }
    for name in ("pos_embed.W_pos", "embed.pos_embed.W_pos"):
        if name in kept:
            kept[name] = kept[name][: cfg.n_ctx]
    return kept


def _toy_weights(folder: Path, pattern: str | None) -> TensorSource:
    found = weight_files(folder, pattern)
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise FileNotFoundError(f"{str(folder)!r} should contain one file of weights; found {listed}.")
    if found[0].suffix == ".safetensors":
        return open_weights(found[0])
    return DictSource(read_pickle(found[0]), str(found[0]))


def _open_single_file_in(folder: Path, cfg: GivenConfig) -> Checkpoint:
    models = [path for path in sorted(folder.glob("*.bin")) if path.is_file() and is_llama2c(path)]
    models += gguf_files(folder)
    if len(models) == 1:
        return open_file(models[0], cfg)
    if models:
        raise FileNotFoundError(
            f"{str(folder)!r} contains {len(models)} models, {listed([path.name for path in models])}: give the path "
            f"of one file, such as {str(models[0])!r}."
        )
    present = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
    raise FileNotFoundError(
        f"{str(folder)!r} contains neither a config.json nor a {SUFFIX} or llama2.c model, so it cannot be loaded; "
        f"found {present}."
    )
