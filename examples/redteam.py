"""Attack three claims about one model: a rule, a circuit that is true, and one with a passenger in it."""

import sys
from pathlib import Path

import torch

import mechscope as ms
from mechscope import planted
from mechscope.data.copying import Induction
from mechscope.tasks import repeated_random_tokens
from mechscope.techniques.redteam import Behaviour, Heads, redteam

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/redteam.html")
model = ms.load_model("induction-2l")
task = repeated_random_tokens(model, 64, bos=128)


def what_followed(tokens: torch.Tensor) -> torch.Tensor:
    source = Induction(model.cfg.d_vocab).sources(tokens)
    return torch.where(source >= 0, tokens.gather(1, source.clamp(min=0)), -1)


rule = redteam(model, task, Behaviour(what_followed, "it says what followed last time"), progress=False)
print(rule.to_markdown())

hidden = planted.load("induction", noise=0.01, rotate=True, extra_heads=3, seed=1)
true = [f"a{layer}.h{head}" for layer, head in hidden.true_heads]
passenger = next(name for name in ("a1.h0", "a1.h1") if name not in true)
for nodes in (true, [*true, passenger]):
    claim = Heads(nodes, f"{', '.join(nodes)} carry the planted induction")
    evidence = redteam(hidden.model, hidden.task(64), claim, progress=False)
    print(evidence, evidence.cheapest_falsifier, sep="\n")

out.parent.mkdir(parents=True, exist_ok=True)
evidence.figure().write_html(out, include_plotlyjs=True)
print(f"{out}: the ladder of the last claim, what undermines it on top.")
