"""Put ES modules into one script, for places that cannot import files: notebooks, and pages opened from a disk.

The web lab's modules are written by hand and import each other with `import { name } from "./file.js"`. Here, each
becomes a function that is run when it is first used, and imports become calls of `mechscopeUse`:

    const { visible } = await mechscopeUse("tokens.js");

`import.meta.url` becomes the address of the module beside the script.

Only the forms of `import` and `export` that the modules use are understood; any other is an error. Comments on lines of
their own are left out, so that a notebook does not carry them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

COMPONENTS = Path(__file__).parent / "components"
"""The folder of the components."""

_IMPORT = re.compile(
    r'^import\s+(?:(\{[^}]*\}|\*\s+as\s+\w+)\s+from\s+)?"\./([\w.-]+)";?[ \t]*$', re.MULTILINE
)
_EXPORT = re.compile(r"^export\s+((?:async\s+)?function\*?\s+|class\s+|const\s+)(\w+)", re.MULTILINE)
_EXPORT_LIST = re.compile(r"^export\s+\{([^}]*)\};?[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(?:/\*\*.*?\*/|//[^\n]*)[ \t]*\n", re.MULTILINE | re.DOTALL)
_LEFT_OVER = re.compile(r"^(?:import|export)\b.*$|\bimport\s*\(|\bimport\.meta\b(?!\.url\b)", re.MULTILINE)


def bundle_modules(sources: Mapping[str, str]) -> str:
    """A script that defines `mechscopeUse(name)`: a promise of the exports of a module.

    Args:
        sources: file name → source of every module. A module that imports one that is missing fails when it is used.

    Raises:
        ValueError: for imports in a circle, or another form of import or export.

    >>> script = bundle_modules({"a.js": 'import { b } from "./b.js";', "b.js": "export const b = 1;"})
    >>> 'const { b } = await mechscopeUse("b.js");' in script
    True
    """
    _check_imports(sources)
    functions = ",\n".join(
        f"{json.dumps(name)}: async () => {{\n{_as_body(name, sources[name])}}}" for name in sources
    )
    return (
        f"const mechscopeModules = {{\n{functions}\n}};\n"
        "const mechscopeLoaded = new Map();\n"
        "const mechscopeBase = document.currentScript?.src || document.baseURI;\n"
        "function mechscopeUse(name) {\n"
        "  if (!mechscopeModules[name]) throw new Error(`the module ${name} is missing.`);\n"
        "  if (!mechscopeLoaded.has(name)) mechscopeLoaded.set(name, mechscopeModules[name]());\n"
        "  return mechscopeLoaded.get(name);\n"
        "}\n"
    )


def with_imports(names: Iterable[str], folder: Path = COMPONENTS) -> dict[str, str]:
    """Sources of modules in a folder and of everything that they import: file name → source.

    Raises:
        FileNotFoundError: for a file that is missing.
    """
    sources: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name] = (folder / name).read_text(encoding="utf-8")
            waiting += imported_names(sources[name])
    return dict(sorted(sources.items()))


def imported_names(source: str) -> list[str]:
    """The file names that a module imports, in order."""
    return [match[2] for match in _IMPORT.finditer(source)]


def _check_imports(sources: Mapping[str, str]) -> None:
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(
                f"modules import each other in a circle: {' → '.join((*path[path.index(name) :], name))}."
            )
        if name in sources and name not in finished:
            for other in imported_names(sources[name]):
                visit(other, (*path, name))
            finished.add(name)

    for name in sources:
        visit(name, ())


def _as_body(name: str, source: str) -> str:
    """The body of a function that computes what the module computes, and returns its exports."""
    exports: dict[str, str] = {}

    def an_import(match: re.Match[str]) -> str:
        names, file = match[1], match[2]
        call = f"await mechscopeUse({json.dumps(file)});"
        if names is None:
            return call
        if names.startswith("*"):
            return f"const {names.split()[-1]} = {call}"
        renamed = re.sub(r"\s+as\s+", ": ", names)
        return f"const {renamed} = {call}"

    def an_export(match: re.Match[str]) -> str:
        exports[match[2]] = match[2]
        return match[1] + match[2]

    def a_list(match: re.Match[str]) -> str:
        for entry in filter(None, map(str.strip, match[1].split(","))):
            own, _, public = entry.partition(" as ")
            exports[public.strip() or own] = own.strip()
        return ""

    body = _EXPORT_LIST.sub(a_list, _EXPORT.sub(an_export, _IMPORT.sub(an_import, _COMMENT.sub("", source))))
    if left := _LEFT_OVER.search(body):
        raise ValueError(
            f'{name} has {left[0].strip()!r}; modules of the web lab use import {{ … }} from "./file.js", '
            "export function, export class, export const and export { … }."
        )
    # A module's own address is that of a file beside the script.
    body = re.sub(r"\bimport\.meta\.url\b", f"new URL({json.dumps(name)}, mechscopeBase).href", body)
    returned = ", ".join(public if public == own else f"{public}: {own}" for public, own in exports.items())
    return f'"use strict";\n{body.rstrip()}\nreturn {{ {returned} }};\n'
