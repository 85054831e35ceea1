"""Which heads does copying need? Each ablated by itself, then more and more of them together."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.tasks import repeated_random_tokens
from mechscope.techniques.ablation import ablation, knock_out

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/ablation.html")
model = ms.load_model("induction-2l")
task = repeated_random_tokens(model, n=32, half=24, bos=128, answers="last")
heads = ablation(model, task, "heads", "resample", draws=5, seed=0, progress=False)
first_layer = knock_out(model, task, [f"a0.h{head}" for head in range(4)], "mean", progress=False)

out.parent.mkdir(parents=True, exist_ok=True)
first_layer.figure().write_html(out, include_plotlyjs=True)
layer, head = (int(heads.values.argmax(...)[dim]) for dim in ("layer", "head"))
alone = float(first_layer.values.sel(series="alone").max())
together = float(first_layer.values.sel(series="together")[-1])
print(
    f"{out}: losing a{layer}.h{head} costs most, {float(heads.values.max()):.0%} of the effect. No head of layer 0 "
    f"costs more than {alone:.0%} by itself; all four together cost {together:.0%}: they stand in for one another."
)
