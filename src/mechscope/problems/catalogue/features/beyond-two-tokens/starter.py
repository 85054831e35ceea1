"""How many features say more than the last two tokens do?"""

import torch

import mechscope as ms
from mechscope import dictionaries, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter

ROWS = 900


def explained(keys: torch.Tensor, values: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
    """The share of each column's variance that a table of means by key explains, on examples outside `train`."""
    _, places = keys.unique(return_inverse=True)
    sums = torch.zeros(int(places.max()) + 1, values.shape[1]).index_add_(0, places[train], values[train])
    counts = places[train].bincount(minlength=len(sums)).float()[:, None]
    overall = values[train].mean(0)
    table = (sums + 2 * overall) / (counts + 2)  # rare keys fall back on the overall mean
    test, guess = values[~train], table[places[~train]]
    return 1 - (test - guess).square().sum(0) / (test - overall).square().sum(0)


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
    neurons = cache[hook][:, 2:].flatten(0, 1)
    features = sae.encode(neurons)
    here, before = tokens[:, 2:].flatten(), tokens[:, 1:-1].flatten()
    pairs = here * model.cfg.d_vocab + before

    generator = torch.Generator().manual_seed(seed)
    train = (torch.rand(rows, generator=generator) < 0.6).repeat_interleave(width - 1)
    used = (features > 0).sum(0) >= 50
    by_token = explained(here, features[:, used], train)
    by_pair = torch.maximum(by_token, explained(pairs, features[:, used], train))
    of_neurons = torch.maximum(explained(here, neurons, train), explained(pairs, neurons, train))
    beyond = float((by_pair < 0.5).double().mean())
    figure = viz.curves(
        torch.linspace(0, 1, 101),
        {
            "features, one token": by_token.quantile(torch.linspace(0, 1, 101)),
            "features, two tokens": by_pair.quantile(torch.linspace(0, 1, 101)),
            "neurons, two tokens": of_neurons.quantile(torch.linspace(0, 1, 101)),
        },
        title="What a table of the last tokens explains (mini-gelu-1l, unseen code)",
        x_title="share of units with less",
        y_title="variance explained (share)",
    )
    figure.update_yaxes(range=[-0.2, 1])
    return StartingPoint(
        baseline={
            "features of which two tokens explain less than half (share)": beyond,
            "variance of the median feature explained by the current token (share)": float(by_token.median()),
            "variance of the median feature explained by two tokens (share)": float(by_pair.median()),
            "variance of the median neuron explained by two tokens (share)": float(of_neurons.median()),
        },
        figure=figure,
        caption=(
            f"The current token explains {float(by_token.median()):.0%} of the median feature, the last two "
            f"{float(by_pair.median()):.0%}; of the median neuron {float(of_neurons.median()):.0%}. For {beyond:.0%} "
            f"of {int(used.sum())} features two tokens explain less than half."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
