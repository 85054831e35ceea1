"""Where does the answer live? Every position of the residual stream, patched from the clean run into the corrupted."""

import sys
from pathlib import Path

import mechscope as ms

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/activation_patching.html")
planted = ms.planted.load("ioi")
task = planted.task(64, seed=0)
effect = ms.patch(planted.model, task, "resid_post", progress=False)

out.parent.mkdir(parents=True, exist_ok=True)
effect.figure().write_html(out, include_plotlyjs=True)
first, last = effect.values.isel(layer=0), effect.values.isel(layer=-1)
print(
    f"{out}: after the first layer the effect is spread over {int((first > 0.1).sum())} positions; after the last, "
    f"{float(last.max()):.0%} of it is at {last.idxmax('pos').item()!r}."
)
