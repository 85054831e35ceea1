"""MNIST as shipped in the package: 70,000 images in 8.6 MB, which unpack to the published files byte for byte.

An image consists of strokes of ink on paper. Three arrays describe all images as one long row of pixels: the lengths of
the runs of paper and ink, the brightness at the two ends of every run of ink, and the brightness between them. The
ends are nearly random and the rest nearly saturated, so the three arrays compress better than the images do.
"""

from __future__ import annotations

import lzma
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mechscope.data._idx import idx_bytes

FOLDER = Path(__file__).parent / "mnist_files"
"""The archive's folder in the package, with a note on where the digits come from."""
REINSTALL = "install mechscope again"
"""What to do about a damaged archive."""
SIDE = 28
"""Height and width of an image in pixels."""
LONGEST_RUN = 255
"""A longer run is stored in pieces, with empty runs of the other kind between them."""


def unpack_mnist(folder: Path = FOLDER, n_train: int = 60_000) -> dict[str, bytes]:
    """Unpack the four IDX files, by name. Takes about a second.

    Args:
        n_train: how many images belong to the training set, which comes first.

    Raises:
        FileNotFoundError: if a file of the archive is missing.
        ValueError: if a file of the archive is damaged.
    """
    packed = {name: _read(folder / f"{name}.xz") for name in ("labels", "runs", "ends", "insides")}
    labels = packed["labels"]
    try:
        images = join_ink(packed["runs"], packed["ends"], packed["insides"]).reshape(-1, SIDE, SIDE)
    except ValueError as error:
        raise ValueError(f"the files in {folder} do not belong together ({error}); {REINSTALL}.") from error
    return {
        "train-images-idx3-ubyte": idx_bytes(images[:n_train]),
        "train-labels-idx1-ubyte": idx_bytes(labels[:n_train]),
        "t10k-images-idx3-ubyte": idx_bytes(images[n_train:]),
        "t10k-labels-idx1-ubyte": idx_bytes(labels[n_train:]),
    }


def pack_mnist(arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write the archive that `unpack_mnist` reads. Takes about 15 seconds for all of MNIST.

    Args:
        arrays: "train-images", "train-labels", "t10k-images" and "t10k-labels", all unsigned bytes.
    """
    images = np.concatenate([arrays["train-images"], arrays["t10k-images"]])
    labels = np.concatenate([arrays["train-labels"], arrays["t10k-labels"]])
    runs, ends, insides = split_ink(images.ravel())
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("labels", labels), ("runs", runs), ("ends", ends), ("insides", insides)):
        packed = lzma.compress(array.tobytes(), preset=9 | lzma.PRESET_EXTREME)
        (folder / f"{name}.xz").write_bytes(packed)


def split_ink(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lengths of the runs of paper and ink in turn, brightness at the ends of runs of ink, brightness inside them).

    >>> runs, ends, insides = split_ink(np.array([0, 0, 90, 255, 80, 0], np.uint8))
    >>> runs.tolist(), ends.tolist(), insides.tolist()
    ([2, 3, 1], [90, 80], [255])
    """
    ink = pixels != 0
    borders = np.flatnonzero(np.diff(ink, prepend=False))
    lengths = np.diff(borders, prepend=0, append=len(pixels))
    pieces = np.maximum(-(-lengths // LONGEST_RUN), 1)
    runs = np.zeros(2 * pieces.sum() - len(pieces), np.uint8)
    last = np.cumsum(2 * pieces - 1) - 1
    starts = last - 2 * (pieces - 1)
    for start, end in zip(starts[pieces > 1], last[pieces > 1], strict=True):
        runs[start:end:2] = LONGEST_RUN
    runs[last] = lengths - LONGEST_RUN * (pieces - 1)
    inside = _inside(ink)
    return runs, pixels[ink & ~inside], pixels[inside]


def join_ink(runs: np.ndarray, ends: np.ndarray, insides: np.ndarray) -> np.ndarray:
    """Restore the pixels from the result of `split_ink`.

    Raises:
        ValueError: if the number of values does not match the runs.
    """
    ink = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    inside = _inside(ink)
    end = ink & ~inside
    if (end.sum(), inside.sum()) != (len(ends), len(insides)):
        raise ValueError(
            f"{end.sum()} ends and {inside.sum()} insides, and values for {len(ends)} and {len(insides)}"
        )
    pixels = np.zeros(len(ink), np.uint8)
    pixels[end], pixels[inside] = ends, insides
    return pixels


def _inside(ink: np.ndarray) -> np.ndarray:
    """True where a pixel and both its neighbours are ink."""
    around = np.pad(ink, 1)
    return around[:-2] & ink & around[2:]


def _read(path: Path) -> np.ndarray:
    try:
        return np.frombuffer(lzma.decompress(path.read_bytes()), np.uint8)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"the package's own {path} is missing; {REINSTALL}.") from error
    except lzma.LZMAError as error:
        raise ValueError(f"the package's own {path} is damaged ({error}); {REINSTALL}.") from error


if __name__ == "__main__":
    from mechscope.data.mnist import read_folder

    pack_mnist(read_folder(Path(sys.argv[1])), Path(sys.argv[2]) if len(sys.argv) > 2 else FOLDER)
