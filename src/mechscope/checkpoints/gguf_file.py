"""A GGUF file (llama.cpp's format): metadata, and tensors that are dequantised when they are read.

Reading needs the `gguf` package, an extra: `pip install 'mechscope[gguf]'`. Opening a file reads no more than its
metadata. A tensor is read into memory of its own each time it is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from mechscope.arguments import first_line
from mechscope.checkpoints._gguf_metadata import read_metadata
from mechscope.reading import regular_file

SUFFIX = ".gguf"
PLAIN = {"F32": np.float32, "F16": np.float16, "F64": np.float64}
"""Types that are stored as NumPy has them; all others are unpacked to float32."""

UNPACKED_AT_ONCE = 2**18
"""Numbers that are unpacked in one step."""

Transform = Callable[[torch.Tensor], torch.Tensor]
"""Undoes what the conversion to GGUF did to a tensor; keeps its number of elements."""


class GgufFile:
    """The metadata and the tensors of one GGUF file.

    Args:
        path: the file.

    Raises:
        ImportError: if the `gguf` package is not installed; says how to install it.
        FileNotFoundError: if there is no such file.
        ValueError: for a file that is damaged, truncated, not GGUF, or only one part of a split model, and for
            a quantisation that cannot be unpacked.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = regular_file(path)
        self._gguf = _package()
        reader = self._open()
        self.metadata: dict[str, Any] = reader.metadata
        """Key → number, string, or list of them."""
        self._tensors: dict[str, Any] = {tensor.name: tensor for tensor in reader.tensors}
        if int(self.metadata.get("split.count", 0) or 0) > 1:
            raise ValueError(
                f"{str(self.path)!r} is one of {self.metadata['split.count']} parts of a model: merge them first "
                "(llama.cpp's `llama-gguf-split --merge`)."
            )
        self._refuse_unknown_types()

    def names(self) -> list[str]:
        """Names of the tensors, in the file's order."""
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, outermost axis first (a file lists the innermost first)."""
        return tuple(int(size) for size in reversed(self._tensors[name].shape))

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor in float32, or as stored if it is not quantised; it shares no memory with any other.

        Raises:
            ValueError: if the file was changed since it was opened.
        """
        stored = self._tensors[name]
        with self.path.open("rb") as file:
            file.seek(int(stored.data_offset))
            if (plain := PLAIN.get(stored.tensor_type.name)) is not None:
                numbers = self._read(file, int(stored.n_elements), np.dtype(plain))
            else:
                numbers = self._unpacked(file, stored)
        return torch.from_numpy(numbers).view(self.shape(name))

    def _unpacked(self, file: BinaryIO, stored: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Unpack a block of numbers at a time: the steps in between would need several times the tensor's memory."""
        numbers, size = self._gguf.GGML_QUANT_SIZES[stored.tensor_type]
        n_blocks = int(stored.n_bytes) // size
        unpacked = np.empty((n_blocks, numbers), np.float32)
        step = max(1, UNPACKED_AT_ONCE // numbers)
        for start in range(0, n_blocks, step):
            packed = self._read(file, min(step, n_blocks - start) * size, np.dtype(np.uint8))
            unpacked[start : start + step] = self._gguf.quants.dequantize(
                packed.reshape(1, -1), stored.tensor_type
            ).reshape(-1, numbers)
        return unpacked

    def _read(self, file: BinaryIO, count: int, dtype: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
        numbers = np.fromfile(file, dtype, count)
        if len(numbers) < count:
            raise ValueError(f"{str(self.path)!r} became shorter while it was being read. Load it again.")
        return numbers

    def _open(self) -> Any:
        if self.path.stat().st_size < 24:
            raise ValueError(f"{str(self.path)!r} is too short to be a GGUF file.")
        with self.path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ValueError(f"{str(self.path)!r} does not begin with “GGUF”: it is not a GGUF file.")
        try:
            reader = _fast_reader(self._gguf)(self.path, "r")
        except (ValueError, IndexError, KeyError, OverflowError, TypeError, MemoryError) as error:
            raise ValueError(
                f"{str(self.path)!r} is damaged or truncated ({type(error).__name__}: {first_line(error)}): "
                "download it again."
            ) from error
        return reader

    def _refuse_unknown_types(self) -> None:
        refused: dict[str, list[str]] = {}
        tried: dict[str, bool] = {}
        for name, tensor in self._tensors.items():
            kind = tensor.tensor_type.name
            if kind not in tried:
                tried[kind] = kind in PLAIN or self._can_unpack(tensor)
            if not tried[kind]:
                refused.setdefault(kind, []).append(name)
        if refused:
            listed = "; ".join(
                f"{kind} ({names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''})"
                for kind, names in refused.items()
            )
            raise ValueError(
                f"{str(self.path)!r} stores tensors in types that cannot be unpacked: {listed}. Use a file in another "
                "quantisation, such as Q8_0 or F16."
            )

    def _can_unpack(self, tensor: Any) -> bool:
        _, size = self._gguf.GGML_QUANT_SIZES[tensor.tensor_type]
        block = np.zeros((1, size), np.uint8)
        try:
            with np.errstate(all="ignore"):
                self._gguf.quants.dequantize(block, tensor.tensor_type)
        except NotImplementedError:
            return False
        return True


class GgufSource:
    """The tensors of a GGUF file under the names, and in the layout, of the Hugging Face checkpoint it was made from.

    Args:
        file: the file.
        stored_as: Hugging Face name → (name in the file, shape there and here, what undoes the conversion).
    """

    fresh = True

    def __init__(self, file: GgufFile, stored_as: Mapping[str, tuple[str, Transform | None]]) -> None:
        self.where = str(file.path)
        self._file = file
        self._stored_as = dict(stored_as)

    def names(self) -> list[str]:
        return list(self._stored_as)

    def shape(self, name: str) -> tuple[int, ...]:
        stored, transform = self._stored_as[name]
        if transform is None:
            return self._file.shape(stored)
        # A transform may transpose. Its effect on the shape is seen on a tensor without memory.
        return tuple(transform(torch.empty(self._file.shape(stored), device="meta")).shape)

    def get(self, name: str) -> torch.Tensor:
        stored, transform = self._stored_as[name]
        tensor = self._file.tensor(stored)
        return tensor if transform is None else transform(tensor)

    def peek(self, name: str) -> torch.Tensor:
        return self.get(name)


def is_gguf(path: str | Path) -> bool:
    """Whether a path has the suffix of a GGUF file."""
    return Path(path).suffix.lower() == SUFFIX


def gguf_files(folder: Path) -> list[Path]:
    """The GGUF files in a folder, by name."""
    return sorted(path for path in folder.iterdir() if is_gguf(path) and path.is_file())


def _fast_reader(package: Any) -> Any:
    """The package's reader of tensors, with our reader of metadata."""

    class Reader(package.GGUFReader):
        def _build_fields(self, offs: int, count: int) -> int:
            if self.byte_order != "I":
                raise ValueError("its bytes are in the order of another kind of processor")
            self.metadata, end = read_metadata(memoryview(self.data), int(offs), int(count))
            if (alignment := self.metadata.get("general.alignment")) is not None:
                # The package needs no other entry.
                types = [package.GGUFValueType.UINT32]
                parts = [np.array([alignment], np.uint32)]
                self._push_field(package.ReaderField(offs, "general.alignment", parts, [0], types))
            return end

    return Reader


def why_unreadable() -> str | None:
    """Why no GGUF file can be read here, and what to do; None if the package is installed."""
    if sys.modules.get("gguf") or ("gguf" not in sys.modules and importlib.util.find_spec("gguf")):
        return None
    return "reading a GGUF file needs the gguf package: pip install 'mechscope[gguf]'."


def _package() -> Any:
    if (reason := why_unreadable()) is not None:
        raise ImportError(reason)
    importlib.import_module("gguf.quants")
    return importlib.import_module("gguf")
