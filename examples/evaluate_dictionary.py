"""What does layer 0's attention write? Three dictionaries made by hand, each evaluated inside the model."""

import sys
from pathlib import Path

import torch

import mechscope as ms
from mechscope.dictionaries import TopKConfig, build
from mechscope.dictionaries.evaluation import evaluate, read_activations
from mechscope.viz.bars import bars

out = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/out/evaluate_dictionary.html")
model = ms.load_model("induction-2l")
hook_name = "blocks.0.hook_attn_out"


def texts(count: int, seed: int) -> torch.Tensor:
    """Random words, each text said twice."""
    once = torch.randint(0, 128, (count, 24), generator=torch.Generator().manual_seed(seed))
    return torch.cat([torch.full((count, 1), 128), once, once], dim=1)


seen = texts(300, seed=1)
written = torch.cat([x for x, _ in read_activations(model, seen, hook_name, batch_size=64)])[:, 1:]
written = written.flatten(0, 1)
mean = written.mean(0)
written_covariance = (written - mean).T.cov() + 1e-4 * torch.eye(model.cfg.d_model)


def rows_for(labels: torch.Tensor) -> torch.Tensor:
    """A feature a word: what is written where it is the label, on average, beyond the mean."""
    sums = torch.zeros(129, model.cfg.d_model).index_add_(0, labels, written - mean)
    return (sums / labels.bincount(minlength=129).clamp_min(1)[:, None])[:128]


before, itself = (rows_for(labels.flatten()) for labels in (seen[:, :-1], seen[:, 1:]))
guesses = {
    "the word before": (before, 1),
    "the word itself": (itself, 1),
    "both": (torch.cat([before, itself]), 2),
}
found = {}
for name, (rows, k) in guesses.items():
    dictionary = build(TopKConfig(d_in=model.cfg.d_model, d_sae=len(rows), k=k)).eval()
    with torch.no_grad():
        dictionary.W_dec.copy_(rows)
        # What reads a feature out best, linearly, made to read 1 where only that feature is written.
        readers = rows @ torch.linalg.inv(written_covariance)
        dictionary.W_enc.copy_((readers / (readers * rows).sum(-1, keepdim=True)).T)
        dictionary.b_dec.copy_(mean)
    found[name] = evaluate(dictionary, texts(32, seed=0), model=model, hook_name=hook_name, skip_first=1)

figure = bars(
    list(found),
    {
        "variance unexplained": [one.fvu for one in found.values()],
        "loss not recovered (mean ablation)": [1 - one.splice.recovered_mean for one in found.values()],
    },
    title="What layer 0's attention writes, as features for words",
    x_title="what the features stand for",
    y_title="share: lower is better",
)
out.parent.mkdir(parents=True, exist_ok=True)
figure.write_html(out, include_plotlyjs=True)
print(found["both"])
print(
    f"{out}: features for the word before leave {found['the word before'].fvu:.0%} of the variance unexplained, for "
    f"the word itself {found['the word itself'].fvu:.0%}, for both {found['both'].fvu:.0%}; spliced in they cost "
    + ", ".join(f"{one.splice.delta_ce:.2f}" for one in found.values())
    + f" nats, where mean ablation costs {found['both'].splice.ce_mean - found['both'].splice.ce:.2f}. Variance "
    "does not say what the model reads: compare the two columns."
)
