"""Resample dead features: restart them from the inputs with the worst reconstructions.

Bricken et al. 2023, "Towards Monosemanticity", appendix on neuron resampling: an input is drawn with a probability
proportional to its squared loss. Its direction becomes the feature's decoder row and, at a fifth of the mean length of
live features, its encoder column. Biases are reset.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from mechscope.dictionaries.config import JumpReluConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.stream import Batch

ENCODER_SHARE = 0.2


@torch.no_grad()
def resample(
    dictionary: Dictionary,
    optimizer: torch.optim.Optimizer,
    dead: Bool[Tensor, " feature"],
    batch: Batch,
    generator: torch.Generator,
) -> int:
    """Restart dead features from a batch, and reset their optimizer state. Returns their number on all ranks.

    Raises:
        ValueError: if every feature is dead, because live features determine the length of the new encoder columns.
    """
    ranks = dictionary.ranks
    which = dead.nonzero().squeeze(-1)
    # Every rank draws for all dead features and takes its own share.
    counts = ranks.gather(torch.tensor(len(which), device=ranks.device)).tolist()
    if not sum(counts):
        return 0
    if sum(counts) == dictionary.cfg.d_sae:
        raise ValueError("every feature is dead: the penalty is too strong or the learning rate too high.")
    read, wanted = dictionary._pair(batch.x, batch.target)
    was_training = dictionary.training
    dictionary.eval()
    loss = dictionary.loss(batch.x, batch.target)
    dictionary.train(was_training)
    squared = (loss.reconstruction - loss.target).square().sum(-1).double().square()
    drawn = torch.multinomial(squared.cpu(), sum(counts), replacement=True, generator=generator)
    begin = sum(counts[: ranks.rank])
    drawn = drawn[begin : begin + len(which)].to(which.device)
    inputs, outputs = read[drawn], wanted[drawn]
    if dictionary.cfg.subtract_b_dec:
        inputs = inputs - dictionary.b_dec
    outputs = outputs - dictionary.b_dec
    rows = dictionary.by_feature()
    living = dictionary.cfg.d_sae - sum(counts)
    encoder_length = ranks.total(float(rows["W_enc"][~dead].norm(dim=-1).sum())) / living
    decoder_length = ranks.total(float(rows["W_dec"][~dead].norm(dim=-1).sum())) / living
    start = dictionary.cfg.start_threshold if isinstance(dictionary.cfg, JumpReluConfig) else 0.0
    for name, tensor in rows.items():
        if name == "W_enc":
            tensor[which] = _unit(inputs) * encoder_length * ENCODER_SHARE
        elif name == "W_dec":
            tensor[which] = _unit(outputs) * decoder_length
        else:
            tensor[which] = start if name == "threshold" else 0.0
    for name, parameter in dictionary.named_parameters():
        if name in rows:
            for moment in ("exp_avg", "exp_avg_sq"):
                kept = optimizer.state[parameter][moment]
                (kept.T if name == "W_enc" else kept)[which] = 0.0
    return sum(counts)


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)
