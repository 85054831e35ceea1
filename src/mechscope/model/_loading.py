"""Give a model its weights: from a checkpoint's tensors, or processed to be easier to interpret."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import nn

from mechscope.arguments import check_switches
from mechscope.model._hooked_model import HookedModel
from mechscope.model._state_dict_completion import complete_state_dict
from mechscope.model._tokenization import PaddingSide, TokenizerHelpers
from mechscope.model.classic_state import drop_unused, weights_of
from mechscope.model.components.grouped_attention import GroupedQueryAttention, ungroup_weights
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.gradients import usable_in_training
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.pretrained import pretrained_loader
from mechscope.model.state_dict_check import check_state_dict, expected_like
from mechscope.model.weight_processing import process_weights


def separate_weights(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors, contiguous and without shared memory, as optimizers, pruning and file formats expect.

    Only tensors that need it are copied. If a checkpoint uses one tensor for two weights, such as the two norms of a
    parallel block, the second is a copy.
    """
    apart: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for name, value in state_dict.items():
        value = usable_in_training(value).contiguous()
        if value.data_ptr() in taken and value.numel():
            value = value.clone()
        taken.add(value.data_ptr())
        apart[name] = value
    return apart


class Loading(TokenizerHelpers, HookedModel):
    """`from_state`, `from_pretrained` and weight processing in place, for models with a tokenizer."""

    _ungrouped = False

    if TYPE_CHECKING:

        def __init__(
            self,
            cfg: HookedTransformerConfig,
            tokenizer: Any = None,
            move_to_device: bool = True,
            default_padding_side: PaddingSide = "right",
        ) -> None: ...

    @classmethod
    @torch.inference_mode(False)
    def from_state(
        cls,
        cfg: HookedTransformerConfig,
        state_dict: Mapping[str, torch.Tensor],
        tokenizer: Any = None,
        default_padding_side: PaddingSide = "right",
    ) -> Self:
        """A model that uses the given tensors as its weights, without copying those that are contiguous.

        Args:
            cfg: the model's config.
            state_dict: its weights in the classic layout.
            tokenizer: see `HookedTransformer`.
            default_padding_side: see `HookedTransformer`.

        Raises:
            ValueError: lists every missing and unexpected tensor, and every tensor of the wrong shape.
        """
        state_dict = separate_weights(drop_unused(weights_of(state_dict), cfg))
        # Build it on the "meta" device, where tensors have shapes but no storage, then assign the real tensors.
        own = dataclasses.replace(cfg, init_weights=False, device="meta")
        model = cls(own, tokenizer, move_to_device=False, default_padding_side=default_padding_side)
        return model._use_weights(state_dict, cfg)

    @classmethod
    def from_pretrained(
        cls,
        model_name: str,
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        refactor_factored_attn_matrices: bool = False,
        checkpoint_index: int | None = None,
        checkpoint_value: int | None = None,
        checkpoint_label: int | None = None,
        hf_model: Any = None,
        device: str | torch.device | None = None,
        n_devices: int = 1,
        tokenizer: Any = None,
        move_to_device: bool = True,
        fold_value_biases: bool = True,
        default_prepend_bos: bool | None = None,
        default_padding_side: PaddingSide | None = None,
        dtype: torch.dtype | str = "float32",
        first_n_layers: int | None = None,
        n_ctx: int | None = None,
        **from_pretrained_kwargs: Any,
    ) -> Self:
        """A trained model by name, alias or folder.

        See `mechscope.checkpoints.classic.from_pretrained` for the arguments, and `load_model` for a shorter way.
        """
        del move_to_device  # the model is built on its device
        return pretrained_loader("decoder")(
            cls,
            model_name,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
            fold_value_biases=fold_value_biases,
            hf_model=hf_model,
            tokenizer=tokenizer,
            device=device,
            dtype=dtype,
            default_prepend_bos=default_prepend_bos,
            default_padding_side=default_padding_side,
            first_n_layers=first_n_layers,
            n_ctx=n_ctx,
            checkpoint_index=checkpoint_index,
            checkpoint_value=checkpoint_label if checkpoint_value is None else checkpoint_value,
            n_devices=n_devices,
            **from_pretrained_kwargs,
        )

    @classmethod
    def from_pretrained_no_processing(
        cls,
        model_name: str,
        fold_ln: bool = False,
        center_writing_weights: bool = False,
        center_unembed: bool = False,
        refactor_factored_attn_matrices: bool = False,
        fold_value_biases: bool = False,
        dtype: torch.dtype | str = torch.float32,
        default_prepend_bos: bool | None = None,
        default_padding_side: PaddingSide | None = None,
        **from_pretrained_kwargs: Any,
    ) -> Self:
        """`from_pretrained`, with the weights as they were trained."""
        return cls.from_pretrained(
            model_name,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
            fold_value_biases=fold_value_biases,
            dtype=dtype,
            default_prepend_bos=default_prepend_bos,
            default_padding_side=default_padding_side,
            **from_pretrained_kwargs,
        )

    @torch.inference_mode(False)
    def load_and_process_state_dict(
        self,
        state_dict: Mapping[str, torch.Tensor],
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        fold_value_biases: bool = True,
        refactor_factored_attn_matrices: bool = False,
    ) -> None:
        """Process weights in the classic layout and use them.

        See `mechscope.model.weight_processing.process_weights` for the arguments. Extra and missing entries are
        handled first (see `complete_state_dict`). Blocks and attention layers with custom classes stay in place, and so
        do the additional modules of a subclass.

        Raises:
            ValueError: for weights that do not fit the config, that are not floating point or not finite.
        """
        check_switches(
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )
        state_dict = drop_unused(weights_of(state_dict), self.cfg)
        base = _library_class(type(self))
        extra = _extra_children(self, base)
        theirs = {name: value for name, value in state_dict.items() if name.partition(".")[0] in extra}
        own = {
            name: value for name, value in self.state_dict().items() if name.partition(".")[0] not in extra
        }
        check_state_dict(state_dict, expected_like(own), names_and_shapes=False)
        cfg, state = complete_state_dict(
            self.cfg, {name: value for name, value in state_dict.items() if name not in theirs}, own, fold_ln
        )
        processed = process_weights(
            cfg,
            state,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )
        fresh = base.from_state(
            processed.cfg, processed.state_dict, self.tokenizer, self.default_padding_side
        )
        self.take_weights(fresh)
        if theirs:
            self.load_state_dict(theirs, strict=False)

    def set_ungroup_grouped_query_attention(self, ungroup_grouped_query_attention: bool) -> None:
        """Give each query head its own keys and values, so that they can be read and patched head by head.

        Predictions stay the same, but the model has more weights: `cfg.n_key_value_heads` becomes None, and the heads
        of a group no longer share keys and values.

        Raises:
            ValueError: for False on a model that was ungrouped (load it again), or if an attention layer has a
                custom class.
        """
        check_switches(ungroup_grouped_query_attention=ungroup_grouped_query_attention)
        if not ungroup_grouped_query_attention:
            if self._ungrouped:
                raise ValueError("this model was ungrouped, and its heads may differ by now; load it again.")
            return
        if self.cfg.n_key_value_heads is None:
            return
        for layer, block in enumerate(cast("Any", self).blocks):
            if type(block.attn) is not GroupedQueryAttention:
                raise ValueError(
                    f"the attention of layer {layer} is a {type(block.attn).__name__}; ungroup the model before you "
                    "replace its attention by a custom class."
                )
        base = _library_class(type(self))
        extra = _extra_children(self, base)
        own = {
            name: value for name, value in self.state_dict().items() if name.partition(".")[0] not in extra
        }
        cfg = dataclasses.replace(self.cfg, n_key_value_heads=None)
        self.take_weights(
            base.from_state(cfg, ungroup_weights(self.cfg, own), self.tokenizer, self.default_padding_side)
        )
        self._ungrouped = True

    def take_weights(self, other: HookedRootModule) -> None:
        """Use another model's weights and config, but keep this model's hooks and classes.

        Norms and unembeddings of a different class are replaced; everything else keeps its class, including custom
        attention layers.
        """
        points, cfg = dict(self.hook_dict), self.cfg
        _graft(self, other)
        self.cfg = other.cfg  # type: ignore[assignment]
        for module in self.modules():
            if getattr(module, "cfg", None) is cfg:
                module.cfg = self.cfg  # type: ignore[assignment]
        self.setup()
        for name, point in self.hook_dict.items():
            if name in points and points[name] is not point:
                point.take_listeners(points[name])

    def process_weights_(
        self,
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        refactor_factored_attn_matrices: bool = False,
        fold_value_biases: bool = True,
    ) -> None:
        """Process this model's own weights in place; see `load_and_process_state_dict`."""
        self.load_and_process_state_dict(
            self.state_dict(),
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )


