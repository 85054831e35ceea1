"""The words that a task needs, as a vocabulary for a word tokenizer."""

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
    """Every piece of the prompts and answers of the named tasks (of all tasks if none is named), with our words.

    `mechscope.data.word_tokenizer.word_tokenizer(vocabulary("ioi"))` can encode every prompt of `ioi` and
    `ioi_double_io`, so a small model can be trained on them without downloading a tokenizer.

    >>> words = vocabulary("ioi")
    >>> " Anna" in words, "When" in words
    (True, False)

    Raises:
        KeyError: for an unknown task or one without words; lists the tasks made of words.
    """
    for name in tasks:
        if name not in TEXTS:
            raise KeyError(f"there is no task made of words called {name!r}; choose from {', '.join(TEXTS)}.")
    return text_pieces(text for name in tasks or TEXTS for text in TEXTS[name]())
