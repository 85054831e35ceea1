"""The measures of claims 4.1 to 4.13 on GPT-2 small, or on any model of its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.data.word_lists import PUBLISHED_IOI
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.heads import GPT2_CLASSES
from mechscope.labs.ioi.published import (
    acdc_measures,
    check_heads,
    published_measures,
    second_mention_measures,
)
from mechscope.storage.folders import data_folder
from mechscope.tasks.indirect_object import ioi, ioi_double_io
from mechscope.tasks.ioi_words import get_ioi_words
from mechscope.tasks.reader import Reader

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

FEWEST_NAMES = 20
"""The fewest names that copy scores are computed from."""


def which_words() -> str:
    """ "published" if the data folder has the paper's word lists, else "ours"."""
    folder = data_folder()
    return "published" if folder is not None and (folder / PUBLISHED_IOI).is_file() else "ours"


def name_tokens(model: HookedTransformer, words: str = "ours") -> list[int]:
    """Tokens of the names that this model knows as single tokens.

    Raises:
        ValueError: for a model without a tokenizer, or one that knows too few.
    """
    return list(Reader(model).words(get_ioi_words(words).names, "names", FEWEST_NAMES).values())


def gpt2_measures(
    model: HookedTransformer, config: IOIConfig, seed: int, *, acdc: bool = False, memory: int | None = None
) -> dict[str, float]:
    """All measures of claims 4.1 to 4.13, on a model with GPT-2 small's heads and a tokenizer.

    Args:
        acdc: search with ACDC too, which needs a GPU.

    Raises:
        ValueError: for a model that lacks heads or single-token names; raised before any work.
    """
    check_heads(model, GPT2_CLASSES)
    words = which_words()
    names = name_tokens(model, words)
    count = config.gpt2_judged_prompts
    # The published numbers were measured without a BOS token.
    task = ioi(model, config.gpt2_prompts, seed, words=words, prepend_bos=False)  # type: ignore[arg-type]
    judged = ioi(model, count, seed + 1000, words=words, prepend_bos=False)  # type: ignore[arg-type]
    misled, control = (
        ioi_double_io(model, count, seed, mention=mention, words="ours", prepend_bos=False)
        for mention in ("IO", "S")
    )
    found = published_measures(model, task, judged, names, draws=config.null_draws, seed=seed, memory=memory)
    found |= second_mention_measures(model, misled, control)
    return found | (acdc_measures(model, task) if acdc else {})
