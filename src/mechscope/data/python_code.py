"""Python source available on every machine: the standard library of the running interpreter.

Licence: Python Software Foundation. The text differs slightly between Python versions, so callers record the version.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

MODULES = (
    "argparse", "ast", "base64", "bdb", "bisect", "calendar", "cmd", "code", "codecs", "codeop", "colorsys",
    "configparser", "contextlib", "copy", "copyreg", "csv", "dataclasses", "datetime", "difflib", "dis",
    "doctest", "enum", "filecmp", "fileinput", "fnmatch", "fractions", "ftplib", "functools", "genericpath",
    "getopt", "getpass", "gettext", "glob", "gzip", "hashlib", "heapq", "hmac", "imaplib", "inspect", "io",
    "ipaddress", "linecache", "locale", "lzma", "mailbox", "mimetypes", "modulefinder", "netrc", "ntpath",
    "numbers", "opcode", "operator", "optparse", "os", "pdb", "pickle", "pickletools", "pkgutil",
    "platform", "plistlib", "poplib", "posixpath", "pprint", "profile", "pstats", "pty", "py_compile",
    "pyclbr", "queue", "quopri", "random", "reprlib", "rlcompleter", "runpy", "sched", "selectors",
    "shelve", "shlex", "shutil", "signal", "smtplib", "socket", "socketserver", "ssl", "stat", "statistics",
    "string", "stringprep", "struct", "subprocess", "symtable", "tabnanny", "tarfile", "tempfile",
    "textwrap", "threading", "timeit", "token", "tokenize", "trace", "traceback", "tracemalloc", "tty",
    "turtle", "types", "typing", "uuid", "warnings", "wave", "weakref", "webbrowser", "zipapp",
)  # fmt: skip
"""Single-file modules that exist in Python 3.11, 3.12 and 3.13."""

PACKAGES = (
    "asyncio", "collections", "concurrent", "ctypes", "curses", "dbm", "email", "html", "http", "importlib",
    "json", "logging", "multiprocessing", "sqlite3", "tkinter", "unittest", "urllib", "venv", "wsgiref",
    "xml", "xmlrpc",
)  # fmt: skip
"""Packages that exist in all three."""

HELD_OUT_CODE = ("calendar.py", "shlex.py", "statistics.py", "textwrap.py")
"""Held-out modules: no bundled model is trained on them, so every machine has text to test models with."""


def read_standard_library() -> dict[str, str]:
    """Path inside the library → source, sorted by path; tests are excluded, line endings are single newlines.

    Raises:
        FileNotFoundError: if this Python was installed without the library's source.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    paths = [library / f"{module}.py" for module in MODULES]
    paths += [path for package in PACKAGES for path in (library / package).rglob("*.py")]
    found = {
        path.relative_to(library).as_posix(): path.read_text(encoding="utf-8").replace("\r\n", "\n")
        for path in paths
        if path.is_file() and not {"test", "tests"} & {*path.relative_to(library).parts}
    }
    if len(found) < len(MODULES) // 2:
        raise FileNotFoundError(
            f"only {len(found)} of the standard library's modules have source files; this Python was installed "
            "without it."
        )
    return dict(sorted(found.items()))
