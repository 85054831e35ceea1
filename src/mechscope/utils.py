"""The classic module `utils`: functions of other modules under their classic names."""

from mechscope.checkpoints.hub_file import download_file_from_hf
from mechscope.data.begin_tokens import (
    get_input_with_manually_prepended_bos,
    get_tokenizer_with_bos,
    get_tokens_with_bos_removed,
)
from mechscope.data.text_datasets import get_dataset, keep_single_column
from mechscope.data.token_rows import tokenize_and_concatenate
from mechscope.model.answer_rank import PromptTest, test_prompt
from mechscope.model.components.activations import ACTIVATIONS as SUPPORTED_ACTIVATIONS
from mechscope.model.components.activations import Activation as ActivationFunction
from mechscope.model.components.activations import gelu_fast, solu
from mechscope.model.components.activations import gelu_tanh as gelu_new
from mechscope.model.components.activations import gelu_tanh as gelu_pytorch_tanh
from mechscope.model.composition import composition_scores
from mechscope.model.default_overrides import (
    USE_DEFAULT_VALUE,
    LocallyOverridenDefaults,
    override_or_use_default_value,
)
from mechscope.model.devices import get_device
from mechscope.model.initialization import (
    calc_fan_in_and_fan_out,
    init_kaiming_normal_,
    init_kaiming_uniform_,
    init_xavier_normal_,
    init_xavier_uniform_,
)
from mechscope.model.inspection import (
    check_structure,
    is_library_available,
    logits_to_df,
    print_gpu_mem,
    select_compatible_kwargs,
)
from mechscope.model.loss import lm_accuracy, lm_cross_entropy_loss
from mechscope.model.names import get_act_name
from mechscope.model.padding import get_attention_mask, get_offset_position_ids
from mechscope.model.sampling import sample_logits
from mechscope.model.slice import Slice, SliceInput
from mechscope.model.tensors import (
    filter_dict_by_prefix,
    get_corner,
    get_cumsum_along_dim,
    get_matrix_corner,
    get_nested_attr,
    is_lower_triangular,
    is_square,
    remove_batch_dim,
    repeat_along_head_dimension,
    set_nested_attr,
    to_numpy,
    transpose,
)

ACTIVATION_FN_DICT = SUPPORTED_ACTIVATIONS

__all__ = [
    "ACTIVATION_FN_DICT",
    "SUPPORTED_ACTIVATIONS",
    "USE_DEFAULT_VALUE",
    "ActivationFunction",
    "LocallyOverridenDefaults",
    "PromptTest",
    "Slice",
    "SliceInput",
    "calc_fan_in_and_fan_out",
    "check_structure",
    "composition_scores",
    "download_file_from_hf",
    "filter_dict_by_prefix",
    "gelu_fast",
    "gelu_new",
    "gelu_pytorch_tanh",
    "get_act_name",
    "get_attention_mask",
    "get_corner",
    "get_cumsum_along_dim",
    "get_dataset",
    "get_device",
    "get_input_with_manually_prepended_bos",
    "get_matrix_corner",
    "get_nested_attr",
    "get_offset_position_ids",
    "get_tokenizer_with_bos",
    "get_tokens_with_bos_removed",
    "init_kaiming_normal_",
    "init_kaiming_uniform_",
    "init_xavier_normal_",
    "init_xavier_uniform_",
    "is_library_available",
    "is_lower_triangular",
    "is_square",
    "keep_single_column",
    "lm_accuracy",
    "lm_cross_entropy_loss",
    "logits_to_df",
    "override_or_use_default_value",
    "print_gpu_mem",
    "remove_batch_dim",
    "repeat_along_head_dimension",
    "sample_logits",
    "select_compatible_kwargs",
    "set_nested_attr",
    "solu",
    "test_prompt",
    "to_numpy",
    "tokenize_and_concatenate",
    "transpose",
]
