"""Documents: together they are the text, none is too long, and chunks make no difference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mechscope.neuroscope.corpus.documents import cut_into_documents


@given(st.lists(st.text("ab \n", max_size=40)), st.integers(1, 12))
def test_documents_are_the_text_wherever_it_is_chunked(chunks: list[str], at_most: int) -> None:
    whole = "".join(chunks)
    documents = list(cut_into_documents("x", whole, at_most))
    assert documents == list(cut_into_documents("x", chunks, at_most))
    assert all(0 < len(document.text) <= at_most for document in documents)
    left = "".join(document.text for document in documents)
    # Only pieces of white space may be missing.
    assert "".join(left.split()) == "".join(whole.split())
    if all(each.strip() for each in whole):
        assert left == whole


def test_a_text_is_cut_at_a_paragraph_before_a_line_before_a_word() -> None:
    text = "aaaa bb\nccc\n\ndd ee\nffff gggg"
    assert [each.text for each in cut_into_documents("x", text, 16)] == [
        "aaaa bb\nccc\n\n",
        "dd ee\nffff gggg",
    ]
    assert [each.text for each in cut_into_documents("x", text, 10)] == [
        "aaaa bb\n",
        "ccc\n\n",
        "dd ee\n",
        "ffff gggg",
    ]
    assert [each.text for each in cut_into_documents("x", "a" * 25, 10)] == ["a" * 10, "a" * 10, "a" * 5]


def test_a_border_in_the_first_half_does_not_make_a_tiny_document() -> None:
    assert [each.text for each in cut_into_documents("x", "a\n\nbbbbbb ccccc", 10)] == [
        "a\n\nbbbbbb ",
        "ccccc",
    ]


def test_documents_after_the_first_are_numbered() -> None:
    assert [each.name for each in cut_into_documents("x", "a" * 25, 10)] == ["x", "x, part 2", "x, part 3"]
