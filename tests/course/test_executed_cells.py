"""What a check sees of a notebook: the function and what it uses, as it was run last, and nothing else."""

from __future__ import annotations

import pytest

from mechscope.course.executed_cells import source_of

IMPORTS = "import math\nfrom torch import Tensor as T, nn\nimport einops"


def text_of(name: str, *cells: str, **options: object) -> str:
    found = source_of(name, cells, **options)  # type: ignore[arg-type]
    assert found is not None
    return found.text


def test_it_takes_what_the_function_uses_and_what_that_uses() -> None:
    cells = [
        IMPORTS,
        "SCALE, other = 2, 3\nprint('heavy')\nUNUSED = 4",
        "def helper(x: T) -> T:\n    return SCALE * x",
        "def f(x):\n    return helper(math.pi * x)\n\nf(3)",
    ]
    assert text_of("f", *cells) == (
        "import math\n"
        "from torch import Tensor as T, nn\n"
        "SCALE, other = 2, 3\n"
        "def helper(x: T) -> T:\n    return SCALE * x\n"
        "def f(x):\n    return helper(math.pi * x)\n"
    )


def test_the_version_that_was_run_last_counts() -> None:
    cells = [
        "def g(): return 1",
        "def f():\n    return g()",
        "def g(): return 2",
        "def f():\n    return 3 * g()",
    ]
    assert text_of("f", *cells) == "def g(): return 2\ndef f():\n    return 3 * g()\n"


def test_functions_that_use_each_other_and_decorators() -> None:
    cells = ["import functools", "def even(n):\n    return n == 0 or odd(n - 1)"]
    cells.append("@functools.cache\ndef odd(n):\n    return n != 0 and even(n - 1)")
    assert text_of("odd", *cells) == "\n".join(cells) + "\n"


def test_cells_that_did_not_run_and_commands_of_the_notebook_are_left_out() -> None:
    cells = [
        "def f(:",
        "get_ipython().run_line_magic('pip', 'list')",
        "from math import *",
        "def f():\n    return pi",
    ]
    assert text_of("f", *cells) == "from math import *\ndef f():\n    return pi\n"


def test_an_import_that_may_fail_is_taken_whole() -> None:
    attempt = "try:\n    import fast as lib\nexcept ImportError:\n    import math as lib"
    assert text_of("f", attempt, "def f():\n    return lib.pi") == f"{attempt}\ndef f():\n    return lib.pi\n"


def test_given_names_are_not_taken_from_the_cells() -> None:
    cells = ["def earlier(): return 1", "def f(): return earlier()"]
    found = source_of("f", cells, given=["earlier"], preamble=["from reference import earlier"])
    assert found is not None
    assert found.text == "from reference import earlier\ndef f(): return earlier()\n"
    assert [found.cell_line(line) for line in (0, 1, 2, 3)] == [0, 0, 1, 0]


def test_lines_are_those_of_the_cell() -> None:
    found = source_of("f", ["import math", "# mine\n\ndef f():\n    x = 1\n    return math.sin(x)"])
    assert found is not None
    assert [found.cell_line(line) for line in (1, 2, 3, 4)] == [1, 3, 4, 5]


@pytest.mark.parametrize("cells", [[], ["f(3)"], ["def g(): return f"], ["x = y = 1"]])
def test_a_function_that_no_cell_defines(cells: list[str]) -> None:
    assert source_of("f", cells) is None
