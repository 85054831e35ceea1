"""Could something simpler predict these tokens? N-grams, skip-trigrams and copying, beside a model that inducts."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.data.baselines import fit_baselines
from mechscope.results import Provenance, make_result

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/baselines.html")
model = ms.load_model("induction-2l")
d_vocab = model.cfg.d_vocab
seen = ms.tasks.repeated_random_tokens(model, n=200, half=24, bos=d_vocab - 1, seed=1).clean
new = ms.tasks.repeated_random_tokens(model, n=50, half=24, bos=d_vocab - 1, seed=2).clean

losses = {name: float(baseline.loss(new)) for name, baseline in fit_baselines(d_vocab, seen).items()}
losses["the model"] = model(new, return_type="loss").item()
result = make_result(
    list(losses.values()),
    ("component",),
    "Loss on random tokens that come twice",
    "nats",
    Provenance("induction-2l", "repeated random tokens", 2),
    {"component": list(losses)},
)
out.parent.mkdir(parents=True, exist_ok=True)
result.figure().write_html(out, include_plotlyjs=True)
best = min((name for name in losses if name != "the model"), key=losses.__getitem__)
print(
    f"{out}: the model loses {losses['the model']:.2f} nats a token, the best baseline ({best}) {losses[best]:.2f}."
)
