"""Does the model know the answer? Its rank, logit and probability after a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mechscope.arguments import checked_arguments
from mechscope.model.loss import check_predictable
from mechscope.model.precision import at_least_float32

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class RankedToken:
    """One candidate for the next token."""

    text: str
    """The token as a string."""
    rank: int
    """How many tokens are likelier (0 for the likeliest)."""
    logit: float
    """Its logit."""
    probability: float
    """Its probability."""

    def __str__(self) -> str:
        return f"rank {self.rank:<5} logit {self.logit:6.2f}   prob {self.probability:7.2%}   |{self.text}|"


@dataclass(frozen=True)
class AnswerTest:
    """One answer: each of its tokens, and the likeliest tokens at the same position."""

    answer: str
    """The answer as text."""
    tokens: tuple[RankedToken, ...]
    """Each token of the answer, ranked after the prompt and the tokens before it."""
    top: tuple[tuple[RankedToken, ...], ...]
    """For each token of the answer, the likeliest tokens at its position."""


@dataclass(frozen=True)
class PromptTest:
    """The result of `test_prompt`; `print` shows it as a table."""

    prompt_tokens: tuple[str, ...]
    """The tokens of the prompt as strings."""
    answers: tuple[AnswerTest, ...]
    """One entry per answer."""

    def __str__(self) -> str:
        lines = [f"prompt: {list(self.prompt_tokens)}"]
        for answer in self.answers:
            lines.append(f"answer: {[token.text for token in answer.tokens]}")
            for token, top in zip(answer.tokens, answer.top, strict=True):
                lines.append(f"  {token}   <- answer")
                lines += [f"    {candidate}" for candidate in top]
        return "\n".join(lines)

    __repr__ = __str__


@checked_arguments
def test_prompt(
    prompt: str,
    answer: str | list[str],
    model: HookedTransformer,
    prepend_space_to_answer: bool = True,
    print_details: bool = True,
    prepend_bos: bool | None = None,
    top_k: int = 10,
) -> PromptTest:
    """How likely the model finds an answer (or several) after a prompt.

    Args:
        prompt: the text before the answer.
        answer: the answer, or several to compare; each token of an answer is ranked after the tokens before it.
        model: the model to test.
        prepend_space_to_answer: start the answer with a space, as most words do.
        print_details: also print the result.
        prepend_bos: whether the prompt starts with the beginning-of-sequence token.
        top_k: how many of the likeliest tokens to show.

    Raises:
        ValueError: without a tokenizer, or for an empty answer.
    """
    answers = [answer] if isinstance(answer, str) else list(answer)
    if not answers or not all(answers):
        raise ValueError(f"give an answer that is not empty, not {answer!r}.")
    if top_k < 0:
        raise ValueError(f"top_k is the number of likeliest tokens to show, at least 0, not {top_k}.")
    prompt_ids = model.to_tokens(prompt, prepend_bos=prepend_bos)
    results = []
    for text in answers:
        if prepend_space_to_answer and not text.startswith(" "):
            text = f" {text}"
        answer_ids = model.to_tokens(text, prepend_bos=False)
        check_predictable(answer_ids, model.cfg.d_vocab_out)
        with torch.no_grad():
            logits = model(torch.cat([prompt_ids, answer_ids], dim=1))[0, prompt_ids.shape[1] - 1 : -1]
        results.append(_answer_test(model, text, answer_ids[0].tolist(), logits, top_k))
    prompt_texts = model.to_str_tokens(prompt, prepend_bos=prepend_bos)
    found = PromptTest(tuple(str(part) for part in prompt_texts), tuple(results))
    if print_details:
        print(found)  # noqa: T201 - to print is what this function is for
    return found


test_prompt.__test__ = False  # type: ignore[attr-defined] - pytest must not collect it


def _answer_test(
    model: HookedTransformer, text: str, ids: list[int], logits: torch.Tensor, top_k: int
) -> AnswerTest:
    tokens, top = [], []
    for token_id, row in zip(ids, logits, strict=True):
        row = at_least_float32(row)
        probabilities = row.softmax(-1)

        def ranked(
            candidate: int, row: torch.Tensor = row, probs: torch.Tensor = probabilities
        ) -> RankedToken:
            return RankedToken(
                model.to_single_str_token(candidate),
                int((row > row[candidate]).sum()),
                float(row[candidate]),
                float(probs[candidate]),
            )

        tokens.append(ranked(token_id))
        best = row.topk(min(top_k, len(row))).indices.tolist()
        top.append(tuple(ranked(candidate) for candidate in best))
    return AnswerTest(text, tuple(tokens), tuple(top))
