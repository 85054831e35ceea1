"""The JSON schema of a dataclass of settings: its annotations are what `mechscope.settings.decode` checks."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, cast

from mechscope.pages.endpoints import Length
from mechscope.pages.python_source import parse_python
from mechscope.settings import Range, Settings

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


class Schemas:
    """The schemas of dataclasses, collected while they are asked for."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        """Name of a dataclass → its schema."""
        self._kinds: dict[str, type[Any]] = {}

    def of_dataclass(self, kind: type[Any]) -> dict[str, Any]:
        """A reference to the schema of a dataclass, which is added to `found` with all that it refers to.

        Raises:
            ValueError: for an annotation that JSON cannot express, and for two dataclasses of one name.
        """
        name = kind.__name__
        if self._kinds.setdefault(name, kind) is not kind:
            raise ValueError(f"two dataclasses of the HTTP interface are called {name}.")
        if name not in self.found:
            self.found[name] = {}  # so that a dataclass may refer to itself
            self.found[name] = self.of_fields(kind, field_names(kind))
        return {"$ref": f"#/components/schemas/{name}"}

    def of_fields(self, kind: type[Any], names: Sequence[str]) -> dict[str, Any]:
        """The schema of a JSON object that has some of a dataclass's fields, and no others."""
        schema: dict[str, Any] = {
            "type": "object",
            "description": inspect.getdoc(kind) or "",
            "properties": {name: self.of_field(kind, name) for name in names},
            "additionalProperties": False,
        }
        if required := [name for name in names if is_required(kind, name)]:
            schema["required"] = required
        return schema

    def of_field(self, kind: type[Any], name: str) -> dict[str, Any]:
        """The schema of one field, with its description and default."""
        schema = self._of(annotations_of(kind)[name])
        if words := _field_docs(kind).get(name):
            schema = {**schema, "description": words}
        default = _field(kind, name).default
        if default is not dataclasses.MISSING:
            schema = {**schema, "default": default.to_dict() if isinstance(default, Settings) else default}
        return schema

    def _of(self, hint: Any) -> dict[str, Any]:
        origin, inside = typing.get_origin(hint), typing.get_args(hint)
        if hint in _PLAIN:
            return {"type": _PLAIN[hint]}
        if dataclasses.is_dataclass(hint):
            return self.of_dataclass(cast("type[Any]", hint))
        if origin is Annotated:
            return self._of(inside[0]) | _limits(inside[1])
        if origin is Literal:
            return {"enum": list(inside)}
        if origin in (typing.Union, types.UnionType):
            return {"anyOf": [self._of(each) for each in inside]}
        if origin is list or (origin is tuple and inside[1:] == (...,)):
            return {"type": "array", "items": self._of(inside[0])}
        if origin is tuple:
            size = len(inside)
            items = [self._of(each) for each in inside]
            return {"type": "array", "prefixItems": items, "minItems": size, "maxItems": size}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self._of(inside[1])}
        raise ValueError(f"the HTTP interface cannot express {hint!r}.")


def field_names(kind: type[Any]) -> list[str]:
    """The fields of a dataclass."""
    return [each.name for each in dataclasses.fields(kind)]


def is_required(kind: type[Any], name: str) -> bool:
    """Whether a field has no default."""
    each = _field(kind, name)
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


@cache
def annotations_of(kind: type[Any]) -> dict[str, Any]:
    """Field → annotation, with ranges and lengths."""
    return typing.get_type_hints(kind, include_extras=True)


def _field(kind: type[Any], name: str) -> Any:
    return next(each for each in dataclasses.fields(kind) if each.name == name)


def _limits(limit: object) -> dict[str, Any]:
    if isinstance(limit, Length):
        return {"minLength": limit.least, "maxLength": limit.most}
    if isinstance(limit, Range):
        named = {
            "minimum": limit.least,
            "exclusiveMinimum": limit.above,
            "maximum": limit.most,
            "exclusiveMaximum": limit.below,
        }
        return {name: value for name, value in named.items() if value is not None}
    return {}


@cache
def _field_docs(kind: type[Any]) -> dict[str, str]:
    """Field → the docstring below it."""
    try:
        tree = parse_python(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):
        return {}
    body = cast("ast.ClassDef", tree.body[0]).body
    return {
        before.target.id: inspect.cleandoc(after.value.value)
        for before, after in itertools.pairwise(body)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }
