"""Giving a model its weights: from a checkpoint's tensors, and processed for reading."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.fit import check_fit
from mechscope.model.gradients import usable_in_training
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.tokens import PaddingSide, TokenizerHelpers
from mechscope.model.weight_processing import process_weights


def weights_apart(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors, contiguous and each in memory of its own, as optimizers and file formats rely on.

    Only those are copied that are neither: a parallel block's two norms, say, where a checkpoint has one for both.
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


class Loading(TokenizerHelpers, HookedRootModule):
    """`from_state`, `from_pretrained` and processing in place."""

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

        Raises:
            ValueError: naming every missing, unexpected and misshapen tensor at once.
        """
        state_dict = weights_apart(state_dict)
        # Built on "meta", where tensors have shapes and no storage, then given the real ones.
        own = dataclasses.replace(cfg, init_weights=False, device="meta")
        model = cls(own, tokenizer, move_to_device=False, default_padding_side=default_padding_side)
        check_fit(model.state_dict(), state_dict, cfg.model_name)
        model.load_state_dict(state_dict, assign=True)
        own.init_weights = cfg.init_weights
        return model.to(cfg.device)

    @classmethod
    def from_pretrained(cls, model_name: str, *args: Any, **kwargs: Any) -> Self:
        """A trained model by name, alias or folder; see `mechscope.checkpoints.classic.from_pretrained`."""
        # By name, because checkpoints stands above the model and imports it.
        loader = importlib.import_module("mechscope.checkpoints.classic")
        return loader.from_pretrained(cls, model_name, *args, **kwargs)

    @classmethod
    def from_pretrained_no_processing(cls, model_name: str, *args: Any, **kwargs: Any) -> Self:
        """`from_pretrained` with the weights as they were trained."""
        off = {
            "fold_ln": False,
            "center_writing_weights": False,
            "center_unembed": False,
            "refactor_factored_attn_matrices": False,
            "fold_value_biases": False,
        }
        return cls.from_pretrained(model_name, *args, **{**off, **kwargs})

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
        """Process weights in the classic layout (see `process_weights`) and use them."""
        state_dict = {
            name: value
            for name, value in state_dict.items()
            if not name.endswith(("attn.mask", "attn.IGNORE", "rotary_sin", "rotary_cos"))
        }
        processed = process_weights(
            self.cfg,
            state_dict,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )
        fresh = type(self).from_state(
            processed.cfg, processed.state_dict, self.tokenizer, self.default_padding_side
        )
        for name, point in fresh.hook_dict.items():
            if name in self.hook_dict:
                point.take_listeners(self.hook_dict[name])
        self.cfg = fresh.cfg
        for name, child in fresh.named_children():
            setattr(self, name, child)
        self.setup()

    def process_weights_(
        self,
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        refactor_factored_attn_matrices: bool = False,
        fold_value_biases: bool = True,
    ) -> None:
        """Process this model's own weights in place."""
        self.load_and_process_state_dict(
            self.state_dict(),
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            fold_value_biases=fold_value_biases,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        )
