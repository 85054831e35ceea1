"""Lessons in Markdown, with $formulas$ (rendered as MathML), `{{ numbers }}`, [[figure NAME]] and [[live]].

A lesson becomes a page in two steps: `fill_lesson` puts the numbers in, which gives plain Markdown that a file can
keep, and `lesson_html` renders that. The second step is safe for a file of unknown origin: HTML in it stays text.
"""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from functools import lru_cache
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
_MATHML = "http://www.w3.org/1998/Math/MathML"
_MATHML_ELEMENTS = frozenset(
    {
        "math", "menclose", "merror", "mfenced", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded",
        "mphantom", "mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup",
        "mtable", "mtd", "mtext", "mtr", "munder", "munderover", "none",
    }
)  # fmt: skip
_NOT_MATH = ("href", "src", "style", "class", "id")
_LIVE = "<p>[[live]]</p>"


def render_lesson(text: str, values: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """Render a lesson as HTML: `fill_lesson`, then `lesson_html`."""
    return lesson_html(fill_lesson(text, values), figures)


def fill_lesson(text: str, values: Mapping[str, Any]) -> str:
    """A lesson's Markdown with its numbers.

    Args:
        values: the values for `{{ name | filter }}` and `{% if … %}` (see `fill_text`).

    Raises:
        KeyError: for a name without a value; suggests similar names.
        ValueError: as `fill_text`.
    """
    if _OLD_NUMBER.search(text):
        warnings.warn(
            "[[number NAME]] is now written {{ NAME }}. The old mark will go in the next version.",
            DeprecationWarning,
            stacklevel=2,
        )
        text = _OLD_NUMBER.sub(r"{{ \1 }}", text)
    return fill_text(text, values)


def lesson_html(filled: str, figures: Mapping[str, str], live: str = "") -> str:
    """Render a lesson that has its numbers as HTML.

    Args:
        filled: its Markdown, from `fill_lesson`.
        figures: the HTML for each [[figure NAME]], which must be a paragraph of its own.
        live: the HTML for [[live]], a paragraph of its own: the place of the figure that computes in the page.

    Raises:
        KeyError: for a figure that the run did not produce; suggests similar names.
        ValueError: for a formula that cannot be read.
    """
    html: str = _parser().render(filled).replace(_LIVE, live)
    return _FIGURE.sub(lambda match: _look_up(figures, match[1]), html)


def figures_placed(text: str) -> list[str]:
    """The names of the figures in a lesson, in order."""
    return re.findall(r"^\[\[figure ([\w-]+)\]\]\s*$", text, flags=re.MULTILINE)


@lru_cache(maxsize=4096)
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
    return _safe_mathml(mathml, latex)


def _safe_mathml(mathml: str, latex: str) -> str:
    # The converter copies text into its output as it is, so a formula could hold any HTML. Written afresh from its
    # elements, it is MathML and nothing else.
    try:
        root = ET.fromstring(mathml)
    except ET.ParseError as error:
        raise ValueError(f"cannot read the formula {latex!r}: a text in it has <, > or &.") from error
    for element in root.iter():
        space, _, name = element.tag.rpartition("}")
        if space != f"{{{_MATHML}" or name not in _MATHML_ELEMENTS:
            raise ValueError(f"cannot read the formula {latex!r}: <{name}> is no part of a formula.")
        if stray := [each for each in element.attrib if each.startswith("on") or each in _NOT_MATH]:
            raise ValueError(f"cannot read the formula {latex!r}: it may not set {stray[0]!r}.")
        element.tag = name
    root.set("xmlns", _MATHML)
    return ET.tostring(root, encoding="unicode")


def _parser() -> MarkdownIt:
    # Pages load nothing from elsewhere, so a lesson has figures and no images.
    parser = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table").disable("image")
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
