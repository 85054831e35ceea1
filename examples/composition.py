"""Which earlier head feeds which later one? K-composition, beside what random directions would give."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.techniques.composition import composition_scores

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/composition.html")
model = ms.load_model("induction-2l")
by_keys = composition_scores(model, "K", progress=False)

out.parent.mkdir(parents=True, exist_ok=True)
by_keys.figure().write_html(out, include_plotlyjs=True)
excess = {
    kind: float(composition_scores(model, kind, progress=False).excess.values.mean())
    for kind in ("Q", "K", "V")
}
print(
    f"{out}: heads of layer 0 are wired to those of layer 1 above chance by "
    + ", ".join(f"{kind} {value:+.0f}" for kind, value in excess.items())
    + " standard deviations: an induction head's keys read what previous-token heads write."
)
