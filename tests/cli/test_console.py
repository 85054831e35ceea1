"""Tables in which names are never cut, pipes that are closed, and JSON without numbers that JSON does not have."""

import io
import json
import os
import subprocess
import sys

import pytest
from rich.text import Text

from mechscope.cli import main
from mechscope.cli.console import Terminal, print_json, print_listing
from mechscope.neuroscope.units import Neighbour, UnitAddress


@pytest.mark.parametrize("width", [20, 60, 200])
def test_only_the_text_at_the_end_is_cut(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    console = Terminal()
    console.file = io.StringIO()
    name, text = "model/a-long-name-of-a-site/1234567", "a text of many words " * 4
    rows = [(name, "1.25", Text(text)), ("short", "100", "[b]x[/b]")]
    print_listing(console, ("unit", "value", "example"), rows, numbers=1)
    heading, long, short = console.file.getvalue().splitlines()
    assert heading == f"{'unit':<{len(name)}}  value  example"
    assert short == f"{'short':<{len(name)}}    100  [b]x[/b]"
    before = f"{name}   1.25  "
    assert long.startswith(before)
    room = max(width - len(before), 10)
    assert long[len(before) :] == (text.rstrip() if len(text) <= room else f"{text[: room - 1]}…")


def test_numbers_in_the_last_column_are_aligned(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    console = Terminal()
    console.file = io.StringIO()
    print_listing(console, ("unit", "of", "highest"), [("name", "1 of 2", "3")], numbers=2)
    assert console.file.getvalue() == "unit      of  highest\nname  1 of 2        3\n"


def test_json_has_dataclasses_as_objects_and_no_nan(capsys):
    print_json({"near": (Neighbour(UnitAddress("m", "s", 1), float("nan")),), 3: float("inf"), "n": 553318})
    assert json.loads(capsys.readouterr().out) == {
        "near": [{"address": {"model": "m", "site": "s", "unit": 1}, "similarity": None}],
        "3": None,
        "n": 553318,
    }


def test_a_closed_pipe_ends_a_command_with_141():
    # Closed before Python has started.
    command = [sys.executable, "-m", "mechscope", "neuroscope", "units"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 141


def test_what_an_encoding_lacks_is_written_as_escapes():
    command = [
        sys.executable,
        "-m",
        "mechscope",
        "neuroscope",
        "show",
        "mini-gelu-1l/mlp0/109",
        "--contexts",
        "1",
    ]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2588" in done.stdout  # a bar


def test_a_program_whose_output_is_closed_runs(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    main.make_output_safe()
    print("nothing", file=sys.stderr)
    print_json([1])
    for stream in (sys.stdout, sys.stderr):
        stream.close()
