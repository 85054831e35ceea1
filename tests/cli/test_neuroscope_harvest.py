"""`mechscope neuroscope harvest` and `compare` as a user meets them."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from mechscope.cli.main import main
from mechscope.neuroscope.store import NeuroscopeStore
from tests.neuroscope.small_harvest import MODEL, write_texts


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["neuroscope", *map(str, words)])
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A harvest of the heads of one layer on eleven short files."""
    texts = write_texts(tmp_path / "texts")
    small = ["--shard", "500", "--context", "32", "--sample", "4", "--device", "cpu"]
    return ["harvest", MODEL, "--sites", "attn0.entropy", "--corpus", str(texts), *small]


def test_a_harvest_stops_goes_on_and_equals_one_without_a_stop(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts" / "broken.txt").write_bytes(b"\0")
    code, out, err = call(capsys, *command, "--max-tokens", "600", "--out", tmp_path / "one")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == f"{MODEL}: attn0.entropy (4 units), on cpu"
    reading = rf"Reading {re.escape(str(tmp_path / 'texts'))}: about [\d,]+ of [\d,]+ tokens, in \d shards"
    assert re.fullmatch(reading, lines[1])
    disk = r"Disk space: about \d+\skB for the store, and up to \d+\skB to resume the harvest"
    assert re.fullmatch(disk, lines[2])
    assert re.search(r"(\d+) tokens in 3 shards, the beginning of the corpus; \1 of them in \d+ s, ", out)
    assert NeuroscopeStore.open(tmp_path / "one").sites()
    code, out, err = call(capsys, *command, "--out", tmp_path / "one")
    assert code == 0
    assert "3 shards were finished before, with" in out
    assert "in 11 shards, the whole corpus" in out
    assert (
        f"Published in {tmp_path / 'one'}\n"
        f"Next: mechscope neuroscope show {MODEL}/attn0.entropy/0 --store {tmp_path / 'one'}\n" in out
    )
    assert f"{tmp_path / 'texts' / 'broken.txt'} is skipped: it is binary, not text." in err
    assert call(capsys, *command, "--out", tmp_path / "two")[0] == 0
    code, out, _ = call(capsys, "compare", tmp_path / "one", tmp_path / "two")
    assert code == 0
    assert re.fullmatch(r"The stores are equal: [\d,]+ bytes, SHA-256 [0-9a-f]{64}\.\n", out)
    code, out, _ = call(capsys, *command, "--top", "2", "--out", tmp_path / "three")
    code, out, _ = call(capsys, "compare", tmp_path / "one" / "harvest", tmp_path / "three")
    assert (code, out) == (1, "The harvests differ: settings.top is 20 in the first and 2 in the second.\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "2"], "--workers needs --engine processes or --engine ray"),
        (["--address", "auto"], "add --engine ray"),
        (["--engine", "processes", "--workers", "0"], "--workers must be at least 1, not 0"),
        (["--sites", "mpl"], "has no site 'mpl'. Did you mean mlp?"),
        (["--corpus", "librery"], "Did you mean 'library'?"),
        (["--shard", "0"], "shard_characters must be a whole number of at least 1, not 0"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(
    tmp_path: Path, command: list[str], options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, *command, *options, "--out", tmp_path / "new" / "store")
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_corpus_that_has_changed_ends_with_what_is_kept(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, *command, "--out", tmp_path / "store")[0] == 0
    (tmp_path / "texts" / "00.txt").write_text("something else")
    code, _, err = call(capsys, *command, "--out", tmp_path / "store")
    assert code == 1
    assert "the corpus has changed since it was harvested: shard 0" in err
    assert f"Finished shards are kept in {tmp_path / 'store'}." in err


def test_a_disk_that_may_be_too_small_is_said_before_the_harvest(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=70_000))
    code, _, err = call(capsys, *command, "--max-tokens", "100", "--out", tmp_path / "new" / "store")
    assert code == 0
    assert (
        f"Only 70\xa0kB are free in {tmp_path / 'new' / 'store'}. If that is not enough, the harvest stops and keeps"
        in err
    )
