"""The contributions of parts to a logit difference, from one direction pulled back through the norms.

A direction over the vocabulary (right minus wrong) is pulled back through the final norm, with its scale fixed at its
value in the pass, to a direction in the residual stream. The contribution of a part is the dot product of that
direction with what the part wrote. If a block normalises the outputs of its sublayers, the direction is pulled back
through those norms too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from einops import einsum
from jaxtyping import Float, Int

from mechscope.model.final_residual import final_residual
from mechscope.model.precision import at_least_float32
from mechscope.tasks.metrics import Answers
from mechscope.techniques._inputs import TaskOrTokens, answers_of, as_prompts, check_finite, token_texts

if TYPE_CHECKING:
    from mechscope.model.activation_cache import ActivationCache
    from mechscope.model.transformer import HookedTransformer

Direction = Float[torch.Tensor, "batch answer d_model"]
PerAnswer = Float[torch.Tensor, "batch answer"]


class LogitTerms:
    """One pass over prompts, and the contribution of each part to the logit difference (or the answer's logit).

    Args:
        model: the model.
        task: a task, whose clean prompts are run; or text or tokens, whose answer is the model's own prediction after
            each prompt.
        everywhere: measure at every position as if it were an answer position.
        attention_mask: for plain tokens, True where a token is real.
        answers: other answers than those of the task or the model's own prediction.

    Raises:
        ValueError: if the model gives NaN.
    """

    def __init__(
        self,
        model: HookedTransformer,
        task: TaskOrTokens,
        everywhere: bool = False,
        attention_mask: torch.Tensor | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.model = model
        self.prompts = prompts = as_prompts(model, task, attention_mask=attention_mask)
        self.answers = answers_of(model, prompts) if answers is None else answers.to(prompts.tokens.device)
        batch, length = prompts.tokens.shape
        self.positions: Int[torch.Tensor, "batch answer"] = (
            torch.arange(length, device=prompts.tokens.device).expand(batch, -1)
            if everywhere
            else self.answers.positions
        )
        with torch.no_grad():
            _, cache = model.run_with_cache(
                prompts.tokens, return_type=None, names_filter=_wanted, attention_mask=prompts.attention_mask
            )
            self.cache: ActivationCache = cache  # type: ignore[assignment]
            self._directions()

    def _at(self, name: str) -> torch.Tensor:
        """An activation at the answers' positions [batch answer …], in float32 or float64."""
        return at_least_float32(self.at_answers(self.cache[name]))

    def at_answers(self, activation: torch.Tensor) -> torch.Tensor:
        """Select an activation [batch pos ...] at the answers' positions: [batch answer ...]."""
        rows = torch.arange(len(activation), device=activation.device)[:, None]
        return activation[rows, self.positions.to(activation.device)]

    @property
    def what(self) -> str:
        """What the contributions add up to, in words."""
        if self.prompts.task is not None:
            return "logit difference" if self.answers.wrong is not None else "answer's logit"
        if len(self.prompts.tokens) > 1:
            return "logit of each prompt's predicted token"
        (predicted,) = token_texts(self.model, self.answers.correct)
        return f"logit of the predicted token {predicted!r}"

    def _directions(self) -> None:
        vocabulary, unembedding_bias = self._vocabulary_direction()
        n_answers = self.positions.shape[1]
        vocabulary = vocabulary.expand(-1, n_answers, -1)
        residual = final_residual(self.model.cfg, self._at)
        check_finite(residual, "the residual stream at the answers")
        self.residual = residual
        self.direction, norm_bias = self._pull_back(vocabulary, self.model.ln_final, "ln_final")
        self.constants: dict[str, PerAnswer] = (
            {"final norm's bias": norm_bias} if norm_bias is not None else {}
        )
        self.constants["unembedding's bias"] = unembedding_bias.expand(-1, n_answers)

    def _vocabulary_direction(self) -> tuple[Direction, PerAnswer]:
        """Columns of W_U, right minus wrong, and the same for b_U; each is a mean over a set of tokens."""
        columns, bias = self.model.W_U.detach().mT, at_least_float32(self.model.b_U.detach())

        def mean(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            there = (tokens >= 0).to(bias.dtype)
            share = there / there.sum(-1, keepdim=True)
            ids = tokens.clamp(min=0)
            direction = einsum(
                share,
                at_least_float32(columns[ids]),
                "batch answer choice, batch answer choice d -> batch answer d",
            )
            return direction, (share * bias[ids]).sum(-1)

        direction, offset = mean(self.answers.correct)
        if self.answers.wrong is not None:
            wrong, wrong_offset = mean(self.answers.wrong)
            direction, offset = direction - wrong, offset - wrong_offset
        return direction, offset

    def _pull_back(self, direction: Direction, norm: Any, name: str) -> tuple[Direction, PerAnswer | None]:
        """The direction before a norm with a fixed scale, and the contribution of the norm's bias."""
        if not hasattr(norm, "hook_scale"):
            return direction, None
        bias = None if norm.b is None else direction @ norm.b.detach().to(direction.dtype)
        before = direction if norm.w is None else direction * norm.w.detach()
        if norm.centre:
            before = before - before.mean(-1, keepdim=True)
        return before / self._at(f"{name}.hook_scale").to(before.dtype), bias

    def _sublayer(self, layer: int, part: str) -> tuple[Direction, PerAnswer | None]:
        """The direction for a sublayer's output, before the norm of that output if there is one."""
        name = "ln1_post" if part == "attn" else "ln2_post"
        norm = getattr(self.model.blocks[layer], name, None)
        return self._pull_back(self.direction, norm, f"blocks.{layer}.{name}")

    def direction_at(self, hook: str) -> Float[torch.Tensor, "batch answer width"]:
        """The direction for an activation at this hook point; heads are concatenated.

        Args:
            hook: full name of a hook point of a block: in the residual stream, at a sublayer's output, at neurons
                (`mlp.hook_post`) or at heads (`attn.hook_z`).

        Raises:
            ValueError: for any other hook point.
        """
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", hook)
        layer, part = (int(match[1]), match[2]) if match else (-1, "")
        if part in _IN_THE_STREAM:
            return self.direction
        if part == "mlp.hook_post":
            direction, _ = self._sublayer(layer, "mlp")
            return direction @ at_least_float32(self.model.blocks[layer].mlp.W_out.detach()).mT
        if part == "attn.hook_z":
            return self._head_directions(layer).flatten(2)
        raise ValueError(
            f"{hook!r} does not write directly to the residual stream; hook points that do are "
            f"{', '.join((*_IN_THE_STREAM, 'mlp.hook_post', 'attn.hook_z'))} of a block."
        )

    # The terms ------------------------------------------------------------------------------

    def total(self) -> PerAnswer:
        """The logit difference, from the whole residual stream [batch answer]."""
        return (self.residual * self.direction).sum(-1) + sum(self.constants.values())

    def heads(self) -> Float[torch.Tensor, "layer batch answer head"]:
        """The contribution of every head."""
        return torch.stack([self._heads(layer) for layer in range(self.model.cfg.n_layers)])

    def _heads(self, layer: int) -> Float[torch.Tensor, "batch answer head"]:
        z = self._at(f"blocks.{layer}.attn.hook_z")
        return (z * self._head_directions(layer)).sum(-1)

    def _head_directions(self, layer: int) -> Float[torch.Tensor, "batch answer head d_head"]:
        direction, _ = self._sublayer(layer, "attn")
        W_O = at_least_float32(self.model.blocks[layer].attn.W_O.detach())
        return einsum(direction, W_O, "batch answer d_model, head d_head d_model -> batch answer head d_head")

    def components(
        self, split_heads: bool
    ) -> tuple[Float[torch.Tensor, "batch answer component"], list[str]]:
        """All contributions and their names; they sum to the total."""
        model, terms = self.model, dict[str, torch.Tensor]()
        terms["embed"] = (self._at("hook_embed") * self.direction).sum(-1)
        if model.cfg.positional_embedding_type == "standard":
            terms["pos_embed"] = (self._at("hook_pos_embed") * self.direction).sum(-1)
        for layer, block in enumerate(model.blocks):
            if split_heads:
                for head, values in enumerate(self._heads(layer).unbind(-1)):
                    terms[f"a{layer}.h{head}"] = values
                terms[f"a{layer} bias"] = self._output_bias(layer, "attn", block.attn.b_O)
            else:
                terms[f"a{layer}"] = (self._at(f"blocks.{layer}.hook_attn_out") * self.direction).sum(-1)
            if not model.cfg.attn_only:
                terms[f"m{layer}"] = (self._at(f"blocks.{layer}.hook_mlp_out") * self.direction).sum(-1)
        terms.update(self.constants)
        return torch.stack(list(terms.values()), -1), list(terms)

    def _output_bias(self, layer: int, part: str, bias: torch.Tensor) -> PerAnswer:
        direction, of_the_norm = self._sublayer(layer, part)
        term = direction @ bias.detach().to(direction.dtype)
        return term if of_the_norm is None else term + of_the_norm

    def top_neurons(self, count: int) -> tuple[Float[torch.Tensor, "batch answer neuron"], list[str]]:
        """The neurons with the largest mean contributions in magnitude, in that order, and their names.

        Computed layer by layer, with [batch answer d_mlp] in memory and never a neuron's whole output.
        """
        found: list[tuple[float, str, torch.Tensor]] = []
        for layer in range(self.model.cfg.n_layers):
            terms = self.neurons(layer)
            mean = terms.mean((0, 1))
            for index in mean.abs().topk(min(count, len(mean))).indices.tolist():
                found.append((abs(float(mean[index])), f"m{layer}.n{index}", terms[..., index]))
        found.sort(key=lambda one: -one[0])
        found = found[:count]
        return torch.stack([one[2] for one in found], -1), [one[1] for one in found]

    def neurons(self, layer: int) -> Float[torch.Tensor, "batch answer neuron"]:
        """The contributions of the neurons of one layer."""
        direction, _ = self._sublayer(layer, "mlp")
        mlp = self.model.blocks[layer].mlp
        return self._at(f"blocks.{layer}.mlp.hook_post") * (
            direction @ at_least_float32(mlp.W_out.detach()).mT
        )

    def mlp_bias(self, layer: int) -> PerAnswer:
        """The contribution of an MLP's output bias."""
        return self._output_bias(layer, "mlp", self.model.blocks[layer].mlp.b_out)

    def sources(self) -> Float[torch.Tensor, "layer batch answer head key"]:
        """The contribution of every head, split by the position that it attends to."""
        names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(self.model.cfg.n_layers)]
        names += [f"blocks.{layer}.attn.hook_v" for layer in range(self.model.cfg.n_layers)]
        with torch.no_grad():
            _, cache = self.model.run_with_cache(
                self.prompts.tokens,
                return_type=None,
                names_filter=names,
                attention_mask=self.prompts.attention_mask,
            )
        rows = torch.arange(len(self.positions), device=self.positions.device)[:, None]
        layers: list[torch.Tensor] = []
        for layer in range(self.model.cfg.n_layers):
            v = at_least_float32(cache[f"blocks.{layer}.attn.hook_v"])
            v = v.repeat_interleave(self.model.cfg.n_heads // v.shape[2], dim=2)
            added = einsum(
                v,
                self._head_directions(layer),
                "batch key head d_head, batch answer head d_head -> batch answer head key",
            )
            pattern = cache[f"blocks.{layer}.attn.hook_pattern"].movedim(1, 2)[rows, self.positions]
            layers.append(pattern * added)
        return torch.stack(layers)


_IN_THE_STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out")
_SUFFIXES = ("hook_z", "hook_attn_out", "hook_mlp_out", "mlp.hook_post", "_post.hook_scale")


def _wanted(name: str) -> bool:
    return name in ("hook_embed", "hook_pos_embed", "ln_final.hook_scale") or name.endswith(
        (*_SUFFIXES, "hook_resid_post")
    )
