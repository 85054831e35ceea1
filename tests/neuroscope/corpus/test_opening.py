"""Corpora: every kind of source, and what is wrong with some of their files."""

from __future__ import annotations

import gc
import json
import os
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest

from mechscope.neuroscope.corpus import NAMED_CORPORA, Document, open_corpus
from mechscope.neuroscope.corpus import opening as corpus_opening
from mechscope.neuroscope.corpus.compressed import open_unpacked
from mechscope.neuroscope.corpus.text_files import CHUNK


def read(*names: str | Path, field: str = "text") -> tuple[list[Document], list[str]]:
    reports: list[str] = []
    return list(open_corpus([str(name) for name in names], field).documents(reports.append)), reports


def test_named_texts_are_the_same_every_time_and_start_with_a_mixture() -> None:
    once, reports = read("library")
    assert once == read("library")[0]
    assert not reports
    assert len(once) > 1000
    first = {document.name.split(",")[0] for document in once[:200]}
    assert [*first] != sorted(first), "modules come in alphabetical order"
    assert {document.name.split(",")[0] for document in read("held-out")[0]} == {
        "calendar.py",
        "shlex.py",
        "statistics.py",
        "textwrap.py",
    }


def test_a_file_is_read_whatever_its_ending_and_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "notes.log"
    file.write_bytes(b"\xef\xbb\xbfOne.\r\nTwo.\rThree.\n")
    assert read(file) == ([Document("notes.log", "One.\nTwo.\nThree.\n")], [])


def test_a_folder_is_read_in_order_and_bad_files_are_reported_by_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "secret.txt").write_text("secret")
    (tmp_path / "b" / "last.md").write_text("last")
    (tmp_path / "first.txt").write_text("first")
    (tmp_path / "binary.txt").write_bytes(b"abc\0def")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes("caf\u00e9 au lait".encode("latin-1"))
    (tmp_path / "utf16.txt").write_bytes("text".encode("utf-16"))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "rows.jsonl").write_text('{"text": "row"}\n')
    documents, reports = read(tmp_path)
    assert [document.name for document in documents] == ["first.txt", "rows.jsonl, line 1", "b/last.md"]
    said = "\n".join(reports)
    for name, reason in {
        "binary.txt": "it is binary, not text",
        "empty.txt": "it is empty",
        "latin.txt": "it is not UTF-8 text (byte 3 is 0xe9); save it as UTF-8",
        "utf16.txt": "it is UTF-16 or UTF-32; save it as UTF-8",
    }.items():
        assert f"{tmp_path / name} is skipped: {reason}." in said
    assert "picture.png is left out" in said
    assert len(reports) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are different there")
def test_a_file_that_cannot_be_opened_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")

    def refuse(path: Path) -> Iterator[str]:
        if path.name == "a.txt":
            raise PermissionError(13, "Permission denied")
        yield path.read_text()

    monkeypatch.setattr(corpus_opening, "text_chunks", refuse)
    documents, reports = read(tmp_path)
    assert [document.text for document in documents] == ["b"]
    assert reports == [f"{tmp_path / 'a.txt'} is skipped: it cannot be read (Permission denied)."]


def test_a_folder_that_may_not_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.txt").write_text("a")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "b.txt").write_text("b")
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if Path(folder).name == "secret":
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    documents, reports = read(tmp_path)
    assert [document.text for document in documents] == ["a"]
    assert reports == [f"{tmp_path / 'secret'} is skipped: it cannot be read (Permission denied)."]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_what_is_no_regular_file_is_reported_in_one_plain_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "rows.jsonl").symlink_to(tmp_path / "gone.jsonl")
    documents, reports = read(tmp_path)
    assert not documents
    assert reports == [
        f"{tmp_path / 'pipe.txt'} is skipped: it is a named pipe, not a regular file: copy its content into a file.",
        f"{tmp_path / 'rows.jsonl'} is skipped: it is a link to a file that does not exist.",
    ]


def test_a_file_that_is_damaged_far_inside_is_skipped_whole(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(b"a\n" * CHUNK + b"\xc3" + b"\n")
    documents, reports = read(tmp_path)
    assert not documents
    assert f"(byte {2 * CHUNK:,} is 0xc3)" in reports[0]


def test_a_file_is_checked_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def counting(path: Path) -> AbstractContextManager[BinaryIO]:
        opened.append(path.name)
        return open_unpacked(path)

    monkeypatch.setattr("mechscope.neuroscope.corpus.text_files.open_unpacked", counting)
    file = tmp_path / "a.txt"
    file.write_text("some text")
    assert read(file) == read(file)
    assert len(opened) == 1 + 2
    file.write_bytes(b"\0 no text")
    assert "it is binary" in read(file)[1][0]


def test_a_letter_across_two_chunks_is_read(tmp_path: Path) -> None:
    text = "x" * (CHUNK - 1) + "\u00e9" + "y"
    (tmp_path / "long.txt").write_text(text, encoding="utf-8")
    documents, reports = read(tmp_path)
    assert "".join(document.text for document in documents) == text
    assert not reports


def test_json_lines_are_read_and_bad_lines_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    good = [json.dumps({"text": "one"}), "", json.dumps({"text": "two\r\nlines"})]
    bad = ["{", "[1]", json.dumps({"txt": "x"}), json.dumps({"text": 3})]
    file.write_bytes("\n".join([*good, *bad]).encode() + b'\n{"text": "caf\xe9"}\n')
    documents, reports = read(file)
    assert documents == [
        Document("rows.jsonl, line 1", "one"),
        Document("rows.jsonl, line 3", "two\nlines"),
    ]
    assert reports == [f"{file}: 5 lines were skipped (the first: line 4 is not valid JSON)."]


def test_a_misspelt_field_suggests_the_right_one(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"content": "one"}\n')
    assert [document.text for document in read(file, field="content")[0]] == ["one"]
    with pytest.raises(ValueError, match=r"line 1 has no field 'contents'; did you mean content\?"):
        open_corpus(str(file), "contents").check()


def test_a_line_that_is_too_long_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mechscope.neuroscope.corpus.json_lines.LONGEST_LINE", 30)
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"text": "x" * 100}) + "\n" + json.dumps({"text": "short"}) + "\n")
    documents, reports = read(file)
    assert documents == [Document("rows.jsonl, line 2", "short")]
    assert reports == [f"{file}: 1 line was skipped (line 1 is longer than 30 bytes)."]


