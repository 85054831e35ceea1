"""Errors that the user can fix are printed as one line; all others keep their traceback."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


class UserError(Exception):
    """An error that the user can fix; its message says how."""


@contextmanager
def user_errors() -> Generator[None]:
    """Turn the errors of checks into a `UserError`. Use it only around checks of arguments, never around work."""
    try:
        yield
    except KeyError as error:
        # str() of a KeyError is its message in quotes.
        raise UserError(str(error.args[0] if error.args else error)) from error
    except (ValueError, OSError) as error:
        from mechscope.storage.files import NotKeptError

        if isinstance(error, NotKeptError):
            # A full disk is no mistake in the arguments: `main` says what is kept, and exits with 1.
            raise
        raise UserError(str(error)) from error
    except ImportError as error:
        # Ours says which extra to install; a module that Python cannot find by itself is a fault.
        if isinstance(error, ModuleNotFoundError):
            raise
        raise UserError(str(error)) from error
