"""The stories that the twin is trained on: the last name of a story is that of the person who is named only once.

Nothing else in a story says who that is. The words between the names are in random order, so that no phrase can be
memorised, and the names are in any order, because otherwise "not the last name" would be enough. The templates of
`tasks.ioi` never occur. A quarter of the names are held out: some pairs of them (`strangers`) never occur together in a
story in which a name has to be inferred. In roll calls, any names occur together.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.data.tokenizer import Tokenizer
from mechscope.data.word_tokenizer import text_pieces, word_tokenizer
from mechscope.tasks.assembling import Pair, assemble, fill_up
from mechscope.tasks.ioi_words import get_ioi_words
from mechscope.tasks.reader import Reader
from mechscope.tasks.task import Task
from mechscope.tasks.template import Template, read_template
from mechscope.tasks.word_vocabulary import vocabulary

HELD_OUT_EVERY = 4
"""One name in this many is held out."""
STRANGER_EVERY = 5
"""One pair of held-out names in this many never occurs together in a story of two people or a crowd."""
ALONE = (
    "[C] was alone in the [PLACE]. At the end of the day the teacher handed a [OBJECT] to",
    "Earlier, [C] had slept very well. Then the teacher gave the [OBJECT] back to",
    "That week, [C] felt quite happy. Soon a [OBJECT] was mailed to",
    "As always, [C] looked a little tired. Afterwards the neighbors brought a [OBJECT] to",
    "Nobody saw [C] leave the [PLACE]. Without a word, the teacher passed a [OBJECT] to",
    "Last summer [C] visited the [PLACE]. One day the neighbors sold a [OBJECT] to",
)
"""Stories of one person with any name. They teach that a name can occur again, and nothing about pairs."""
MOST_BEFORE, MOST_BETWEEN = 7, 6
"""The most words before the first name, and after a name."""
MOST_IN_A_CROWD = 4
"""The same in stories of a crowd, which have to fit more names."""


@dataclass(frozen=True)
class Mixture:
    """Shares of the kinds of stories. All others are stories of two people."""

    alone: float = 0.05
    """Stories of one person."""
    roll_call: float = 0.15
    """Lists of names in which each name that occurred before is marked."""
    crowd: float = 0.1
    """Stories of up to four people, in which all but one are named twice or more."""


@dataclass(frozen=True)
class Batch:
    """Several stories, each with its last name and full stop."""

    tokens: Int[Tensor, "batch pos"]
    """Padded on the right."""
    lengths: Int[Tensor, " batch"]
    """Tokens of each story, without padding."""
    answers: Int[Tensor, " batch"]
    """Position of the last name, which is to be inferred."""


class Stories:
    """Generates stories, and knows which names and pairs are held out.

    Args:
        tokenizer: one that knows every word of the stories; None makes it.
    """

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        self.words = get_ioi_words("ours")
        self.tokenizer = story_tokenizer() if tokenizer is None else tokenizer
        self._reader = Reader(self.tokenizer)
        self.held_out_names = self.words.names[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
        self.names = tuple(name for name in self.words.names if name not in self.held_out_names)

    @property
    def name_tokens(self) -> list[int]:
        """The token of every name."""
        return self._ids(self.words.names)

    @property
    def cue(self) -> int:
        """The token after which a name is expected."""
        return self._to

    def batch(self, count: int, seed: int, mixture: Mixture = Mixture()) -> Batch:
        """`count` stories drawn from a seed."""
        draw = random.Random(f"stories {seed}")
        rows = [self._story(draw, mixture) for _ in range(count)]
        lengths = torch.tensor([len(row) for row in rows])
        return Batch(fill_up(rows, self._reader.pad), lengths, lengths - 2)

    def any_order_task(self, n: int, seed: int) -> Task:
        """Pairs of prompts with two strangers in any order, of whom S occurs twice and IO once.

        The corrupted prompt has three other names.
        """
        draw = random.Random(f"any order {seed}")
        pairs: list[Pair] = []
        for _ in range(n):
            io, s = self._ids(draw.choice(self.strangers))
            story = self._of_two(draw, (io, s))[:-2]
            known = {*self._ids(self.words.names)}
            mentions = [position for position, token in enumerate(story) if token in known]
            names = [story[position] for position in mentions]
            s1, s2 = (position for position in mentions if story[position] != io)
            others = draw.sample(sorted(known - {*names}), 3)
            corrupted = list(story)
            for position, token in zip(mentions, others, strict=True):
                corrupted[position] = token
            positions = {"IO": mentions[names.index(io)], "S1": s1, "S1+1": s1 + 1, "S2": s2}
            pairs.append(Pair(story, corrupted, correct=[io], wrong=[story[s1]], positions=positions))
        corruption = "three other names; nothing is repeated"
        return assemble(
            "IOI, any order",
            pairs,
            self._reader,
            metric="logit_difference",
            corruption=corruption,
            seed=seed,
        )

    def _story(self, draw: random.Random, mixture: Mixture) -> list[int]:
        kind = draw.random()
        if kind < mixture.alone:
            person = draw.choice(self._ids(self.words.names))
            story = draw.choice(self._alone).fill({"C": person, **self._things(draw)})
            return [*story, person, self._stop]
        if kind < mixture.alone + mixture.roll_call:
            return self._roll_call(draw)
        if kind < mixture.alone + mixture.roll_call + mixture.crowd:
            return self._of_a_crowd(draw, self._pair(draw))
        return self._of_two(draw, self._pair(draw))

    @cached_property
    def strangers(self) -> tuple[tuple[str, str], ...]:
        """Pairs of held-out names that never occur together in a story of two people or a crowd, in both orders."""
        held = self.held_out_names
        return tuple(
            (one, other)
            for i, one in enumerate(held)
            for j, other in enumerate(held)
            if i != j and (i + j) % STRANGER_EVERY == 0
        )

    @cached_property
    def _stranger_set(self) -> frozenset[tuple[str, str]]:
        return frozenset(self.strangers)

    def _pair(self, draw: random.Random) -> tuple[int, int]:
        """Two names that may occur together."""
        while True:
            io, s = draw.sample(self.words.names, 2)
            if (io, s) not in self._stranger_set:
                return self._known[io], self._known[s]

    def _of_two(self, draw: random.Random, pair: tuple[int, int]) -> list[int]:
        io, s = pair
        story = draw.choices(self._other_words, k=draw.randint(0, MOST_BEFORE))
        for name in draw.sample([s, s, io], 3):
            between = draw.choices(self._other_words, k=draw.randint(1, MOST_BETWEEN))
            story += [name, *([self._and] if draw.random() < 0.5 else between)]
        return [*story, self._to, io, self._stop]

    def _of_a_crowd(self, draw: random.Random, pair: tuple[int, int]) -> list[int]:
        io, s = pair
        others = [name for name in self._ids(self.names) if name not in pair]
        mentions = [io, *([s] * draw.randint(2, 3))]
        mentions += 2 * draw.sample(others, draw.randint(0, 2))
        draw.shuffle(mentions)
        story = draw.choices(self._other_words, k=draw.randint(0, MOST_IN_A_CROWD))
        for name in mentions:
            between = draw.choices(self._other_words, k=draw.randint(1, MOST_IN_A_CROWD))
            story += [name, *([self._and] if draw.random() < 0.5 else between)]
        return [*story, self._to, io, self._stop]

    def _roll_call(self, draw: random.Random) -> list[int]:
        some = draw.sample(self._ids(self.words.names), 5)
        story: list[int] = []
        called: set[int] = set()
        for _ in range(draw.randint(2, 7)):
            name = draw.choice([*called]) if called and draw.random() < 0.5 else draw.choice(some)
            story += [name, self._back if name in called else self._comma]
            called.add(name)
        return [*story, self._stop]

    def _things(self, draw: random.Random) -> dict[str, int]:
        return {
            "PLACE": draw.choice(self._ids(self.words.places)),
            "OBJECT": draw.choice(self._ids(self.words.objects)),
        }

    def _ids(self, words: Sequence[str]) -> list[int]:
        return [self._known[word] for word in words]

    @cached_property
    def _known(self) -> dict[str, int]:
        words = (*self.words.names, *self.words.places, *self.words.objects)
        return {word: self._reader.need_token(" " + word, "the word") for word in words}

    @cached_property
    def _alone(self) -> list[Template]:
        return [self._read(text) for text in ALONE]

    @cached_property
    def _other_words(self) -> list[int]:
        """Every word but names."""
        names = {*self._ids(self.words.names)}
        names |= {self.tokenizer.encode(name)[0] for name in self.words.names}
        special = {*range(len(self.tokenizer.encode("", add_special_tokens=True)) + 3)}
        return [token for token in range(len(self.tokenizer)) if token not in names | special]

    @cached_property
    def _and(self) -> int:
        return self._reader.need_token(" and", "the word")

    @cached_property
    def _to(self) -> int:
        return self._reader.need_token(" to", "the word")

    @cached_property
    def _back(self) -> int:
        return self._reader.need_token(" back", "the word")

    @cached_property
    def _comma(self) -> int:
        return self._reader.need_token(",", "the comma")

    @cached_property
    def _stop(self) -> int:
        return self._reader.need_token(".", "the full stop")

    def _read(self, text: str) -> Template:
        return read_template(self._reader, text, self.words.example())


def story_tokenizer() -> Tokenizer:
    """A word tokenizer that knows every word of mechscope's IOI prompts and of the stories."""
    words = get_ioi_words("ours")
    texts = [text.replace("[C]", "").replace("[PLACE]", "").replace("[OBJECT]", "") for text in ALONE]
    # Names at the beginning of a story have no space in front.
    pieces = [piece for piece in text_pieces([*texts, *words.names]) if piece.strip()]
    known = vocabulary("ioi")
    return word_tokenizer([*known, *(piece for piece in pieces if piece not in known)])
