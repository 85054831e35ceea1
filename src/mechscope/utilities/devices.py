"""The classic module `utilities.devices`."""

from mechscope.model.devices import get_device

__all__ = ["get_device"]
