"""The hooked transformer: a language model in which every activation can be read and changed.

The forward pass is `input_to_embed`, then the blocks, then the final norm and the unembedding; a pass may start and
stop at any layer. The table in the docstring of `HookedTransformer` lists the file of every other method.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Bool
from torch import nn

from mechscope.model._classic_model import ClassicModel
from mechscope.model._loading import Loading
from mechscope.model._pass_inputs import (
    cached_positions,
    check_residual,
    check_same_positions,
    check_tokens,
    layer_number,
    padding_of_all_positions,
    tokens_of_residual,
)
from mechscope.model._tokenization import PaddingSide, check_side
from mechscope.model._weight_properties import WeightProperties
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
from mechscope.model.components.normalization import make_norm
from mechscope.model.components.rotary import depends_on_length
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.generation import Generation
from mechscope.model.hook_points import HookPoint
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.initialization import init_weights
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.loss import lm_cross_entropy_loss
from mechscope.model.padding import padding_between, real_positions

RETURN_TYPES = ("logits", "loss", "both", None)


class Output(NamedTuple):
    """The result of a forward pass with `return_type="both"`."""

    logits: torch.Tensor
    """[batch pos d_vocab_out]."""
    loss: torch.Tensor
    """The mean loss, or the loss of each prediction [batch pos-1], in nats."""


class HookedTransformer(Generation, WeightProperties, ClassicModel, Loading):
    """A decoder-only (or bidirectional) transformer with a hook point at every activation.

    Args:
        cfg: its shape and arithmetic, as a config or a mapping of its fields.
        tokenizer: only needed for text; ours or one with the Hugging Face interface.
        move_to_device: put the weights on `cfg.device`.
        default_padding_side: "left" or "right", where texts of different lengths are padded.

    Raises:
        ValueError: for a config that no model can have, or a tokenizer with ids that the model lacks.

    >>> model = HookedTransformer({"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5,
    ...                            "attn_only": True, "seed": 0})
    >>> logits, cache = model.run_with_cache(torch.tensor([[0, 1, 2]]))
    >>> logits.shape, cache["pattern", 0].shape
    (torch.Size([1, 3, 5]), torch.Size([1, 2, 3, 3]))

    Methods and properties by purpose, with the file in `mechscope/model/` that defines them:

        Running
            transformer.py             forward, input_to_embed, start_pass, make_attention_mask, loss_fn
            _hooked_model.py           run_with_cache
            _hooking.py                run_with_hooks
        Hooks
            _hooking.py                hooks, add_hook, add_perma_hook, check_and_add_hook, check_hooks_to_add,
                                       reset_hooks, remove_all_hook_fns, clear_contexts, context_level, list_hooks,
                                       hook_points, match_hook_names, setup
            _classic_switches.py       optional_hook_names, why_absent, set_use_attn_result,
                                       set_use_split_qkv_input, set_use_attn_in, set_use_hook_mlp_in
        Caching
            _caching.py                get_caching_hooks, add_caching_hooks, cache_all, cache_some
        Text and tokens
            _tokenization.py           to_tokens, as_tokens, to_string, to_str_tokens, to_single_token,
                                       to_single_str_token, get_token_position, tokens_to_residual_directions,
                                       set_tokenizer
        Generating text
            generation.py              generate, generate_stream
        Weights
            _weight_properties.py      W_E, W_pos, W_E_pos, W_Q, W_K, W_V, W_O, W_in, W_gate, W_out, W_U, b_Q, b_K,
                                       b_V, b_O, b_in, b_out, b_U, QK, OV, accumulated_bias,
                                       all_composition_scores, all_head_labels
        Loading and processing weights
            _loading.py                from_pretrained, from_pretrained_no_processing, from_state,
                                       load_and_process_state_dict, process_weights_, take_weights,
                                       set_ungroup_grouped_query_attention
            _hooked_model.py           state_dict, load_state_dict
        Devices
            _hooked_model.py           to, cpu, cuda, mps
        Other classic methods
            _classic_model.py          n_params_total, init_weights, move_model_modules_to_device,
                                       get_pos_offset, get_residual, fill_missing_keys, fold_layer_norm,
                                       center_writing_weights, center_unembed, fold_value_biases,
                                       refactor_factored_attn_matrices, load_sample_training_dataset,
                                       sample_datapoint
        Submodules
            components/_component.py   add_module
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
        """Run the model on text, tokens [batch pos] or a residual stream, and return logits, a loss, both or nothing.

        Args:
            input: text, texts, token ids [batch pos] or [pos]; with `start_at_layer`, the residual
                stream [batch pos d_model] at the start of that layer.
            return_type: "logits" [batch pos d_vocab_out], "loss" (mean cross-entropy of each next token,
                in nats), "both" (an `Output`), or None.
            loss_per_token: return the loss of each prediction [batch pos-1] and not their mean.
            prepend_bos: for text, whether it starts with the beginning-of-sequence token.
            padding_side: for text, where padding goes.
            start_at_layer: skip the embedding and the blocks before this one; a negative layer counts from the end.
            tokens: with `start_at_layer`, the tokens that a loss needs.
            shortformer_pos_embed: with `start_at_layer`, the position embedding of a shortformer model.
            attention_mask: 0 where a token is padding [batch pos]; None uses the mask of the tokens (see `as_tokens`).
            stop_at_layer: return the residual stream at the start of this layer; a negative one counts from the end.
            past_kv_cache: keys and values of earlier tokens; the new ones are added to it.

        Raises:
            TypeError: for an input that is neither text nor numbers, or an argument of the wrong type.
            ValueError: for tokens out of range, a context longer than n_ctx, or shapes that do not agree.
        """
        if return_type not in RETURN_TYPES:
            raise ValueError(f"return_type must be 'logits', 'loss', 'both' or None, not {return_type!r}.")
        first = layer_number(start_at_layer, "start_at_layer", self.cfg, default=0)
        last = layer_number(stop_at_layer, "stop_at_layer", self.cfg, default=self.cfg.n_layers)
        offset = cached_positions(past_kv_cache, self.cfg)
        if padding_side is not None:
            check_side(padding_side)
        if start_at_layer is None:
            if shortformer_pos_embed is not None:
                raise ValueError(
                    "shortformer_pos_embed is only used with start_at_layer; otherwise the model computes its own."
                )
            residual, tokens, shortformer_pos_embed, attention_mask = self.input_to_embed(
                input, prepend_bos, padding_side, attention_mask, past_kv_cache
            )
        else:
            residual = check_residual(input, self.cfg)
            known = self.as_tokens(tokens_of_residual(residual, tokens, attention_mask))
            check_same_positions(known, residual)
            tokens = None if tokens is None else known.ids
            attention_mask = padding_of_all_positions(known, past_kv_cache)
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
                "a loss needs the tokens that it predicts: with start_at_layer, pass them as `tokens`."
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
        """Embed the input; see `forward` for the arguments.

        Returns:
            the residual stream that the first block reads [batch pos d_model], the tokens [batch pos], the position
            embedding that a shortformer model adds to queries and keys (else None), and the attention mask over all
            positions, cached ones included (None if there is no padding).
        """
        offset = cached_positions(past_kv_cache, self.cfg)
        known = self.as_tokens(input, prepend_bos, padding_side, attention_mask)
        tokens = known.ids
        check_tokens(tokens, offset, self.cfg)
        padding = padding_of_all_positions(known, past_kv_cache)
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
        """The residual stream that the first block reads [batch pos d_model], and the context that every block needs.

        For techniques that run the blocks themselves; see `forward` for the arguments.
        """
        residual, tokens, shortformer_pos_embed, padding = self.input_to_embed(
            input, attention_mask=attention_mask
        )
        mask = self.make_attention_mask(residual.shape[1], padding)
        return residual, PassContext(mask, 0, shortformer_pos_embed, tokens)

    def make_attention_mask(
        self, length: int, padding: Bool[torch.Tensor, "batch key"] | None = None, offset: int = 0
    ) -> AttentionMask:
        """Which queries may attend to which keys when the last `length` of `offset + length` positions are computed.

        Args:
            length: how many positions are computed.
            padding: True where a token is real, over all positions [batch offset+length]; None if all are.
            offset: how many positions are cached.

        Raises:
            ValueError: for a mask of another length.
        """
        if padding is not None and padding.shape[1] != offset + length:
            raise ValueError(
                f"attention_mask covers {padding.shape[1]} positions, but there are {offset + length}, "
                "cached ones included."
            )
        causal = self.cfg.attention_dir == "causal"
        device = self.W_E.device
        if padding is not None:
            padding = padding.to(device, torch.bool)
            # In a causal model no real token can see padding that comes after all real tokens, so it needs no mask.
            # But if rotary angles depend on the length of the text, they need to know where it ends.
            dynamic = depends_on_length(self.cfg.rotary_scaling, length)
            trailing = (
                causal and offset == 0 and not dynamic and bool((padding[:, 1:] <= padding[:, :-1]).all())
            )
            padding = None if trailing or bool(padding.all()) else padding
        return AttentionMask(length, offset + length, padding=padding, causal=causal, device=device)

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
        """Cross-entropy of each next token, in nats (see `lm_cross_entropy_loss` for the arguments)."""
        return lm_cross_entropy_loss(logits, tokens.to(logits.device), attention_mask, per_token)


def _rotary_table(
    cfg: HookedTransformerConfig, layer: int, tables: dict[bool, RotaryTable]
) -> RotaryTable | None:
    """The rotary table of a layer, shared with all layers that have the same base; None without rotary positions."""
    if cfg.positional_embedding_type != "rotary":
        return None
    local = cfg.layer_window(layer) is not None and cfg.rotary_base_local is not None
    if local not in tables:
        base = cfg.rotary_base_local if local else cfg.rotary_base
        assert base is not None
        tables[local] = RotaryTable(cfg, base, None if local else cfg.rotary_scaling)
    return tables[local]
