"""A tokenizer of single letters with the Hugging Face interface, small enough to check by eye."""

from __future__ import annotations

from collections.abc import Iterable


class Letters:
    """Ids: 0 is the beginning (and, as in GPT-2, also end and padding), 1 to 26 the letters, 27 a space."""

    alphabet = "^abcdefghijklmnopqrstuvwxyz "

    def __init__(
        self,
        padding_side: str = "right",
        prepends_bos: bool = False,
        apart: bool = False,
        appends_eos: bool = False,
    ) -> None:
        self.padding_side = padding_side
        self.prepends_bos = prepends_bos
        self.appends_eos = appends_eos
        self.bos_token = self.eos_token = self.pad_token = "^"
        self.bos_token_id = 0
        self.eos_token_id = self.pad_token_id = 28 if apart else 0

    def __len__(self) -> int:
        return 30

    def encode(self, text: str) -> list[int]:
        ids = [self.alphabet.index(letter) for letter in text]
        return [*[0] * self.prepends_bos, *ids, *[self.eos_token_id] * self.appends_eos]

    def decode(
        self,
        ids: Iterable[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,
    ) -> str:
        letters = ["" if skip_special_tokens and i in (0, 28) else (self.alphabet + "#?")[i] for i in ids]
        return "".join(letters)
