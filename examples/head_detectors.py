"""Which head does what? Attention on random tokens that come twice, held against five known patterns."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.techniques.head_detectors import detect_heads

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/head_detectors.html")
detected = detect_heads(ms.load_model("induction-2l"), seeds=(0, 1, 2))

out.parent.mkdir(parents=True, exist_ok=True)
detected.figure().write_html(out, include_plotlyjs=True)
heads = ", ".join(f"a{layer}.h{head}" for layer, head in detected.heads("induction"))
layer, head = detected.heads("previous", threshold=0.0)[0]
print(
    f"{out}: induction heads are {heads}; the head that looks most at the previous token is a{layer}.h{head}."
)
