"""Training one member, in a way that can be stopped and gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from mechscope.data.tokenizer import Tokenizer
from mechscope.model.transformer import HookedTransformer
from mechscope.recipes.family.batches import training_batch
from mechscope.recipes.family.config import FamilyConfig
from mechscope.recipes.family.corpus import Corpus, load_corpus
from mechscope.recipes.family.package_files import shared_tokenizer
from mechscope.runs.training_state import optimizer_state, restore_optimizer, rise_and_fall, with_prefix
from mechscope.runs.workspace import Part, Workspace


def train_weights(workspace: Workspace, corpus: Corpus) -> Part:
    """STEP.NAME → weight for every step that is kept and the last, and "losses" [step] in nats.

    The first phase is that of the model without MLPs; they are added for the second, with nothing to say at first.
    Where they learnt from the start, no induction head had formed after the 1,400 steps in which two and three layers
    without MLPs were done (seen with two layers of GELU or SoLU neurons and with three of GELU). Where they stayed as
    they were drawn, heads formed too late (two layers of GELU).
    """
    config: FamilyConfig = workspace.config
    bare = replace(config, kind="attn-only")
    # A stopped training is not resumed on another text, such as the standard library of another Python.
    one, two = (f"{phase}-phase-on-{corpus.checksum}" for phase in ("first", "second"))
    first = workspace.load_or_compute(
        one, lambda: _train(workspace, one, bare, corpus, config.first_steps, {})
    )
    second = workspace.load_or_compute(
        two, lambda: _train(workspace, two, config, corpus, config.steps, first)
    )
    kept = {name: value for part in (first, second) for name, value in part.items() if name[0].isdigit()}
    return {**kept, "losses": torch.cat([first["losses"], second["losses"]])}


def state_at(part: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
    """The weights of one step out of a part."""
    return {name: tensor.cpu() for name, tensor in with_prefix(part, f"{step}.").items()}


def load_data(config: FamilyConfig) -> tuple[Tokenizer, Corpus]:
    """The family's tokenizer and text."""
    tokenizer = shared_tokenizer()
    return tokenizer, load_corpus(config, tokenizer)


def learning_rate(config: FamilyConfig, step: int) -> float:
    """Rises over the warm-up, and falls to zero in the second half."""
    return config.learning_rate * rise_and_fall(step, config.steps, config.warm_up)


def _train(
    workspace: Workspace, name: str, config: FamilyConfig, corpus: Corpus, end: int, before: Part
) -> Part:
    """Train from where `before` ended to the step `end`; hands over weights and moments for what may follow."""
    (seed,) = workspace.seeds
    model = _new_model(config, seed).to(workspace.device)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=config.weight_decay,
        fused=True,
    )
    begin = int(before["done"]) if before else 0
    losses = torch.zeros(end - begin)
    state = workspace.restore_state(name) or {}
    if state:
        losses.copy_(state["losses"])
    kept = {f"kept.{key}": value for key, value in with_prefix(state, "kept.").items()}
    done = _restore(state or before, model, optimizer)
    with workspace.bar(config.steps, config.name(seed), done) as bar:
        for step in range(done, end):
            if step in config.keep:
                kept.update({f"kept.{step}.{key}": value for key, value in _weights(model).items()})
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            tokens = training_batch(config, corpus, seed, step).to(workspace.device)
            loss = model(tokens, return_type="loss")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[step - begin] = loss.detach()
            bar.update()
            workspace.save_state(
                name, lambda step=step: _state(step + 1, model, optimizer) | kept | {"losses": losses}
            )
    last = {f"{end}.{key}": value for key, value in _weights(model).items()} if end == config.steps else {}
    handed_over = _state(end, model, optimizer) if end < config.steps else {}
    return {**with_prefix(kept, "kept."), **last, **handed_over, "losses": losses}


def _new_model(config: FamilyConfig, seed: int) -> HookedTransformer:
    model = HookedTransformer(config.model_config(seed))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("mlp.W_out"):
                parameter.zero_()
    return model


def loss_by_stretches(losses: Tensor, first_steps: int) -> list[tuple[str, float]]:
    """Mean training loss of some stretches of both phases: (steps in words, nats)."""
    ends = [0, first_steps // 2, first_steps, (first_steps + len(losses)) // 2, len(losses)]
    return [(f"{begin:,} to {end:,}", float(losses[begin:end].mean())) for begin, end in pairwise(ends)]


def _weights(model: HookedTransformer) -> Part:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _state(done: int, model: HookedTransformer, optimizer: torch.optim.Optimizer) -> Part:
    state = {"done": torch.tensor(done)}
    state |= {f"model.{name}": value for name, value in _weights(model).items()}
    return state | optimizer_state(optimizer, dict(model.named_parameters()))


def _restore(state: Part, model: HookedTransformer, optimizer: torch.optim.Optimizer) -> int:
    """Weights and moments by name; what a state does not have stays as it was drawn. Returns the steps done."""
    if not state:
        return 0
    model.load_state_dict({**model.state_dict(), **with_prefix(state, "model.")})
    restore_optimizer(optimizer, dict(model.named_parameters()), state)
    return int(state["done"])
