"""The hooked transformer: a language model whose every activation can be read and changed.

The forward pass is `input_to_embed`, then the blocks, then the final norm and the unembedding; a pass
may start and stop at any layer. What else a model can do stands beside it: text and tokens in
`tokens.py`, weights by name in `weight_properties.py`, generation in `generation.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Bool
from torch import nn

from mechscope.arguments import fits
from mechscope.model.activation_cache import ActivationCache
from mechscope.model.classic_model import ClassicModel
from mechscope.model.components import (
    AttentionMask,
    Embed,
    PassContext,
    PosEmbed,
    RotaryTable,
    TiedUnembed,
    TransformerBlock,
    Unembed,
    run_block,
)
from mechscope.model.components.component import Component
from mechscope.model.components.normalization import make_norm
from mechscope.model.components.rotary import depends_on_length
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.devices import Devices
from mechscope.model.display import ModelDisplay
from mechscope.model.generation import Generation
from mechscope.model.gradients import values_are_known
from mechscope.model.hook_points import HookPoint, NamesFilter
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.initialization import init_weights
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.loading import Loading
from mechscope.model.loss import lm_cross_entropy_loss
from mechscope.model.switches import ClassicSwitches
from mechscope.model.token_batch import Tokens, padding_between, plain_ids, plain_mask, real_positions
from mechscope.model.tokens import PaddingSide, check_side
from mechscope.model.weight_properties import WeightProperties
from mechscope.value_kinds import shown

RETURN_TYPES = ("logits", "loss", "both", None)


class Output(NamedTuple):
    """What `return_type="both"` returns."""

    logits: torch.Tensor
    loss: torch.Tensor


class HookedTransformer(
    Loading,
    WeightProperties,
    Generation,
    ClassicModel,
    ClassicSwitches,
    ModelDisplay,
    Devices,
    Component,
    HookedRootModule,
):
    """A decoder-only (or bidirectional) transformer with a hook point at every activation.

    Args:
        cfg: its shape and arithmetic, as a config or a mapping of its fields.
        tokenizer: needed only where text is given; ours or one with the Hugging Face interface.
        move_to_device: put the weights on `cfg.device`.
        default_padding_side: where texts of different lengths are padded.

    >>> model = HookedTransformer({"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5,
    ...                            "attn_only": True, "seed": 0})
    >>> logits, cache = model.run_with_cache(torch.tensor([[0, 1, 2]]))
    >>> logits.shape, cache["pattern", 0].shape
    (torch.Size([1, 3, 5]), torch.Size([1, 2, 3, 3]))
    """

    blocks: Sequence[TransformerBlock]
    ln_final: nn.Module

    # Weights created in inference mode could never be trained.
    @torch.inference_mode(False)
    def __init__(
        self,
        cfg: HookedTransformerConfig | Mapping[str, Any],
        tokenizer: Any = None,
        move_to_device: bool = True,
        default_padding_side: PaddingSide | None = "right",
    ) -> None:
        HookedRootModule.__init__(self)
        # A copy, because moving a model changes its config, and another model may be built from the same one.
        self.cfg = copy.copy(HookedTransformerConfig.unwrap(cfg))
        self.tokenizer = None
        default_padding_side = default_padding_side or "right"
        check_side(default_padding_side)
        self.default_padding_side = default_padding_side
        self.set_tokenizer(tokenizer, default_padding_side)
        cfg = self.cfg
        if cfg.d_vocab < 1:
            raise ValueError("d_vocab is needed (the number of tokens), or a tokenizer that knows it.")
        self.embed = Embed(cfg)
        self.hook_embed = HookPoint()
        self.hook_tokens = HookPoint()
        if cfg.positional_embedding_type in ("standard", "shortformer"):
            self.pos_embed = PosEmbed(cfg)
            self.hook_pos_embed = HookPoint()
        tables: dict[bool, RotaryTable] = {}
        blocks = (
            TransformerBlock(cfg, layer, _rotary_table(cfg, layer, tables)) for layer in range(cfg.n_layers)
        )
        self.blocks = cast("Sequence[TransformerBlock]", nn.ModuleList(blocks))
        self.ln_final = make_norm(cfg, final=True)
        self.unembed = TiedUnembed(cfg, self.embed) if cfg.tie_word_embeddings else Unembed(cfg)
        if cfg.init_weights:
            init_weights(self, cfg)
        if move_to_device:
            self.to(cfg.device)
        self.setup()

    # The forward pass -----------------------------------------------------------------------

    def forward(
        self,
        input: str | list[str] | torch.Tensor,
        return_type: Literal["logits", "loss", "both"] | None = "logits",
        loss_per_token: bool = False,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        start_at_layer: int | None = None,
        tokens: torch.Tensor | None = None,
        shortformer_pos_embed: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        stop_at_layer: int | None = None,
        past_kv_cache: HookedTransformerKeyValueCache | None = None,
    ) -> Any:
        """Logits, loss, both or nothing for text, tokens [batch pos] or a residual stream.

        Args:
            input: text, texts, token ids [batch pos] or [pos]; with `start_at_layer`, the residual
                stream [batch pos d_model] at the start of that layer.
            return_type: "logits" [batch pos d_vocab_out], "loss" (mean cross-entropy of each next token,
                in nats), "both" (an `Output`), or None.
            loss_per_token: the loss of each prediction [batch pos-1], not their mean.
            prepend_bos: for text, whether it starts with the beginning-of-sequence token.
            padding_side: for text, where padding goes.
            start_at_layer: skip the embedding and the blocks before this one; negative counts from the end.
            tokens: with `start_at_layer`, the tokens that a loss needs.
            shortformer_pos_embed: with `start_at_layer`, the position embedding of a shortformer model.
            attention_mask: 0 where a token is padding [batch pos]; None uses their own mask (see `as_tokens`).
            stop_at_layer: return the residual stream at the start of this layer; negative counts from the end.
            past_kv_cache: earlier tokens' keys and values; the new ones are added.

        Raises:
            ValueError: for tokens out of range, a context longer than n_ctx, or shapes that do not fit.
        """
        if return_type not in RETURN_TYPES:
            raise ValueError(f"return_type must be 'logits', 'loss', 'both' or None, not {return_type!r}.")
        first = self._layer_number(start_at_layer, "start_at_layer", default=0)
        last = self._layer_number(stop_at_layer, "stop_at_layer", default=self.cfg.n_layers)
        offset = self._cached_positions(past_kv_cache)
        if padding_side is not None:
            check_side(padding_side)
        if start_at_layer is None:
            if shortformer_pos_embed is not None:
                raise ValueError(
                    "shortformer_pos_embed goes with start_at_layer; without it the model makes its own."
                )
            residual, tokens, shortformer_pos_embed, attention_mask = self.input_to_embed(
                input, prepend_bos, padding_side, attention_mask, past_kv_cache
            )
        else:
            residual = self._check_residual(input)
            tokens, attention_mask = self._resumed(residual, tokens, attention_mask, past_kv_cache)
        mask = self.make_attention_mask(residual.shape[1], attention_mask, offset)
        context = PassContext(mask, offset, shortformer_pos_embed, tokens)
        for layer in range(first, last):
            entry = None if past_kv_cache is None else past_kv_cache[layer]
            residual = run_block(self.blocks[layer], residual, entry, context)
        if stop_at_layer is not None:
            return residual
        if return_type is None and not self._final_points_watched():
            return None
        logits = self.unembed(self.ln_final(residual))
        if return_type is None:
            return None
        if return_type == "logits":
            return logits
        if tokens is None:
            raise ValueError(
                "a loss needs the tokens that follow: give them as `tokens` with start_at_layer."
            )
        if attention_mask is not None and padding_between(attention_mask):
            loss = lm_cross_entropy_loss(
                logits, tokens.to(logits.device), attention_mask, loss_per_token, across_padding=True
            )
        else:
            loss = self.loss_fn(logits, tokens, attention_mask, per_token=loss_per_token)
        return loss if return_type == "loss" else Output(logits, loss)

    def input_to_embed(
        self,
        input: str | list[str] | torch.Tensor,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        attention_mask: torch.Tensor | None = None,
        past_kv_cache: HookedTransformerKeyValueCache | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """What the first block reads.

        Returns:
            the residual stream [batch pos d_model], the tokens [batch pos], the position embedding that
            a shortformer model adds to queries and keys (else None), and the attention mask over all
            positions, cached ones included (None where there is no padding).
        """
        offset = self._cached_positions(past_kv_cache)
        known = self.as_tokens(input, prepend_bos, padding_side, attention_mask)
        tokens = known.ids
        self._check_tokens(tokens, offset)
        padding = _over_all_positions(known, past_kv_cache)
        tokens = self.hook_tokens(tokens)
        embedded = self.hook_embed(self.embed(tokens))
        if not hasattr(self, "pos_embed"):
            return embedded, tokens, None, padding
        positions = None if padding is None else real_positions(padding)[:, -tokens.shape[1] :]
        position_embedding = self.hook_pos_embed(self.pos_embed(tokens, offset, positions=positions))
        if self.cfg.positional_embedding_type == "shortformer":
            return embedded, tokens, position_embedding, padding
        return embedded + position_embedding, tokens, None, padding

    def start_pass(
        self, input: str | list[str] | torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, PassContext]:
        """The residual stream that the first block reads [batch pos d_model], and what every block needs beside it.

        For techniques that go through the blocks themselves; the arguments are those of `forward`.
        """
        residual, tokens, shortformer_pos_embed, padding = self.input_to_embed(
            input, attention_mask=attention_mask
        )
        mask = self.make_attention_mask(residual.shape[1], padding)
        return residual, PassContext(mask, 0, shortformer_pos_embed, tokens)

    def _resumed(
        self,
        residual: torch.Tensor,
        tokens: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        past_kv_cache: HookedTransformerKeyValueCache | None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The tokens of a residual stream, if given, and the mask over all positions, cached ones included."""
        read = tokens
        if read is None:
            read = torch.zeros(residual.shape[:2], dtype=torch.long, device=residual.device)
            read = Tokens(read, _last(attention_mask, residual.shape[1]))
        elif attention_mask is not None:
            read = Tokens(plain_ids(read), _last(attention_mask, residual.shape[1]))
        known = self.as_tokens(read)
        if known.shape != residual.shape[:2]:
            raise ValueError(
                f"the residual stream is {tuple(residual.shape[:2])} [batch pos] and the tokens "
                f"{tuple(known.shape)}; they must agree."
            )
        padding = _over_all_positions(known, past_kv_cache)
        return (None if tokens is None else known.ids), padding

    def make_attention_mask(
        self, length: int, padding: Bool[torch.Tensor, "batch key"] | None = None, offset: int = 0
    ) -> AttentionMask:
        """Which queries may read which keys when the last `length` of `offset + length` positions are computed.

        Args:
            padding: True where a token is real, over all positions [batch offset+length]; None if all are.
        """
        if padding is not None and padding.shape[1] != offset + length:
            raise ValueError(
                f"attention_mask covers {padding.shape[1]} positions and there are {offset + length}, "
                "cached ones included."
            )
        causal = self.cfg.attention_dir == "causal"
        device = self.W_E.device
        if padding is not None:
            padding = padding.to(device, torch.bool)
            # In a causal model no real token can see padding that comes after all real tokens. (Angles that depend
            # on a text's length need to know where it ends.)
            dynamic = depends_on_length(self.cfg.rotary_scaling, length)
            trailing = (
                causal and offset == 0 and not dynamic and bool((padding[:, 1:] <= padding[:, :-1]).all())
            )
            padding = None if trailing or bool(padding.all()) else padding
        return AttentionMask(length, offset + length, padding=padding, causal=causal, device=device)

    def _cached_positions(self, past_kv_cache: HookedTransformerKeyValueCache | None) -> int:
        if past_kv_cache is None:
            return 0
        if not isinstance(past_kv_cache, HookedTransformerKeyValueCache):
            raise TypeError(
                f"past_kv_cache is a HookedTransformerKeyValueCache (init_cache makes one), not "
                f"{shown(past_kv_cache)}."
            )
        if self.cfg.attention_dir != "causal":
            raise ValueError(
                "a bidirectional model cannot use a key/value cache: earlier positions would have to see later ones."
            )
        past_kv_cache.check(self.cfg)
        return past_kv_cache.length

    def _check_tokens(self, tokens: torch.Tensor, offset: int) -> None:
        if tokens.ndim != 2:
            raise ValueError(f"tokens have shape [batch pos] or [pos], not {tuple(tokens.shape)}.")
        if tokens.numel() == 0:
            raise ValueError(f"there are no tokens: shape {tuple(tokens.shape)}.")
        length = offset + tokens.shape[1]
        if length > self.cfg.n_ctx:
            raise ValueError(
                f"{length} positions are more than this model's context of n_ctx={self.cfg.n_ctx}; shorten the input."
            )
        if not values_are_known(tokens):
            return
        low, high = torch.aminmax(tokens)
        if int(low) < 0 or int(high) >= self.cfg.d_vocab:
            bad = int(low) if int(low) < 0 else int(high)
            raise ValueError(
                f"token id {bad} is out of range: this model knows ids 0 to {self.cfg.d_vocab - 1}."
            )

    def _check_residual(self, residual: Any) -> torch.Tensor:
        if (
            not isinstance(residual, torch.Tensor)
            or residual.ndim != 3
            or residual.shape[-1] != self.cfg.d_model
        ):
            found = tuple(residual.shape) if isinstance(residual, torch.Tensor) else type(residual).__name__
            raise ValueError(
                f"with start_at_layer the input is a residual stream [batch pos {self.cfg.d_model}], not {found}."
            )
        return residual

    def _layer_number(self, layer: int | None, name: str, default: int) -> int:
        if layer is None:
            return default
        n_layers = self.cfg.n_layers
        if not fits(layer, int):
            raise TypeError(f"{name} is a whole number, not {shown(layer)}.")
        layer = int(layer)
        if not -n_layers <= layer <= n_layers:
            raise ValueError(f"{name} must be between {-n_layers} and {n_layers}, not {layer}.")
        return layer + n_layers if layer < 0 else layer

    def _final_points_watched(self) -> bool:
        return any(
            isinstance(part, HookPoint) and part.watched
            for part in (*self.ln_final.modules(), *self.unembed.modules())
        )

    def loss_fn(
        self,
        logits: torch.Tensor,
        tokens: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        per_token: bool = False,
    ) -> torch.Tensor:
        """Cross-entropy of each next token in nats (see `lm_cross_entropy_loss`)."""
        return lm_cross_entropy_loss(logits, tokens.to(logits.device), attention_mask, per_token)

    def run_with_cache(  # type: ignore[override]
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        names_filter: NamesFilter = None,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache | dict[str, torch.Tensor]]:
        """One forward pass and its activations as an `ActivationCache`.

        See `HookedRootModule.run_with_cache` for the arguments; `return_cache_object=False` gives
        the plain dictionary. `get_act_name("pattern", 0)` spells the full name of a short one.

        >>> from mechscope.checkpoints import load_model
        >>> model = load_model("induction-2l")
        >>> logits, cache = model.run_with_cache(torch.tensor([[0, 1, 2, 1]]))
        >>> cache["pattern", 1].shape  # batch head query key
        torch.Size([1, 4, 4, 4])
        """
        output, cache = super().run_with_cache(
            *model_args, remove_batch_dim=remove_batch_dim, names_filter=names_filter, **kwargs
        )
        if not return_cache_object:
            return output, cache
        return output, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)


def _over_all_positions(
    tokens: Tokens, past_kv_cache: HookedTransformerKeyValueCache | None
) -> torch.Tensor | None:
    """Which of the cached positions and the new ones are real [batch key_pos]; None if all are."""
    if past_kv_cache is None:
        return tokens.attention_mask
    mask = past_kv_cache.append_attention_mask(tokens.is_real)
    return None if bool(mask.all()) else mask


def _last(attention_mask: Any, length: int) -> torch.Tensor | None:
    """The mask of the new positions, of a mask that may cover cached ones too."""
    return None if attention_mask is None else plain_mask(attention_mask)[:, -length:]


def _rotary_table(
    cfg: HookedTransformerConfig, layer: int, tables: dict[bool, RotaryTable]
) -> RotaryTable | None:
    """The table of this layer, shared with every layer of the same base."""
    if cfg.positional_embedding_type != "rotary":
        return None
    local = cfg.layer_window(layer) is not None and cfg.rotary_base_local is not None
    if local not in tables:
        base = cfg.rotary_base_local if local else cfg.rotary_base
        assert base is not None
        tables[local] = RotaryTable(cfg, base, None if local else cfg.rotary_scaling)
    return tables[local]
