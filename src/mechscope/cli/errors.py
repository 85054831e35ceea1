"""What a user can mend is one line; everything else keeps its traceback."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


class UserError(Exception):
    """Something that the person at the keyboard can mend; its text says how."""


@contextmanager
def user_errors() -> Generator[None]:
    """Turn the checks' errors into a `UserError`. Only around checks of what was asked for, never around work."""
    try:
        yield
    except KeyError as error:
        # str() of a KeyError is its message in quotes.
        raise UserError(str(error.args[0] if error.args else error)) from error
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
