"""Who tells the induction heads where to look? Paths from each head of layer 0 to their queries, keys and values."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.tasks import repeated_random_tokens
from mechscope.techniques.path_patching import path_patching, path_patching_every_head

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/path_patching.html")
model = ms.load_model("induction-2l")
task = repeated_random_tokens(model, n=32, half=24, bos=128, answers="last")
inputs = {which: [f"a1.h{head}<{which}>" for head in range(4)] for which in "qkv"}
every_head = path_patching_every_head(model, task, inputs["k"], direction="noise", progress=False)
layer_0 = [f"a0.h{head}" for head in range(4)]
lost = {
    which: path_patching(model, task, layer_0, receivers, direction="noise", progress=False).values.item()
    for which, receivers in inputs.items()
}

out.parent.mkdir(parents=True, exist_ok=True)
every_head.figure().write_html(out, include_plotlyjs=True)
print(
    f"{out}: with corrupted messages from layer 0 to layer 1, copying loses "
    + ", ".join(f"{share:.0%} through {which}" for which, share in lost.items())
    + ": layer 0 tells induction heads where to look."
)
