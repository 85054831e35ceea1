"""Which edges carry the behaviour? EAP-IG and ACDC on a planted name-copying model, held against its true circuit.

python examples/discover_circuit.py [figure.html]
"""

import sys
from pathlib import Path

from mechscope import planted
from mechscope.techniques.circuits import discover

target = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/discover_circuit.html")
target.parent.mkdir(parents=True, exist_ok=True)

# A compiled program hidden among random weights, in a rotated basis: nothing can be read off by eye.
hidden = planted.load(
    "ioi", noise=planted.STEADY_NOISE["ioi"], rotate=True, extra_heads=2, extra_layers=1, seed=1
)
task = hidden.task(32)

for method in ("eap", "eap-ig", "acdc"):
    found = discover(hidden.model, task, method, progress=False)
    edges = found.compare(hidden.true_edges).edges
    print(
        f"{method}: edge AUROC {edges.auroc:.3f}, precision {edges.precision:.2f}, recall {edges.recall:.2f}"
    )

circuit = found.circuit()  # the last method's own circuit
circuit.save(target.with_suffix(".json"))
circuit.figure().write_html(target)
print(f"{circuit} drawn in {target}")
