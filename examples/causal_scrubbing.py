"""Is induction all there is? A hypothesis about both layers, and two that leave something out, scrubbed."""

import sys
from pathlib import Path

import mechscope as ms
from mechscope.tasks import repeated_random_tokens
from mechscope.techniques.causal_scrubbing import Part, causal_scrubbing

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/causal_scrubbing.html")
model = ms.load_model("induction-2l")
task = repeated_random_tokens(model, n=32, half=24, bos=128, answers="last")
token = [Part("input")]


def induction(key: list[Part]) -> Part:
    """Layer 1 looks for its own token among what its keys say, and copies what it finds there."""
    needs = {"q": token, "k": key, "v": token}
    return Part("logits", inputs=[Part(f"a1.h{head}", inputs=needs) for head in range(4)])


def layer_0(**needs: list[Part]) -> list[Part]:
    return [Part(f"a0.h{head}", inputs=needs) for head in range(4)]


keys = {
    "keys from layer 0, which attends by its tokens": layer_0(q=token, k=token, v=token),
    "keys from layer 0, which attends by position alone": layer_0(v=token),
    "keys from the tokens themselves": token,
}
found = {
    name: causal_scrubbing(model, task, induction(key), draws=5, progress=False) for name, key in keys.items()
}

out.parent.mkdir(parents=True, exist_ok=True)
next(iter(found.values())).figure().write_html(out, include_plotlyjs=True)
print(
    f"{out}: recovered with " + "; ".join(f"{name}, {each.share:.0%}" for name, each in found.items()) + "."
)
