"""Progress: the number of tokens there will be is guessed from those that were read, and earlier work is not speed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mechscope.neuroscope.corpus import open_corpus
from mechscope.neuroscope.corpus.size import about_how_many_characters
from mechscope.neuroscope.harvest_progress import HarvestProgress
from mechscope.runs.progress_file import PROGRESS_VARIABLE, read_progress


def test_the_total_is_guessed_and_never_less_than_what_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    with HarvestProgress(1000, None, True) as progress:
        progress.add(50, 100)
        assert progress.bar.total == 500
        progress.add(70, 100, before=True)
        assert progress.bar.total == 600
        assert (progress.bar.n, progress.bar.initial) == (120, 70)
        progress.say("a line")
        progress.add(500, 900)
        assert progress.bar.total == 620
    err = capsys.readouterr().err
    assert "a line\n" in err
    assert " tokens/s" in err


def test_tokens_of_unfinished_shards_are_shown_and_not_counted_twice() -> None:
    with HarvestProgress(1000, None, True) as progress:
        for tokens in (20, 30, 15):
            progress.read_ahead(tokens)
        assert (progress.bar.n, progress.tokens) == (65, 0)
        # Fifty of these were those of a shard that is finished now. The worker of the other one dies.
        progress.add(50, 100)
        assert (progress.bar.n, progress.tokens, progress.ahead) == (65, 50, 15)
        progress.read_ahead(-15)
        assert (progress.bar.n, progress.ahead) == (50, 0)


def test_the_total_is_at_most_what_is_wanted() -> None:
    with HarvestProgress(1000, 200, False) as progress:
        progress.add(50, 100)
        assert (progress.hidden, progress.bar.total) == (True, 200)
        progress.add(50, 400)
        assert progress.bar.total == 200
    with HarvestProgress(1000, 200, False) as progress:
        progress.read_ahead(230)
        assert progress.bar.total == 230
    with HarvestProgress(None, None, None) as progress:
        progress.add(50, 100)
        assert progress.bar.total is None


def test_the_time_left_is_known_before_a_shard_is_finished() -> None:
    with HarvestProgress(1000, None, True, 400) as progress:
        assert progress.bar.total == 400
        progress.read_ahead(20)
        assert progress.bar.total == 400
        progress.add(50, 100)
        assert progress.bar.total == 500
    # 200 tokens are reached in the middle of a shard, which ends at about 240.
    with HarvestProgress(1000, 200, True, 240) as progress:
        progress.read_ahead(150)
        assert progress.bar.total == 240
        progress.add(150, 300)
        assert progress.bar.total == 240
    with HarvestProgress(None, 200, True, 240) as progress:
        progress.add(150, 300)
        assert progress.bar.total == 240


def test_without_a_bar_each_step_is_told() -> None:
    told: list[tuple[int, int | None]] = []
    for show in (True, False):
        with HarvestProgress(
            1000, None, show, 400, lambda done, total: told.append((done, total))
        ) as progress:
            progress.add(100, 250, before=True)
            progress.read_ahead(20)
            progress.add(50, 100)
    assert told == [(120, 400), (150, 429)]


def test_jobs_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRESS_VARIABLE, str(tmp_path / "progress.json"))
    with HarvestProgress(1000, None, False) as progress:
        progress.add(50, 100)
    told = read_progress(tmp_path / "progress.json")
    assert (told.activity, told.done, told.total) == ("harvest", 50, 500)


def test_the_size_of_a_corpus_is_guessed_from_the_beginnings_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("12345")
    (tmp_path / "b.txt").write_text("\u4e16\u754c", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text('{"text": "one", "other": "not text"}\n{"text": "two"}\n[]\n')
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"text": "three"}\n' * 1000))
    (tmp_path / "c.png").write_text("123456789")
    (tmp_path / "broken.txt.gz").write_bytes(b"no archive")
    packed = gzip.compress("".join(f'{{"text": "{number:08}"}}\n' for number in range(1000)).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    assert about_how_many_characters(open_corpus(str(tmp_path / "cut.jsonl.gz"))) == sum(
        len(document.text) for document in open_corpus(str(tmp_path / "cut.jsonl.gz")).documents()
    )
    (tmp_path / "cut.jsonl.gz").unlink()
    assert about_how_many_characters(open_corpus(str(tmp_path))) == 5 + 2 + 6 + 5000
    assert about_how_many_characters(open_corpus([str(tmp_path / "a.txt"), str(tmp_path / "c.png")])) == 14
    monkeypatch.setattr("mechscope.neuroscope.corpus.size.BEGINNING", 1000)
    (tmp_path / "long.md").write_bytes("\u00e9\n".encode() * 2000)
    assert about_how_many_characters(open_corpus(str(tmp_path / "long.md"))) == pytest.approx(4000, rel=0.01)
    held_out = sum(len(document.text) for document in open_corpus("held-out").documents())
    assert about_how_many_characters(open_corpus("held-out")) == held_out
    assert about_how_many_characters(open_corpus("owner/name")) is None
