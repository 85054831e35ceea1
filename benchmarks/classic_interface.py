"""Compare every public name of the classic package with ours; write docs/classic-interface.md.

    python -m benchmarks.classic_interface

The reference is transformer-lens 3.5.1. For each of its modules that a notebook imports, the script
looks up every public function, class and constant, every public method and property of its classes, every
attribute of their objects, and every field of the config. A name is *the same* if every call that the reference
accepts is accepted here: the same parameters, in the same order, with the same defaults. Everything else needs a
reason in `classic_reasons.py`; a test fails for a difference without a reason and for a reason without a
difference.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import enum
import fnmatch
import importlib
import inspect
import io
import os
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from benchmarks.classic_reasons import DIFFERENT, MISSING, SAME_CALL_OTHER_ANSWER
from mechscope.pages.tables import markdown_table

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "classic-interface.md"
REFERENCE = "transformer_lens"
VERSION = "3.5.1"

# Which module of the reference answers to which of ours.
MODULES: dict[str, str] = {
    "": "",
    "utils": "utils",
    "components": "components",
    "hook_points": "hook_points",
    "cache.key_value_cache": "past_key_value_caching",
    "cache.key_value_cache_entry": "past_key_value_caching",
    "head_detector": "head_detector",
    "patching": "patching",
    "evals": "evals",
    "ActivationCache": "ActivationCache",
    "FactoredMatrix": "FactoredMatrix",
    "HookedTransformer": "HookedTransformer",
    "config.hooked_transformer_config": "HookedTransformerConfig",
    "HookedEncoder": "HookedEncoder",
    "HookedRootModule": "HookedRootModule",
    "BertNextSentencePrediction": "BertNextSentencePrediction",
    "SVDInterpreter": "SVDInterpreter",
    "loading_from_pretrained": "loading_from_pretrained",
    "train": "train",
    "utilities.devices": "utilities.devices",
    "utilities.tracr": "utilities.tracr",
    "weight_processing": "weight_processing",
    "tools.analysis.direct_path_patching": "tools.analysis.direct_path_patching",
    "factories.activation_function_factory": "factories.activation_function_factory",
    "utilities.activation_functions": "utilities.activation_functions",
}

# Names that notebooks of the 2.x years import, under which 3.x has something else.
OLDER_NAMES: dict[str, tuple[str, ...]] = {
    "": (
        "EasyTransformer",
        "EasyTransformerConfig",
        "HookedTransformerKeyValueCache",
        "HookedTransformerKeyValueCacheEntry",
        "past_key_value_caching",
    ),
    "utils": ("ACTIVATION_FN_DICT", "gelu_pytorch_tanh"),
    "past_key_value_caching": ("HookedTransformerKeyValueCache", "HookedTransformerKeyValueCacheEntry"),
}

SUBMODULES = {"model_bridge", "pretrained"}
"""Submodules that importing the reference brings along without naming them."""

SMALL: dict[str, Any] = {
    "n_layers": 1,
    "d_model": 8,
    "n_ctx": 6,
    "d_head": 4,
    "n_heads": 2,
    "d_vocab": 10,
    "d_mlp": 16,
    "act_fn": "gelu",
    "device": "cpu",
    "seed": 0,
}


@dataclass(frozen=True)
class Row:
    """One public name of the reference, and how it compares here."""

    section: str
    name: str
    differences: tuple[tuple[str, str], ...] = ()
    """(key of `classic_reasons`, what differs in words)."""
    missing: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that need a reason."""
        return (self.name,) if self.missing else tuple(key for key, _ in self.differences)


def rows() -> list[Row]:
    """Every public name of the reference."""
    found: dict[str, Row] = {}
    with contextlib.redirect_stdout(io.StringIO()):  # the reference says where it moves its models
        for theirs in MODULES:  # first all, because a package has the submodules that were imported
            _import(REFERENCE, theirs)
        for theirs, ours in MODULES.items():
            for row in _module_rows(theirs, ours):
                found.setdefault(row.name, row)
    for section, names in OLDER_NAMES.items():
        here = _import("mechscope", section)
        for name in names:
            full = _dotted(section, name)
            found.setdefault(full, Row(section, full, missing=getattr(here, name, None) is None))
    return list(found.values())


