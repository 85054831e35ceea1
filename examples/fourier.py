"""With which frequencies does a model of modular addition compute? Its neurons over all pairs of numbers."""

import sys
from pathlib import Path

import torch

from mechscope.planted import load
from mechscope.techniques.fourier import embedding_spectrum, key_frequencies, neuron_frequencies

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/fourier.html")
p = 13
planted = load("modular_addition")
tokens = planted.encode([[str(a), str(b), "="] for a in range(p) for b in range(p)])
_, cache = planted.model.run_with_cache(tokens, names_filter="blocks.0.mlp.hook_post")
neurons = cache["post", 0][:, -1].unflatten(0, (p, p))
neurons = neurons[..., neurons.flatten(0, 1).std(0) > 1e-6]
shares = neuron_frequencies(neurons)

out.parent.mkdir(parents=True, exist_ok=True)
shares.figure().write_html(out, include_plotlyjs=True)
best = torch.tensor(shares.values.values).max(0).values
used = key_frequencies(embedding_spectrum(planted.model, p, first=1))
print(
    f"{out}: the embedding has the frequencies {', '.join(map(str, used))}, and the median neuron's best "
    f"frequency explains {float(best.median()):.0%} of its variance over all pairs."
)
