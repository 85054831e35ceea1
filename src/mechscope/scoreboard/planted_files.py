"""A planted model as the files that the browser reads."""

from __future__ import annotations

import json
from functools import cache

import safetensors.torch

from mechscope.scoreboard.matches import disguised_model


@cache
def planted_files(program: str) -> dict[str, bytes]:
    """`config.json` and `model.safetensors` of a program's disguised model, as compiled (condition "plain", seed 0)."""
    model = disguised_model(program).model
    config = json.dumps(model.cfg.to_json_dict()).encode()
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return {"config.json": config, "model.safetensors": safetensors.torch.save(tensors)}
