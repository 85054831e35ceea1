"""Which names a lesson's template reads."""

from __future__ import annotations

from jinja2 import Environment, meta, nodes

from mechscope.pages.text_template import FILTERS

_PARSER = Environment(comment_start_string="{##", comment_end_string="##}")
_PARSER.filters |= FILTERS


def names_read(text: str) -> set[str]:
    """Every name that the lesson reads: measures, facts, `config` and `measures`."""
    return meta.find_undeclared_variables(_PARSER.parse(text))


def optional_names(text: str) -> set[str]:
    """Names in the lesson's `is defined` conditions: measures that a budget may leave out."""
    tests = _PARSER.parse(text).find_all(nodes.Test)
    return {test.node.name for test in tests if test.name == "defined" and isinstance(test.node, nodes.Name)}
