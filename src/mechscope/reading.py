"""Read files that may be damaged or of the wrong kind: a folder, a pipe, truncated, in another encoding, too large.

Every error names the file, what was found, and how to fix it. Importing this module does not import torch, so that
every room may use it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

MAX_TEXT_BYTES = 2**29
"""The largest text or JSON file that is read, in bytes: ten times the largest published tokenizer.json."""
MAX_DIGITS = 300
"""The most digits of a whole number in a JSON file; a longer one does not even fit into a float."""
MAX_DEPTH = 100
"""The deepest nesting of a JSON file."""
MAX_UNPACKED_BYTES = 2**28
"""Files that unpack to at most this many bytes are read, whatever their compression ratio."""
MAX_COMPRESSION_RATIO = 100
"""The highest compression ratio of real data."""
MAX_SHOWN = 120
"""How many characters of a name an error shows."""
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def regular_file(path: str | Path, *, at_most: int | None = None) -> Path:
    """Check that `path` is an ordinary file, and return it as a Path; reading a pipe or a device may never end.

    Args:
        path: the file.
        at_most: the largest allowed size in bytes.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: for a folder, a pipe, a socket or a device, and for a file that is too large.
    """
    path = Path(path)
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no file {str(path)!r}.") from error
    except (
        ValueError,
        OSError,
    ) as error:  # a zero byte in the name, a file in place of a folder, a loop of links …
        raise _unreachable(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        raise ValueError(f"{str(path)!r} is a folder, not a regular file: give a file inside it.")
    for is_kind, words in _KINDS:
        if is_kind(found.st_mode):
            raise ValueError(f"{str(path)!r} is {words}, not a regular file: copy its content into a file.")
    if at_most is not None and found.st_size > at_most:
        raise ValueError(
            f"{str(path)!r} has {found.st_size:,} bytes, but such a file has at most {at_most:,}: it is probably "
            "a different kind of file."
        )
    return path


def check_name(path: str | Path) -> Path:
    """Check that the system can look `path` up, and return it as a Path; it need not exist.

    Raises:
        ValueError: for a name that is too long or has a zero byte.
        OSError: if the system refuses, for example without permission; with the name and the reason.
    """
    path = Path(path)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (ValueError, OSError) as error:
        raise _unreachable(path, error) from error
    return path


def _unreachable(path: Path, error: ValueError | OSError) -> Exception:
    """The error for a path that cannot be looked up, with its (shortened) name and the reason."""
    name = str(path)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return ValueError(
            f"a name of {len(name):,} characters is too long for a file or folder: {_shortened(name)}."
        )
    if isinstance(error, OSError):
        return type(error)(f"{_shortened(name)} cannot be read: {error.strerror or error}.")
    return ValueError(f"{_shortened(name)} cannot be the name of a file ({error}).")


def _shortened(name: str) -> str:
    return repr(name) if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]!r}…"


def read_text(path: str | Path, *, at_most: int = MAX_TEXT_BYTES) -> str:
    """The text of a UTF-8 file, without the byte-order mark that some editors write.

    Raises:
        OSError, ValueError: see `regular_file`.
        ValueError: for text in another encoding.
    """
    path = regular_file(path, at_most=at_most)
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        raise ValueError(
            f"{str(path)!r} is not UTF-8 but UTF-16 or UTF-32 (or not text at all): save it as UTF-8."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is not UTF-8 text (byte {error.start:,} is 0x{data[error.start]:02x}): save it as UTF-8."
        ) from error


def read_json(path: str | Path, *, fix: str = "Write or download it again.") -> Any:
    """The value in a JSON file.

    Args:
        fix: advice for the error about a damaged file.

    Raises:
        OSError, ValueError: see `read_text`.
        ValueError: for a file that is not JSON, or whose nesting or numbers are too large for a real file.
    """
    path = Path(path)
    text = read_text(path)
    return parse_json(text, str(path), fix=fix)


def parse_json(text: str | bytes, where: str, *, fix: str = "Write or download it again.") -> Any:
    """The value of a JSON text.

    Args:
        text: the text.
        where: the name of the file, for errors.
        fix: advice for the error about a damaged file.

    Raises:
        ValueError: see `read_json`.
    """
    try:
        found = json.loads(text, parse_int=_whole_number)
    except RecursionError as error:
        raise ValueError(f"{where!r} is nested too deeply to be read. {fix}") from error
    except ValueError as error:
        raise ValueError(f"{where!r} is not valid JSON: {error}. {fix}") from error
    if _is_deeper(found, MAX_DEPTH):
        raise ValueError(f"{where!r} is nested more than {MAX_DEPTH} levels deep. {fix}")
    return found


def read_json_object(path: str | Path, *, fix: str = "Write or download it again.") -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        OSError, ValueError: see `read_json`.
        ValueError: for any other JSON value.
    """
    found = read_json(path, fix=fix)
    if not isinstance(found, dict):
        raise ValueError(
            f"{str(path)!r} should hold a JSON object {{…}}, not a {type(found).__name__}. {fix}"
        )
    return cast("dict[str, Any]", found)


