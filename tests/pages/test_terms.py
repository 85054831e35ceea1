"""Terms in lessons are links: the first occurrence of each, in running text only."""

from __future__ import annotations

import re

import pytest

from mechscope.pages.terms import Term, link_lessons

TERMS = [
    Term(
        ("Attention head", "head of attention"),
        "One of several <parallel> readers.",
        "glossary/attention-head/",
    ),
    Term(("Attention",), "Reading from other positions.", "glossary/attention/"),
    Term(("Goodhart's law", "SAE"), 'A "measure" that is a target.', "glossary/goodharts-law/"),
]


def linked(html: str) -> list[tuple[str, str]]:
    """The links that were added: where they lead, and their words."""
    page = link_lessons(
        f'<p>attention</p><article class="lesson">{html}</article>', TERMS, lambda route: f"../{route}"
    )
    assert page.startswith("<p>attention</p>")
    # Nothing else has changed.
    plain = re.sub(r'<a class="glossary-term"[^>]*>(.*?)</a>', r"\1", page, flags=re.DOTALL)
    assert plain == f'<p>attention</p><article class="lesson">{html}</article>'
    return re.findall(r'<a class="glossary-term" href="../glossary/([^"]*)/"[^>]*>(.*?)</a>', page, re.DOTALL)


@pytest.mark.parametrize(
    ("html", "wanted"),
    [
        ("<p>Attention, and attention again.</p><p>Attention.</p>", [("attention", "Attention")]),
        (
            "<p>Two attention\nheads share attention.</p>",
            [("attention-head", "attention\nheads"), ("attention", "attention")],
        ),
        ("<p>attention-head</p>", [("attention-head", "attention-head")]),
        ("<p>an SAE or two SAEs, by Goodhart's law</p>", [("goodharts-law", "SAE")]),
        ("<p>inattention, attentional, pre-attention, sae_lens</p>", []),
        ("<h2>Attention</h2><p><code>attention</code> <em>attention</em></p>", [("attention", "attention")]),
        ("<pre><code>attention</code></pre><p><a href='x'>the <b>attention</b></a></p>", []),
        ('<img alt="attention"><br>', []),
        ("<details><summary>attention</summary><p>attention</p></details>", []),
        (
            "<math><mi>attention</mi></math><!-- attention --><p>x &lt; attention</p>",
            [("attention", "attention")],
        ),
        ("<div><div><p>a<b>b</b></p></div>attention</div>", [("attention", "attention")]),
    ],
)
def test_where_links_are_made(html: str, wanted: list[tuple[str, str]]) -> None:
    assert linked(html) == wanted


def test_a_page_that_stands_alone_shows_the_line_without_a_link() -> None:
    page = link_lessons('<article class="lesson">SAE, SAE</article>', TERMS, None)
    line = "A &quot;measure&quot; that is a target."
    marked = f'<span class="glossary-term" role="term" tabindex="0" title="{line}">SAE</span>'
    assert page == f'<article class="lesson">{marked}, SAE</article>'


def test_the_line_is_escaped() -> None:
    page = link_lessons('<article class="lesson">SAE, attention head</article>', TERMS, lambda route: route)
    assert 'title="A &quot;measure&quot; that is a target."' in page
    assert 'title="One of several &lt;parallel&gt; readers."' in page


def test_a_term_that_is_another_ones_alias_leads_to_its_own_page() -> None:
    terms = [Term(("Probe", "steering"), "a", "probe/"), Term(("Steering",), "b", "steering/")]
    page = link_lessons('<article class="lesson">steering</article>', terms, lambda route: route)
    assert 'href="steering/"' in page


def test_without_terms_the_page_stays_as_it_is() -> None:
    page = '<article class="lesson">attention</article>'
    assert link_lessons(page, [], lambda route: route) is page