def unexplained(all_rows: list[Row]) -> list[str]:
    """Differences and missing names without a reason."""
    return [
        key
        for row in all_rows
        for key in row.keys
        if _reason(MISSING if row.missing else DIFFERENT, key) is None
    ]


def stale(all_rows: list[Row]) -> list[str]:
    """Reasons for differences that do not exist."""
    names = {row.name for row in all_rows}
    gone = [name for name in SAME_CALL_OTHER_ANSWER if name not in names]
    missing = [key for row in all_rows if row.missing for key in row.keys]
    different = [key for row in all_rows if not row.missing for key in row.keys]
    return gone + [
        pattern
        for table, keys in ((MISSING, missing), (DIFFERENT, different))
        for pattern in table
        if not any(
            _reason(table, key) == table[pattern] and fnmatch.fnmatchcase(key, pattern) for key in keys
        )
    ]


def _reason(table: Mapping[str, str], key: str) -> str | None:
    """The first reason whose pattern fits."""
    return next((reason for pattern, reason in table.items() if fnmatch.fnmatchcase(key, pattern)), None)


# What a module offers ---------------------------------------------------------------------------


def _module_rows(theirs: str, ours: str) -> Iterator[Row]:
    reference = _import(REFERENCE, theirs)
    here = _import("mechscope", ours)
    for name in _public_names(reference):
        value = getattr(reference, name)
        full = _dotted(ours, name)
        if not hasattr(here, name):
            yield Row(ours, full, missing=True)
        elif inspect.isclass(value):
            # The package's own names are looked into in the modules that they come from.
            yield from _class_rows(ours, full, value, getattr(here, name)) if ours else [Row(ours, full)]
        elif inspect.isroutine(value):
            yield Row(ours, full, call_differences(full, value, getattr(here, name)))
        else:
            yield Row(ours, full)


def _public_names(module: types.ModuleType) -> list[str]:
    """What the module defines or re-exports from its own package, in order; not what it happens to import."""
    package = module.__name__.count(".") == 0
    names: list[str] = []
    listed = getattr(module, "__all__", ())
    constants = _assigned_names(module)
    # A package also has the submodules that anybody has imported so far: only those count that are always there.
    modules = _imported_names(module) | {key.split(".")[0] for key in MODULES} | SUBMODULES
    for name, value in vars(module).items():
        if name.startswith("_"):
            continue
        if isinstance(value, types.ModuleType):
            own = package and value.__name__.startswith(REFERENCE) and name in modules
        elif inspect.isclass(value) or inspect.isroutine(value):
            home = getattr(value, "__module__", "") or ""
            own = home.startswith(REFERENCE) if _reexports(module) else home == module.__name__
        else:
            own = name in constants
        if own or name in listed:
            names.append(name)
    return sorted(names) if package else names


def _reexports(module: types.ModuleType) -> bool:
    return hasattr(module, "__path__") or module.__name__ == f"{REFERENCE}.utils"


