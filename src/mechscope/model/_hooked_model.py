"""What decoders and encoders have in common: devices, state dicts, a cache of activations, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import nn

from mechscope.model._classic_switches import ClassicSwitches
from mechscope.model._display import model_as_html, model_as_text
from mechscope.model.activation_cache import ActivationCache
from mechscope.model.classic_state import ClassicStateDict, drop_unused, weights_of
from mechscope.model.components._component import Component
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.devices import check_device
from mechscope.model.hook_points import NamesFilter
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.state_dict_check import check_state_dict, expected_like


class HookedModel(ClassicSwitches, Component, HookedRootModule):
    """A model with a config and hook points; the base of decoders and encoders."""

    cfg: HookedTransformerConfig

    # Running ----------------------------------------------------------------------------------

    def run_with_cache(  # type: ignore[override]
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        names_filter: NamesFilter = None,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache | dict[str, torch.Tensor]]:
        """Run one forward pass and keep its activations in an `ActivationCache`.

        `get_act_name("pattern", 0)` gives the full name of a short one.

        Args:
            model_args: the arguments of `forward`.
            return_cache_object: False returns a plain dictionary in place of an `ActivationCache`.
            remove_batch_dim: drop the leading axis of a batch of one.
            names_filter: the points to keep: a name, a list of names or a predicate; None means all of them except
                the optional ones (see `optional_hook_names`).
            kwargs: keyword arguments of `HookedRootModule.run_with_cache` (`device`, `incl_bwd`, `pos_slice`, …) and
                of `forward`.

        Returns:
            the output of the pass, and its activations.

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
        return output, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)  # type: ignore[arg-type]

    # State dicts ------------------------------------------------------------------------------

    def _use_weights(self, state_dict: Mapping[str, torch.Tensor], cfg: HookedTransformerConfig) -> Self:
        """Make the given tensors the weights of this model, which was built without any, and move it to its device.

        Args:
            cfg: the config that the model is to have; this one was built for the "meta" device.

        Raises:
            ValueError: lists every missing and unexpected tensor, and every tensor of the wrong shape.
        """
        expected = expected_like(self.state_dict())
        check_state_dict(state_dict, expected, owner=f"the config of {cfg.model_name!r}", finite=False)
        self.load_state_dict(state_dict, assign=True)
        self.cfg.init_weights = cfg.init_weights
        return self.to(cfg.device)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Every weight by name (`torch.nn.Module.state_dict`).

        `state["blocks.0.attn.mask"]` and `….IGNORE` can be looked up, as in the classic class, but are not listed. To
        load these weights into a model of the classic class, whose buffers differ from version to version, let it keep
        its own: `classic.load_state_dict({**classic.state_dict(), **model.state_dict()})`.
        """
        found = super().state_dict(*args, **kwargs)
        if args or kwargs.get("destination") is not None or kwargs.get("prefix"):
            return found
        cfg = self.cfg
        return ClassicStateDict(found, cfg.n_layers, cfg.n_ctx, cfg.attention_dir == "causal")

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Copy weights into this model (`torch.nn.Module.load_state_dict`).

        The state dict may come from the classic class, a training script, `torch.compile`, data parallel or Lightning:
        wrappers (`{"model": …}`), prefixes (`_orig_mod.`, `module.`, `model.`) and the classic buffers are removed.

        Args:
            state_dict: tensors by name.
            strict: refuse missing and unexpected tensors.
            assign: use the tensors themselves as weights, without copying them.

        Raises:
            RuntimeError: for missing or unexpected tensors, and for tensors of the wrong shape.
            ValueError: for an unembedding that differs from the embedding although the config ties them, and for
                tensors that are not floating point (torch would convert them).
        """
        weights = drop_unused(weights_of(state_dict), self.cfg)
        own = expected_like(super().state_dict())
        check_state_dict(weights, own, finite=False, names_and_shapes=False)
        found = super().load_state_dict(weights, strict=strict, assign=assign)
        self._follow_weights()  # with assign=True they may have another device and data type than before
        return found

    # Devices and data types -------------------------------------------------------------------

    @torch.inference_mode(False)  # a weight that is converted in inference mode could not be trained
    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """Convert every tensor, and update the config.

        torch calls this for `to`, `half`, `bfloat16`, `float`, `double` and `cuda`, also when the model is part of
        another module.
        """
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        self._follow_weights()
        return self

    def _follow_weights(self) -> None:
        parameter = next(self.parameters())
        self.cfg.device, self.cfg.dtype = str(parameter.device), parameter.dtype

    def to(  # type: ignore[override]
        self, device_or_dtype: Any = None, *args: Any, print_details: bool = True, **kwargs: Any
    ) -> Self:
        """Move to a device, convert to a data type, or both, as torch does.

        Raises:
            ValueError: for a device that this machine lacks, or a data type that is not floating point.
            TypeError: for anything that is neither a device nor a data type.
        """
        # Old notebooks pass print_details, also as the second argument: there is nothing to print.
        del print_details
        where = () if device_or_dtype is None else (device_or_dtype,)
        for value in (*where, *args, kwargs.get("device", "cpu"), kwargs.get("dtype")):
            if isinstance(value, (str, torch.device)) and value is not kwargs.get("dtype"):
                check_device(value)
            elif isinstance(value, torch.dtype):
                if not value.is_floating_point:
                    raise ValueError(
                        f"weights are floating point, so a model cannot be converted to {value}."
                    )
            elif isinstance(value, (str, float)):
                raise TypeError(
                    f"a model moves to a device ('cpu', 'cuda') and converts to a data type (torch.float16), not to "
                    f"{value!r}."
                )
        nn.Module.to(self, *where, *(value for value in args if not isinstance(value, bool)), **kwargs)
        return self

    def cuda(self, device: int | torch.device | None = None) -> Self:
        """Move to a CUDA device."""
        return self.to(torch.device("cuda" if device is None else device))

    def cpu(self) -> Self:
        """Move to the CPU."""
        return self.to("cpu")

    def mps(self) -> Self:
        """Move to Apple's GPU."""
        return self.to("mps")

    # Display ----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return model_as_text(self, self.cfg)

    def _repr_html_(self) -> str:
        return model_as_html(self, self.cfg)
