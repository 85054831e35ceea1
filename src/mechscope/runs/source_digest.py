"""Which source files a result depends on, and a digest of each, without importing them.

A module depends on itself and on every module that it imports, directly or through others, within its own package
(for a script: within its folder) and within mechscope. Imports are read from the syntax tree, those inside functions
included; a package that only passes a name on is looked through to the module that defines it. Modules imported by a
name that is computed at run time are not seen.

A digest ignores what cannot change a number: comments, formatting, docstrings, and the wording of raised errors.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = __name__.partition(".")[0]
NOT_COMPUTING = (
    f"{PACKAGE}.viz",
    f"{PACKAGE}.pages",
    f"{PACKAGE}.storage",
    f"{PACKAGE}.runs.captured_values",
    f"{PACKAGE}.runs.config_diff",
    f"{PACKAGE}.runs.key",
    f"{PACKAGE}.runs.machine",
    f"{PACKAGE}.runs.parallel_runs",
    f"{PACKAGE}.runs.source_digest",
    f"{PACKAGE}.runs.store",
    f"{PACKAGE}.runs.workspace",
)
"""Modules that draw, write and keep results but compute none: work stays valid when they change."""
_LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platlib", "purelib")]
# Python 3.13 leaves empty lists out unless asked.
_DUMP: dict[str, Any] = {"show_empty": True} if sys.version_info >= (3, 13) else {}


@dataclass(frozen=True)
class _Import:
    """One imported name: `from module import name`, or with an empty name `import module`."""

    module: str
    name: str


@dataclass(frozen=True)
class _Source:
    digest: str
    imports: tuple[_Import, ...]
    """What running the file can import."""
    names: tuple[tuple[str, _Import], ...]
    """(name, import) of names that a package imports to pass them on, now or when they are first used."""


def source_digests(*modules: str) -> dict[str, str]:
    """The digest of each source file that these modules depend on, by file name.

    A module whose source cannot be read (one typed into a console, say) gets a new digest on every call: whether it
    has changed cannot be known, so nothing that it computed is reused.

    Args:
        modules: full names. A module outside mechscope must have been imported.

    Returns:
        File name from its package's folder on, with forward slashes → 16 hexadecimal digits, sorted by name.
    """
    roots = {PACKAGE, *(name.partition(".")[0] for name in modules)}
    # A script is changed by its neighbours, which are packages of their own.
    scripts = {path.parent for name in modules if "." not in name and (path := _path_of(name)) is not None}
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen or _is_not_computing(name):
            continue
        seen.add(name)
        path = _path_of(name)
        if name.partition(".")[0] not in roots and (path is None or path.parent not in scripts):
            continue
        if path is None:
            if name in modules:
                found[name] = uuid.uuid4().hex[:16]
            continue
        source = _read(path)
        found[_label(name, path)] = source.digest
        if _is_library(name, path, source):
            continue
        for each in source.imports:
            waiting += _targets(each)
        # What is imported as a whole may be used by any name that it passes on.
        for _, origin in source.names:
            waiting += _targets(origin)
    return dict(sorted(found.items()))


def _is_library(name: str, path: Path, source: _Source) -> bool:
    """Whether a module is installed and does not use mechscope: a library, whose other files are not followed."""
    if name.partition(".")[0] == PACKAGE or not any(path.is_relative_to(folder) for folder in _LIBRARIES):
        return False
    return not any(each.module.partition(".")[0] == PACKAGE for each in source.imports)


def _is_not_computing(name: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in NOT_COMPUTING)


def _targets(wanted: _Import, depth: int = 5) -> Iterator[str]:
    """The modules that define what is imported."""
    if not wanted.name:
        yield wanted.module
        return
    inner = f"{wanted.module}.{wanted.name}"
    if _path_of(inner) is not None:
        yield inner
        return
    path = _path_of(wanted.module)
    origins = [] if path is None else [origin for name, origin in _read(path).names if name == wanted.name]
    if origins and depth:
        for origin in origins:
            yield from _targets(origin, depth - 1)
    else:
        yield wanted.module


def _path_of(name: str) -> Path | None:
    """A module's source file, or None."""
    top, _, rest = name.partition(".")
    module = sys.modules.get(top)
    if module is None:
        return None
    if rest:
        folders = [Path(folder) for folder in getattr(module, "__path__", ())]
        return next(filter(None, (_file_in(folder, rest) for folder in folders)), None)
    file = getattr(module, "__file__", None)
    return Path(file) if file and file.endswith(".py") and Path(file).is_file() else None


@cache
def _file_in(folder: Path, dotted: str) -> Path | None:
    base = folder.joinpath(*dotted.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _label(name: str, path: Path) -> str:
    inside = name.replace(".", "/")
    return f"{inside}/__init__.py" if path.name == "__init__.py" else f"{inside}.py"


def _read(path: Path) -> _Source:
    stub = path.with_suffix(".pyi")
    stats = [each.stat() for each in (path, stub) if each.is_file()]
    return _parse(path, tuple((stat.st_mtime_ns, stat.st_size) for stat in stats))


@cache
def _parse(path: Path, state: tuple[tuple[int, int], ...]) -> _Source:
    """Read one file, and a package's stub; the times and sizes are there so that an edited file is read again."""
    del state
    tree = ast.parse(path.read_bytes())
    package = _package_of(path)
    imports = tuple(_imports(tree.body, package))
    names = tuple(_passed_on(tree, package)) if path.name == "__init__.py" else ()
    stub = path.with_suffix(".pyi")
    if path.name == "__init__.py" and stub.is_file():
        names += tuple(_passed_on(ast.parse(stub.read_bytes()), package))
    _WithoutWords().visit(tree)
    dumped = ast.dump(tree, **_DUMP)
    return _Source(hashlib.sha256(dumped.encode()).hexdigest()[:16], imports, names)


def _package_of(path: Path) -> list[str]:
    """The dotted name of the folder that a file lies in, as parts."""
    parts: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return parts


def _imports(body: Iterable[ast.stmt], package: list[str]) -> Iterator[_Import]:
    for statement in body:
        yield from _imports_below(statement, package)


def _imports_below(node: ast.AST, package: list[str]) -> Iterator[_Import]:
    if isinstance(node, ast.If) and _is_type_checking(node.test):
        yield from _imports(node.orelse, package)
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (each for _, each in _bound(node, package))
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _imports_below(child, package)


def _passed_on(tree: ast.Module, package: list[str]) -> Iterator[tuple[str, _Import]]:
    for node in tree.body:
        inner = node.body if isinstance(node, ast.If) and _is_type_checking(node.test) else [node]
        for statement in inner:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                yield from _bound(statement, package)


def _bound(node: ast.Import | ast.ImportFrom, package: list[str]) -> Iterator[tuple[str, _Import]]:
    """(name that is bound, what it is) of an import statement."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name, _Import(alias.name, "")
        return
    module = node.module or ""
    if node.level:
        above = package[: len(package) - node.level + 1]
        module = ".".join([*above, *([module] if module else [])])
    for alias in node.names:
        yield alias.asname or alias.name, _Import(module, "" if alias.name == "*" else alias.name)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


class _WithoutWords(ast.NodeTransformer):
    """Removes from a syntax tree what cannot change a result."""

    def visit(self, node: ast.AST) -> ast.AST | None:
        # Python 3.12 added this field to every function and class.
        if getattr(node, "type_params", None) == []:
            del node.type_params  # type: ignore[attr-defined]
        return super().visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """A string by itself is a docstring, or describes the attribute above it."""
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """The words of an error."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                inner.value = ""
        return self.generic_visit(node)
