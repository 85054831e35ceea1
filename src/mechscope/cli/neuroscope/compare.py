"""`mechscope neuroscope compare`: are two harvests or stores equal?"""

from __future__ import annotations

from mechscope.cli.errors import user_errors
from mechscope.cli.neuroscope.commands import Compare


def run_compare(command: Compare) -> int:
    """Compare two folders; 0 if they are equal, 1 if not."""
    with user_errors():
        # Here nothing but reading can fail, and it fails because of what is read.
        from mechscope.neuroscope.comparing import compare

        found = compare(command.one, command.other)
    if found.difference:
        print(f"The {found.what} differ: {found.difference}.")
        return 1
    print(f"The {found.what} are equal: {found.size:,} bytes, SHA-256 {found.digest}.")
    return 0
