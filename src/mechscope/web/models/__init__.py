"""Models that the server runs for the microscope: those on this machine, larger than a browser can hold."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
