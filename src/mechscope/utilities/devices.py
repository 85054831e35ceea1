"""The classic `utilities.devices`."""

from mechscope.model.tensors import get_device

__all__ = ["get_device"]
