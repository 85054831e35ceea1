"""Every long command finds out beforehand that it could not write, and ends well where it cannot any more."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mechscope.cli.main import main
from mechscope.dictionaries.frontier import sweeping
from mechscope.dictionaries.jobs import running as jobs
from mechscope.labs import registry
from mechscope.recipes import registry as recipes
from mechscope.scoreboard import matches
from mechscope.storage.folder_lock import hold_folder
from tests.labs.tiny_lab import tiny_lab
from tests.recipes.tiny_recipe import Tiny, TinyConfig, tiny_recipe

KNOWN = ["--synthetic", "sharkey-small", "--steps", "8", "--batch", "32", "--held-out", "100", "--d-sae", "8"]
RUN = "99-tiny/quick-seed-0"


@dataclass(frozen=True)
class Long:
    """A command that works long, on something small."""

    words: tuple[str, ...]
    """The command, without --out."""
    held: str
    """The folder that it keeps to itself, below --out."""
    files: tuple[str, ...]
    """What it writes at its end, below --out."""
    same: str
    """A file that is the same, bit by bit, however often it was stopped."""
    kept: str
    """What is said of unfinished work."""


COMMANDS = {
    "run": Long(
        ("run", "tiny", "--device", "cpu"),
        RUN,
        (*(f"{RUN}/{name}" for name in ("report.html", "claims.json", "weights.safetensors")), "index.html"),
        f"{RUN}/weights.safetensors",
        "Finished parts are kept in",
    ),
    "verify": Long(
        ("verify", "tiny", "--device", "cpu"),
        RUN,
        (f"{RUN}/report.html", "index.html"),
        f"{RUN}/weights.safetensors",
        "Finished parts are kept in",
    ),
    "models train": Long(
        ("models", "train", "tiny", "--device", "cpu"),
        "work/tiny",
        ("tiny", "work/tiny/model"),
        "tiny/model.safetensors",
        "Finished parts are kept in",
    ),
    "scoreboard": Long(
        ("scoreboard", "induction", "--methods", "chance", "--seeds", "1", "--examples", "2"),
        "",
        ("scoreboard.json", "scoreboard.md", "scoreboard.svg"),
        "scoreboard.svg",
        "Finished models are kept in",
    ),
    "sae train": Long(
        ("sae", "train", *KNOWN, "--checkpoint-every", "3", "--device", "cpu"),
        "",
        ("job.json", "training.safetensors", "history.safetensors"),
        "topk/weights.safetensors",
        "The last checkpoint is kept in",
    ),
    "sae sweep": Long(
        ("sae", "sweep", *KNOWN, "--architecture", "topk", "--k", "2", "--device", "cpu"),
        "",
        ("config.json", "sweep.json", "report.html", "seconds.json"),
        "dictionaries/topk-2-lr-0.002-seed-0/weights.safetensors",
        "Finished points and the last checkpoint are kept in",
    ),
}
each_command = pytest.mark.parametrize("name", list(COMMANDS))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab and a recipe that take no time."""
    lab = tiny_lab(tmp_path)
    entry = registry.LabEntry("99", "tiny", "nowhere", "small")
    monkeypatch.setattr(registry, "LABS", (entry,))
    monkeypatch.setattr(registry, "find_lab", lambda name: lab if registry.find_entry(name) else None)
    monkeypatch.setattr(recipes, "check_name", lambda name: name)
    monkeypatch.setattr(recipes, "find_recipe", lambda _: tiny_recipe(Tiny(TinyConfig(), 0), 9.0))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_work(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever begins to work fails the test."""

    def begun(*_: object, **__: object) -> None:
        pytest.fail("the work began")

    monkeypatch.setattr("mechscope.labs.parallel_steps.run_in_held_folder", begun)
    for module, function in ((matches, "run_matches"), (jobs, "train"), (sweeping, "train")):
        monkeypatch.setattr(module, function, begun)
    monkeypatch.setattr(Tiny, "train", begun)


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, words)))
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


def is_one_line(err: str) -> bool:
    lines = [line for line in err.splitlines() if "running it" not in line]
    return len(lines) == 1 and lines[0].startswith("mechscope: ")


@each_command
@pytest.mark.parametrize("place", ["occupied", "occupied/below", "/proc/nothing"])
def test_a_folder_that_cannot_be_written_to_is_said_before_any_work(
    name: str, place: str, no_work: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("occupied").write_text("mine")
    code, out, err = call(capsys, *COMMANDS[name].words, "--out", place)
    assert (code, out) == (2, "")
    assert is_one_line(err), err
    assert place in err
    assert "choose another" in err.lower()
    assert Path("occupied").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name, long in COMMANDS.items() for file in long.files]
)
def test_so_is_a_file_whose_name_is_taken(
    name: str, file: str, no_work: None, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = Path("my runs") / file
    (taken / "of mine").mkdir(parents=True)
    code, out, err = call(capsys, *COMMANDS[name].words, "--out", "my runs")
    assert (code, out) == (2, "")
    assert is_one_line(err), err
    assert str(taken) in err


@each_command
def test_so_is_a_folder_that_another_process_writes_to(
    name: str,
    no_work: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        # Another thread is to the lock what another process is.
        with hold_folder(tmp_path / "my runs" / COMMANDS[name].held):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        code, _, err = call(capsys, *COMMANDS[name].words, "--out", "my runs")
    finally:
        done.set()
        thread.join()
    assert code == 2
    assert is_one_line(err), err
    where = Path("my runs") / COMMANDS[name].held
    assert f"{where} is in use: process {os.getpid()} on " in err


@each_command
@pytest.mark.parametrize("value", ["", "  "])
@pytest.mark.parametrize("form", ["--out VALUE", "--out=VALUE"])
def test_an_empty_value_is_a_variable_that_is_not_set(
    name: str, form: str, value: str, no_work: None, capsys: pytest.CaptureFixture[str]
) -> None:
    option = [f"--out={value}"] if "=" in form else ["--out", value]
    code, _, err = call(capsys, *COMMANDS[name].words, *option)
    assert code == 2
    assert err == "mechscope: --out is empty; give it a value (is a variable not set in your script?).\n"
    assert call(capsys, *COMMANDS[name].words[:2], "")[0] == 2


def no_room() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sigterm() -> None:
    signal.raise_signal(signal.SIGTERM)


class Writes:
    """Counts the files that are written, and lets something happen inside one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.at = -1
        self.happens: Callable[[], None] = no_room
        self.lasts = False
        monkeypatch.setattr(os, "fsync", self._write)

    def _write(self, _: int) -> None:
        number, self.count = self.count, self.count + 1
        if number == self.at or (self.lasts and 0 <= self.at <= number):
            self.happens()


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, tuple[int, bytes]]:
    """Command → how often it writes and what its file `same` holds, once a test has run it to its end."""
    return {}


