"""Methods of the classic class that do not belong to another file: sizes, pieces of the forward pass, data sets."""

from __future__ import annotations

import importlib
import random
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from mechscope.model.initialization import init_weights
from mechscope.model.padding import get_offset_position_ids
from mechscope.model.weight_processing.classic_steps import ProcessWeights

if TYPE_CHECKING:
    from collections.abc import Callable

    from mechscope.model.components import PosEmbed
    from mechscope.model.config import HookedTransformerConfig
    from mechscope.model.hook_points import HookPoint
    from mechscope.model.key_value_cache import HookedTransformerKeyValueCache

StateDict = Mapping[str, torch.Tensor]

# The training data of each architecture, or the most similar public data set.
TRAINING_DATA = {
    "neel": "c4_code",
    "neel-solu-old": "pile",
    "GPT2LMHeadModel": "openwebtext",
    "GPTNeoForCausalLM": "pile",
    "GPTNeoXForCausalLM": "pile",
    "GPTJForCausalLM": "pile",
    "OPTForCausalLM": "pile",
}


class ClassicModel(nn.Module):
    """`n_params_total`, `get_residual`, `fold_layer_norm`, `sample_datapoint` and so on."""

    cfg: HookedTransformerConfig
    dataset: Any = None
    """The texts that `sample_datapoint` draws from: any list of {"text": …}."""

    if TYPE_CHECKING:
        hook_pos_embed: HookPoint
        pos_embed: PosEmbed
        to_tokens: Callable[..., torch.Tensor]

    # Sizes and initial weights ----------------------------------------------------------------

    @property
    def n_params_total(self) -> int:
        """The number of all parameters; `cfg.n_params` only counts those of the blocks' matrices."""
        return sum(parameter.numel() for parameter in self.parameters())

    def init_weights(self) -> None:
        """Draw new initial weights, as the config specifies (see `initialization.init_weights`)."""
        init_weights(self, self.cfg)

    def move_model_modules_to_device(self) -> None:
        """Put the whole model on `cfg.device`."""
        self.to(torch.device(self.cfg.device or "cpu"))

    # Pieces of the forward pass ---------------------------------------------------------------

    def get_pos_offset(self, past_kv_cache: HookedTransformerKeyValueCache | None, batch_size: int) -> int:
        """How many positions a key/value cache holds; 0 without one.

        Raises:
            ValueError: for a cache of a different batch size or model.
        """
        if past_kv_cache is None:
            return 0
        found = tuple(past_kv_cache[0].past_keys.shape)
        expected = (batch_size, found[1], self.cfg.n_kv_heads, self.cfg.d_head)
        if found != expected:
            raise ValueError(
                f"the key/value cache holds {found} [batch pos head d_head], but this model and batch need {expected}."
            )
        return found[1]

    def get_residual(
        self,
        embed: torch.Tensor,
        pos_offset: int,
        prepend_bos: bool | None = None,
        attention_mask: torch.Tensor | None = None,
        tokens: torch.Tensor | None = None,
        return_shortformer_pos_embed: bool = True,
        device: torch.device | str | None = None,
    ) -> Any:
        """The residual stream that the first block reads, from token embeddings [batch pos d_model].

        Args:
            embed: the token embeddings.
            pos_offset: how many positions came before.
            prepend_bos: has no effect here.
            attention_mask: 0 where a position is padding [batch all_pos], earlier positions included.
            tokens: ignored, because positions do not depend on them.
            return_shortformer_pos_embed: also return the position embedding that a shortformer model adds to queries
                and keys (None in other models).
            device: ignored; the result is on the device of `embed`.
        """
        del prepend_bos, tokens, device
        kind = self.cfg.positional_embedding_type
        residual, shortformer = embed, None
        if kind in ("standard", "shortformer"):
            positions = None
            if attention_mask is not None:
                positions = get_offset_position_ids(pos_offset, attention_mask.to(embed.device))
            like = torch.zeros(embed.shape[:2], dtype=torch.long, device=embed.device)
            embedded = self.hook_pos_embed(self.pos_embed(like, pos_offset, positions=positions))
            residual, shortformer = (embed + embedded, None) if kind == "standard" else (embed, embedded)
        return (residual, shortformer) if return_shortformer_pos_embed else residual

    # Weight processing, from a state dict to a state dict -------------------------------------

    def fill_missing_keys(self, state_dict: StateDict) -> dict[str, torch.Tensor]:
        """Fill in the missing tensors of a state dict with the model's own; warns if a matrix is missing."""
        own = self.state_dict()
        missing = [name for name in own if name not in state_dict]
        matrices = [name for name in missing if "W_" in name]
        if matrices:
            warnings.warn(
                f"the state dict lacks {', '.join(matrices)}: the model's own weights are used there.",
                stacklevel=2,
            )
        return {**state_dict, **{name: own[name] for name in missing}}

    def fold_layer_norm(
        self, state_dict: StateDict, fold_biases: bool = True, center_weights: bool = True
    ) -> dict[str, torch.Tensor]:
        """See `ProcessWeights.fold_layer_norm`; `process_weights_` changes the model itself."""
        return ProcessWeights.fold_layer_norm(state_dict, self.cfg, fold_biases, center_weights)

    def center_writing_weights(self, state_dict: StateDict) -> dict[str, torch.Tensor]:
        """See `ProcessWeights.center_writing_weights`."""
        return ProcessWeights.center_writing_weights(state_dict, self.cfg)

    def center_unembed(self, state_dict: StateDict) -> dict[str, torch.Tensor]:
        """See `ProcessWeights.center_unembed`."""
        return ProcessWeights.center_unembed(state_dict, self.cfg)

    def fold_value_biases(self, state_dict: StateDict) -> dict[str, torch.Tensor]:
        """See `ProcessWeights.fold_value_biases`."""
        return ProcessWeights.fold_value_biases(state_dict, self.cfg)

    def refactor_factored_attn_matrices(self, state_dict: StateDict) -> dict[str, torch.Tensor]:
        """See `ProcessWeights.refactor_factored_attn_matrices`."""
        return ProcessWeights.refactor_factored_attn_matrices(state_dict, self.cfg)

    # Texts like those that the model was trained on -------------------------------------------

    def load_sample_training_dataset(self, **kwargs: Any) -> Any:
        """Load a small data set like the one that this model was trained on, and set it as `dataset`.

        Args:
            kwargs: passed on to `get_dataset`.

        Raises:
            ValueError: for a model without a known data set.
            FileNotFoundError: if the data set is not on this machine and cannot be downloaded.
        """
        name = TRAINING_DATA.get(self.cfg.original_architecture or "")
        if name is None:
            raise ValueError(
                f"no data set is known for {self.cfg.original_architecture or 'this'} models: set model.dataset to "
                'your texts, as a list of {"text": …}.'
            )
        # Imported here, because the data room is not below the model room.
        self.dataset = importlib.import_module("mechscope.data.text_datasets").get_dataset(name, **kwargs)
        return self.dataset

    def sample_datapoint(
        self,
        tokenize: bool = False,
        prepend_bos: bool | None = None,
        padding_side: Literal["left", "right"] | None = None,
    ) -> Any:
        """A random text of `dataset`; `load_sample_training_dataset` loads one if none is set.

        Args:
            tokenize: return tokens [1 pos], at most n_ctx, instead of text.
            prepend_bos: for tokens (see `to_tokens`).
            padding_side: for tokens (see `to_tokens`).
        """
        dataset = self.load_sample_training_dataset() if self.dataset is None else self.dataset
        text = dataset[random.randrange(len(dataset))]["text"]
        return self.to_tokens(text, prepend_bos=prepend_bos, padding_side=padding_side) if tokenize else text
