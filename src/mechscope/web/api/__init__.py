"""The HTTP interface of the web lab: routes, checks, limits and the OpenAPI description of declared endpoints."""

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)
