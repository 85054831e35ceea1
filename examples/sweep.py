"""A question of your own: which pairs of heads stand in for one another? Edits of one pass are one intervention."""

import itertools
import sys
from pathlib import Path

import numpy as np

import mechscope as ms
from mechscope.results import Provenance, make_result
from mechscope.techniques.sweep import Edit, Sweep

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/sweep.html")
model = ms.load_model("induction-2l")
task = ms.tasks.repeated_random_tokens(model, n=32, half=24, bos=128, answers="last")
heads = list(itertools.product(range(model.cfg.n_layers), range(model.cfg.n_heads)))
silence = {head: Edit(f"blocks.{head[0]}.attn.hook_z", value=0.0, head=head[1]) for head in heads}
pairs = list(itertools.combinations(heads, 2))

sweep = Sweep(model, task.clean, task.answers.positions, progress=False)
whole = float(task.measure(sweep.base_logits).mean())
left = sweep.run([(silence[a], silence[b]) for a, b in pairs], task.measure).mean(1)

lost = np.zeros((len(heads), len(heads)))
for (a, b), metric in zip(pairs, left.tolist(), strict=True):
    lost[heads.index(a), heads.index(b)] = lost[heads.index(b), heads.index(a)] = whole - metric
names = [f"a{layer}.h{head}" for layer, head in heads]
result = make_result(
    lost,
    ("component", "node"),
    "Logit difference lost with two heads silent",
    "logits",
    Provenance("induction-2l", task.name, task.seed),
    {"component": names, "node": names},
)
out.parent.mkdir(parents=True, exist_ok=True)
result.figure().write_html(out, include_plotlyjs=True)
worst = max(zip(pairs, left.tolist(), strict=True), key=lambda each: whole - each[1])
print(f"{out}: of {len(pairs)} pairs, {worst[0]} costs most: {whole:.1f} logits become {worst[1]:.1f}.")
