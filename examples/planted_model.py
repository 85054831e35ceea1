"""A circuit that is known: compile a program, look at its true graph, and see the model obey it."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.techniques import Circuit, EdgeGraph

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/planted_model.html")
planted = ms.planted.load("induction")
circuit = Circuit.from_edges(EdgeGraph.of(planted.model), planted.true_edges)

out.parent.mkdir(parents=True, exist_ok=True)
circuit.figure().write_html(out, include_plotlyjs=True)
text = "a b c d a b c d a b c d"
print(
    f"{out}: {len(planted.true_edges)} edges, exact on {planted.check(500).inputs} inputs; {text!r} goes on with",
    end=" ",
)
print(repr(planted.run([text])[0][-1]))
