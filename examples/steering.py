"""Make a model say 7 where it read 9: a steering vector, its dose-response curve and its cost."""

import sys
from pathlib import Path

import torch

import mechscope as ms
from mechscope.tasks import Answers, Task
from mechscope.techniques.steering import steered, steering_curve, steering_vector

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/steering.html")
model = ms.load_model("induction-2l")
words = torch.randint(10, 128, (64, 23), generator=torch.Generator().manual_seed(0))
first = torch.full((64, 1), 128)
clean, corrupted = (torch.cat([first, words, torch.full((64, 1), said), words], 1) for said in (7, 9))
end, seven = torch.full((64, 1), 47), torch.full((64, 1, 1), 7)
task = Task("7, not 9", clean, corrupted, Answers(end, seven, seven + 2))
vector = steering_vector(model, task, layer=1, positions=24)
curve = steering_curve(model, task, vector, layer=1, progress=False)

out.parent.mkdir(parents=True, exist_ok=True)
curve.figure().write_html(out, include_plotlyjs=True)
with steered(model, vector, layer=1, coefficient=2.0):
    written = model.generate(
        corrupted[:1], max_new_tokens=1, do_sample=False, verbose=False, stop_at_eos=False
    )
chosen, _, lowest, highest = (float(value) for value in curve.effect.values.sel(coefficient=2.0))
cost = float(curve.divergence.values.sel(coefficient=2.0)[0])
print(
    f"{out}: with coefficient 2, {chosen:.0%} of the way from 9 to 7 (random directions {lowest:.0%} to "
    f"{highest:.0%}), at a divergence of {cost:.2f} nats; the first prompt goes on with {int(written[0, -1])}."
)
