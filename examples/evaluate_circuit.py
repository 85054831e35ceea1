"""Is it a circuit, or would any set of edges do? Faithfulness over all sizes on held-out prompts, with both nulls.

python examples/evaluate_circuit.py [figure.html]
"""

import sys
from pathlib import Path

from mechscope import planted
from mechscope.techniques.circuits import discover, minimality

target = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/evaluate_circuit.html")
target.parent.mkdir(parents=True, exist_ok=True)

hidden = planted.load(
    "ioi", noise=planted.STEADY_NOISE["ioi"], rotate=True, extra_heads=2, extra_layers=1, seed=1
)
found = discover(hidden.model, hidden.task(64), "eap-ig", held_out=0.5, progress=False)

evaluation = found.evaluate(sizes=[2, 4, 6, 8, 10, 14, 20, 40, 80, 160, found.graph.n_edges], progress=False)
evaluation.figure().write_html(target)
print(evaluation)

parts = minimality(hidden.model, found.held_out, found.circuit(10), progress=False)
parts.figure().write_html(target.with_name(f"{target.stem}_minimality.html"))
print(f"{parts.lost}\n{evaluation.areas.values.to_pandas().round(3)}\ndrawn in {target}")
