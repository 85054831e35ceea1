"""How spread out is attention, how far back does it reach, and how much of it rests on the first token?"""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.techniques.attention_statistics import attention_statistics
from mechscope.techniques.head_detectors import random_repeats_for

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/attention_statistics.html")
model = ms.load_model("induction-2l")
found = attention_statistics(model, random_repeats_for(model, seed=0))

out.parent.mkdir(parents=True, exist_ok=True)
found.figure().write_html(out, include_plotlyjs=True)
sink = found.first.values.mean("head").values
print(
    f"{out}: heads of layer 1 rest {sink[1]:.0%} of their attention on the first token (layer 0: {sink[0]:.0%}): "
    "an induction head with nothing to copy yet has to look somewhere."
)
