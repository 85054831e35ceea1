"""The text that a harvest reads: named texts, files, folders, JSON Lines and Hugging Face data sets, as a stream."""

from __future__ import annotations

from mechscope.neuroscope.corpus.documents import Document, cut_into_documents
from mechscope.neuroscope.corpus.named_texts import NAMED_CORPORA
from mechscope.neuroscope.corpus.opening import Corpus, open_corpus

__all__ = ["NAMED_CORPORA", "Corpus", "Document", "cut_into_documents", "open_corpus"]