def _library_class(cls: type) -> Any:
    """The nearest base class that belongs to the package: a subclass may have another constructor."""
    return next(base for base in cls.__mro__ if base.__module__.startswith("mechscope."))


def _extra_children(model: nn.Module, base: type) -> set[str]:
    """The names of modules and parameters that a subclass adds to our class."""
    if type(model) is base:
        return set()
    known = {
        "embed",
        "pos_embed",
        "blocks",
        "ln_final",
        "unembed",
        "hook_embed",
        "hook_tokens",
        "hook_pos_embed",
    }
    names = {name for name, _ in model.named_children()} | {
        name for name, _ in model.named_parameters(recurse=False)
    }
    return names - known


def _graft(own: nn.Module, other: nn.Module) -> None:
    """Give `own` the parameters of `other`, and those of its children whose class or parameters differ."""
    for name, parameter in other.named_parameters(recurse=False):
        own.register_parameter(name, parameter)
    for name, child in other.named_children():
        mine = getattr(own, name, None)
        if (
            isinstance(mine, nn.Module)
            and isinstance(mine, type(child))
            and not _has_other_parameters(mine, child)
        ):
            _graft(mine, child)
        else:
            setattr(own, name, child)


def _has_other_parameters(mine: nn.Module, child: nn.Module) -> bool:
    """Whether `child` has parameters that `mine` lacks, as an untied unembedding does compared with a tied one."""
    held = {name for name, _ in mine.named_parameters(recurse=False)}
    return any(name not in held for name, _ in child.named_parameters(recurse=False))
