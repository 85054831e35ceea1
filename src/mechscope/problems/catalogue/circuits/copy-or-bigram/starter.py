"""In real code, when copying and the model's own bigram disagree and one of them is right: whom does it believe?"""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

MODELS = ["mini-gelu-1l", "mini-attn-only-2l", "mini-gelu-2l"]


def auroc(scores: torch.Tensor, true: torch.Tensor) -> float:
    """The chance that a true case scores higher than another."""
    apart = scores[true][:, None] - scores[~true][None]
    return float(((apart > 0).float() + 0.5 * (apart == 0).float()).mean())


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    right: dict[str, list[float]] = {"always copy": [], "the model": []}
    by_margin, by_confidence = [], []
    for name in MODELS:
        model = ms.load_model(name)
        rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:500]]
        every = torch.arange(model.cfg.d_vocab)
        begin = torch.full_like(every, model.tokenizer.bos_token_id)
        table = model(torch.stack([begin, every], 1))[:, 1].softmax(-1)  # row t: after the token t alone
        now, following = rows[:, :-1], rows[:, 1:]
        earlier = (now[:, :, None] == now[:, None, :]).tril(-1)  # [row, position, earlier position]
        latest = (earlier * torch.arange(now.shape[1])).argmax(-1)
        copied, usual = following.gather(1, latest), table.argmax(1)[now]
        decided = earlier.any(-1) & (copied != usual) & ((following == copied) | (following == usual))
        logits = model(rows)[:, :-1]
        margin = (logits.gather(-1, copied[..., None]) - logits.gather(-1, usual[..., None]))[..., 0][decided]
        truth = (following == copied)[decided]
        right["always copy"].append(float(truth.float().mean()))
        right["the model"].append(float(((margin > 0) == truth).float().mean()))
        by_margin.append(auroc(margin, truth))
        by_confidence.append(auroc(-table.max(1).values[now][decided], truth))
    figure = viz.bars(
        MODELS,
        right,
        title="Copy what followed last time, or say what usually follows?",
        x_title="model",
        y_title="share of decisions that are right",
        markers=[viz.Marker(0.5, "a coin", axis="y")],
        number_format=".2f",
    )
    return StartingPoint(
        baseline={
            "decisions that mini-gelu-2l gets right (share)": right["the model"][-1],
            "decisions that “always copy” gets right (share)": right["always copy"][-1],
            "AUROC of mini-gelu-2l's margin between the two": by_margin[-1],
            "AUROC of the bigram's confidence alone": by_confidence[-1],
        },
        figure=figure,
        caption=f"Where the two disagree and one of them is right, copying is right in {right['always copy'][-1]:.0%}. "
        f"{MODELS[-1]} believes the right one in {right['the model'][-1]:.0%}, and {MODELS[0]}, which has no induction "
        f"heads, in {right['the model'][0]:.0%}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
