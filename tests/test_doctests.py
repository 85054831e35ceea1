"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path

import plotly.graph_objects as go
import pytest

SOURCE = Path(__file__).parent.parent / "src"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

FIRST_FUNCTIONS = {
    "mechscope.checkpoints.load": ["load_model"],
    "mechscope.checkpoints.toy_models": ["load_toy_models"],
    "mechscope.dictionaries.files": ["load"],
    "mechscope.dictionaries.training": ["train"],
    "mechscope.model._hooked_model": ["HookedModel.run_with_cache"],
    "mechscope.model._tokenization": ["TokenizerHelpers.to_tokens"],
    "mechscope.neuroscope.fire": ["fire"],
    "mechscope.neuroscope.harvest_to_store": ["harvest_to_store"],
    "mechscope.neuroscope.sites": ["find_sites"],
    "mechscope.neuroscope.store": ["open_store", "NeuroscopeStore"],
    "mechscope.neuroscope.unit_changes": ["change_hook"],
    "mechscope.neuroscope.units": ["UnitPage"],
    "mechscope.results.result": ["Result", "Result.figure"],
    "mechscope.tasks.indirect_object": ["ioi"],
    "mechscope.techniques.ablation": ["ablation"],
    "mechscope.techniques.activation_patching": ["patch"],
    "mechscope.techniques.circuits.discover": ["discover"],
    "mechscope.techniques.direct_logit_attribution": ["direct_logit_attribution"],
    "mechscope.techniques.head_detectors": ["head_scores"],
    "mechscope.techniques.logit_lens": ["logit_lens"],
    "mechscope.techniques.path_patching": ["path_patching"],
    "mechscope.techniques.probing": ["linear_probe"],
    "mechscope.techniques.redteam.redteam": ["redteam"],
    "mechscope.techniques.steering": ["steering_vector"],
}
"""What a user meets first; each must have an example."""


def docstrings(module: str) -> dict[str, tuple[str, int]]:
    """Every docstring with an example: the name in the module → text and line. Read from the source, because
    decorated functions hide theirs from doctest's own search."""
    path = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    found: dict[str, tuple[str, int]] = {}

    def visit(node: ast.Module | ast.ClassDef | ast.FunctionDef, name: str) -> None:
        text = ast.get_docstring(node, clean=False)
        if text and ">>>" in text:
            found[name] = (text, node.body[0].lineno - 1)
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                visit(child, f"{name}.{child.name}".lstrip("."))

    visit(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


def modules_with_examples() -> list[str]:
    return [
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((SOURCE / "mechscope").rglob("*.py"))
        if ">>>" in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MECHSCOPE_DATA", raising=False)
    monkeypatch.setattr(go.Figure, "show", lambda self: None)  # opens no browser
    names = vars(importlib.import_module(module))
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    report: list[str] = []
    for name, (text, line) in docstrings(module).items():
        examples = doctest.DocTestParser().get_doctest(
            text, dict(names), f"{module}.{name}", f"{module}.py", line
        )
        assert examples.examples, f"{module}.{name} has “>>>”, but no example that doctest can read"
        runner.run(examples, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in FIRST_FUNCTIONS.items() for name in names]
)
def test_what_a_user_meets_first_has_an_example(module: str, name: str) -> None:
    assert name in docstrings(module)
