"""The merges of a byte-pair tokenizer: from the lines of a file, or from the scores of SentencePiece."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mechscope.arguments import shown


def merge_in_line(line: str, vocab: Collection[str], where: str) -> tuple[str, str]:
    """The two tokens that a line joins. They are checked here, because the library panics if the result is no token.

    Args:
        where: the file and the line, for the error.

    Raises:
        ValueError: if the line does not join two tokens of the vocabulary into a third.
    """
    left, space, right = line.partition(" ")
    # Written out, because a vocabulary has 50,000 to 500,000 merges.
    if not space or " " in right or left not in vocab or right not in vocab or left + right not in vocab:
        raise ValueError(f"{where} should join two tokens into a third, not {shown(line)}.")
    return left, right


def merges_by_score(
    pieces: Iterable[tuple[int, str, float]], vocab: Collection[str]
) -> list[tuple[str, str]]:
    """All pairs of tokens that join into a piece, those of the best score first.

    Args:
        pieces: (index, spelling, score) of each piece.
    """
    ranked = [
        (-score, index, spelling[:cut], spelling[cut:])
        for index, spelling, score in pieces
        for cut in range(1, len(spelling))
        if spelling[:cut] in vocab and spelling[cut:] in vocab
    ]
    return [(left, right) for _, _, left, right in sorted(ranked)]
