"""A dictionary goes out as a SAELens folder and comes back: whose format it is is told by what lies there."""

import sys
import tempfile
from pathlib import Path

import torch

import mechscope as ms
from mechscope.dictionaries import TopKConfig, build
from mechscope.dictionaries.evaluation import evaluate
from mechscope.dictionaries.exchange import load_dictionary, save_saelens

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/load_dictionary.html")
model = ms.load_model("induction-2l")
hook_name = "blocks.0.hook_resid_pre"

# Nothing is trained here: this model's stream starts as an embedding alone, so each token can be a feature.
dictionary = build(TopKConfig(d_in=model.cfg.d_model, d_sae=model.cfg.d_vocab, k=1))
with torch.no_grad():
    dictionary.W_dec.copy_(model.W_E)
    dictionary.W_enc.copy_((model.W_E / model.W_E.square().sum(-1, keepdim=True)).T)
dictionary.metadata.update(model_name="induction-2l", hook_name=hook_name)

tokens = torch.randint(0, 128, (64, 30), generator=torch.Generator().manual_seed(0))
tokens[:, 0] = 128
found = evaluate(dictionary, tokens, model=model, hook_name=hook_name)
with tempfile.TemporaryDirectory() as folder:
    save_saelens(dictionary, folder, densities=found.activity.densities)
    files = sorted(path.name for path in Path(folder).iterdir())
    loaded = load_dictionary(folder)

_, cache = model.run_with_cache(tokens, names_filter=hook_name)
with torch.no_grad():
    difference = float((loaded(cache[hook_name]) - dictionary(cache[hook_name])).abs().max())
out.parent.mkdir(parents=True, exist_ok=True)
found.densities.figure().write_html(out, include_plotlyjs=True)
print(
    f"{out}: {', '.join(files)} came back as a {loaded.cfg.architecture} dictionary of {loaded.cfg.d_sae} features for "
    f"{loaded.metadata['hook_name']}; its reconstructions differ from the saved one's by at most {difference:.1g}. "
    f"The figure shows how often each feature is active: {found.l0:.0f} at each token, "
    f"{found.activity.dead_share:.0%} of them never."
)
