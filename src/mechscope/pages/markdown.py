"""Lessons in Markdown, with $formulas$ (rendered as MathML), `{{ numbers }}` and [[figure NAME]]."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import latex2mathml.converter
from markdown_it import MarkdownIt

from mechscope.near_names import did_you_mean_clause
from mechscope.pages.text_template import fill_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.renderer import RendererProtocol
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

_OLD_NUMBER = re.compile(r"\[\[number ([\w.-]+)\]\]")
_FIGURE = re.compile(r"<p>\[\[figure ([\w-]+)\]\]</p>")


def render_lesson(text: str, values: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """Render a lesson as HTML.

    Args:
        values: the values for `{{ name | filter }}` and `{% if … %}` (see `fill_text`).
        figures: the HTML for each [[figure NAME]], which must be a paragraph of its own.

    Raises:
        KeyError: for a name without a value, or a figure that the run did not produce; suggests similar names.
        ValueError: as `fill_text`.
    """
    if _OLD_NUMBER.search(text):
        warnings.warn(
            "[[number NAME]] is now written {{ NAME }}. The old mark will go in the next version.",
            DeprecationWarning,
            stacklevel=2,
        )
        text = _OLD_NUMBER.sub(r"{{ \1 }}", text)
    html: str = _parser().render(fill_text(text, values))
    return _FIGURE.sub(lambda match: _look_up(figures, match[1]), html)


def figures_placed(text: str) -> list[str]:
    """The names of the figures in a lesson, in order."""
    return re.findall(r"^\[\[figure ([\w-]+)\]\]\s*$", text, flags=re.MULTILINE)


def to_mathml(latex: str, display: bool = False) -> str:
    r"""Convert a LaTeX formula to MathML.

    >>> to_mathml("x^2").startswith("<math")
    True

    Raises:
        ValueError: if the formula cannot be read.
    """
    try:
        mathml = latex2mathml.converter.convert(latex, display="block" if display else "inline")
    except Exception as error:
        # The converter has an exception class for each mistake; to a lesson's author they all mean the same.
        raise ValueError(f"cannot read the formula {latex!r}: {type(error).__name__} {error}") from error
    if unknown := re.search(r">(\\[A-Za-z]+)", mathml):
        # The converter copies unknown commands into its output.
        raise ValueError(f"cannot read the formula {latex!r}: there is no command {unknown[1]}.")
    return mathml


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table")
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.add_render_rule("formula", _render_formula)
    return parser


def _formula(state: StateInline, silent: bool) -> bool:
    # $$…$$ or $…$. A dollar sign that is followed by a space, or has no partner, is not the start of a formula.
    source, start = state.src, state.pos
    if source[start] != "$":
        return False
    fence = "$$" if source.startswith("$$", start) else "$"
    end = source.find(fence, start + len(fence))
    content = source[start + len(fence) : end] if end != -1 else ""
    if not content or (fence == "$" and (content[0].isspace() or content[-1].isspace())):
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content = content
        token.markup = fence
    state.pos = end + len(fence)
    return True


def _render_formula(
    renderer: RendererProtocol, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return to_mathml(tokens[index].content.strip(), display=tokens[index].markup == "$$")


def _look_up(figures: Mapping[str, str], name: str) -> str:
    if name not in figures:
        known = f"it produced: {', '.join(sorted(figures)) or 'none'}."
        hint = did_you_mean_clause(name, figures, n=3) or known
        raise KeyError(f"the lesson uses figure {name!r}, which the run did not produce; {hint}")
    return figures[name]
