"""Progress without a terminal: a line now and then, with the time left."""

from __future__ import annotations

from collections.abc import Callable

from mechscope.cli.progress_lines import SECONDS_BETWEEN, ProgressLines


def lines_at(
    times: list[float], steps: list[tuple[str, int, int | None]], *, is_exact: bool = False
) -> list[str]:
    said: list[str] = []
    clock: Callable[[], float] = iter([0.0, *times]).__next__
    lines = ProgressLines("units", is_exact=is_exact, clock=clock, say=said.append)
    for step in steps:
        lines.step(*step)
    return [line.replace("\xa0", " ") for line in said]


def test_a_line_comes_at_most_every_half_minute() -> None:
    said = lines_at([float(second) for second in range(1, 91)], [("work", n, 90) for n in range(1, 91)])
    assert [line.partition(" of")[0] for line in said] == ["work: 30", "work: 60", "work: 90"]
    assert said[0] == "work: 30 of about 90 units, about 60 s left"
    assert said[-1] == "work: 90 of about 90 units"


def test_the_time_left_does_not_count_what_was_done_before() -> None:
    steps: list[tuple[str, int, int | None]] = [("work", 1000, 1100), ("work", 1050, 1100)]
    assert lines_at([1, 101], steps, is_exact=True) == ["work: 1,050 of 1,100 units, about 2 min left"]


def test_an_activity_has_its_own_speed_and_some_have_no_known_end() -> None:
    assert SECONDS_BETWEEN == 30
    steps: list[tuple[str, int, int | None]] = [
        ("one", 5, 10),
        ("two", 0, 100),
        ("two", 50, 100),
        ("three", 7, None),
    ]
    assert lines_at([10, 35, 65, 100], steps) == [
        "two: 0 of about 100 units",
        "two: 50 of about 100 units, about 30 s left",
        "three: 7 units",
    ]
