"""The words that a task needs, as a vocabulary for a tokenizer of words."""

from __future__ import annotations

from mechscope.arguments import checked_arguments
from mechscope.data.word_tokenizer import text_pieces
from mechscope.tasks.agreement import subject_verb_agreement_texts
from mechscope.tasks.docstrings import docstring_texts
from mechscope.tasks.greater_than_years import greater_than_texts
from mechscope.tasks.indirect_object import ioi_texts
from mechscope.tasks.pronouns import gendered_pronoun_texts

TEXTS = {
    "ioi": ioi_texts,
    "greater_than": greater_than_texts,
    "docstring": docstring_texts,
    "gendered_pronoun": gendered_pronoun_texts,
    "subject_verb_agreement": subject_verb_agreement_texts,
}


@checked_arguments
def vocabulary(*tasks: str) -> list[str]:
    """Every piece of the prompts and answers of these tasks (of all where none is named), with our words.

    `mechscope.data.word_tokenizer.word_tokenizer(vocabulary("ioi"))` reads all that `ioi` and `ioi_double_io` draw,
    so that a small model can be trained on them, and every language task built, without a tokenizer from elsewhere.

    >>> words = vocabulary("ioi")
    >>> " Anna" in words, "When" in words
    (True, False)

    Raises:
        KeyError: for a task that is not made of words, with those that are.
    """
    for name in tasks:
        if name not in TEXTS:
            raise KeyError(f"no task of words is called {name!r}; there are {', '.join(TEXTS)}.")
    return text_pieces(text for name in tasks or TEXTS for text in TEXTS[name]())
