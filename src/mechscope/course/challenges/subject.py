"""A small model together with its tokens and labels: what a learner investigates, and what a grade is measured on."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from mechscope.course.challenges.task import Tokens

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Head = tuple[int, int]
"""(layer, head), both counted from 0."""


@dataclass(frozen=True)
class Subject:
    """A model that reads a row of tokens and gives one label.

    An input is a tuple of strings, such as `("(", ")")`. The model reads a beginning-of-sequence token first, and then
    the input; some models read a final "=" after it. The answer is the label with the largest logit at the last
    position.
    """

    name: str
    """What it is called."""
    model: HookedTransformer
    """The model; every hook and every technique of mechscope works on it."""
    vocabulary: Tokens
    """The string of each token id."""
    alphabet: Tokens
    """The tokens of inputs."""
    outputs: Tokens
    """The label of each logit."""
    length: int
    """Tokens in an input, without the first token and a final "="."""
    ending: Tokens = ()
    """What is read after an input."""

    def encode(self, inputs: Iterable[Sequence[str]]) -> Int[Tensor, "input pos"]:
        """The model's token ids for inputs of the right length.

        Raises:
            ValueError: for an input of another length, or with a token that the model does not know.
        """
        ids = {token: index for index, token in enumerate(self.vocabulary)}
        rows: list[list[int]] = []
        for tokens in inputs:
            if len(tokens) != self.length:
                raise ValueError(
                    f"{self.name} takes {self.length} tokens, not {len(tokens)}: {' '.join(map(str, tokens))!r}."
                )
            if unknown := [token for token in tokens if token not in self.alphabet]:
                raise ValueError(
                    f"{self.name} has no token {unknown[0]!r}; its tokens are {' '.join(self.alphabet)}."
                )
            rows.append([0, *(ids[token] for token in (*tokens, *self.ending))])
        if not rows:
            raise ValueError(f"{self.name} needs at least one input.")
        return torch.tensor(rows)

    @torch.no_grad()
    def logits(self, inputs: Iterable[Sequence[str]]) -> Float[Tensor, "input label"]:
        """The logits at the last position."""
        return self.model(self.encode(inputs))[:, -1]

    def answers(self, inputs: Iterable[Sequence[str]]) -> list[str]:
        """The label that the model gives to each input."""
        return [self.outputs[index] for index in self.logits(inputs).argmax(-1).tolist()]

    @torch.no_grad()
    def attention(self, inputs: Iterable[Sequence[str]], layer: int, head: int) -> Float[Tensor, "input key"]:
        """What one head attends to from the last position; key 0 is the beginning-of-sequence token."""
        name = f"blocks.{layer}.attn.hook_pattern"
        _, cache = self.model.run_with_cache(self.encode(inputs), names_filter=name)
        return cache[name][:, head, -1]

    @property
    def heads(self) -> tuple[Head, ...]:
        """Every head of the model."""
        cfg = self.model.cfg
        return tuple((layer, head) for layer in range(cfg.n_layers) for head in range(cfg.n_heads))

    @torch.no_grad()
    def answers_without(self, inputs: Sequence[Sequence[str]], heads: Iterable[Head]) -> list[str]:
        """The answers with some heads mean-ablated: at each position, z is replaced by its mean over the inputs."""
        tokens = self.encode(inputs)
        removed: dict[int, list[int]] = {}
        for layer, head in heads:
            removed.setdefault(layer, []).append(head)
        names = {f"blocks.{layer}.attn.hook_z": numbers for layer, numbers in removed.items()}
        _, cache = self.model.run_with_cache(tokens, names_filter=list(names))

        def ablate(name: str):
            def hook(z: Tensor, hook: Any) -> Tensor:
                z = z.clone()
                z[:, :, names[name]] = cache[name][:, :, names[name]].mean(0)
                return z

            return hook

        logits = self.model.run_with_hooks(tokens, fwd_hooks=[(name, ablate(name)) for name in names])
        return [self.outputs[index] for index in logits[:, -1].argmax(-1).tolist()]

    def with_model(self, model: HookedTransformer) -> Self:
        """The same with another model, such as a repaired one."""
        return replace(self, model=model)


class AskedTheModelError(RuntimeError):
    """A program that should say what a model does has run a model instead."""

    def __init__(self) -> None:
        super().__init__("Your function runs the model. It has to say what the model does without asking it.")


@contextlib.contextmanager
def no_model_may_run() -> Generator[None]:
    """Inside this context, running any transformer is an error.

    Raises:
        AskedTheModelError: if one is run.
    """
    from mechscope.model.transformer import HookedTransformer

    def refuse(module: nn.Module, arguments: Any) -> None:
        if isinstance(module, HookedTransformer):
            raise AskedTheModelError

    handle = register_module_forward_pre_hook(refuse)
    try:
        yield
    finally:
        handle.remove()
