"""Books out of an archive, and the standard library's source."""

import io
import tarfile

import pytest

from mechscope.data.books import ARCHIVE, books_archive, missing_books, read_books
from mechscope.data.python_code import MODULES, read_standard_library
from mechscope.storage.folders import DATA_VARIABLE


def write_archive(path, books):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:xz") as archive:
        for name, text in books.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def test_books_are_read_in_the_order_of_their_titles(tmp_path, monkeypatch):
    write_archive(
        tmp_path / ARCHIVE, {"./b/Zoe.md": "\ufeffone\r\ntwo", "./b/Anna.md": "café", "./b/notes.txt": "no"}
    )
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert missing_books() is None
    assert list(read_books(books_archive()).items()) == [("Anna", "café"), ("Zoe", "one\ntwo")]


def test_a_damaged_archive_is_named(tmp_path):
    path = tmp_path / "books.tar.xz"
    write_archive(path, {"a.md": "".join(str(n**7) for n in range(5000))})
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:200] + b"\0" * 50 + whole[250:], b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="not a complete archive of books"):
            read_books(path)
    write_archive(path, {"a.txt": "text"})
    with pytest.raises(ValueError, match="contains no books"):
        read_books(path)


def test_missing_books_are_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match="set MECHSCOPE_DATA"):
        books_archive()


def test_the_standard_library():
    found = read_standard_library()
    assert list(found) == sorted(found)
    assert {f"{module}.py" for module in MODULES} <= {*found}
    assert "json/decoder.py" in found and "class JSONDecoder" in found["json/decoder.py"]
    assert not [name for name in found if "/test" in name and "unittest" not in name]
    assert not [name for name, text in found.items() if "\r\n" in text]