def test_a_data_set_is_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rows(list[dict[str, object]]):
        """As much of a data set as is needed."""

        features = ("text", "other")

        def remove_columns(self, names: list[str]) -> Rows:
            assert names == ["other"]
            return self

    rows = Rows([{"text": "one"}, {"text": None}, {"text": "two\r\nlines"}])
    monkeypatch.setattr("mechscope.neuroscope.corpus.data_sets.get_dataset", {"owner/name": rows}.__getitem__)
    assert read("owner/name")[0] == [
        Document("name, row 1", "one"),
        Document("name, row 3", "two\nlines"),
    ]
    with pytest.raises(KeyError, match="this data set has no column 'body'; it has text, other"):
        open_corpus("owner/name", "body").check()


def test_a_misspelt_path_that_looks_like_a_name_on_the_hub_is_read_in_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for error in (ImportError("the library is missing."), FileNotFoundError("the data set is not there.")):

        def fail(name: str, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("mechscope.neuroscope.corpus.data_sets.get_dataset", fail)
        with pytest.raises(type(error)) as caught:
            open_corpus("my/texts").check()
        assert str(caught.value) == (
            f"there is no file or folder 'my/texts'; and read as the name of a data set on the hub: {error}"
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_saved_data_set_is_read_and_an_unknown_column_is_an_error(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": ["one", "", "two"], "other": [1, 2, 3]})
    rows.save_to_disk(str(tmp_path / "plain"))
    datasets.DatasetDict({"test": rows, "train": rows}).save_to_disk(str(tmp_path / "splits"))
    assert read(tmp_path / "plain")[0] == [Document("plain, row 1", "one"), Document("plain, row 3", "two")]
    assert [document.text for document in read(tmp_path / "splits")[0]] == ["one", "two"]
    with pytest.raises(KeyError, match="this data set has no column 'body'; it has text, other"):
        open_corpus(str(tmp_path / "plain"), "body").check()


def test_several_corpora_are_read_one_after_another(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)
    assert [each.text for each in read(tmp_path / "b.txt", tmp_path / "a.txt")[0]] == ["b", "a"]


def test_a_corpus_without_text_is_an_error_that_names_its_files(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"{number}.txt").write_bytes(b"\0")
    with pytest.raises(ValueError) as caught:
        open_corpus(str(tmp_path)).check()
    assert str(caught.value).startswith(
        f"there is no text in {tmp_path}. {tmp_path / '0.txt'} is skipped: it is binary"
    )
    assert str(caught.value).endswith("And 2 more.")


def test_an_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(FileNotFoundError, match=r"no corpus 'librery'.* Did you mean 'library'\?"):
        open_corpus("librery")
    with pytest.raises(ValueError, match="name a corpus"):
        open_corpus(())
    assert set(NAMED_CORPORA) >= {"library", "docstrings", "held-out", "books"}


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mechscope.neuroscope.corpus.text_files.CHUNK", 2**16)
    file = tmp_path / "long.txt"
    line = ("word " * 100 + "\n").encode()

    def peak(lines: int) -> int:
        file.write_bytes(line * lines)
        gc.collect()
        tracemalloc.start()
        characters = sum(len(document.text) for document in open_corpus(str(file)).documents())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert characters == len(line) * lines
        return found

    assert peak(2_000) < 1.3 * peak(500)


def test_half_of_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    # JSON can write it, but tokenizers refuse it, which would end a harvest in the middle.
    file = tmp_path / "posts.jsonl"
    file.write_text('{"text": "one \\ud800 two"}\n{"text": "whole \\ud83d\\ude00"}\n')
    documents, reports = read(file)
    assert [document.text for document in documents] == ["whole \U0001f600"]
    assert len(reports) == 1
    assert "line 1 has half of a surrogate pair ('\\ud800')" in reports[0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, names are text")
def test_names_that_are_no_text_can_be_stored(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"na\xefve.txt")).write_text("a text")
    documents, _ = read(folder)
    assert documents == [Document("na?ve.txt", "a text")]
    # A database takes only text, and would refuse the whole harvest when it is published.
    assert open_corpus(str(folder)).description.encode().endswith(b"caf?")
