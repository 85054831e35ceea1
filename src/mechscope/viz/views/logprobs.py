"""Texts with the probability that a model gave to each token, as an interactive view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mechscope.arguments import checked_arguments, shown
from mechscope.viz.colour_scale import scale_for
from mechscope.viz.views._pictures import number_text, paragraph, tokens_picture
from mechscope.viz.views.view import View


class LogprobsView(View):
    """Texts with log-probabilities. Made by `mechscope.viz.logprobs`."""

    @property
    def selected_token(self) -> tuple[int, int] | None:
        """The text and the position of the token that was clicked last, or None."""
        place = self.selected("selected_token")
        return None if place is None else (place[0], place[1])

    @selected_token.setter
    def selected_token(self, place: tuple[int, int] | None) -> None:
        if place is not None:
            text, position = place
            samples = self.props["samples"]
            if not (0 <= text < len(samples) and 0 <= position < len(samples[text]["tokens"])):
                raise ValueError(
                    f"there is no token {position} in text {text}; the view has {len(samples)} texts."
                )
        self.select("selected_token", None if place is None else list(place))


@checked_arguments
def logprobs(
    model: Any,
    texts: Any,
    *,
    logits: Any = None,
    names: Sequence[str] | None = None,
    k: int = 5,
    line_breaks: bool = True,
) -> LogprobsView:
    """Texts coloured by the probability that a model gave to each token, with its rank and what was likelier.

    Args:
        model: gives the tokens of a text, and runs on it if there are no logits.
        texts: one text or token ids [pos], or a list of texts or of ids.
        logits: logits or log-probabilities [pos d_vocab] for one text, such as those of a run with interventions; a
            list of them for several; None runs the model.
        names: headings of the texts.
        k: how many of the likeliest tokens to list in each place.
        line_breaks: break the line after tokens that end with a line break.

    Raises:
        ValueError: for logits or names that do not fit the texts, NaN, no texts, or a text of one token.
    """
    several = isinstance(texts, (list, tuple)) and bool(texts) and not isinstance(texts[0], int)
    given = list(texts) if several else [texts]
    found = list(logits) if several and logits is not None else [logits] * len(given)
    if len(found) != len(given):
        raise ValueError(f"there are logits for {len(found)} texts, and {len(given)} texts.")
    if names is not None and len(names) != len(given):
        raise ValueError(f"there are {len(names)} names for {len(given)} texts; give one for each.")
    if isinstance(texts, (list, tuple)) and not texts:
        raise ValueError("there are no texts, so there is nothing to show.")
    samples = [_sample(model, text, one, k) for text, one in zip(given, found, strict=True)]
    for index, sample in enumerate(samples):
        if names is not None or len(samples) > 1:
            sample["name"] = f"Text {index + 1}" if names is None else names[index]
    props = {"samples": samples, "lineBreaks": line_breaks}
    count = sum(len(sample["tokens"]) for sample in samples)
    words = f"log-probabilities of {count} tokens in {len(samples)} text{'s' * (len(samples) != 1)}"
    return LogprobsView("logprobs", props, {}, {"selected_token": None}, _picture, words)


def _sample(model: Any, text: Any, logits: Any, k: int) -> dict[str, Any]:
    """Tokens, log-probabilities, ranks and the k likeliest alternatives of one text."""
    ids = (
        model.to_tokens(text, truncate=False)[0] if isinstance(text, str) else torch.as_tensor(text).squeeze()
    )
    if ids.ndim != 1 or len(ids) < 2:
        raise ValueError(
            f"a text needs at least two tokens, of which the first predicts the second; {shown(text)} has "
            f"{ids.numel()}."
        )
    with torch.no_grad():
        scores = model(ids[None])[0] if logits is None else torch.as_tensor(logits).squeeze(0)
        if scores.ndim != 2 or len(scores) != len(ids):
            raise ValueError(
                f"logits must be [pos d_vocab] with {len(ids)} positions, one per token, not {tuple(scores.shape)}."
            )
        if bool(scores.isnan().any()):
            raise ValueError("the logits have NaN; check how they were computed.")
        log_probs = scores[:-1].float().log_softmax(-1).cpu()  # of log-probabilities, these are themselves
    ids = ids.cpu()
    own = log_probs.gather(-1, ids[1:, None])
    best = log_probs.topk(min(k, log_probs.shape[-1]))
    alternatives = [
        [
            {"token": name, "logprob": round(value, 5)}
            for name, value in zip(model.to_str_tokens(row), values, strict=True)
        ]
        for row, values in zip(best.indices, best.values.tolist(), strict=True)
    ]
    return {
        "tokens": model.to_str_tokens(ids),
        "logprobs": [None, *[round(value, 6) for value in own[:, 0].tolist()]],
        "ranks": [None, *(log_probs > own).sum(-1).tolist()],
        "alternatives": [[], *alternatives],
    }


def _picture(props: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    parts: list[str] = []
    for sample in props["samples"]:
        if "name" in sample:
            parts.append(paragraph(sample["name"]))
        known = np.array([np.nan if one is None else one for one in sample["logprobs"]], dtype=np.float32)
        probabilities = np.exp(known)
        titles = ["nothing before it predicts it"] + [
            f"probability {number_text(float(p))}, rank {rank + 1}"
            for p, rank in zip(probabilities[1:], sample["ranks"][1:], strict=True)
        ]
        scale = scale_for(probabilities)
        text = tokens_picture(
            sample["tokens"], probabilities, scale, titles=titles, line_breaks=props["lineBreaks"]
        )
        mean = paragraph(f"Mean log-probability: {number_text(float(np.nanmean(known)))} nats per token.")
        parts.append(text + mean)
    return "".join(parts)
