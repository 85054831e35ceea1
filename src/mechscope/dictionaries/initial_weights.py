"""The weights before the first step: random directions, and an encoder that is the decoder's transpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechscope.dictionaries.seeding import normal_rows

if TYPE_CHECKING:
    from mechscope.dictionaries.dictionary_weights import DictionaryWeights


@torch.no_grad()
def draw_directions(dictionary: DictionaryWeights, generator: torch.Generator) -> None:
    """Fill encoder and decoder; what a transcoder reads is drawn by itself."""
    _draw_rows(dictionary, dictionary.W_dec, generator)
    if dictionary.cfg.transcodes:
        _draw_rows(dictionary, dictionary.W_enc.T, generator)
    else:
        dictionary.W_enc.copy_(dictionary.W_dec.T)


def _draw_rows(dictionary: DictionaryWeights, rows: Tensor, generator: torch.Generator) -> None:
    """Fill the rows of the features held here, from what is drawn for all: the same with any number of ranks."""
    mine, begin = dictionary.mine, 0
    for drawn in normal_rows(dictionary.cfg.d_sae, rows.shape[1], generator):
        first, last = max(begin, mine.start), min(begin + len(drawn), mine.stop)
        if first < last:
            some = drawn[first - begin : last - begin]
            some = some / some.norm(dim=-1, keepdim=True) * dictionary.cfg.decoder_start_norm
            rows[first - mine.start : last - mine.start] = some
        begin += len(drawn)
