"""The check of links finds every kind of mistake, and passes what is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_site.links import bad_address, markdown_anchors, markdown_problems, site_problems

GOOD = """<html><head><link rel="stylesheet" href="style.css"><link rel="canonical" href="https://example.org/"></head>
<body><h1 id="top">Here</h1><a href="other.html#there">there</a><a href="#top">up</a>
<img src="figure.svg"><a href="https://example.org/page">elsewhere</a></body></html>"""


def write_site(folder: Path, page: str = GOOD, style: str = "p { background: url(figure.svg) }") -> Path:
    (folder / "index.html").write_text(page)
    (folder / "other.html").write_text('<h2 id="there">There</h2>')
    (folder / "style.css").write_text(style)
    (folder / "figure.svg").write_text("<svg/>")
    return folder


def test_a_site_without_mistakes_passes(tmp_path: Path) -> None:
    assert site_problems(write_site(tmp_path)) == []


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("other.html#there", "another.html", "no such file"),
        ("other.html#there", "other.html#where", "no such anchor"),
        ('href="#top"', 'href="#bottom"', "no such anchor"),
        ('"figure.svg"', '"missing.svg"', "no such file"),
        ('"figure.svg"', '"https://example.org/figure.svg"', "loaded from another site"),
        ('"figure.svg"', '"//example.org/figure.svg"', "loaded from another site"),
        ('href="style.css"', 'href="https://fonts.example.org/css"', "loaded from another site"),
        ("<body>", '<body><script src="https://example.org/a.js"></script>', "loaded from another site"),
        ("<body>", '<body style="background: url(https://example.org/a.png)">', "loaded from another site"),
        ("<body>", "<body><style>@import 'https://example.org/a.css';</style>", "loaded from another site"),
        (
            "<body>",
            '<body><img srcset="figure.svg 1x, https://example.org/b.svg 2x">',
            "loaded from another site",
        ),
        ("<body>", '<body><pre class="mermaid">graph</pre>', "Mermaid"),
        ("https://example.org/page", "https:/example.org/page", "no valid host"),
    ],
)
def test_each_kind_of_mistake_is_found(tmp_path: Path, right: str, wrong: str, says: str) -> None:
    assert right in GOOD
    (problem,) = site_problems(write_site(tmp_path, GOOD.replace(right, wrong, 1)))
    assert says in problem


def test_styles_and_scripts_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    write_site(tmp_path, style="@import url('https://fonts.example.org/f.css');")
    (tmp_path / "code.js").write_text('load("https://unpkg.com/thing"); see("https://example.org/about")')
    style, script = sorted(site_problems(tmp_path), reverse=True)
    assert style.startswith("style.css") and "loaded from another site" in style
    assert script.startswith("code.js") and "unpkg.com/thing" in script


def test_a_folder_without_pages_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="build the site first"):
        site_problems(tmp_path)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("https://example.org/a?b=c#d", None),
        ("http://localhost:8000", None),
        ("mailto:someone@example.org", None),
        ("mailto:someone", "no @"),
        ("https://example", "no valid host"),
        ("htps://example.org", "unknown scheme"),
        ("https://example.org/a b", "a space"),
    ],
)
def test_addresses_of_other_sites_are_well_formed(address: str, problem: str | None) -> None:
    found = bad_address(address)
    assert found is None if problem is None else problem in (found or "")


def test_anchors_are_those_that_code_hosts_make(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# From `x` to *y*: what's new?\n\n## Again\n\n## Again\n\n```\n# code\n```\n")
    assert markdown_anchors(page) == {"from-x-to-y-whats-new", "again", "again-1"}


def test_mistakes_in_markdown_are_found(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# There\n")
    page = tmp_path / "a.md"
    page.write_text(
        "# Here\n\n[1](b.md) [2](b.md#there) [3](#here) [4](https://example.org)\n\n"
        "[5](c.md) [6](b.md#where) [7](#gone) [8](https:/example.org) ![9](d.svg)\n\n`[10](e.md)`\n"
    )
    assert [problem.split(": ", 1)[1] for problem in markdown_problems([page])] == [
        "c.md: no such file",
        "b.md#where: no such heading",
        "#gone: no such heading",
        "https:/example.org: no valid host",
        "d.svg: no such file",
    ]
