"""Make what the family shares: `python -m mechscope.recipes.family.prepare` trains the tokenizer, sets text aside.

These files come with the package and need not be made again; another tokenizer makes all trained members useless.
"""

from __future__ import annotations

from pathlib import Path

import torch

from mechscope.data.books import books_archive, read_books
from mechscope.data.byte_pairs import train_byte_pairs
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.recipes.family.config import FamilyConfig
from mechscope.recipes.family.corpus import (
    HELD_OUT_BOOKS,
    load_corpus,
    tokenize,
    training_texts,
)
from mechscope.recipes.family.package_files import (
    FOLDER,
    HELD_OUT,
    HeldOut,
    count_baselines,
    write_held_out,
)

ROWS = 384
"""Held-out sequences of each kind."""


def prepare(folder: Path = FOLDER) -> None:
    """Write the tokenizer and the held-out text with its n-gram baselines.

    Raises:
        FileNotFoundError: if the books are out of reach, with what to do.
    """
    config = FamilyConfig("attn-only", 2)
    books, code = training_texts(config)
    # As much code as books, or the merges would all be prose.
    characters = sum(map(len, code.values()))
    prose = "".join(text[: 2 * characters // len(books)] for text in books.values())[:characters]
    tokenizer = train_byte_pairs([prose, *code.values()], config.d_vocab)
    tokenizer.model_max_length = config.n_ctx
    tokenizer.save_pretrained(folder)
    every_book, every_module = read_books(books_archive()), read_standard_library()
    sources = {
        "books": {name: every_book[name] for name in HELD_OUT_BOOKS},
        "code": {name: every_module[name] for name in HELD_OUT_CODE},
    }
    rows = {}
    for kind, texts in sources.items():
        # From the middle of each: beginnings are titles and licences.
        share = ROWS // len(texts)
        for text in texts.values():
            middle = text[len(text) // 4 : len(text) // 4 + share * (config.n_ctx - 1) * 6]
            stream = tokenize({"": middle}, tokenizer)[1 : 1 + share * (config.n_ctx - 1)]
            cut = stream[: len(stream) // (config.n_ctx - 1) * (config.n_ctx - 1)].view(-1, config.n_ctx - 1)
            rows.setdefault(kind, []).append(torch.cat([cut.new_zeros(len(cut), 1), cut], 1).long())
    held = {kind: torch.cat(parts) for kind, parts in rows.items()}
    corpus = load_corpus(config, tokenizer)
    about = {
        "books": ", ".join(HELD_OUT_BOOKS),
        "code": ", ".join(HELD_OUT_CODE),
        "python": corpus.python,
        "checksum": corpus.checksum,
        "licences": "books: public domain; code: Python Software Foundation License",
    }
    baselines = count_baselines(corpus.rows(config.n_ctx), held, config.d_vocab)
    write_held_out(folder / HELD_OUT, HeldOut(held, baselines, about))


if __name__ == "__main__":
    prepare()
