"""What would the model say if it ended after each layer? A random block of tokens that comes twice."""

import sys
from pathlib import Path

import torch

import mechscope as ms
from mechscope.data.repeated_tokens import repeated_twice
from mechscope.techniques.logit_lens import logit_lens

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/logit_lens.html")
model = ms.load_model("induction-2l")
tokens = repeated_twice(8, 24, 128, torch.Generator().manual_seed(0))
lens = logit_lens(model, tokens, targets=torch.roll(tokens, -1, 1), progress=False)

out.parent.mkdir(parents=True, exist_ok=True)
lens.figure().write_html(out, include_plotlyjs=True)
second = lens.probability.values[:, 30:48].mean("pos")
print(
    f"{out}: on the second copy the next token has probability {float(second[0]):.2f} in the embedding, "
    f"{float(second[1]):.2f} after layer 0 and {float(second[2]):.2f} after layer 1, where the induction heads are."
)
