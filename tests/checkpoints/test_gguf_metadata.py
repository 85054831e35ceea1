"""The metadata of GGUF files: the same as the gguf package reads, and one error for every kind of damage."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mechscope.checkpoints._gguf_metadata import read_metadata
from mechscope.checkpoints.gguf_file import GgufFile

gguf = pytest.importorskip("gguf", reason="needs the gguf package: pip install 'mechscope[gguf]'")

LENGTH, TYPE = struct.Struct("=Q"), struct.Struct("=I")


def text(value: str) -> bytes:
    return LENGTH.pack(len(value.encode())) + value.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + TYPE.pack(kind) + value


def array(kind: int, length: int, values: bytes) -> bytes:
    return TYPE.pack(kind) + LENGTH.pack(length) + values


def read(*entries: bytes) -> dict[str, Any]:
    data = b"head" + b"".join(entries)
    found, end = read_metadata(memoryview(data + b"tail"), 4, len(entries))
    assert end == len(data)
    return found


def test_every_type_of_value() -> None:
    assert read(
        entry("u8", 0, b"\xff"),
        entry("i8", 1, b"\xff"),
        entry("u16", 2, struct.pack("=H", 65_535)),
        entry("i16", 3, struct.pack("=h", -2)),
        entry("u32", 4, struct.pack("=I", 2**32 - 1)),
        entry("i32", 5, struct.pack("=i", -3)),
        entry("f32", 6, struct.pack("=f", 0.5)),
        entry("yes", 7, b"\1"),
        entry("text", 8, text("ein Wort ▁")),
        entry("u64", 10, struct.pack("=Q", 2**64 - 1)),
        entry("i64", 11, struct.pack("=q", -4)),
        entry("f64", 12, struct.pack("=d", 1e300)),
        entry("texts", 9, array(8, 3, text("a") + text("") + text("ü"))),
        entry("numbers", 9, array(5, 2, struct.pack("=2i", 7, -7))),
        entry("nothing", 9, array(8, 0, b"")),
        entry("pairs", 9, array(9, 2, array(0, 2, b"\1\2") + array(8, 1, text("b")))),
    ) == {
        "u8": 255,
        "i8": -1,
        "u16": 65_535,
        "i16": -2,
        "u32": 2**32 - 1,
        "i32": -3,
        "f32": 0.5,
        "yes": True,
        "text": "ein Wort ▁",
        "u64": 2**64 - 1,
        "i64": -4,
        "f64": 1e300,
        "texts": ["a", "", "ü"],
        "numbers": [7, -7],
        "nothing": [],
        "pairs": [[1, 2], ["b"]],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (entry("key", 13, b""), "the entry 'key' cannot be read: 13 is not a type"),
        (entry("key", 4, b"\1"), "the entry 'key' cannot be read: it would end at byte"),
        (entry("key", 8, LENGTH.pack(2**60) + b"x"), "it would end at byte 1,1"),
        (entry("key", 8, LENGTH.pack(1) + b"\xff"), "the entry 'key' cannot be read: .*utf-8"),
        # A damaged length must not fill the memory.
        (entry("key", 9, array(8, 2**60, text("a"))), "it would end at byte 9,2"),
        (entry("key", 9, array(5, 2**60, b"")), "it would end at byte 4,6"),
        (LENGTH.pack(5) + b"abc", "entry 0 cannot be read: it would end at byte"),
        (text("key"), "the entry 'key' cannot be read: unpack_from requires"),
        (
            entry("key", 9, array(9, 1, b"") * 100_000),
            "the entry 'key' cannot be read: maximum recursion depth",
        ),
    ],
)
def test_damage_is_named(damaged: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_metadata(memoryview(damaged), 0, 1)


def test_a_key_that_is_there_twice() -> None:
    with pytest.raises(ValueError, match="the entry 'a' is there twice"):
        read(entry("a", 0, b"\1"), entry("a", 0, b"\2"))


def written(path: Path, tensor: np.ndarray[Any, Any], order: Any = None) -> Path:
    writer = gguf.GGUFWriter(path, "llama", **({} if order is None else {"endianess": order}))
    writer.add_custom_alignment(64)
    writer.add_array("tokenizer.ggml.tokens", [f"token {number}" for number in range(300)])
    writer.add_array("tokenizer.ggml.scores", [0.25 * number for number in range(300)])
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_float32("llama.rope.freq_base", 1e4)
    writer.add_tensor("first", tensor)
    writer.add_tensor("second", tensor + 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_file_has_what_the_package_reads_in_it(tmp_path: Path) -> None:
    path = written(tmp_path / "model.gguf", np.arange(12, dtype=np.float32).reshape(3, 4))
    ours, theirs = GgufFile(path), gguf.GGUFReader(path)
    expected = {
        name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")
    }
    assert ours.metadata == expected and len(expected) == 6
    assert ours.names() == ["first", "second"] and ours.shape("second") == (3, 4)
    for name, tensor in zip(ours.names(), theirs.tensors, strict=True):
        assert np.array_equal(ours.tensor(name).numpy(), tensor.data)  # after an alignment of 64 bytes


def test_types_that_cannot_be_unpacked_are_listed(tmp_path: Path) -> None:
    path = written(tmp_path / "model.gguf", np.zeros((3, 4), np.int32))
    with pytest.raises(
        ValueError, match=r"cannot be unpacked: I32 \(first and 1 more\)\. Use a file in another"
    ):
        GgufFile(path)


def test_another_byte_order_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "model.gguf", np.zeros((3, 4), np.float32), gguf.GGUFEndian.BIG)
    with pytest.raises(ValueError, match="order of another kind of processor"):
        GgufFile(path)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "model.gguf", np.zeros((300, 4), np.float32))
    opened = GgufFile(path)
    content = path.read_bytes()
    path.unlink()  # the old file stays mapped
    path.write_bytes(content[:-400])
    with pytest.raises(ValueError, match="became shorter while it was being read"):
        opened.tensor("second")
