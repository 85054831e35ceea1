"""Settings of a source of activations. Does not load torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mechscope.settings import NonNegativeInt, PositiveInt, Settings, decode


@dataclass(frozen=True, kw_only=True)
class SourceConfig(Settings):
    """A model, a hook point and text, or else known features; and how to read them."""

    model: str = ""
    """A bundled model, a name from the model table, a repository on the hub, or a folder."""
    hook: tuple[str, ...] = ()
    """The hook point to read. Several are concatenated layer by layer (for a crosscoder)."""
    target_hook: tuple[str, ...] = ()
    """The hook point that a transcoder writes to; empty for an autoencoder."""
    head: NonNegativeInt | None = None
    """The head to read, if the hook point has heads; None means all heads concatenated."""
    target_head: NonNegativeInt | None = None
    """The head that a transcoder writes."""
    text: str = "library"
    """"library" (the standard library's code), "docstrings" (its documentation), "books" (of MECHSCOPE_DATA), or a
    text file or folder."""
    synthetic: str = ""
    """Known features instead of a model, by name (`synthetic.SETTINGS`)."""
    tokens: PositiveInt = 1_000_000
    """At most this many tokens of text are read; longer training repeats them."""
    held_out: PositiveInt = 16_384
    """Tokens (for known features: activations) held out for evaluation."""
    context: PositiveInt | None = None
    """Tokens per row; None means the model's context, but at most 128."""
    prepend_bos: bool | None = None
    """Whether each row begins with the begin token; None does what the model does by default."""
    skip_first: NonNegativeInt = 1
    """Positions to skip at the start of each row, because the first token's activation is unlike all others."""
    exclude_special_tokens: bool | tuple[NonNegativeInt, ...] = False
    """True excludes the positions of the tokenizer's special tokens (begin, end, padding …) from training and
    evaluation, but attention still sees them. Ids exclude these tokens instead."""
    batch_size: PositiveInt = 1024
    """Activations per training step."""
    buffer_size: PositiveInt | None = None
    """Activations that are shuffled together; None means sixteen batches, or all if there are fewer."""
    seed: NonNegativeInt = 0
    """Seed of the held-out text and of the order of the rest, or of the known features."""

    def __post_init__(self) -> None:
        for name in ("hook", "target_hook"):
            if isinstance(given := getattr(self, name), str):
                object.__setattr__(self, name, (given,))
        super().__post_init__()
        if self.target_head is not None and not self.target_hook:
            raise ValueError("target_head is the head that a transcoder writes: give target_hook too.")
        if self.synthetic and (self.model or self.hook or self.target_hook or self.head is not None):
            raise ValueError(
                f"known features ({self.synthetic}) have no model and no hook point: give either one or the other."
            )
        if not self.synthetic and not (self.model and self.hook):
            raise ValueError(
                "say where activations come from: a model and a hook point (--model mini-gelu-1l --hook "
                "blocks.0.mlp.hook_post), or known features (--synthetic sharkey-small)."
            )


def source_from_dict(settings: Mapping[str, Any]) -> SourceConfig:
    """Restore the config that `to_dict` describes.

    Raises:
        ValueError: for unknown or invalid settings.
    """
    return decode(SourceConfig, settings, "a source of activations")