@each_command
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("happens", [no_room, sigterm])
def test_a_write_that_fails_or_is_stopped_ends_in_a_sentence_and_the_same_command_goes_on(
    name: str,
    share: float,
    happens: Callable[[], None],
    uninterrupted: dict[str, tuple[int, bytes]],
    small: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    long, whole, out = COMMANDS[name], tmp_path / "whole", Path("my runs")
    writes = Writes(monkeypatch)
    try:
        if name not in uninterrupted:
            assert call(capsys, *long.words, "--out", whole)[0] == 0
            uninterrupted[name] = writes.count, (whole / long.same).read_bytes()
        count, expected = uninterrupted[name]
        writes.at, writes.count = round(share * (count - 1)), 0
        writes.happens, writes.lasts = happens, happens is no_room
        code, _, err = call(capsys, *long.words, "--out", out)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "Traceback" not in err
    if happens is sigterm:
        assert code == 143
        assert f"Stopped by SIGTERM. {long.kept} {out}" in err
        assert f"mechscope {' '.join(long.words)} --out 'my runs'\n" in err
    else:
        assert code in (1, 2)  # 2 where nothing had begun yet
        assert "could not be written (No space left on device). Make room there" in err
    assert not list(tmp_path.rglob("*.unfinished"))
    assert not list(tmp_path.rglob("*.lock"))
    writes.at = -1
    assert call(capsys, *long.words, "--out", out)[0] == 0
    assert (out / long.same).read_bytes() == expected


@pytest.mark.parametrize(
    ("command", "seed"),
    [(command, seed) for command in ("run", "verify", "replications") for seed in ("-1", "4294967296")],
)
def test_a_seed_that_no_generator_takes(
    command: str, seed: str, no_work: None, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [] if command == "replications" else ["tiny"]
    code, out, err = call(capsys, command, *names, "--seed", seed)
    assert (code, out) == (2, "")
    assert err.startswith(f"mechscope: a seed is a whole number from 0 to 4,294,967,295, not {seed}")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--d-sae", "99999999999999999999", "d_sae must be a whole number of at most"),
        ("--batch", "99999999999999999999", "batch_size must be a whole number of at most"),
        ("--steps", "99999999999999999999", "steps must be a whole number of at most"),
        ("--k", "nan", "k must be a whole number, not nan"),
        ("--k", "inf", "k must be a whole number, not inf"),
        ("--lr", "inf", "lr must be a finite number, not inf"),
        ("--lr", "nan", "lr must be a finite number, not nan"),
        ("--seed", "-1", "seed must be a whole number of at least 0, not -1"),
    ],
)
def test_numbers_that_no_training_can_have(
    option: str, value: str, said: str, no_work: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "sae", "train", *KNOWN, option, value, "--out", "runs")
    assert (code, out) == (2, "")
    assert said in err
    assert not Path("runs").exists()


