"""How far a model's own bigram table, read off from prompts of one token, predicts what it says in context."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

MODELS = ["mini-attn-only-1l", "mini-gelu-1l", "mini-gelu-2l"]


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    series: dict[str, list[float]] = {"same top token": [], "top token of another position": []}
    divergence = {}
    for name in MODELS:
        model = ms.load_model(name)
        rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:200]]
        every = torch.arange(model.cfg.d_vocab)
        begin = torch.full_like(every, model.tokenizer.bos_token_id)
        table = model(torch.stack([begin, every], 1))[:, 1].log_softmax(-1)  # row t: after the token t alone
        said = model(rows).log_softmax(-1)[:, 1:]
        looked_up = table[rows[:, 1:]]
        divergence[name] = float((said.exp() * (said - looked_up)).sum(-1).mean())
        agree = said.argmax(-1) == looked_up.argmax(-1)
        elsewhere = said.argmax(-1) == looked_up.argmax(-1).roll(17, 1)  # what agreement by chance would be
        series["same top token"].append(float(agree.float().mean()))
        series["top token of another position"].append(float(elsewhere.float().mean()))
    figure = viz.bars(
        MODELS,
        series,
        title="Does the model say in context what it says after the last token alone?",
        x_title="model",
        y_title="share of positions",
        number_format=".2f",
    )
    share = series["same top token"][0]
    return StartingPoint(
        baseline={
            **{f"KL from {name} to its bigram table (nats)": value for name, value in divergence.items()},
            f"positions where the top tokens agree, {MODELS[0]} (share)": share,
        },
        figure=figure,
        caption=f"A table with one row per token, read off from the model itself, names the top token of "
        f"{MODELS[0]} at {share:.0%} of the positions; the table's answer for another position does at "
        f"{series['top token of another position'][0]:.0%}. The rest is what context adds.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
