"""Which activations to read, as plain settings. Does not load torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mechscope.arguments import is_whole_number
from mechscope.dictionaries.config import plain, strict
from mechscope.dictionaries.number_checks import check_whole


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Either a model, a hook point and text, or known features; and how to read them."""

    model: str = ""
    """A bundled model, a name from the model table, a repository on the hub, or a folder."""
    hook: tuple[str, ...] = ()
    """The hook point to read. Several are concatenated layer by layer (for a crosscoder)."""
    target_hook: tuple[str, ...] = ()
    """The hook point that a transcoder writes to; empty for an autoencoder."""
    head: int | None = None
    """The head that is read, if the hook point has heads; None means all heads concatenated."""
    target_head: int | None = None
    """The head that a transcoder writes."""
    text: str = "library"
    """"library" (the standard library's code), "docstrings" (its documentation), "books" (of MECHSCOPE_DATA), or a
    text file or folder."""
    synthetic: str = ""
    """Known features instead of a model, by name (`known.SETTINGS`)."""
    tokens: int = 1_000_000
    """At most this many tokens of text are read; longer training repeats them."""
    held_out: int = 16_384
    """Tokens (for known features: activations) held out for evaluation."""
    context: int | None = None
    """Tokens per row; None: the model's context, at most 128."""
    prepend_bos: bool | None = None
    """Whether each row begins with the begin token; None: as the model's texts do."""
    skip_first: int = 1
    """Positions to skip at the start of each row, because the first token's activation is unlike all others."""
    exclude_special_tokens: bool | tuple[int, ...] = False
    """True: positions of the tokenizer's special tokens (begin, end, padding …) are excluded from
    training and evaluation, but attention still sees them. Ids: exclude these tokens instead."""
    batch_size: int = 1024
    """Activations per training step."""
    buffer_size: int | None = None
    """Activations that are shuffled together; None: sixteen batches, or all if there are fewer."""
    seed: int = 0
    """Determines which text is held out and in which order the rest is read, or the known features."""

    def __post_init__(self) -> None:
        for name in ("hook", "target_hook"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        for name, least in (
            ("tokens", 1),
            ("held_out", 1),
            ("batch_size", 1),
            ("skip_first", 0),
            ("seed", 0),
        ):
            self._whole(name, least)
        for name, least in (("context", 1), ("buffer_size", 1), ("head", 0), ("target_head", 0)):
            if getattr(self, name) is not None:
                self._whole(name, least)
        if not isinstance(self.exclude_special_tokens, bool):
            ids = tuple(self.exclude_special_tokens)
            if not all(is_whole_number(index, least=0) for index in ids):
                raise ValueError(f"exclude_special_tokens is true, false or token ids, not {ids!r}.")
            object.__setattr__(self, "exclude_special_tokens", tuple(int(index) for index in ids))
        if self.target_head is not None and not self.target_hook:
            raise ValueError("target_head is the head that a transcoder writes: name its target hook too.")
        if self.synthetic and (self.model or self.hook or self.target_hook or self.head is not None):
            raise ValueError(
                f"known features ({self.synthetic}) have no model and no hook point: give one or the other."
            )
        if not self.synthetic and not (self.model and self.hook):
            raise ValueError(
                "say where activations come from: a model and a hook point (--model mini-gelu-1l --hook "
                "blocks.0.mlp.hook_post), or known features (--synthetic sharkey-small)."
            )

    def _whole(self, name: str, least: int) -> None:
        check_whole(name, getattr(self, name), least)

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return plain(dataclasses.asdict(self))


def source_from_dict(settings: Mapping[str, Any]) -> SourceConfig:
    """Restore the config that `to_dict` describes.

    Raises:
        ValueError: for unknown or impossible settings.
    """
    return strict(SourceConfig, settings, "a source of activations")
