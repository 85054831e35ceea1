"""Loading holds the weights and little more, in a narrow type too: measured in fresh processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.checkpoints.tiny_models import TINY, Tiny

SIZES = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 10,
    "num_attention_heads": 8,
    "head_dim": 64,
    "vocab_size": 8192,
}
MIB = 2**20
SLACK = 24
"""MiB by which two runs of the same code differ: what is imported, and memory that is kept for later use."""
MEASURED = """
import pathlib, sys
import mechscope as ms
import torch
torch.set_num_threads(1)
status = lambda: int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
ms.load_model("mini-gelu-1l")
if sys.argv[1].endswith(".gguf"):
    import gguf.quants
for process in (False, True):
    model = None
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = status()
    model = ms.load_model(sys.argv[1], dtype="bfloat16", process=process)
    print(status() - before, sum(weight.nbytes for weight in model.parameters()))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's record of peak memory")
@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_a_narrow_type_needs_no_more_than_its_weights_and_one_tensor(kind: str, tmp_path: Path) -> None:
    each = TINY["llama"]
    model = Tiny(each.family, each.config, each.model, {**each.settings, **SIZES}).build(seed=0)
    path = tmp_path
    if kind == "gguf":
        pytest.importorskip("gguf", reason="needs the gguf package: pip install 'mechscope[gguf]'")
        from tests.checkpoints.gguf_files import write

        path = tmp_path / "model.gguf"
        write(model, "llama", path, "F16")
    else:
        model.save_pretrained(path)
    numbers = sum(weight.numel() for weight in model.parameters())
    del model
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    largest = SIZES["vocab_size"] * SIZES["hidden_size"] * torch.float32.itemsize / MIB
    for line in done.stdout.splitlines():
        taken, weights = (float(number) for number in line.split())
        limit = 1.2 * weights / MIB + largest + SLACK
        # The test could tell: all weights in float32 would be over the limit.
        assert numbers * torch.float32.itemsize / MIB > limit
        assert taken <= limit
