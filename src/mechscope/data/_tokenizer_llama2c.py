"""llama2.c's vocabulary file (`tok512.bin`): pieces with scores, merged as SentencePiece does.

Layout, little-endian: an int32 with the length of the longest piece in bytes, then for each token a float32
score, an int32 length and the bytes. Token 0 is unknown, 1 begins a text and 2 ends it, 3 to 258 are single
bytes; the rest are pieces, which include the space before a word.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, processors

from mechscope.arguments import shown
from mechscope.data._merges import merges_by_score
from mechscope.reading import MAX_TEXT_BYTES, regular_file

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
FIRST_PIECE = 3 + 256


def read_llama2c(path: str | Path) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """The vocabulary in a llama2.c file, and the settings with which `Tokenizer` wraps it.

    Encoding adds the BOS token and a space before the first word; decoding drops that space only
    after a BOS, so that any slice of a text keeps its spaces.

    Raises:
        ValueError: if the file ends early or is not a vocabulary.
    """
    path = Path(path)
    pieces = _read_pieces(path)
    vocab = {UNKNOWN: 0, BEGIN: 1, END: 2, **{f"<0x{byte:02X}>": 3 + byte for byte in range(256)}}
    for index, (piece, _) in enumerate(pieces[FIRST_PIECE:], start=FIRST_PIECE):
        if piece in vocab:
            raise ValueError(
                f"{str(path)!r}: the piece {shown(piece)} is both token {vocab[piece]} and token {index}."
            )
        vocab[piece] = index
    scored = ((index, *piece) for index, piece in enumerate(pieces[FIRST_PIECE:], start=FIRST_PIECE))
    merges = merges_by_score(scored, vocab)
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token=UNKNOWN, byte_fallback=True)
    )
    backend.normalizer = normalizers.Prepend(" ")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens([UNKNOWN, BEGIN, END])  # pyright: ignore[reportUnknownMemberType]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, vocab[BEGIN])]
    )
    return backend, {
        "bos_token": BEGIN,
        "eos_token": END,
        "unk_token": UNKNOWN,
        "drops_space_after_bos": True,
        "name_or_path": str(path),
    }


def _read_pieces(path: Path) -> list[tuple[str, float]]:
    data = regular_file(path, at_most=MAX_TEXT_BYTES).read_bytes()
    pieces: list[tuple[str, float]] = []
    position = 4  # skip the length of the longest piece
    while position < len(data):
        if position + 8 > len(data):
            raise ValueError(f"{str(path)!r} ends in the middle of token {len(pieces)}: it is incomplete.")
        score, length = struct.unpack_from("<fi", data, position)
        position += 8
        if not 0 <= length <= len(data) - position:
            raise ValueError(
                f"{str(path)!r}: token {len(pieces)} declares {length} bytes but only {len(data) - position} "
                "are left: the file is incomplete, or is not a llama2.c vocabulary."
            )
        piece = data[position : position + length]
        try:
            pieces.append((piece.decode("utf-8"), score))
        except UnicodeDecodeError as error:
            raise ValueError(f"{str(path)!r}: token {len(pieces)} is not UTF-8: {shown(piece)}.") from error
        position += length
    if len(pieces) <= FIRST_PIECE:
        raise ValueError(
            f"{str(path)!r} has {len(pieces)} tokens; a llama2.c vocabulary has more than {FIRST_PIECE}."
        )
    return pieces
