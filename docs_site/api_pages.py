"""The API reference: one Markdown page per public package, with directives that mkdocstrings fills from docstrings.

Public names come from each package's stub (`__init__.pyi`) or its `__all__`, and where a name is defined from its
imports. All are read from the source, so that building the docs imports neither mechscope nor torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src"

MODEL_CLASSES = (
    "HookedTransformer",
    "HookedTransformerConfig",
    "ActivationCache",
    "HookPoint",
    "HookedRootModule",
    "HookedTransformerKeyValueCache",
    "FactoredMatrix",
    "Tokens",
    "HookedEncoder",
    "BertNextSentencePrediction",
)
"""Each has a page that begins with a table of all its members, including inherited ones."""

PACKAGES = (
    "mechscope.checkpoints",
    "mechscope.tasks",
    "mechscope.techniques",
    "mechscope.techniques.circuits",
    "mechscope.techniques.redteam",
    "mechscope.techniques.sweep",
    "mechscope.planted",
    "mechscope.subjects",
    "mechscope.dictionaries",
    "mechscope.dictionaries.evaluation",
    "mechscope.dictionaries.exchange",
    "mechscope.feature_effects",
    "mechscope.scoreboard",
    "mechscope.neuroscope",
    "mechscope.labs",
    "mechscope.problems",
    "mechscope.results",
    "mechscope.viz",
)
"""Each has a page with its public names, except those that the page of a package inside it describes."""

TOP = "mechscope"


@dataclass(frozen=True)
class Definition:
    """Where a public name is defined."""

    module: str
    name: str
    """Empty if the name is the module itself."""

    @property
    def path(self) -> str:
        """Its full name, which is also its anchor."""
        return f"{self.module}.{self.name}" if self.name else self.module


def _file(module: str) -> Path:
    folder = SOURCE.joinpath(*module.split("."))
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text(encoding="utf-8"))


@cache
def _stub(package: str) -> dict[str, Definition]:
    """The public names in a package's stub; empty if it has none."""
    path = _file(package).with_suffix(".pyi")
    if not path.is_file():
        return {}
    found: dict[str, Definition] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            home = f"{package}.{node.module}" if node.module else package
            for alias in node.names:
                # A package's own module, or a name in one of them.
                found[alias.name] = (
                    Definition(home, alias.name) if node.module else Definition(f"{package}.{alias.name}", "")
                )
    return found


@cache
def _imports(module: str) -> dict[str, Definition]:
    """What a module imports with `from … import …`, also for type checkers only."""
    found = dict(_stub(module))
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                found[alias.asname or alias.name] = Definition(node.module, alias.name)
    return found


