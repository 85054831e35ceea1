"""Guess how long a corpus is without reading it, to say how much time is left."""

from __future__ import annotations

from pathlib import Path

from mechscope.neuroscope.corpus.data_sets import is_saved_data_set
from mechscope.neuroscope.corpus.named_texts import NAMED_CORPORA, named_texts
from mechscope.neuroscope.corpus.opening import Corpus, is_read
from mechscope.neuroscope.corpus.text_files import files_below


def about_how_many_characters(corpus: Corpus) -> int | None:
    """The number of characters, from the sizes of the files; None if a part is a data set, whose size is not known."""
    total = 0
    for name in corpus.names:
        path = Path(name).expanduser()
        if name in NAMED_CORPORA:
            total += sum(len(text) for _, text in named_texts(name))
        elif is_saved_data_set(path) or not path.exists():
            return None
        elif path.is_dir():
            total += sum(
                file.stat().st_size for file in files_below(path) if is_read(file) and file.is_file()
            )
        else:
            total += path.stat().st_size
    return total
