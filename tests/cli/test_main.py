"""The command line as a user meets it: fast help, one line for a mistake, exit codes that scripts can trust."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mechscope.cli import run as run_module
from mechscope.cli.main import main
from mechscope.labs import registry
from mechscope.labs.parallel_steps import Finished
from mechscope.labs.running import prepare
from tests.labs.tiny_lab import tiny_lab

ENTRY = [sys.executable, "-c", "from mechscope.cli.main import main; main()"]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The tiny lab as the only step; returns a function that replaces it."""

    def install(**options) -> None:
        lab = tiny_lab(tmp_path, **options)
        entry = registry.LabEntry("99", "tiny", "nowhere", "small")
        monkeypatch.setattr(registry, "LABS", (entry,))
        monkeypatch.setattr(registry, "find_lab", lambda name: lab if registry.find_entry(name) else None)

    install()
    monkeypatch.chdir(tmp_path)
    return install


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["run", "--budget", "huge"]])
def test_help_and_mistakes_do_not_load_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom mechscope.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'xarray', 'plotly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "command",
    [
        "run", "verify", "replications", "models", "doctor", "scoreboard", "serve", "site",
        "sae", "sae train", "sae eval", "sae sweep", "sae show",
        "neuroscope", "neuroscope harvest", "neuroscope compare", "neuroscope show", "neuroscope search",
        "neuroscope units", "neuroscope fire", "neuroscope export", "neuroscope check",
        "neuroscope label", "neuroscope score", "neuroscope labels", "neuroscope suggest",
    ],
)  # fmt: skip
def test_help_speaks_of_values_and_not_of_types(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, *command.split(), "--help")
    assert code == 0
    words = re.findall(r"[\w-]+", out)
    assert "--help" in words
    assert {"None", "INT", "FLOAT", "STR", "PATH", "True", "False"}.isdisjoint(words)


def test_help_is_quick() -> None:
    # Time on the processor, not on the wall: other work on the machine is not help's fault.
    before = os.times()
    subprocess.run([*ENTRY, "--help"], capture_output=True, check=True)
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    assert spent < 0.6


def test_an_unknown_step_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "run", "mnist-template")
    assert (code, out) == (2, "")
    steps = ", ".join(f"{entry.step} {entry.slug}" for entry in registry.LABS)
    assert err == (
        f"mechscope: there is no step 'mnist-template'; did you mean mnist-templates? Steps: {steps}.\n"
    )
    assert call(capsys, "verify", "inducton")[0] == 2
    code, _, err = call(capsys, "run", "07")
    assert (code, err) == (2, f"mechscope: there is no step '07'. Steps: {steps}.\n")


def test_no_step_at_all_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "run")
    assert code == 2
    assert "name the steps to run, or all. Steps: 00 mnist-templates" in err


def test_a_device_that_is_not_there_is_said_before_any_work(
    tiny, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, out, err = call(capsys, "run", "tiny", "--device", "cuda")
    assert (code, out) == (2, "")
    assert err.startswith("mechscope: torch finds no CUDA device")
    assert err.count("\n") == 1
    assert not Path("runs").exists()


def test_a_misspelt_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "run", "00", "--bugdet", "quick")
    assert code == 2
    assert "--budget" in err


def test_run_says_what_came_out_and_where(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "run", "all", "--seed", "4", "--device", "cpu")
    assert (code, err) == (0, "")
    assert "99 tiny (quick budget, seed 4, on cpu)" in out
    assert "1 reproduced, 0 not reproduced, 1 not run" in out
    assert "– 9.2: there are no stars" in out
    assert "report: runs/99-tiny/quick-seed-4/report.html" in out
    assert Path("runs/99-tiny/quick-seed-4/report.html").is_file()


def test_verify_exits_with_zero_only_if_nothing_failed(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "verify")
    assert code == 0
    assert "no finished run; running it" in err
    assert "✓ pass     9.1" in out
    assert "known:" not in out
    assert "– not run  9.2" in out
    assert "1 passed, 0 failed, 1 not run." in out
    tiny(value=5.0)
    code, out, err = call(capsys, "verify", "99")
    assert code == 1
    assert "its run is stale (config.value is 1.0 there and 5.0 here); running it" in err
    assert "✗ value: 5; wanted 0.9 to 1.1" in out
    assert "known: Counting is <hard>." in out


def test_verify_prints_json(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    tiny(value=5.0)
    code, out, _ = call(capsys, "verify", "tiny", "--json", "--out", "elsewhere")
    content = json.loads(out)
    assert (code, content["failed"]) == (1, 1)
    assert content["steps"][0]["counts"] == {"pass": 0, "fail": 1, "not-run": 1}
    assert content["steps"][0]["claims"][0]["findings"][0]["ours"] == {"0": 5}
    assert Path("elsewhere/99-tiny/quick-seed-0/claims.json").is_file()


def test_an_unwritable_place_is_one_line(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    Path("occupied").write_text("")
    code, _, err = call(capsys, "run", "tiny", "--out", "occupied")
    assert code == 2
    assert "occupied" in err
    assert err.count("\n") == 1


def test_ctrl_c_says_how_to_go_on(
    tiny, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mechscope.labs.parallel_steps.run_in_held_folder", stop)
    code, _, err = call(capsys, "run", "tiny")
    assert code == 130
    assert err == (
        "\nStopped. Finished parts are kept in runs. To continue, run the same command again:\n"
        "  mechscope run tiny\n"
    )


def test_a_defect_keeps_its_traceback(
    tiny, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a bug of ours")

    monkeypatch.setattr("mechscope.labs.parallel_steps.run_in_held_folder", broken)
    code, _, err = call(capsys, "run", "tiny")
    assert code == 1
    assert "99 tiny: not finished. ValueError: a bug of ours" in err
    assert "Traceback (most recent call last)" in err
    code, out, err = call(capsys, "verify", "tiny")
    assert code == 1
    assert "not finished" in err
    assert "0 passed, 0 failed" in out


def test_each_step_runs_once() -> None:
    assert run_module.expand(["all", "induction", "00"]) == [entry.slug for entry in registry.LABS]
    assert len(run_module.expand(["induction", "induction"])) == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    shell = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m mechscope.cli.main models | head -n 1'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout.count("\n") == 1
    assert "Traceback" not in shell.stderr
    assert "Exception ignored" not in shell.stderr


def test_claims_that_share_a_reason_share_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    away = "no telescope is here"
    unproven = (("not-run", "9.1", away), ("fail", "9.2", "too dark"), ("not-run", "9.3", away))
    counts = {"pass": 0, "fail": 1, "not-run": 2}
    preparation = prepare(tiny_lab(tmp_path), out=tmp_path, device="cpu")
    run_module.report(Finished(preparation, 1.0, counts, unproven, tmp_path / "report.html"))
    lines = capsys.readouterr().out.splitlines()[1:3]
    assert lines == [f"   – 9.1, 9.3: {away}", "   ✗ 9.2: too dark"]
