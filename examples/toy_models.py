"""Superposition without training: five features in a plane, as arrows, at the densities that you ask for.

python examples/toy_models.py figure.html 0.8 0.4 0.05
"""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.labs.superposition.geometry import represented
from mechscope.labs.superposition.linear_baseline import best_linear_losses
from mechscope.labs.superposition.plane import draw_planes

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/toy_models.html")
densities = [float(word) for word in sys.argv[2:]] or [1.0, 0.7, 0.4, 0.2, 0.1, 0.05]

intro = ms.load_toy_models()["intro"]  # importance 0.9^i, the best start of each density
planes = {f"density {p:g}": intro.at(p).W[0, 0] for p in densities}
figure = draw_planes(planes, title="Five features in two dimensions")

out.parent.mkdir(parents=True, exist_ok=True)
figure.write_html(out, include_plotlyjs=True)
counts = ", ".join(f"{int(represented(W).sum())} at {name}" for name, W in planes.items())
linear = best_linear_losses(intro.group)[-1]
print(
    f"{out}: features with a direction: {counts}. At density {intro.group.density[-1]:g} the network loses "
    f"{float(intro.loss[-1].min()) / linear:.0%} of what the best linear map does."
)