def _imported_names(module: types.ModuleType) -> set[str]:
    source = Path(module.__file__ or "").read_text()
    return {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _assigned_names(module: types.ModuleType) -> set[str]:
    source = Path(module.__file__ or "").read_text()
    names = set()
    for node in ast.parse(source).body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


# What a class offers ----------------------------------------------------------------------------


def _class_rows(section: str, full: str, theirs: type, ours: Any) -> Iterator[Row]:
    if not inspect.isclass(ours) or issubclass(theirs, enum.Enum):
        yield Row(section, full)
        return
    yield Row(section, full, call_differences(full, theirs, ours))
    if dataclasses.is_dataclass(theirs):
        yield from _field_rows(section, full, theirs, ours)
    for name in _own_members(theirs):
        member = inspect.getattr_static(theirs, name)
        path = f"{full}.{name}"
        if not hasattr(ours, name) and not _is_field(ours, name):
            yield Row(section, path, missing=True)
        elif isinstance(member, (staticmethod, classmethod)) or inspect.isroutine(member):
            yield Row(section, path, call_differences(path, getattr(theirs, name), getattr(ours, name)))
        else:
            yield Row(section, path)
    make = OBJECTS.get(theirs.__name__)
    if make is not None:
        yield from _attribute_rows(section, full, make(REFERENCE), make("mechscope"))


def _field_rows(section: str, full: str, theirs: type, ours: type) -> Iterator[Row]:
    mine = {field.name: field for field in dataclasses.fields(ours)} if dataclasses.is_dataclass(ours) else {}
    for field in dataclasses.fields(theirs):
        path = f"{full}.{field.name}"
        if field.name not in mine:
            present = hasattr(ours, field.name)
            yield Row(section, path, missing=not present)
            continue
        default, own = _default(field), _default(mine[field.name])
        text = f"default {own!r}, there {default!r}"
        yield Row(section, path, () if default == own else ((path, text),))


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default if field.default is not dataclasses.MISSING else "required"


def _own_members(cls: type) -> list[str]:
    """Public names that the class gets from the reference's own code, not from torch."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if base.__module__.startswith(REFERENCE):
            fields = (
                {field.name for field in dataclasses.fields(base)}
                if dataclasses.is_dataclass(base)
                else set()
            )
            names |= {name: None for name in vars(base) if not name.startswith("_") and name not in fields}
    return list(names)


def _is_field(cls: type, name: str) -> bool:
    return dataclasses.is_dataclass(cls) and name in {field.name for field in dataclasses.fields(cls)}


def _attribute_rows(section: str, full: str, theirs: Any, ours: Any) -> Iterator[Row]:
    """An object's own attributes, parameters, buffers and children."""
    held = dict(vars(theirs))
    for registry in ("_parameters", "_buffers", "_modules"):
        held |= held.pop(registry, {}) or {}
    torch_own = vars(torch.nn.Module())
    fields = (
        {field.name for field in dataclasses.fields(theirs)} if dataclasses.is_dataclass(theirs) else set()
    )
    for name in held:
        if not name.startswith("_") and name not in torch_own and name not in fields:
            yield Row(section, f"{full}.{name}", missing=not hasattr(ours, name))


# What a call accepts ----------------------------------------------------------------------------


def call_differences(path: str, theirs: Any, ours: Any) -> tuple[tuple[str, str], ...]:
    """Each parameter of the reference that ours does not accept in the same way."""
    try:
        reference, own = _parameters(theirs), _parameters(ours)
    except (TypeError, ValueError):
        return ()
    swallows = {kind for kind in (p.kind for p in own.values()) if kind in (_VAR_POSITIONAL, _VAR_KEYWORD)}
    found: list[tuple[str, str]] = []
    order = [name for name, p in own.items() if p.kind in _BY_POSITION]
    place = 0
    for name, parameter in reference.items():
        key = f"{path}({name})"
        if parameter.kind in (_VAR_POSITIONAL, _VAR_KEYWORD):
            if parameter.kind not in swallows:
                stars = "**" if parameter.kind is _VAR_KEYWORD else "*"
                found.append((key, f"takes no `{stars}{name}`"))
            continue
        by_position = parameter.kind in _BY_POSITION
        if name not in own:
            found.append((key, f"takes no `{name}`"))
        else:
            mine = own[name]
            is_config = dataclasses.is_dataclass(theirs)
            if by_position and mine.kind is inspect.Parameter.KEYWORD_ONLY and not is_config:
                found.append((key, f"`{name}` only by keyword"))
            elif by_position and not is_config and order.index(name) != place:
                found.append((key, f"`{name}` is parameter {order.index(name) + 1}, there {place + 1}"))
            elif not _same_default(mine.default, parameter.default):
                found.append((key, f"`{name}={_shown(mine.default)}`, there `{_shown(parameter.default)}`"))
        place += by_position
    if path.endswith("HookedTransformerConfig") and order[:4] != list(reference)[:4]:
        text = f"begins with {', '.join(order[:4])}, there with {', '.join(list(reference)[:4])}"
        found.append((f"{path}(order)", text))
    for name, parameter in own.items():
        if name not in reference and parameter.default is _EMPTY and parameter.kind not in (
            _VAR_POSITIONAL,
            _VAR_KEYWORD,
        ):  # fmt: skip
            found.append((f"{path}({name})", f"needs `{name}`"))
    return tuple(found)


_EMPTY = inspect.Parameter.empty
_VAR_POSITIONAL, _VAR_KEYWORD = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(function).parameters)
    found.pop("self", None)
    return found


