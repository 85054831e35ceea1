"""Compressed corpora: unpacked while they are read, and damaged ones are reported while the rest goes on."""

from __future__ import annotations

import bz2
import gc
import gzip
import io
import json
import lzma
import sys
import tracemalloc
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from mechscope.neuroscope.corpus import Document, open_corpus
from mechscope.neuroscope.corpus.compressed import COMPRESSED
from mechscope.neuroscope.harvest import CorpusChangedError
from tests.neuroscope.small_harvest import small_harvest

PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
LINES = "".join(json.dumps({"text": f"text number {number} " * 40}) + "\n" for number in range(400)).encode()


@pytest.fixture
def zstandard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.14's module, played by gzip with an error of its own."""

    class ZstdError(Exception):
        pass

    def unpack(file: io.BufferedIOBase, mode: str) -> io.BytesIO:
        try:
            return io.BytesIO(gzip.decompress(file.read()))
        except gzip.BadGzipFile as error:
            raise ZstdError("Unable to decompress") from error

    module = types.ModuleType("compression.zstd")
    module.open, module.ZstdError = unpack, ZstdError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "compression.zstd", module)
    monkeypatch.setitem(PACK, ".zst", gzip.compress)


def read(*names: Path) -> tuple[list[Document], list[str]]:
    reports: list[str] = []
    return list(open_corpus([str(name) for name in names]).documents(reports.append)), reports


@pytest.mark.usefixtures("zstandard")
def test_every_format_is_read_like_the_file_inside(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "packed").mkdir()
    text = "\ufeffOne line.\r\nTwo.\n" + "word " * 30_000
    for suffix in COMPRESSED:
        for name, content in {f"{suffix[1:]}.txt": text.encode(), f"{suffix[1:]}.jsonl": LINES}.items():
            (tmp_path / "plain" / name).write_bytes(content)
            (tmp_path / "packed" / f"{name}{suffix}").write_bytes(PACK[suffix](content))
    plain, packed = read(tmp_path / "plain"), read(tmp_path / "packed")
    assert [each.text for each in packed[0]] == [each.text for each in plain[0]]
    assert packed[0][0].name.startswith("bz2.jsonl.bz2, line 1")
    assert plain[1] == packed[1] == []
    # Members one after another are one file.
    twice = tmp_path / "TWICE.TXT.GZ"
    twice.write_bytes(gzip.compress(b"one, ") + gzip.compress(b"two"))
    assert read(twice)[0] == [Document("TWICE.TXT.GZ", "one, two")]


@pytest.mark.usefixtures("zstandard")
def test_a_damaged_archive_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    for suffix in COMPRESSED:
        (tmp_path / f"a.txt{suffix}").write_bytes(b"no archive at all")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"word\n" * 10_000)[:-12])
    (tmp_path / "empty.txt.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "last.txt").write_text("the rest")
    documents, reports = read(tmp_path)
    assert documents == [Document("last.txt", "the rest")]
    assert len(reports) == 6
    for suffix in COMPRESSED:
        (report,) = (report for report in reports if f"a.txt{suffix} " in report)
        assert report.startswith(f"{tmp_path / f'a.txt{suffix}'} is skipped: the archive is damaged (")
    assert f"{tmp_path / 'cut.txt.gz'} is skipped: the archive is cut off." in reports
    assert f"{tmp_path / 'empty.txt.gz'} is skipped: it is empty." in reports


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_lines_before_the_damage_are_read_and_are_the_same_every_time(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / "whole.jsonl"
    whole.write_bytes(LINES * 5)
    packed = PACK[suffix](LINES * 5)
    file = tmp_path / f"rows.jsonl{suffix}"
    file.write_bytes(packed[: len(packed) * 4 // 5])
    documents, (report,) = read(file)
    number = len(documents)
    assert 0 < number < 2000
    assert [each.text for each in documents] == [each.text for each in read(whole)[0][:number]]
    assert report == f"{file}: the archive is cut off after line {number:,}; the lines up to there are read."
    assert read(file) == (documents, [report])
    # A bad byte is found at the latest at the end of the block that has it.
    damaged = bytearray(packed)
    damaged[-20] ^= 0xFF
    file.write_bytes(bytes(damaged))
    documents, (report,) = read(file)
    assert f"{file}: the archive is damaged (" in report
    assert read(file) == (documents, [report])
    file.write_bytes(packed[:40])
    assert read(file) == ([], [f"{file}: the archive is cut off in its first line."])


def test_a_harvest_of_a_damaged_archive_is_resumed(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    packed = gzip.compress(LINES[:9000])
    (texts / "a.jsonl.gz").write_bytes(packed[: len(packed) * 3 // 4])
    (texts / "b.txt").write_text("word " * 100)
    whole = small_harvest(tmp_path / "whole", texts)
    part = small_harvest(tmp_path / "part", texts, max_tokens=100)
    assert part.finished.shards < whole.finished.shards
    assert small_harvest(tmp_path / "part", texts).state().to_bytes() == whole.state().to_bytes()
    # A repaired copy has more text where the damage was.
    (texts / "a.jsonl.gz").write_bytes(packed)
    with pytest.raises(CorpusChangedError, match="had another text"):
        small_harvest(tmp_path / "part", texts)


def test_memory_does_not_grow_with_a_compressed_corpus(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl.xz"

    def peak(times: int) -> int:
        file.write_bytes(lzma.compress(LINES * times, preset=0))
        gc.collect()
        tracemalloc.start()
        number = sum(1 for _ in open_corpus(str(file)).documents())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert number == 400 * times
        return found

    assert peak(8) < 1.3 * peak(2)


def test_a_format_that_this_python_cannot_unpack_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setattr("platform.python_version", lambda: "3.11.7")
    for number in range(3):
        (tmp_path / f"{number}.jsonl.zst").write_bytes(b"")
    fix = "use Python 3.14 or later, or unpack the file with `unzstd`."
    reason = f"this Python (3.11.7) cannot unpack .zst files; {fix}"
    assert read(tmp_path) == (
        [],
        [f"in {tmp_path}, 3 files (such as 0.jsonl.zst) are left out: {reason}"],
    )
    with pytest.raises(ValueError) as caught:
        open_corpus(str(tmp_path / "0.jsonl.zst")).check()
    file = tmp_path / "0.jsonl.zst"
    assert str(caught.value) == f"there is no text in {file}. {file} is skipped: {reason}"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="Python 3.14 has Zstandard")
def test_zstandard_of_the_standard_library(tmp_path: Path) -> None:
    import importlib

    packed = importlib.import_module("compression.zstd").compress(LINES)
    (tmp_path / "rows.jsonl.zst").write_bytes(packed)
    assert len(read(tmp_path)[0]) == 400
    (tmp_path / "rows.jsonl.zst").write_bytes(packed[:-9])
    assert "the archive is cut off" in read(tmp_path)[1][0]
