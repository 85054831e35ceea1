"""`mechscope glossary` as a reader types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.cli.main import main
from mechscope.glossary.demo import has_demo
from mechscope.glossary.entry import SECTIONS, all_entries
from mechscope.glossary.live import LIVE


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def glossary(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["glossary", *arguments])
    return int(stopped.value.code or 0)


def test_an_entry_is_printed_with_what_it_refers_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert glossary("cherry", "picking") == 0
    shown = capsys.readouterr().out
    entry = all_entries()["cherry-picking"]
    assert entry.line in shown
    for heading in entry.parts:
        assert heading in shown
    # Markdown and links are rendered.
    assert "##" not in shown and "](" not in shown and "$" not in shown
    assert "It is the main risk in reverse engineering, because" in shown
    for reference in (*entry.before, *entry.see, *entry.exercises, *entry.labs, *entry.papers):
        assert reference in shown
    assert "mechscope glossary demo cherry-picking" in shown


def test_without_a_term_the_sections_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert glossary() == 0
    shown = capsys.readouterr().out
    assert f"{SECTIONS['field']}  {sum(e.section == 'field' for e in all_entries().values())}" in shown
    assert "Microscope AI" in shown


def test_misspelt_terms_and_words_of_the_text_lead_to_entries(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["chery-pikcing"], ["luckiest", "coincidences"]):
        assert glossary(*words) == 0
        shown = capsys.readouterr().out
        assert f"No entry is called '{' '.join(words)}'. Did you mean" in shown
        assert "cherry-picking  Showing the examples" in shown


def test_what_is_read_first_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert glossary("path", "cherry-picking") == 0
    shown = capsys.readouterr().out
    assert 0 <= shown.index("reverse-engineering") < shown.index("cherry-picking")


def test_a_demo_is_written_as_a_page(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert glossary("demo", "cherry-picking", "--out", "figures/a.html") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Every neuron is random." in shown and "Written: figures/a.html" in shown
    page = (place / "figures" / "a.html").read_text(encoding="utf-8")
    assert "Every neuron is random." in page and "def cherry_picking() -&gt; PageFigure" in page
    assert glossary("demo", "cherry-picking") == 0
    assert (place / "cherry-picking.html").is_file()


def test_counts_are_of_the_entries(capsys: pytest.CaptureFixture[str]) -> None:
    assert glossary("counts") == 0
    last = capsys.readouterr().out.strip().splitlines()[-1].split()
    entries = all_entries().values()
    wanted = [
        len(entries),
        sum(map(has_demo, entries)),
        len(LIVE),
        sum(len(entry.links) for entry in entries),
    ]
    assert last == ["all", *map(str, wanted)]
    page = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = f"{wanted[0]} entries, {wanted[1]} demos, {wanted[2]} live demos and {wanted[3]} links"
    assert words in " ".join(page.split())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["qqqqqq"], "no entry is called 'qqqqqq' or mentions it"),
        (["demo", "chery-picking"], "there is no entry 'chery-picking'. Did you mean cherry-picking?"),
        (["demo", "microscope-ai"], "microscope-ai has no demo. Demos in the same section: cherry-picking"),
        (["demo"], "name a term: mechscope glossary demo TERM"),
        (["path"], "name a term: mechscope glossary path TERM"),
        (["counts", "all"], "takes no term; found 'all'"),
        (["cherry-picking", "--out", "a.html"], "--out is where"),
        (["demo", "cherry-picking", "--out", "/dev/null/a.html"], "/dev/null"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    assert glossary(*arguments) == 2
    assert problem in capsys.readouterr().err
    assert not list(place.iterdir())
