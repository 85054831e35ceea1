"""Which features of an MLP make a model expect a verb after "to"? Each patched, estimated, and read off the logits."""

import sys
from pathlib import Path

import torch

import mechscope as ms
from mechscope import dictionaries as d
from mechscope import feature_effects as effects
from mechscope.dictionaries.evaluation.logit_lists import logit_effects, logit_lists

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/feature_attribution.html")
model = ms.load_model("mini-gelu-1l")
where = "blocks.0.hook_mlp_out"
assert model.tokenizer is not None

# A dictionary for what the MLP writes, trained for some seconds on texts that the model makes up.
torch.manual_seed(0)
bos = torch.full((256, 1), model.tokenizer.bos_token_id)
texts = model.generate(bos, max_new_tokens=63, return_type="tokens", verbose=False)
stream = d.ModelStream(model, texts, where, batch_size=512, buffer_size=8192)
dictionary = d.build(d.TopKConfig(d_in=stream.d_in, d_sae=512, k=16), generator=0)
d.train(dictionary, stream, d.TrainingConfig(steps=300, lr=3e-3), progress=False)
dictionary = dictionary.fold().eval()

starts = ["He went", "She was going", "They did not want", "It was too late", "I had", "We used"]
task = ms.tasks.from_prompts(
    model,
    clean=[f"{start} to" for start in starts],
    corrupted=[f"{start} of" for start in starts],
    correct=[" be"] * len(starts),
    wrong=[" the"] * len(starts),
    name="a verb after 'to'",
    prepend_bos=True,
)
with dictionary.attached(model, where) as attached:
    patched = effects.patch_features(model, task, attached, progress=False)
    guessed = effects.attribute_features(model, task, attached)
    along = effects.attribute_features(model, task, attached, steps=16, progress=False)
    direct = effects.direct_feature_attribution(model, task, attached)

out.parent.mkdir(parents=True, exist_ok=True)
patched.figure(15).write_html(out, include_plotlyjs=True)
print(patched)
best = patched.top(1)[0].feature
promoted = logit_lists(logit_effects(model, dictionary.W_dec[[best]]), 5)[0]
real = patched.features.values
print(direct)
print(
    f"{out}: of {real.size} features that differ, feature {best} matters most; it promotes "
    f"{', '.join(repr(model.to_string(token)) for token in promoted.top)}. Mean error of the estimates beside patching "
    f"one by one, as a share of the mean magnitude: gradient at one point "
    f"{float(abs(guessed.features.values - real).mean() / abs(real).mean()):.0%}, along the line "
    f"{float(abs(along.features.values - real).mean() / abs(real).mean()):.0%}; what their sums miss of all at once "
    f"({along.whole:.3f}): {guessed.unexplained:+.3f} and {along.unexplained:+.4f}."
)
