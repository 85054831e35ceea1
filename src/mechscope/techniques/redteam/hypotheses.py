"""Hypotheses that can be tested: a rule for the answers, a set of components, or a direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mechscope.arguments import brief_repr
from mechscope.model.layer_checks import check_layer
from mechscope.model.names import get_act_name
from mechscope.tasks.positions import named_positions
from mechscope.tasks.task import Task
from mechscope.techniques._node_names import NodeName, parse_node

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

SITES = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "post", "z")


@dataclass(frozen=True)
class Behaviour:
    """The model's answers follow this rule."""

    predict: Callable[[torch.Tensor], torch.Tensor]
    """Takes prompts [batch pos] and returns the predicted tokens at the answers [batch answer] or after every
    position [batch pos], -1 where the rule makes no prediction; or scores of all tokens, with one more axis d_vocab."""
    claim: str = "the model follows this rule"
    among: Sequence[int] | None = None
    """The only tokens that count as answers (such as all names); None for the whole vocabulary."""

    def check(self, model: HookedTransformer, task: Task) -> None:
        """Check that the rule makes valid predictions.

        Raises:
            ValueError: for predictions of another shape, or NaN.
            KeyError: for answer tokens that do not exist.
        """
        if self.among is not None:
            tokens = list(self.among)
            if len(tokens) < 2 or min(tokens) < 0 or max(tokens) >= model.cfg.d_vocab_out:
                raise KeyError(
                    f"`among` must name at least two of the tokens 0 to {model.cfg.d_vocab_out - 1}, not {tokens[:5]}."
                )
        if not bool((self.answers(task, task.clean) >= 0).any()):
            raise ValueError(
                f"the rule predicts nothing on any prompt of {task.name}, so it cannot be tested."
            )

    def answers(self, task: Task, tokens: torch.Tensor) -> torch.Tensor:
        """The predicted tokens [batch answer] for prompts, -1 for none.

        Raises:
            ValueError: for predictions of another shape, or NaN.
        """
        found = torch.as_tensor(self.predict(tokens.clone()))
        positions = task.answers.positions
        batch, answers, length = len(tokens), positions.shape[1], tokens.shape[1]
        if bool(torch.isnan(found).any()):
            raise ValueError("the hypothesis predicts NaN.")
        if found.is_floating_point() and (found.ndim == 3 or _scores_of_one_answer(found, answers, length)):
            found = self.best(found)
        if found.shape == (batch,) and answers == 1:
            found = found[:, None]
        if found.shape == (batch, length) and length != answers:
            found = found.gather(1, positions)
        if found.shape != (batch, answers) or found.is_floating_point():
            raise ValueError(
                f"the hypothesis gave {tuple(found.shape)} of {found.dtype} for {batch} prompts of {length} tokens; "
                f"it must give whole-number tokens [{batch} {answers}] or [{batch} {length}], or scores with one "
                "more axis d_vocab."
            )
        return found.long().cpu()

    def best(self, scores: torch.Tensor) -> torch.Tensor:
        """The token with the highest score [... d_vocab], among those that count."""
        if self.among is None:
            return scores.argmax(-1)
        tokens = torch.as_tensor(list(self.among), device=scores.device)
        return tokens[scores[..., tokens].argmax(-1)]


def _scores_of_one_answer(found: torch.Tensor, answers: int, length: int) -> bool:
    # Floats [batch pos] are tokens in the wrong type, not scores over as many tokens as there are positions.
    return found.ndim == 2 and answers == 1 and found.shape[1] not in (1, length)


@dataclass(frozen=True)
class Heads:
    """These heads and MLPs carry the behaviour."""

    nodes: Sequence[str]
    """Names such as "a1.h3" and "m0"."""
    claim: str = "these components carry the behaviour"

    def parsed(self, model: HookedTransformer) -> list[NodeName]:
        """The components that the names mean.

        Raises:
            KeyError: for names that this model does not have.
            ValueError: for an empty list, a duplicate, or a name that is neither a head nor an MLP.
        """
        if isinstance(self.nodes, str) or not list(self.nodes):
            raise ValueError("nodes is a list of names with at least one entry, such as ['a1.h3', 'm0'].")
        if len(set(self.nodes)) < len(list(self.nodes)):
            raise ValueError(f"a component is named twice in {list(self.nodes)}.")
        nodes = [parse_node(model, name) for name in self.nodes]
        for node in nodes:
            if node.kind not in ("head", "mlp") or node.reads:
                raise ValueError(
                    f"{node} is neither a whole head (a1.h3) nor an MLP (m0); leave it out: `input` and `logits` "
                    "belong to every hypothesis."
                )
        return nodes


@dataclass(frozen=True, eq=False)
class Direction:
    """This direction, at this site, carries the behaviour."""

    vector: torch.Tensor
    """The direction [d] in the basis of the site; its length does not matter."""
    layer: int
    site: str = "resid_pre"
    """A short hook name: resid_pre, resid_mid, resid_post, attn_out, mlp_out, post (neurons) or z (a head's)."""
    head: int | None = None
    """Which head, for z."""
    positions: Sequence[str | int] | str | int | None = None
    """Numbers, or names of the task's positions; None for all positions."""
    claim: str = "this direction carries the behaviour"

    __repr__ = brief_repr

    @property
    def hook(self) -> str:
        """Full name of the hook point."""
        return get_act_name(self.site, self.layer)

    def check(self, model: HookedTransformer, task: Task) -> None:
        """Check that the direction fits this model.

        Raises:
            KeyError: for an unknown site or position.
            ValueError: for another layer, head or length, a zero vector, or one that is not finite.
        """
        cfg = model.cfg
        if self.site not in SITES or (cfg.attn_only and self.site in ("mlp_out", "post", "resid_mid")):
            raise KeyError(f"there is no site {self.site!r} in this model; sites are {', '.join(SITES)}.")
        check_layer(model, self.layer)
        if (self.site == "z") != (self.head is not None):
            raise ValueError("give a head (head=…) with the site 'z', and only with that site.")
        if self.head is not None and not 0 <= self.head < cfg.n_heads:
            raise ValueError(f"there is no head {self.head}; this model has 0 to {cfg.n_heads - 1}.")
        expected = cfg.d_head if self.site == "z" else cfg.d_mlp if self.site == "post" else cfg.d_model
        if tuple(self.vector.shape) != (expected,):
            raise ValueError(
                f"a direction at {self.site!r} has {expected} entries; the vector has shape {tuple(self.vector.shape)}."
            )
        if not bool(torch.isfinite(self.vector).all()) or float(self.vector.norm()) == 0:
            raise ValueError("the vector is zero or has entries that are not finite.")
        if self.positions is not None:
            named_positions(task, self.positions)


Hypothesis = Behaviour | Heads | Direction
