"""Draw initial weights."""

from __future__ import annotations

import math

import torch
from torch import nn

from mechscope.arguments import checked_arguments
from mechscope.model.config import HookedTransformerConfig


def init_weights(model: nn.Module, cfg: HookedTransformerConfig) -> None:
    """Draw every matrix (a parameter with `W_` in its name); biases stay 0 and the scales of norms 1.

    `gpt2` draws from a normal distribution with standard deviation `cfg.initializer_range`; the other modes follow
    Glorot and Bengio 2010 or He et al. 2015 with that number as gain. If `cfg.seed` is set, the global generators of
    Python, NumPy and torch are seeded first, as in the classic class.
    """
    if cfg.seed is not None:
        cfg.set_seed_everywhere(cfg.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "W_" in name:
                # Draw in the order of the shape, not of the strides, so that a seed always gives the same weights.
                drawn = torch.empty(parameter.shape, dtype=parameter.dtype, device=parameter.device)
                parameter.copy_(_draw(drawn, cfg))


def _draw(tensor: torch.Tensor, cfg: HookedTransformerConfig) -> torch.Tensor:
    gain = cfg.initializer_range
    if cfg.init_mode == "zeros":
        return tensor.zero_()
    if cfg.init_mode == "gpt2":
        return tensor.normal_(0.0, gain)
    fan_in, fan_out = calc_fan_in_and_fan_out(tensor)
    if cfg.init_mode.startswith("xavier"):
        std = gain * math.sqrt(2.0 / (fan_in + fan_out))
    else:
        std = gain / math.sqrt(fan_in)
    if cfg.init_mode.endswith("uniform"):
        return tensor.uniform_(-math.sqrt(3.0) * std, math.sqrt(3.0) * std)
    return tensor.normal_(0.0, std)


@checked_arguments
def calc_fan_in_and_fan_out(tensor: torch.Tensor) -> tuple[int, int]:
    """Fan-in and fan-out of a weight in the classic layout.

    A matrix is [in out]; [head d_model d_head] has d_model inputs and head * d_head outputs. [head d_head d_model]
    cannot be distinguished by its shape and is treated the same way. A vector has fan-in 1 and its length as fan-out.

    Raises:
        ValueError: for a scalar, or more than three axes.

    >>> calc_fan_in_and_fan_out(torch.empty(12, 768, 64))
    (768, 768)
    """
    shape = tuple(tensor.shape)
    if len(shape) == 0:
        raise ValueError("a scalar has no fan-in and fan-out.")
    if len(shape) == 1:
        return 1, shape[0]
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) == 3:
        return shape[1], shape[0] * shape[2]
    raise ValueError(f"fan-in and fan-out are defined for up to three axes, not {shape}.")


# The classic functions, which fill a weight in place ----------------------------------------------


@checked_arguments
def init_xavier_uniform_(param: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
    """Draw uniformly with the variance of Glorot and Bengio 2010, in place."""
    fan_in, fan_out = calc_fan_in_and_fan_out(param)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return nn.init.uniform_(param, -bound, bound)


@checked_arguments
def init_xavier_normal_(param: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
    """Draw from a normal distribution with the variance of Glorot and Bengio 2010, in place."""
    fan_in, fan_out = calc_fan_in_and_fan_out(param)
    return nn.init.normal_(param, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)))


@checked_arguments
def init_kaiming_uniform_(
    param: torch.Tensor, a: float = 0, nonlinearity: str = "relu", gain: float = 1.0, mode: str = "fan_in"
) -> torch.Tensor:
    """Draw uniformly with the variance of He et al. 2015, in place.

    Args:
        a: the slope of a leaky ReLU.
        param: the weight to fill.
        nonlinearity: the activation function after the weight, by torch's name.
        gain: an additional factor of the standard deviation.
        mode: "fan_in" preserves the scale of activations, "fan_out" that of gradients.
    """
    bound = math.sqrt(3.0) * _kaiming_std(param, a, nonlinearity, gain, mode)
    return nn.init.uniform_(param, -bound, bound)


@checked_arguments
def init_kaiming_normal_(
    param: torch.Tensor, a: float = 0, nonlinearity: str = "relu", gain: float = 1.0, mode: str = "fan_in"
) -> torch.Tensor:
    """Draw from a normal distribution with the variance of He et al. 2015, in place (see `init_kaiming_uniform_`)."""
    return nn.init.normal_(param, 0.0, _kaiming_std(param, a, nonlinearity, gain, mode))


def _kaiming_std(param: torch.Tensor, a: float, nonlinearity: str, gain: float, mode: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', not {mode!r}.")
    fan_in, fan_out = calc_fan_in_and_fan_out(param)
    scale = nn.init.calculate_gain(nonlinearity, a)  # type: ignore[arg-type]
    return gain * scale / math.sqrt(fan_in if mode == "fan_in" else fan_out)