def open_safetensors(
    path: str | Path, framework: str = "pt", *, fix: str = "Write or download it again."
) -> Any:
    """Open a safetensors file and check its header: `keys()`, `get_tensor(name)`, `get_slice(name)`, `metadata()`.

    The file is mapped into memory, and tensors are read on demand. Use it in a `with` statement.

    Args:
        path: the file.
        framework: the kind of tensors, as in `safetensors.safe_open`.
        fix: advice for the error about a damaged file.

    Raises:
        OSError, ValueError: see `regular_file`.
        ValueError: for a file that is truncated, damaged or of another format.
    """
    from safetensors import SafetensorError, safe_open

    path = regular_file(path)
    try:
        # It fails for a data type that this torch does not know, a truncated file, or another format.
        return safe_open(path, framework=framework)
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise ValueError(
            f"{str(path)!r} ({path.stat().st_size:,} bytes) is not a complete safetensors file: {error}. {fix}"
        ) from error


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """Every tensor of a safetensors file by name.

    Raises:
        OSError, ValueError: see `open_safetensors`.
    """
    with open_safetensors(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def check_unpacked_size(path: str | Path, unpacked: int, packed: int | None = None) -> None:
    """Refuse a file that would fill the memory when it is unpacked.

    Args:
        path: the file.
        unpacked: the declared size in bytes.
        packed: the compressed size in bytes; None means the whole file.

    Raises:
        ValueError: for more than MAX_UNPACKED_BYTES bytes, if the compression ratio is above MAX_COMPRESSION_RATIO.
    """
    packed = os.stat(path).st_size if packed is None else packed  # noqa: PTH116  - a string is enough
    if unpacked > max(MAX_UNPACKED_BYTES, MAX_COMPRESSION_RATIO * packed):
        raise ValueError(
            f"{str(path)!r} would unpack {packed:,} bytes to {unpacked:,}, more than real data does, so it was not "
            "unpacked. If you trust it, unpack it yourself and store it uncompressed."
        )


@contextmanager
def naming(path: str | Path) -> Generator[None]:
    """Add a file's name to the ValueErrors and KeyErrors of a `with` block.

    Errors about the content of a file often come from code that does not know its name.
    """
    try:
        yield
    except KeyError as error:
        if str(path) in str(error):
            raise
        raise KeyError(f"{str(path)!r}: {error.args[0] if error.args else 'an entry is missing'}") from error
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{str(path)!r}: {error}") from error


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"it has a whole number of {len(digits):,} digits")
    return int(digits)


def _is_deeper(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        inside: list[Any] = []
        for item in layer:
            if isinstance(item, dict):
                inside.extend(
                    each for each in cast("dict[str, Any]", item).values() if isinstance(each, (dict, list))
                )
            elif isinstance(item, list):
                inside.extend(each for each in cast("list[Any]", item) if isinstance(each, (dict, list)))
        if not inside:
            return False
        layer = inside
    return True
