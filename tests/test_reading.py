"""Files that may be anything: each refusal names the file, says what was found, and what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from mechscope.checkpoints.load import load_model
from mechscope.data.tokenizer import Tokenizer
from mechscope.dictionaries.exchange import load_dictionary, load_saelens
from mechscope.dictionaries.files import load
from mechscope.dictionaries.shards import ShardStream
from mechscope.dictionaries.sources.texts import read_texts
from mechscope.reading import (
    MAX_COMPRESSION_RATIO,
    MAX_UNPACKED_BYTES,
    check_name,
    check_unpacked_size,
    naming,
    open_safetensors,
    read_json,
    read_json_object,
    read_text,
    regular_file,
)
from mechscope.results.saving import load_result

NAMED: dict[str, Callable[[Path], object]] = {
    "regular_file": regular_file,
    "check_name": check_name,
    "load_model": load_model,
    "load_dictionary": load_dictionary,
    "load_saelens": load_saelens,
    "load": load,
    "ShardStream": lambda path: ShardStream(path, batch_size=1),
    "load_result": load_result,
    "Tokenizer.from_folder": Tokenizer.from_folder,
    "read_texts": lambda path: read_texts(str(path), 0),
}
"""Functions that read a file or folder whose name the user gives."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Path.mkdir, "is a folder, not a regular file"),
        (os.mkfifo, "is a named pipe, not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file"),
    ],
)
@pytest.mark.parametrize("read", [regular_file, read_text, read_json, read_json_object, open_safetensors])
def test_only_regular_files_are_opened(
    read: Callable[[Path], object], make: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "thing")
    with pytest.raises(ValueError, match=said) as caught:
        read(tmp_path / "thing")
    assert str(tmp_path / "thing") in str(caught.value)
    with pytest.raises(FileNotFoundError, match="there is no file .*nothing"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("n" * 5000, ValueError, "a name of 5,[0-9]+ characters is too long for a file or folder: '.*'…"),
        ("n" * 300, ValueError, "a name of [0-9]+ characters is too long"),
        ("a\0b", ValueError, "cannot be the name of a file"),
        ("loop", OSError, "cannot be read: Too many levels"),
    ],
)
@pytest.mark.parametrize("read", NAMED)
def test_a_name_that_the_system_refuses(
    read: str, name: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(error, match=said) as caught:
        NAMED[read](tmp_path / name)
    assert len(str(caught.value)) < 400


def test_a_file_larger_than_memory_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=r"config\.json' has 1,099,511,627,776 bytes"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}'.encode("utf-16"), "is not UTF-8 but UTF-16 or UTF-32"),
        ('{"a": 1}'.encode("utf-16-be"), "is not UTF-8 but UTF-16 or UTF-32"),
        ('{"a": 1}'.encode("utf-32"), "is not UTF-8 but UTF-16 or UTF-32"),
        ('{"ä": 1}'.encode("latin-1"), r"is not UTF-8 text \(byte 2 is 0xe4\): save it as UTF-8"),
        (b"", "is not valid JSON: Expecting value"),
        (b'{"a": 1', "is not valid JSON: Expecting ',' delimiter: line 1 column 8"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[" * 150 + b"]" * 150, "is nested more than 100 levels deep"),
        (b'{"a": ' + b"7" * 5000 + b"}", "it has a whole number of 5,000 digits"),
    ],
)
def test_json_that_cannot_be_read(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        read_json(path, fix="Ask a friend.")
    assert str(path) in str(caught.value)
    assert "Ask a friend." in str(caught.value) or "save it as UTF-8" in str(caught.value)


def test_json_that_can_be_read(tmp_path: Path) -> None:
    value = {"ä": [1, 10**30, None, {"b": "[[[[" * 200}], "c": 0.5}
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "s.json").write_text(json.dumps(value, ensure_ascii=False), encoding=encoding)
        assert read_json(tmp_path / "s.json") == value
    (tmp_path / "deep.json").write_text("[" * 100 + "]" * 100)
    assert read_json(tmp_path / "deep.json")
    with pytest.raises(ValueError, match="should hold a JSON object .*, not a list"):
        read_json_object(tmp_path / "deep.json")


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"w": np.arange(3.0)}, path)
    with open_safetensors(path, "numpy") as file:
        assert file.get_tensor("w").tolist() == [0, 1, 2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=r"w\.safetensors' .* is not a complete safetensors file.* Train again\."
    ):
        open_safetensors(path, fix="Train again.")


def test_what_is_too_large_to_unpack(tmp_path: Path) -> None:
    path = tmp_path / "packed"
    path.write_bytes(bytes(1000))
    check_unpacked_size(path, MAX_UNPACKED_BYTES)
    check_unpacked_size(path, MAX_UNPACKED_BYTES + 1, packed=MAX_UNPACKED_BYTES // MAX_COMPRESSION_RATIO + 1)
    with pytest.raises(ValueError, match=r"packed' would unpack 1,000 bytes to 268,435,457"):
        check_unpacked_size(path, MAX_UNPACKED_BYTES + 1)


def test_a_name_is_said_once() -> None:
    with pytest.raises(ValueError, match=r"^'a/b\.json': the width is odd$"), naming("a/b.json"):
        raise ValueError("the width is odd")
    with pytest.raises(ValueError, match=r"^a/b\.json is odd$"), naming("a/b.json"):
        raise ValueError("a/b.json is odd")