def _same_default(ours: Any, theirs: Any) -> bool:
    if ours is theirs or repr(ours) == repr(theirs):
        return True
    if theirs is _EMPTY:
        return True  # ours is optional
    if isinstance(theirs, (list, tuple)) and isinstance(ours, (list, tuple)):
        return list(ours) == list(theirs)
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (ours, theirs)):
        return ours == theirs
    return type(ours) is type(theirs) and bool(ours == theirs)


def _shown(value: Any) -> str:
    if isinstance(value, str) and Path(value).is_absolute():
        return "a folder of this machine"
    return "required" if value is _EMPTY else repr(value)


# Objects to look at -----------------------------------------------------------------------------


def _module(library: str, name: str) -> Any:
    return importlib.import_module(f"{library}.{name}")


def _model(library: str, **fields: Any) -> Any:
    package = importlib.import_module(library)
    return package.HookedTransformer(package.HookedTransformerConfig(**{**SMALL, **fields}))


def _cache_entry(library: str) -> Any:
    return _cache(library)[0]


def _cache(library: str) -> Any:
    name = "cache.key_value_cache" if library == REFERENCE else "past_key_value_caching"
    cls = _module(library, name).TransformerLensKeyValueCache
    return cls.init_cache(_model(library).cfg, "cpu", 1)


def _encoder(library: str) -> Any:
    package = importlib.import_module(library)
    return package.HookedEncoder(package.HookedTransformerConfig(**SMALL))


OBJECTS: dict[str, Callable[[str], Any]] = {
    "HookPoint": lambda library: _module(library, "hook_points").HookPoint(),
    "HookedTransformer": _model,
    "HookedEncoder": _encoder,
    "BertNextSentencePrediction": lambda library: importlib.import_module(library).BertNextSentencePrediction(
        _encoder(library)
    ),
    "ActivationCache": lambda library: _model(library).run_with_cache(torch.tensor([[1, 2, 3]]))[1],
    "FactoredMatrix": lambda library: importlib.import_module(library).FactoredMatrix(
        torch.eye(3), torch.eye(3)
    ),
    "SVDInterpreter": lambda library: importlib.import_module(library).SVDInterpreter(_model(library)),
    "Slice": lambda library: _module(library, "utils").Slice((0, 1)),
    "TransformerLensKeyValueCache": _cache,
    "TransformerLensKeyValueCacheEntry": _cache_entry,
    "Attention": lambda library: _model(library).blocks[0].attn,
    "GroupedQueryAttention": lambda library: _model(library, n_key_value_heads=1).blocks[0].attn,
    "TransformerBlock": lambda library: _model(library).blocks[0],
    "MLP": lambda library: _model(library).blocks[0].mlp,
    "GatedMLP": lambda library: _model(library, gated_mlp=True).blocks[0].mlp,
    "LayerNorm": lambda library: _model(library).ln_final,
    "LayerNormPre": lambda library: _model(library, normalization_type="LNPre").ln_final,
    "RMSNorm": lambda library: _model(library, normalization_type="RMS").ln_final,
    "RMSNormPre": lambda library: _model(library, normalization_type="RMSPre").ln_final,
    "Embed": lambda library: _model(library).embed,
    "PosEmbed": lambda library: _model(library).pos_embed,
    "Unembed": lambda library: _model(library).unembed,
    "BertBlock": lambda library: _encoder(library).blocks[0],
    "BertEmbed": lambda library: _encoder(library).embed,
    "BertMLMHead": lambda library: _encoder(library).mlm_head,
    "BertNSPHead": lambda library: _encoder(library).nsp_head,
    "BertPooler": lambda library: _encoder(library).pooler,
}


