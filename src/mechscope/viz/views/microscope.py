"""A model under the microscope, in a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from mechscope.arguments import checked_arguments, shown
from mechscope.model.transformer import HookedTransformer
from mechscope.viz.colour_scale import scale_for
from mechscope.viz.views._pictures import number_text, paragraph, tokens_picture
from mechscope.viz.views.logprobs import logprobs
from mechscope.viz.views.view import View

EXACT_BYTES = 32_000_000
"""Weights up to this size go to the browser in float32; larger ones in float16."""
LARGEST_BYTES = 150_000_000
"""Weights that are larger than this in float16 do not go to the browser."""
OPTIONS = ("bos_token", "eos_token", "unk_token")


class MicroscopeView(View):
    """A model, a text, and interventions. Made by `mechscope.viz.microscope`."""

    @property
    def interventions(self) -> list[dict[str, Any]]:
        """The interventions on the screen, in order, such as {"kind": "ablate_head", "layer": 1, "head": 3}."""
        return [dict(one) for one in self.selected("interventions")]

    @property
    def python(self) -> str:
        """Code that reproduces what is on the screen; empty before the view was shown."""
        return self.selected("python")

    @property
    def token_ids(self) -> list[int]:
        """The token ids of the text on the screen."""
        return list(self.selected("token_ids"))

    @property
    def position(self) -> int:
        """The position that the reader looks from."""
        return self.selected("position")


@checked_arguments
def microscope(model: HookedTransformer, prompt: str, other: str | None = None) -> MicroscopeView:
    """The microscope of the web lab on a model of yours: the browser itself runs the model.

    The weights go to the browser: in float32 up to 32 MB, in float16 up to 150 MB. A saved notebook does not keep them
    unless they are small; it keeps the text with its losses and the next token.

    Args:
        model: with a tokenizer.
        prompt: the text to begin with.
        other: a second text to compare it with; the same if omitted.

    Raises:
        ValueError: for a model that is too large, or has no tokenizer of ours; for a text that is longer than its
            context.
    """
    tokenizer = model.tokenizer
    if tokenizer is None or not hasattr(tokenizer, "backend"):
        raise ValueError(
            "the microscope needs the model's own tokenizer (mechscope.Tokenizer), to read what you type, and this "
            f"model has {'none' if tokenizer is None else shown(tokenizer)}; model.set_tokenizer sets it."
        )
    count = sum(tensor.numel() for tensor in model.state_dict().values())
    if 2 * count > LARGEST_BYTES:
        raise ValueError(
            f"{model.cfg.model_name} has {2 * count / 1e6:.0f} MB of weights in float16, and the browser runs up to "
            f"{LARGEST_BYTES / 1e6:.0f} MB; run `mechscope serve`, whose pages let the server run larger models."
        )
    # What is wrong with the text, and the numbers of the picture, before anything is sent.
    losses = logprobs(model, prompt)
    if other is not None:
        logprobs(model, other)
    dtype = torch.float32 if 4 * count <= EXACT_BYTES else torch.float16
    state = {
        name: tensor.detach().cpu().to(dtype).contiguous().clone()
        for name, tensor in model.state_dict().items()
    }
    props = {
        "config": {**model.cfg.to_json_dict(), "device": None},
        "tokenizer": json.loads(tokenizer.backend.to_str()),
        "tokenizer_config": {name: getattr(tokenizer, name) for name in OPTIONS if getattr(tokenizer, name)},
        "prompt": prompt,
        "other": prompt if other is None else other,
        "prepend_bos": bool(model.cfg.default_prepend_bos),
        "picture": losses.props["samples"][0],
        "next": _next_tokens(model, prompt),
    }
    selection = {
        "interventions": [],
        "token_ids": model.to_tokens(prompt)[0].tolist(),
        "position": len(losses.props["samples"][0]["tokens"]) - 1,
        "python": "",
    }
    arrays = {"weights": np.frombuffer(save(state), dtype=np.uint8)}
    words = f"microscope on {model.cfg.model_name}"
    return MicroscopeView("microscope", props, arrays, selection, _picture, words)


def _next_tokens(model: HookedTransformer, prompt: str, k: int = 10) -> list[list[Any]]:
    with torch.no_grad():
        best = model(prompt)[0, -1].float().softmax(-1).topk(k)
    names = model.to_str_tokens(best.indices.cpu())
    return [[name, value] for name, value in zip(names, best.values.tolist(), strict=True)]


def _picture(props: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    sample = props["picture"]
    losses = np.array([np.nan if one is None else -one for one in sample["logprobs"]], dtype=np.float32)
    best = ", ".join(f"“{name}” {number_text(100 * share)} %" for name, share in props["next"])
    return (
        paragraph(f"{props['config']['model_name']}: the loss on each token, in nats")
        + tokens_picture(sample["tokens"], losses, scale_for(losses), unit="nats", line_breaks=True)
        + paragraph(f"Likeliest next tokens: {best}")
    )