@cache
def _defined(module: str) -> dict[str, ast.stmt]:
    """The functions, classes and variables defined in a module."""
    found: dict[str, ast.stmt] = {}
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found.update({target.id: node for target in node.targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def public_names(package: str) -> list[str]:
    """The names in its stub or its `__all__`, except dunder names.

    Raises:
        ValueError: for a package with neither.
    """
    if _stub(package):
        return list(_stub(package))
    node = _defined(package).get("__all__")
    if not isinstance(node, ast.Assign):
        raise ValueError(f"{package} has no __all__ and no stub: list its public names in one of them.")
    return [name for name in ast.literal_eval(node.value) if not name.startswith("__")]


def definition(package: str, name: str) -> Definition:
    """Where a public name is defined, through any number of imports.

    Raises:
        ValueError: for a name that the package neither defines nor imports.
    """
    if name in _defined(package):
        return Definition(package, name)
    step = _imports(package).get(name)
    if step and not step.name:
        return step
    if step and step != Definition(package, name):
        known = {*_imports(step.module), *_defined(step.module)}
        if step.name not in known and _file(f"{step.module}.{step.name}").exists():
            return Definition(f"{step.module}.{step.name}", "")
        return definition(step.module, step.name)
    if _file(f"{package}.{name}").exists():
        return Definition(f"{package}.{name}", "")
    raise ValueError(f"{package}.__all__ lists {name!r}, which the package neither defines nor imports.")


def summary(where: Definition) -> str:
    """The first line of a docstring; empty for a variable without one."""
    body = _tree(where.module).body
    if not where.name:
        text = ast.get_docstring(_tree(where.module))
    else:
        node = _defined(where.module)[where.name]
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node)
        else:
            after = body[body.index(node) + 1 : body.index(node) + 2]
            text = (
                after[0].value.value
                if after
                and isinstance(after[0], ast.Expr)
                and isinstance(after[0].value, ast.Constant)
                and isinstance(after[0].value.value, str)
                else None
            )
    first = (text or "").strip().split("\n\n")[0]
    return " ".join(first.split()).replace("|", "\\|")


def _returned(module: str, name: str) -> str | None:
    """The public class of the same module that a function returns, if it returns one."""
    node = _defined(module).get(name)
    if not isinstance(node, ast.FunctionDef) or node.returns is None:
        return None
    words = {part.id for part in ast.walk(node.returns) if isinstance(part, ast.Name)}
    for word in sorted(words):
        if isinstance(_defined(module).get(word), ast.ClassDef) and not word.startswith("_"):
            return word
    return None


def page_name(module_or_class: str) -> str:
    """The file of a page, in `api/`."""
    return f"{module_or_class.removeprefix(TOP + '.')}.md"


def _page_of(where: Definition) -> str | None:
    """The package whose page describes a definition, or the class that has a page of its own."""
    if where.name in MODEL_CLASSES and where == definition(TOP, where.name):
        return where.name
    inside = [package for package in PACKAGES if f"{where.path}.".startswith(f"{package}.")]
    if inside:
        return max(inside, key=len)
    # Defined below all public packages: the first one that offers it describes it.
    for package in (TOP, *PACKAGES):
        if any(
            definition(package, name) == where for name in public_names(package) if name not in _classic()
        ):
            return package
    return None


def _table(package: str, rows: list[tuple[str, Definition]]) -> Iterator[str]:
    yield "| name | what it is |"
    yield "|---|---|"
    for name, where in sorted(rows, key=lambda row: row[0].lower()):
        if where.path in PACKAGES:
            label = f"[`{name}`]({page_name(where.path)})"
        elif where.name in MODEL_CLASSES and _page_of(where) == where.name:
            label = f"[`{name}`]({page_name(where.name)})"
        elif where.path in _described():
            label = f"[`{name}`][{where.path}]"
        else:
            label = f"`{name}`"
        yield f"| {label} | {summary(where)} |"
    yield ""


@cache
def _described() -> frozenset[str]:
    """The full names of everything that is described on some page; each is an anchor."""
    return frozenset(
        path
        for package in (TOP, *PACKAGES)
        for module, names in _blocks(package).items()
        for path in (module, *(f"{module}.{name}" for name in names))
    )


@cache
def _blocks(package: str) -> dict[str, list[str]]:
    """The names that a package's page describes, by module; an empty list means all names of the module."""
    blocks: dict[str, list[str]] = {}
    for name in public_names(package):
        where = definition(package, name)
        mine = _page_of(where) == package and (package != TOP or where.name)
        if not mine or where.path in PACKAGES:
            continue
        names = blocks.setdefault(where.module, [])
        if where.name and where.name not in names:
            names.append(where.name)
            result = _returned(where.module, where.name)
            if result and result not in names:
                names.append(result)
    return dict(sorted(blocks.items()))


@cache
def _classic() -> frozenset[str]:
    """Top-level names that exist for notebooks of the classic library; they have a page of their own."""
    return frozenset(
        name
        for name in public_names(TOP)
        if name.startswith(("EasyTransformer", "TransformerLens")) or name.endswith("CacheEntry")
    )


def api_pages() -> dict[str, str]:
    """The Markdown of every page, by its path in the docs, in the order of the navigation."""
    pages = {"api/index.md": _index()}
    for name in MODEL_CLASSES:
        pages[f"api/{page_name(name)}"] = _class_page(name)
    for package in PACKAGES:
        pages[f"api/{page_name(package)}"] = _package_page(package)
    return pages


def _index() -> str:
    names = [(name, definition(TOP, name)) for name in public_names(TOP) if name not in _classic()]
    modules = [(name, where) for name, where in names if not where.name and where.path not in PACKAGES]
    lines = [
        "# API reference",
        "",
        "Everything here is public. The text comes from the docstrings, so `help(…)` shows the same.",
        "",
        "```python",
        "import mechscope as ms",
        "```",
        "",
        "## Directly in mechscope",
        "",
        *_table(TOP, [(name, where) for name, where in names if where.name]),
        "## Packages",
        "",
        *_table(TOP, [(package.removeprefix(f"{TOP}."), Definition(package, "")) for package in PACKAGES]),
        "## Modules of the classic interface",
        "",
        "What notebooks written for the classic library import: [name by name](../classic-interface.md).",
        "",
        *_table(TOP, modules),
        *_directives(TOP),
    ]
    return "\n".join(lines)


def _class_page(name: str) -> str:
    where = definition(TOP, name)
    return "\n".join(
        [
            f"# {name}",
            "",
            f"`from {TOP} import {name}`, or `ms.{name}` after `import {TOP} as ms`.",
            "",
            f"::: {where.path}",
            "    options:",
            "      heading_level: 2",
            "      inherited_members: true",
            "      summary: {attributes: true, functions: true}",
            "",
        ]
    )


def _package_page(package: str) -> str:
    rows = [(name, definition(package, name)) for name in public_names(package)]
    text = ast.get_docstring(_tree(package)) or ""
    return "\n".join(
        [
            f"# {package}",
            "",
            text.replace(" Names are imported when first used.", ""),
            "",
            *_table(package, rows),
            *_directives(package),
        ]
    )


def _directives(package: str) -> Iterator[str]:
    for module, names in _blocks(package).items():
        yield f"::: {module}"
        yield "    options:"
        yield "      heading_level: 2"
        if names:
            yield f"      members: [{', '.join(names)}]"
        yield ""