def _import(package: str, section: str) -> types.ModuleType:
    """A module by its dotted name; where the package shadows it by a class of the same name, the module still."""
    name = _dotted(package, section)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if package == REFERENCE or not name.startswith(error.name or name):
            raise
        return types.ModuleType(name)


def _dotted(*parts: str) -> str:
    return ".".join(part for part in parts if part)


# The page ---------------------------------------------------------------------------------------


def page(all_rows: list[Row]) -> str:
    """The table of docs/classic-interface.md."""
    same = [row for row in all_rows if not row.keys]
    different = [row for row in all_rows if row.differences]
    missing = [row for row in all_rows if row.missing]
    lines = [
        "# The classic interface, name by name",
        "",
        f"`make tables` compares every public name of transformer-lens {VERSION} with ours: functions, classes,",
        "methods, properties, what objects hold, fields of the config, parameters and their defaults. A name is *the",
        "same* where every call that the reference accepts is accepted here. The other two kinds are listed below,",
        "each with its reason; a test fails for a difference without a reason, and for a reason without a difference.",
        "",
    ]
    counted: list[list[str]] = []
    for section in dict.fromkeys(row.section for row in all_rows):
        counts = [sum(row.section == section for row in part) for part in (same, different, missing)]
        counted.append([f"`{_dotted('mechscope', section)}`", *map(str, counts)])
    counted.append(["**all**", *(f"**{len(part)}**" for part in (same, different, missing))])
    lines.append(markdown_table(["module", "same", "differs on purpose", "missing"], counted, align="lrrr"))
    changed: list[list[str]] = []
    for row in different:
        by_reason: dict[str, list[str]] = {}
        for key, text in row.differences:
            by_reason.setdefault(_reason(DIFFERENT, key) or "", []).append(text)
        for reason, texts in by_reason.items():
            changed.append([f"`{row.name}`", "; ".join(texts), reason])
    lines += [
        "",
        "## Differs on purpose",
        "",
        markdown_table(["name", "what differs", "why"], changed),
        "",
        "## The same call with a deliberately different result",
        "",
        markdown_table(
            ["name", "what differs, and why"],
            [[f"`{name}`", text] for name, text in SAME_CALL_OTHER_ANSWER.items()],
        ),
    ]
    names_by_reason: dict[str, list[str]] = {}
    for row in missing:
        names_by_reason.setdefault(_reason(MISSING, row.name) or "", []).append(row.name)
    absent = [[", ".join(f"`{name}`" for name in names), reason] for reason, names in names_by_reason.items()]
    lines += ["", "## Missing", "", markdown_table(["name", "why"], absent), "", "## The same", ""]
    for section in dict.fromkeys(row.section for row in same):
        names = [row.name.removeprefix(f"{section}.") for row in same if row.section == section]
        lines += [f"**`{_dotted('mechscope', section)}`**: {', '.join(f'`{name}`' for name in names)}", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Write the page, or say what lacks a reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = rows()
    for what, keys in (
        ("without a reason", unexplained(found)),
        ("a reason that no longer applies", stale(found)),
    ):
        for key in keys:
            print(f"{what}: {key}")
    PAGE.write_text(page(found))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
