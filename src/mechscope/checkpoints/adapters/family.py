"""What an adapter is: a family's name, how its config reads, and where its tensors go."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mechscope.checkpoints.adapters.hf_config import HfConfig
from mechscope.checkpoints.mapping import Table, convert
from mechscope.checkpoints.weights_file import TensorSource
from mechscope.model.config import HookedTransformerConfig
from mechscope.value_kinds import shown

Reader = str | Callable[[HfConfig], Any]
"""How one of our config fields is read: a field of config.json, or a function of it."""

ConfigTable = Mapping[str, Reader]
"""Our config's fields, each with where it is read."""


def always(value: Any) -> Reader:
    """A field that is the same for every model of a family."""
    return lambda config: value


@dataclass(frozen=True)
class Refusal:
    """A setting that would change the arithmetic in a way that the model here does not have."""

    name: str
    """The field of config.json."""
    allowed: tuple[Any, ...]
    """Values that are fine; so is the field's absence."""
    why: str
    """What the setting does."""


REFUSED_EVERYWHERE = (
    Refusal("quantization_config", (), "the weights are quantized; load the unquantized checkpoint"),
    Refusal("add_cross_attention", (False,), "the model also attends to an encoder"),
    Refusal("is_encoder_decoder", (False,), "the model is an encoder and a decoder"),
    Refusal("pruned_heads", ({},), "some heads were cut out of some layers"),
    Refusal("use_bidirectional_attention", (False,), "the model attends to later positions"),
)


@dataclass(frozen=True)
class Family:
    """A declarative adapter from one family of Hugging Face checkpoints.

    The two tables are the adapter; everything else here says which files they apply to.
    """

    name: str
    """The family's usual name."""
    model_types: tuple[str, ...]
    """`model_type` in config.json."""
    architectures: tuple[str, ...]
    """`architectures` in config.json that carry weights we use."""
    special: str
    """What sets the family apart, in a few words, for people."""
    config: ConfigTable
    """The table of the config."""
    tensors: Callable[[HfConfig, Collection[str]], Table]
    """Our tensors, each with where it is taken; told the config and the names in the checkpoint."""
    prefixes: tuple[str, ...] = ()
    """Prefixes that some programs put before every name, the longest first."""
    passed_over: tuple[str, ...] = ()
    """Prefixes of other parts of a checkpoint (a vision tower)."""
    ignored: tuple[str, ...] = ()
    """Patterns of names that carry no weights of their own: masks, rotary tables, tied copies."""
    refused: tuple[Refusal, ...] = ()
    """Settings that are an error."""
    prepends_bos: bool = True
    """Whether text starts with a beginning-of-sequence token unless asked otherwise (the classic default)."""
    encoder: bool = False
    """Whether the state dict is a HookedEncoder's."""
    renames: Mapping[str, str] = field(default_factory=dict[str, str])
    """Endings of names that older checkpoints spell differently."""

    def read_config(self, config: HfConfig, **overrides: Any) -> HookedTransformerConfig:
        """Our config from theirs.

        Raises:
            ValueError: for a setting that the model here does not have.
        """
        for refusal in (*REFUSED_EVERYWHERE, *self.refused):
            found = config.get(refusal.name)
            if found is not None and found not in refusal.allowed:
                raise ValueError(
                    f"this {self.name} checkpoint sets {refusal.name}={found!r}: {refusal.why}, which "
                    "mechscope does not support."
                )
        fields = {
            name: config[reader] if isinstance(reader, str) else reader(config)
            for name, reader in self.config.items()
        }
        self.tensors(config, ())  # which fields they depend on
        if unread := config.unread():
            listed = ", ".join(f"{name}={shown(config.fields[name])}" for name in unread)
            warnings.warn(
                f"config.json of this {self.name} checkpoint has settings that mechscope does not know and does not "
                f"use: {listed}. If they change what the model computes, its predictions here are wrong.",
                stacklevel=2,
            )
        fields.setdefault("default_prepend_bos", self.prepends_bos)
        fields["original_architecture"] = next(iter(config.get("architectures", [])), self.architectures[0])
        return HookedTransformerConfig.from_dict({**fields, **overrides})

    def convert(
        self,
        source: TensorSource,
        config: HfConfig,
        cfg: HookedTransformerConfig,
        *,
        dtype: torch.dtype | None = None,
        n_layers_in_file: int | None = None,
        own: bool = False,
    ) -> dict[str, torch.Tensor]:
        """Our state dict from their tensors; see `mapping.convert`."""
        in_file = {plain: name for name in source.names() if (plain := self._plain_name(name)) is not None}
        ignored = [re.compile(pattern) for pattern in self.ignored]
        return convert(
            source,
            self.tensors(config, in_file.keys()),
            cfg,
            rename=self._plain_name,
            ignored=lambda name: any(pattern.search(name) for pattern in ignored),
            encoder=self.encoder,
            dtype=dtype,
            n_layers_in_file=n_layers_in_file,
            own=own,
        )

    def _plain_name(self, name: str) -> str | None:
        if name.startswith(self.passed_over):
            return None
        for prefix in self.prefixes:
            if name.startswith(prefix):
                name = name[len(prefix) :]
                break
        for old, new in self.renames.items():
            if name.endswith(old):
                name = name[: -len(old)] + new
        return name
