"""Replace every neuron of a layer by a table of what it usually does after the last one or two tokens."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

POINT = "blocks.0.mlp.hook_post"


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-1l")
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    train, test = rows[:600], rows[600:800]
    _, cache = model.run_with_cache(train, names_filter=POINT)
    neurons, size = cache[POINT], model.cfg.d_vocab

    def table(keys: torch.Tensor, fallback: torch.Tensor) -> dict[int, torch.Tensor]:
        """Mean activation of every neuron after each key, drawn towards the fallback where a key is rare."""
        found, place = keys.flatten().unique(return_inverse=True)
        sums = torch.zeros(len(found), neurons.shape[-1]).index_add_(0, place, neurons.flatten(0, 1))
        count = torch.bincount(place)[:, None]
        means = (sums + 2 * fallback[found % size]) / (count + 2)
        return {int(key): mean for key, mean in zip(found, means, strict=True)}

    def pairs(tokens: torch.Tensor) -> torch.Tensor:
        """One number for a token and the one before it, whose remainder is the token."""
        return tokens.roll(1, 1) * size + tokens

    everywhere = neurons.mean((0, 1))
    after_one = everywhere.repeat(size, 1)
    single = table(train, after_one)
    for token, mean in single.items():
        after_one[token] = mean
    double = table(pairs(train), after_one)
    after_two = after_one[test].flatten(0, 1)  # stays where a pair is new
    for row, key in enumerate(pairs(test).flatten().tolist()):
        if key in double:
            after_two[row] = double[key]
    stand_ins = {
        "the mean everywhere": everywhere.expand(*test.shape, -1),
        "a table of the last token": after_one[test],
        "a table of the last two tokens": after_two.view(*test.shape, -1),
    }
    usual = float(model(test, return_type="loss"))
    cost = {}
    for name, stand_in in stand_ins.items():
        hooks = [(POINT, lambda value, hook, put=stand_in: put)]
        cost[name] = float(model.run_with_hooks(test, return_type="loss", fwd_hooks=hooks)) - usual
    worst, one, best = cost.values()
    figure = viz.bars(
        list(cost),
        {"added loss": list(cost.values())},
        title="All 256 neurons of mini-gelu-1l replaced by a table, on held-out code",
        x_title="what stands in for the neurons",
        y_title="added loss (nats)",
        number_format=".2f",
    )
    return StartingPoint(
        baseline={
            **{f"added loss with {name} (nats)": value for name, value in cost.items()},
            "share of the layer's worth in the last two tokens": 1 - best / worst,
        },
        figure=figure,
        caption=f"The layer is worth {worst:.2f} nats. A table of the last token keeps "
        f"{1 - one / worst:.0%} of that, and one of the last two tokens "
        f"{1 - best / worst:.0%}. Hardly anything is left for more context to explain.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
