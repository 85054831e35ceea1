"""The language model that dictionaries are trained on, its text, and its neurons."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.registry import bundled_names
from mechscope.checkpoints.weights_checksum import bundled_checksum
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.dictionaries.evaluation import read_activations
from mechscope.labs.sae.config import TextConfig
from mechscope.model.transformer import HookedTransformer

HOOK = "blocks.0.mlp.hook_post"
"""Where dictionaries read and write: the neurons of the first MLP, after their nonlinearity."""


@dataclass(frozen=True)
class Texts:
    """Sequences of BOS and a full context."""

    train: Int[Tensor, "train pos"]
    """What dictionaries learn from."""
    test: Int[Tensor, "test pos"]
    """What they are evaluated on."""
    comment: Bool[Tensor, "test pos"]
    """In `test`: whether a token begins inside a comment, after a # in its line."""


def why_no_model(config: TextConfig) -> str | None:
    """Why the language model cannot be loaded, in words; None if it can."""
    if config.model in bundled_names():
        return None
    return f"this installation comes without {config.model}; train it with `mechscope models train {config.model}`"


def partner_of(config: TextConfig) -> str | None:
    """The first model of `config.partners` that is bundled; None if none is."""
    return next((name for name in config.partners if name in bundled_names()), None)


def describe_text(config: TextConfig) -> str:
    """The models and the text that would be read, in words. Other weights give other words."""
    missing = why_no_model(config)
    if missing:
        return f"{missing} (claims 5.3 to 5.9 are not run)"
    names = [config.model, *([partner] if (partner := partner_of(config)) else [])]
    sums = [f"{name} (sha256 {bundled_checksum(name)}…)" for name in names]
    return f"{' and '.join(sums)} on the standard library of Python {platform.python_version()}"


def load_language_model(name: str, device: torch.device) -> HookedTransformer:
    """A bundled model, in evaluation mode."""
    return load_model(name).to(device).eval()


def read_texts(model: HookedTransformer, config: TextConfig, seed: int) -> Texts:
    """Python's standard library as sequences of tokens; the seed decides which ones are trained on.

    Raises:
        ValueError: for a model without a tokenizer.
    """
    library = read_standard_library()
    width = model.cfg.n_ctx - 1
    held_out = "\n".join(library.pop(name) for name in HELD_OUT_CODE)
    test = tokens_of(model, held_out)
    inside = inside_comment(_pieces(model, test))
    rows = min(config.test_rows, len(test) // width)
    train = training_rows(model, library, config.train_rows, width, seed)
    test, inside = (each[: rows * width].view(rows, width) for each in (test, inside))
    start = torch.zeros(rows, 1, dtype=torch.bool)
    return Texts(_with_bos(model, train), _with_bos(model, test), torch.cat([start, inside], 1))


def training_rows(
    model: HookedTransformer, library: Mapping[str, str], count: int, width: int, seed: int
) -> Int[Tensor, "batch pos"]:
    """Sequences of tokens from the beginnings of modules, drawn without replacement: at most `count` of them."""
    generator = torch.Generator().manual_seed(3000 + seed)
    sources = list(library.values())
    parts: list[Tensor] = []
    found = 0
    for index in torch.randperm(len(sources), generator=generator).tolist():
        # Only the beginning of each module, so that many modules are read.
        parts.append(in_rows(tokens_of(model, sources[index][:20_000]), width))
        found += len(parts[-1])
        if found >= count:
            break
    return torch.cat(parts)[:count]


def in_rows(tokens: Int[Tensor, " token"], width: int) -> Int[Tensor, "batch pos"]:
    """Tokens in sequences of equal length; the remainder is dropped."""
    return tokens[: len(tokens) // width * width].view(-1, width)


def inside_comment(pieces: list[str]) -> Bool[Tensor, " pos"]:
    """Whether each piece of Python source begins after a # in its line.

    A # inside a string counts too.

    >>> inside_comment(["a", " #", " why", "\\n", "b"]).tolist()
    [False, False, True, True, False]
    """
    inside = False
    labels: list[bool] = []
    for piece in pieces:
        labels.append(inside)
        for letter in piece:
            inside = letter != "\n" and (inside or letter == "#")
    return torch.tensor(labels, dtype=torch.bool)


def activations(
    model: HookedTransformer, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos-1 d_mlp"]:
    """The neurons at every token but BOS (column 0 of the result is position 1)."""
    found = [x for x, _ in read_activations(model, tokens, HOOK, batch_size=64)]
    return torch.cat(found)[:, 1:]


def random_twin(model: HookedTransformer, seed: int) -> HookedTransformer:
    """A model of the same architecture with random weights, where nothing has been learned."""
    with torch.random.fork_rng():
        torch.manual_seed(4000 + seed)
        twin = HookedTransformer(model.cfg, tokenizer=model.tokenizer)
    for name, tensor in twin.named_parameters():
        if tensor.ndim >= 2:
            # Each matrix gets the norm of the trained one, so that activations are about as large.
            trained = dict(model.named_parameters())[name]
            tensor.data.mul_(trained.data.norm() / tensor.data.norm().clamp_min(1e-12))
    return twin.to(next(model.parameters()).device).eval()


def tokens_of(model: HookedTransformer, text: str) -> Int[Tensor, " pos"]:
    """A text's tokens, without BOS.

    Raises:
        ValueError: for a model without a tokenizer.
    """
    return model.to_tokens(text, prepend_bos=False, truncate=False)[0].cpu()


def _pieces(model: HookedTransformer, tokens: Tensor) -> list[str]:
    # Decoded one by one. Part of a multi-byte character is neither # nor newline.
    tokenizer = model.tokenizer
    assert tokenizer is not None
    strings = {int(token): str(tokenizer.decode([int(token)])) for token in tokens.unique()}
    return [strings[int(token)] for token in tokens]


def _with_bos(model: HookedTransformer, rows: Tensor) -> Tensor:
    bos = model.to_tokens("", prepend_bos=True)[0, :1].cpu()
    return torch.cat([bos.expand(len(rows), 1), rows], dim=1)
