"""Lessons cut into sections, text, code and figures."""

from __future__ import annotations

import pytest

from mechscope.pages.lesson_parts import INTRODUCTION, Part, split_lesson

LESSON = """An introduction
in two lines.

## A section

Before {{ value | fixed }}.

[[figure curve]]

[[live]]

After.

```python
for x in (1, 2):
    print("## no heading")

[[1]]
```

The end.

## Another

- a list
"""


def test_sections_and_their_parts_in_order() -> None:
    first, second, third = split_lesson(LESSON)
    assert (first.title, second.title, third.title) == (INTRODUCTION, "A section", "Another")
    assert first.parts == (Part("text", "An introduction\nin two lines."),)
    assert second.parts == (
        Part("text", "Before {{ value | fixed }}."),
        Part("figure", "curve"),
        Part("text", "After."),
        Part("code", 'for x in (1, 2):\n    print("## no heading")\n\n[[1]]'),
        Part("text", "The end."),
    )
    assert [part.is_template for part in second.parts] == [True, False, False, False, False]


def test_paragraphs_are_compared_without_their_line_breaks() -> None:
    one, two = split_lesson("a b\nc\n\nd"), split_lesson("a\nb c\n\nd")
    assert one[0].paragraphs == two[0].paragraphs == ["a b c", "d"]


def test_a_lesson_may_begin_with_a_heading() -> None:
    assert [section.title for section in split_lesson("## Only\n\ntext")] == ["Only"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("```python\nx = 1", "does not end"), ("```\nx\n```", "unnamed code"), ("```js\nx\n```", "js code")],
)
def test_damaged_code(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        split_lesson(text)
