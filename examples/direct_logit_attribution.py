"""Which parts of the model write the answer? The terms add up to the logit difference exactly."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.tasks import repeated_random_tokens
from mechscope.techniques.direct_logit_attribution import direct_logit_attribution

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/direct_logit_attribution.html")
model = ms.load_model("induction-2l")
task = repeated_random_tokens(model, n=64, half=28, bos=128, answers="last")
by_part = direct_logit_attribution(model, task, "component")

out.parent.mkdir(parents=True, exist_ok=True)
by_part.figure().write_html(out, include_plotlyjs=True)
values = by_part.contributions.values
heads = float(sum(values.sel(component=f"a1.h{head}") for head in range(4)))
print(
    f"{out}: the logit difference is {by_part.total:.2f}; the heads of layer 1 write {heads:.2f} of it directly, and "
    f"{by_part.rest:.0e} is left over."
)
