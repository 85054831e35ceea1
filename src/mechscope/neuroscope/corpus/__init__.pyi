from .documents import Document as Document
from .documents import cut_into_documents as cut_into_documents
from .given_texts import corpus_of_texts as corpus_of_texts
from .named_texts import NAMED_CORPORA as NAMED_CORPORA
from .opening import Corpus as Corpus
from .opening import open_corpus as open_corpus
