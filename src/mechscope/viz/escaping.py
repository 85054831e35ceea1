"""Escape text so that a figure shows it literally.

Plotly interprets text as markup: the token `<s>` would vanish, `<b>x</b>` would be set in bold, two dollar signs would
enclose a formula, and a line break would be drawn as a space. So every text from a model, a tokenizer or a caller goes
through `escape` before it enters a figure, or through `escape_in_template` if it becomes part of a hover template.
"""

from __future__ import annotations

import html

from mechscope.arguments import one_line


def escape(text: object) -> str:
    """Escape text for a title, a label, a legend entry, an annotation or `customdata`.

    >>> escape("<s> & more")
    '&lt;s&gt; &amp; more'
    """
    escaped = html.escape(one_line(str(text)), quote=False)
    return escaped.replace("$", "&#36;") if escaped.count("$") > 1 else escaped


def escape_in_template(text: object) -> str:
    """Escape a text within a `hovertemplate` or `texttemplate`, where `%{…}` would be filled in.

    >>> escape_in_template("100 %{x}")
    '100 &#37;{x}'
    """
    return escape(text).replace("%{", "&#37;{")


def unescape(text: str) -> str:
    """Undo `escape`, for pages that display a figure's title themselves.

    >>> unescape(escape("<s> & $more$"))
    '<s> & $more$'
    """
    return html.unescape(text)
