"""What does a head write? The singular directions of its OV matrix, read in the vocabulary."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.techniques.svd import singular_directions

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/svd.html")
model = ms.load_model("induction-2l")
writes = singular_directions(model, layer=1, head=0, part="OV", n=10)
reads = singular_directions(model, layer=1, head=0, part="OV input", n=10)

out.parent.mkdir(parents=True, exist_ok=True)
writes.figure().write_html(out, include_plotlyjs=True)
shared = [
    len(set(a.tolist()) & set(b.tolist())) for a, b in zip(writes.top_tokens, reads.top_tokens, strict=True)
]
print(
    f"{out}: of 6 tokens at the top of each direction that a1.h0 writes, {sum(shared) / len(shared):.1f} are also at "
    f"the top of what it reads there (chance: {36 / model.cfg.d_vocab:.1f}): it copies."
)
