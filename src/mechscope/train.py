"""The classic module `train`: a simple training loop for language models."""

from __future__ import annotations

import copy
from collections.abc import Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from mechscope.model.devices import get_device

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

OPTIMIZERS = ("Adam", "AdamW", "SGD")


@dataclass
class HookedTransformerTrainConfig:
    """The settings of `train`.

    Raises:
        ValueError: for an impossible value.
    """

    num_epochs: int
    """Passes over the data set."""
    batch_size: int
    """Rows per step."""
    lr: float = 1e-3
    """Learning rate."""
    seed: int = 0
    """The seed of the order of the rows."""
    momentum: float = 0.0
    """Momentum of SGD."""
    max_grad_norm: float | None = None
    """Gradients are clipped to this norm."""
    weight_decay: float | None = None
    """Decoupled weight decay for Adam and AdamW, L2 penalty for SGD."""
    optimizer_name: str = "Adam"
    """One of OPTIMIZERS."""
    device: str | torch.device | None = None
    """The device to train on; None means the best available."""
    warmup_steps: int = 0
    """The number of steps in which the learning rate rises from 0."""
    save_every: int | None = None
    """Save the weights to `save_dir` every this many steps."""
    save_dir: str | None = None
    """The folder for the files model_STEP.safetensors."""
    wandb: bool = False
    """Report to Weights & Biases, which must be installed."""
    wandb_project_name: str | None = None
    """The project in Weights & Biases."""
    print_every: int | None = 50
    """Print the loss every this many steps."""
    max_steps: int | None = None
    """Stop each epoch after this many steps."""

    def __post_init__(self) -> None:
        if self.optimizer_name not in OPTIMIZERS:
            raise ValueError(
                f"optimizer_name must be one of {', '.join(OPTIMIZERS)}, not {self.optimizer_name!r}."
            )
        for name in ("num_epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.save_every is not None and self.save_dir is None:
            raise ValueError("save_every needs save_dir, the folder for the weights.")


def train(
    model: HookedTransformer, config: HookedTransformerTrainConfig, dataset: Dataset[Any]
) -> HookedTransformer:
    """Train a model to predict the next token of rows with "tokens" [pos], as `tokenize_and_concatenate` makes them.

    Rows may also have an "attention_mask" [pos], as tokenizers return it. A model in half precision is trained as a
    float32 copy, whose weights are rounded and copied into the model at the end and at every save: most steps are too
    small for bfloat16, and squared gradients underflow in float16.

    Args:
        model: the model, which is trained in place.
        config: the settings.
        dataset: the rows.

    Returns:
        the model.

    Raises:
        ValueError: for an empty data set.
        ImportError: if Weights & Biases is requested but not installed.
    """
    if len(cast("Sized", dataset)) == 0:
        raise ValueError("there is nothing to train on: the data set is empty.")
    report = _reporter(config)
    if config.save_dir is not None:
        Path(config.save_dir).mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    device = config.device or get_device()
    model.to(device)
    learner = copy.deepcopy(model).float() if model.cfg.dtype.itemsize < 4 else model
    model.train()
    learner.train()
    optimizer = _optimizer(learner, config)
    warmup = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
    )
    rows = DataLoader(dataset, batch_size=config.batch_size, shuffle=True)
    for epoch in tqdm(range(1, config.num_epochs + 1)):
        samples = 0
        for step, batch in enumerate(rows):
            tokens = batch["tokens"].to(device)
            mask = batch.get("attention_mask")
            loss = learner(tokens, return_type="loss", attention_mask=mask)
            loss.backward()
            if config.max_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(learner.parameters(), config.max_grad_norm)
            optimizer.step()
            warmup.step()
            optimizer.zero_grad()
            samples += len(tokens)
            report({"train_loss": loss.item(), "samples": samples, "epoch": epoch})
            if config.print_every is not None and step % config.print_every == 0:
                print(f"Epoch {epoch} Samples {samples} Step {step} Loss {loss.item()}")  # noqa: T201 - asked for
            if config.save_every is not None and step % config.save_every == 0:
                _copy_weights(learner, model)
                weights = {name: value.contiguous() for name, value in model.state_dict().items()}
                save_file(weights, Path(config.save_dir or ".") / f"model_{step}.safetensors")
            if config.max_steps is not None and step >= config.max_steps:
                break
    _copy_weights(learner, model)
    return model


@torch.no_grad()
def _copy_weights(learner: HookedTransformer, model: HookedTransformer) -> None:
    """Copy the trained weights into the model, unless the model itself was trained."""
    if learner is not model:
        for own, learnt in zip(model.parameters(), learner.parameters(), strict=True):
            own.copy_(learnt)


def _optimizer(model: HookedTransformer, config: HookedTransformerTrainConfig) -> torch.optim.Optimizer:
    if config.optimizer_name == "SGD":
        return torch.optim.SGD(
            model.parameters(), config.lr, momentum=config.momentum, weight_decay=config.weight_decay or 0.0
        )
    if config.weight_decay is None:
        return torch.optim.Adam(model.parameters(), config.lr)
    return torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay)


def _reporter(config: HookedTransformerTrainConfig) -> Any:
    if not config.wandb:
        return lambda values: None
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ImportError("wandb=True needs Weights & Biases: pip install wandb.") from error
    wandb.init(project=config.wandb_project_name, config=vars(config))
    return wandb.log
