"""Whole numbers as people write them."""

import pytest

from mechscope.cli.main import main
from mechscope.cli.whole_numbers import whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("-7", -7), ("200_000", 200_000), ("1,200,000", 1_200_000), ("2e5", 200_000), ("3.0", 3)],
)
def test_a_number_is_read(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", "x", "1.5", "1,5", "12,34", "nan", "1e999", "1e-3"])
def test_what_is_no_whole_number_is_an_error(text):
    with pytest.raises(ValueError, match="is not a whole number; 200000, 200_000 and 2e5 are"):
        whole_number(text)


def test_options_are_read_in_this_way(capsys):
    # The first is a whole number, the second one that may be omitted.
    for command, option in (("units", "--limit"), ("labels", "--remove")):
        mistake = f"Error parsing {option}: '1.5' is not a whole number"
        for number, words in (("1.5", mistake), ("2e5", "no neuroscope store")):
            with pytest.raises(SystemExit) as stopped:
                main(["neuroscope", command, "--model", "no-such-model", option, number])
            assert stopped.value.code == 2
            assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "listed"), [([], "neuroscope"), (["neuroscope"], "harvest"), (["course"], "watch")]
)
def test_without_a_command_the_commands_are_listed(capsys, words, listed):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "usage: mechscope" in captured.err and listed in captured.err
