"""BERT with a hook point at every activation.

An encoder attends in both directions and normalizes the residual stream after every sum, whereas a decoder normalizes
the input of each sublayer. So no norm can be folded into its weights, and its residual stream is not a plain sum of
the layers' outputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, cast

import torch
from torch import nn

from mechscope.model._encoder_inputs import EncoderInputs
from mechscope.model._hooked_model import HookedModel
from mechscope.model._loading import separate_weights
from mechscope.model._weight_properties import WeightProperties
from mechscope.model.classic_state import drop_unused, weights_of
from mechscope.model.components import AttentionMask, PassContext, TiedUnembed, Unembed
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.encoder_components import (
    N_TOKEN_TYPES,
    BertBlock,
    BertEmbed,
    BertMLMHead,
    BertNSPHead,
    BertPooler,
)
from mechscope.model.hook_points import HookPoint
from mechscope.model.initialization import init_weights
from mechscope.model.padding import real_positions
from mechscope.model.pretrained import pretrained_loader
from mechscope.model.special_tokens import check_ids, n_ids

HEADS = ("mlm_head", "nsp_head", "pooler")
RETURN_TYPES = ("auto", "logits", "predictions", "hidden", None)


class HookedEncoder(EncoderInputs, WeightProperties, HookedModel):
    """A bidirectional encoder with its heads: masked words, next sentence, pooled vector.

    Args:
        cfg: its shape and arithmetic, as a config or a mapping of its fields.
        tokenizer: only needed for text; ours or one with the Hugging Face interface.
        move_to_device: put the weights on `cfg.device`.
        heads: which of "mlm_head", "nsp_head" and "pooler" it has.
        n_token_types: how many token types it distinguishes (first and second sentence).

    Raises:
        ValueError: for a config that BERT cannot have (it needs LayerNorm, standard positions and MLPs).

    >>> encoder = HookedEncoder({"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5,
    ...                          "act_fn": "gelu", "seed": 0})
    >>> logits, cache = encoder.run_with_cache(torch.tensor([[0, 1, 2]]))
    >>> logits.shape, cache["pattern", 0].shape
    (torch.Size([1, 3, 5]), torch.Size([1, 2, 3, 3]))
    """

    embed: BertEmbed  # type: ignore[assignment]

    # Weights created in inference mode could never be trained.
    @torch.inference_mode(False)
    def __init__(
        self,
        cfg: HookedTransformerConfig | Mapping[str, Any],
        tokenizer: Any = None,
        move_to_device: bool = True,
        *,
        heads: Collection[str] = HEADS,
        n_token_types: int = N_TOKEN_TYPES,
    ) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        _check_config(cfg)
        self.cfg = dataclasses.replace(cfg, attention_dir="bidirectional")
        self.tokenizer = tokenizer
        if tokenizer is not None:
            if self.cfg.d_vocab == -1:
                self.cfg.d_vocab = self.cfg.d_vocab_out = n_ids(tokenizer)
            check_ids(tokenizer, self.cfg.d_vocab)
        if self.cfg.d_vocab < 1:
            raise ValueError("d_vocab is needed (the number of tokens), or a tokenizer that knows it.")
        unknown = set(heads) - set(HEADS)
        if unknown:
            raise ValueError(f"there are no heads {sorted(unknown)}; an encoder may have {', '.join(HEADS)}.")
        self.embed = BertEmbed(self.cfg, n_token_types)
        self.hook_full_embed = HookPoint()
        blocks = (BertBlock(self.cfg, layer) for layer in range(self.cfg.n_layers))
        self.blocks = cast("Sequence[BertBlock]", nn.ModuleList(blocks))
        if "mlm_head" in heads:
            self.mlm_head = BertMLMHead(self.cfg)
            tied = self.cfg.tie_word_embeddings
            self.unembed = TiedUnembed(self.cfg, self.embed.embed) if tied else Unembed(self.cfg)
        if "pooler" in heads:
            self.pooler = BertPooler(self.cfg)
        if "nsp_head" in heads:
            self.nsp_head = BertNSPHead(self.cfg)
        if self.cfg.init_weights:
            init_weights(self, self.cfg)
            self._init_heads()
        if move_to_device:
            self.to(self.cfg.device)
        self.setup()

    def _init_heads(self) -> None:
        """Draw the heads' matrices, which `init_weights` misses because their name is W, without an underscore."""
        std = 0.0 if self.cfg.init_mode == "zeros" else 0.8 / self.cfg.d_model**0.5
        for head in HEADS:
            if hasattr(self, head):
                nn.init.normal_(getattr(self, head).W, std=std)

    # Weights ----------------------------------------------------------------------------------

    @property
    def W_E(self) -> torch.Tensor:
        """Token embedding [d_vocab d_model]."""
        return self.embed.embed.W_E

    @property
    def W_pos(self) -> torch.Tensor:
        """Position embedding [n_ctx d_model]."""
        return self.embed.pos_embed.W_pos

    @property
    def W_token_type(self) -> torch.Tensor:
        """Token type embedding [token_type d_model]."""
        return self.embed.token_type_embed.W_token_type

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> torch.Tensor:
        """Not available: an encoder normalizes its residual stream after every sum, so biases do not add up.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "an encoder normalizes its residual stream after every sum, so biases are not a separate term of it."
        )

    # Loading ----------------------------------------------------------------------------------

    @classmethod
    @torch.inference_mode(False)
    def from_state(
        cls,
        cfg: HookedTransformerConfig,
        state_dict: Mapping[str, torch.Tensor],
        tokenizer: Any = None,
    ) -> HookedEncoder:
        """An encoder that uses the given tensors as its weights, with the heads that they belong to.

        Args:
            cfg: the encoder's config.
            state_dict: its weights in the classic layout.
            tokenizer: see `HookedEncoder`.

        Raises:
            ValueError: lists every missing and unexpected tensor, and every tensor of the wrong shape.
        """
        state_dict = separate_weights(drop_unused(weights_of(state_dict), cfg))
        heads = [head for head in HEADS if any(name.startswith(f"{head}.") for name in state_dict)]
        types = state_dict.get("embed.token_type_embed.W_token_type")
        own = dataclasses.replace(cfg, init_weights=False, device="meta")
        model = cls(
            own,
            tokenizer,
            move_to_device=False,
            heads=heads,
            n_token_types=N_TOKEN_TYPES if types is None else types.shape[0],
        )
        return model._use_weights(state_dict, cfg)

    @classmethod
    def from_pretrained(
        cls,
        model_name: str,
        checkpoint_index: int | None = None,
        checkpoint_value: int | None = None,
        hf_model: Any = None,
        device: str | None = None,
        tokenizer: Any = None,
        move_to_device: bool = True,
        dtype: torch.dtype | str = torch.float32,
        **kwargs: Any,
    ) -> HookedEncoder:
        """A trained encoder by name, alias or folder; see `mechscope.checkpoints.load.load_model` for the arguments.

        Raises:
            ValueError: for a model that is not an encoder.
        """
        model = pretrained_loader("encoder")(
            model_name if hf_model is None else hf_model,
            checkpoint_index=checkpoint_index,
            checkpoint_value=checkpoint_value,
            device=device if move_to_device else "cpu",
            tokenizer=tokenizer,
            dtype=dtype,
            **kwargs,
        )
        if not isinstance(model, cls):
            raise ValueError(
                f"{model_name!r} is a {type(model).__name__}, not an encoder; load it with that class."
            )
        return model

    # The forward pass -------------------------------------------------------------------------

    def forward(
        self,
        input: str | list[Any] | torch.Tensor,
        return_type: Literal["auto", "logits", "predictions", "hidden"] | None = "auto",
        token_type_ids: torch.Tensor | None = None,
        one_zero_attention_mask: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> Any:
        """Run the encoder on text or tokens [batch pos].

        Args:
            input: text, texts, or token ids [batch pos] or [pos], in a tensor, an array or lists.
            return_type: "logits" [batch pos d_vocab_out]; "predictions", the likeliest word for each mask token
                ("cat"; for several masks, row by row, "Prediction 0: cat", "Prediction 1: mat"); "hidden", the
                encoder's output [batch pos d_model]; or None. "auto" is "logits" if the encoder has a head for them,
                else "hidden".
            token_type_ids: 0 for tokens of the first sentence, 1 for the second [batch pos]; None means the
                tokenizer's types for text, and 0 for tokens.
            one_zero_attention_mask: 1 where a token is real, 0 where it is padding [batch pos]; None means the
                tokenizer's mask for text, and all real for tokens.
            attention_mask: another name for `one_zero_attention_mask`.

        Raises:
            ValueError: for tokens out of range, a context longer than n_ctx, shapes that do not agree, or a
                head that this encoder does not have.
        """
        if return_type not in RETURN_TYPES:
            raise ValueError(f"return_type must be one of {RETURN_TYPES}, not {return_type!r}.")
        if return_type in ("logits", "predictions") and not hasattr(self, "mlm_head"):
            raise ValueError(
                f"return_type={return_type!r} needs a masked-language-model head, but these weights have "
                "none: use return_type='hidden' or encoder_output(...)."
            )
        if return_type == "auto":
            return_type = "logits" if hasattr(self, "mlm_head") else "hidden"
        if attention_mask is not None and one_zero_attention_mask is not None:
            raise ValueError(
                "attention_mask and one_zero_attention_mask are the same thing: give one of them."
            )
        mask = one_zero_attention_mask if attention_mask is None else attention_mask
        tokens, types, mask = self._read(input, token_type_ids, mask)
        hidden = self.encoder_output(tokens, types, mask)
        if return_type == "hidden":
            return hidden
        if not hasattr(self, "mlm_head"):
            return None
        logits = self.unembed(self.mlm_head(hidden))
        if return_type == "predictions":
            return self._predictions(tokens, logits)
        return None if return_type is None else logits

    def encoder_output(
        self,
        tokens: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        one_zero_attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The hidden states after the last block [batch pos d_model], before any head.

        See `forward` for the arguments, which are tensors here.
        """
        tokens, token_type_ids, mask = self._checked(tokens, token_type_ids, one_zero_attention_mask)
        # Positions count real tokens, so the result does not depend on where the padding is. If padding only follows
        # the text, these are the positions in the row.
        positions = None
        if mask is not None and bool((mask[:, 1:] > mask[:, :-1]).any()):
            positions = real_positions(mask)
        residual = self.hook_full_embed(self.embed(tokens, token_type_ids, positions=positions))
        allowed = AttentionMask(
            tokens.shape[1], tokens.shape[1], padding=mask, causal=False, device=residual.device
        )
        for block in self.blocks:
            residual = block(residual, context=PassContext(allowed))
        return residual


def _check_config(cfg: HookedTransformerConfig) -> None:
    required = {
        "normalization_type": ("LN",),
        "norm_placement": ("pre",),  # the default; it describes a decoder's norms and is not used here
        "positional_embedding_type": ("standard",),
        "attn_only": (False,),
        "parallel_attn_mlp": (False,),
        "post_embedding_ln": (False,),
    }
    for name, values in required.items():
        found = getattr(cfg, name)
        if found not in values:
            raise ValueError(f"an encoder has BERT's architecture, with {name}={values[0]!r}, not {found!r}.")
