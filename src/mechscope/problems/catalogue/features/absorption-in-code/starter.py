"""Where does the feature of a simple property stay silent although the property is there?"""

import torch
from sklearn.linear_model import LogisticRegression

import mechscope as ms
from mechscope import dictionaries, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter

ROWS = 800


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-1l")
    sae = dictionaries.load("mini-gelu-1l-neurons").float()
    text = "\n".join(read_standard_library()[name] for name in HELD_OUT_CODE)
    begin, *ids = model.to_tokens(text, truncate=False)[0].tolist()
    width = model.cfg.n_ctx - 1
    rows = min(ROWS, len(ids) // width)
    tokens = torch.tensor(ids[: rows * width]).view(rows, width)
    tokens = torch.cat([torch.full((rows, 1), begin), tokens], 1)
    hook = "blocks.0.mlp.hook_post"
    _, cache = model.run_with_cache(tokens, names_filter=hook)
    x, here = cache[hook][:, 1:].flatten(0, 1), tokens[:, 1:].flatten()
    active = sae.encode(x) > 0
    words = [model.to_string([token]) for token in range(model.cfg.d_vocab)]
    # The property: the token begins with a capital letter, with or without a space before it.
    has = torch.tensor([word.strip()[:1].isupper() for word in words])
    positive = has[here]

    generator = torch.Generator().manual_seed(seed)
    train = (torch.rand(rows, generator=generator) < 0.6).repeat_interleave(width)
    hits, alarms = active[train & positive].double().mean(0), active[train & ~positive].double().mean(0)
    best = int((hits - alarms).argmax())
    probe = LogisticRegression(C=0.1, max_iter=200).fit(x[train][::8].numpy(), positive[train][::8].numpy())
    found = torch.from_numpy(probe.predict(x.numpy()))

    def recall(fires: torch.Tensor) -> torch.Tensor:
        """Recall for each token that has the property and occurs at least ten times."""
        shown = [t for t in has.nonzero()[:, 0].tolist() if int((here[~train] == t).sum()) >= 10]
        return torch.stack([fires[~train & (here == token)].double().mean() for token in shown])

    by_latent, by_probe = recall(active[:, best]).sort().values, recall(found).sort().values
    feature = active[:, best]
    hit, alarm = (float(feature[~train & rows].double().mean()) for rows in (positive, ~positive))
    probed = float(found[~train & positive].double().mean())
    holes = float((by_latent < 0.1).double().mean())
    figure = viz.curves(
        torch.linspace(0, 1, len(by_latent)),
        {f"feature {best}": by_latent, "linear probe": by_probe},
        title="“Begins with a capital letter”: on which tokens is it recognised?",
        x_title="share of tokens with a smaller recall",
        y_title="recall on unseen code",
    )
    return StartingPoint(
        baseline={
            "recall of the best feature (share)": hit,
            "recall of a linear probe (share)": probed,
            "tokens on which the best feature is nearly always silent (share)": holes,
            "false alarms of the best feature (share)": alarm,
        },
        figure=figure,
        caption=(
            f"Feature {best} fires on {hit:.0%} of the tokens with a capital letter and on {alarm:.1%} of the others; "
            f"a linear probe finds {probed:.0%}. On {holes:.0%} of {len(by_latent)} such tokens the feature is "
            "silent at least nine times in ten."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
