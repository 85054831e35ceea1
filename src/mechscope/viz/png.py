"""PNG images of matrices, one pixel per cell: small enough to be kept inside a page or a notebook."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from mechscope.viz.colour_scale import ColourScale

LEVELS = 63
"""How many colours of its scale an image has; one more is transparent."""


def matrix_png(values: NDArray[np.float64], scale: ColourScale) -> bytes:
    """A matrix [row, column] as a PNG image with indexed colours; values that are not finite are transparent.

    >>> matrix_png(np.zeros((2, 3)), ColourScale(0, 1, ("#ffffff", "#000000")))[:4]
    b'\\x89PNG'
    """
    height, width = values.shape
    finite = np.isfinite(values)
    share = np.clip((np.where(finite, values, 0.0) - scale.low) / (scale.high - scale.low), 0, 1)
    cells = np.where(finite, np.rint(share * (LEVELS - 1)), LEVELS).astype(np.uint8)
    palette = scale.colours(np.linspace(scale.low, scale.high, LEVELS))
    rows = np.hstack([np.zeros((height, 1), dtype=np.uint8), cells])  # each row begins with its filter: none
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette.tobytes() + b"\xff\xff\xff"),
            _chunk(b"tRNS", b"\xff" * LEVELS + b"\x00"),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def data_url(png: bytes) -> str:
    """The image as the address of an `img` element."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
