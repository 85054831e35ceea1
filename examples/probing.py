"""Where can the previous token be read? A probe for one bit of it, at every layer, beside a control task."""

import sys
from pathlib import Path

import torch

import mechscope as ms
from mechscope.techniques.probing import linear_probe

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/probing.html")
model = ms.load_model("induction-2l")
tokens = torch.randint(0, 128, (600, 6), generator=torch.Generator().manual_seed(0))
tokens[:, 0] = 128
previous_is_low = tokens[:, 3] < 64
probes = linear_probe(model, tokens, previous_is_low, positions=[2, 3, 4, 5], seeds=(0, 1, 2), progress=False)

out.parent.mkdir(parents=True, exist_ok=True)
probes.figure().write_html(out, include_plotlyjs=True)
scores = probes.scores.values
print(
    f"{out}: one position after the token, its half of the vocabulary is guessed right {float(scores[0, 2]):.0%} of "
    f"the time from the embedding (chance {probes.chance:.0%}) and {float(scores[1, 2]):.0%} after layer 0, whose "
    "heads look back."
)
