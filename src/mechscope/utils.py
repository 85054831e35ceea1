"""The classic `utils`: names for helpers that live where they belong."""

from mechscope.data.token_rows import tokenize_and_concatenate
from mechscope.model.answer_rank import PromptTest, test_prompt
from mechscope.model.attention_mask import get_attention_mask
from mechscope.model.components.activations import gelu_fast, solu
from mechscope.model.components.activations import gelu_tanh as gelu_new
from mechscope.model.composition import composition_scores
from mechscope.model.initialization import calc_fan_in_and_fan_out
from mechscope.model.loss import lm_accuracy, lm_cross_entropy_loss
from mechscope.model.names import get_act_name
from mechscope.model.sampling import sample_logits
from mechscope.model.slice import Slice, SliceInput
from mechscope.model.tensors import (
    filter_dict_by_prefix,
    get_corner,
    get_cumsum_along_dim,
    get_device,
    get_nested_attr,
    get_offset_position_ids,
    is_lower_triangular,
    is_square,
    remove_batch_dim,
    repeat_along_head_dimension,
    set_nested_attr,
    to_numpy,
    transpose,
)
from mechscope.model.tensors import get_corner as get_matrix_corner

__all__ = [
    "PromptTest",
    "Slice",
    "SliceInput",
    "calc_fan_in_and_fan_out",
    "composition_scores",
    "filter_dict_by_prefix",
    "gelu_fast",
    "gelu_new",
    "get_act_name",
    "get_attention_mask",
    "get_corner",
    "get_cumsum_along_dim",
    "get_device",
    "get_matrix_corner",
    "get_nested_attr",
    "get_offset_position_ids",
    "is_lower_triangular",
    "is_square",
    "lm_accuracy",
    "lm_cross_entropy_loss",
    "remove_batch_dim",
    "repeat_along_head_dimension",
    "sample_logits",
    "set_nested_attr",
    "solu",
    "test_prompt",
    "to_numpy",
    "tokenize_and_concatenate",
    "transpose",
]