def test_finished_runs_are_read_where_nothing_can_be_written(
    small: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(capsys, "run", "tiny", "--device", "cpu")[0] == 0

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("mechscope.storage.files.tempfile.TemporaryFile", read_only)
    code, out, err = call(capsys, "verify", "tiny", "--device", "cpu")
    assert (code, err) == (0, "")
    assert "1 passed" in out
    code, _, err = call(capsys, "verify", "tiny", "--device", "cpu", "--seed", "1")
    assert code == 2
    assert "cannot be written to (Read-only file system)" in err


def test_what_is_suggested_next_can_be_copied(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = call(capsys, "run", "tiny", "--device", "cpu", "--seed", "3", "--out", "it's mine")
    assert "`mechscope verify --seed 3 --out 'it'\"'\"'s mine'` prints every claim." in out
    _, out, _ = call(capsys, *COMMANDS["sae train"].words, "--out", "it's mine/sae")
    assert "Next: mechscope sae eval 'it'\"'\"'s mine/sae/topk'\n" in out
    folder = tmp_path / "it's mine" / "sae" / "topk"
    _, out, _ = call(capsys, "sae", "show", folder, "--device", "cpu")
    assert out.endswith(f"A feature's page: mechscope sae show {shlex.quote(str(folder))} --feature 0\n")
    _, _, err = call(capsys, "replications", "--out", "my runs", "--seed", "2")
    assert "make them with `mechscope run all --budget full --seed 2 --out 'my runs'`." in err


def test_a_measurement_is_shown_even_where_it_cannot_be_written(
    small: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(capsys, *COMMANDS["sae train"].words, "--out", "my runs")[0] == 0
    writes = Writes(monkeypatch)
    writes.at = 0
    code, out, err = call(capsys, "sae", "eval", "my runs/topk", "--held-out", "100", "--device", "cpu")
    assert code == 1
    assert "fraction of variance unexplained" in out
    assert err.startswith(
        "mechscope: my runs/topk/evaluation.json could not be written (No space left on device)."
    )
    assert "--out" not in err


@pytest.mark.parametrize("place", ["occupied/evaluation.json", "folder", "/proc/evaluation.json", os.devnull])
def test_a_measurement_that_could_not_be_written_is_not_begun(
    place: str, small: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(capsys, *COMMANDS["sae train"].words, "--out", "my runs")[0] == 0
    Path("occupied").write_text("")
    Path("folder").mkdir()
    monkeypatch.setattr("mechscope.dictionaries.sources.opening.open_source", lambda *_: pytest.fail("began"))
    code, out, err = call(capsys, "sae", "eval", "my runs/topk", "--out", place)
    assert (code, out) == (2, "")
    assert is_one_line(err), err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_standard_output_is_a_sentence(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(SystemExit) as stopped:
            main(["run", "tiny", "--device", "cpu"])
        monkeypatch.undo()
        assert stopped.value.code == 1
        with pytest.raises(OSError, match="No space"):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())
