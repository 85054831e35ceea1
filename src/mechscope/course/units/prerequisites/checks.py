"""The checks of unit P."""

from __future__ import annotations

from mechscope.course.units.prerequisites.checks_in_maths import (
    check_change_basis,
    check_fit_linear_regression,
    check_gaussian_mle,
    check_log_likelihood,
    check_low_rank,
    check_mlp_backward,
    check_power_iteration,
    check_rotate,
    check_spread_of_means,
)
from mechscope.course.units.prerequisites.checks_of_drills import (
    check_all_dot_products,
    check_attention_to_itself,
    check_cut_patches,
    check_mean_of_windows,
    check_paired_dot_products,
    check_repeat_keys,
    check_score_through_matrix,
    check_split_heads,
    check_stack_layers,
    check_traces,
)
from mechscope.course.units.prerequisites.checks_of_training import (
    check_make_figure,
    check_train_mlp,
)

__all__ = [
    "check_all_dot_products",
    "check_attention_to_itself",
    "check_change_basis",
    "check_cut_patches",
    "check_fit_linear_regression",
    "check_gaussian_mle",
    "check_log_likelihood",
    "check_low_rank",
    "check_make_figure",
    "check_mean_of_windows",
    "check_mlp_backward",
    "check_paired_dot_products",
    "check_power_iteration",
    "check_repeat_keys",
    "check_rotate",
    "check_score_through_matrix",
    "check_split_heads",
    "check_spread_of_means",
    "check_stack_layers",
    "check_traces",
    "check_train_mlp",
]
