"""Measure how well the margin of grokking-p113 tells its training pairs from unseen ones, over training."""

import torch
from sklearn.metrics import roc_auc_score

import mechscope as ms
from mechscope import viz
from mechscope.labs.grokking.pairs import Pairs, split_pairs
from mechscope.problems import StartingPoint, run_starter

EPOCHS = (0, 200, 1000, 2800, 4800, 6600, 7000, 7600, 8200, 8800, 9800, 11900)
"""Most of the checkpoints. The pairs are memorised by epoch 200, and unseen ones are right from 7,700 on."""
TRAINED = split_pairs(113, 3830, seed=0)
"""The pairs that the model was trained on, and all others, as its recipe drew them."""


def margins(model, pairs: Pairs) -> torch.Tensor:
    """By how much the logit of the right answer is above that of the best wrong one, for each pair."""
    with torch.no_grad():
        logits = model(pairs.tokens())[:, -1].double()
    right = logits.gather(1, pairs.answer[:, None])
    wrong = logits.scatter(1, pairs.answer[:, None], -torch.inf).max(1, keepdim=True).values
    return (right - wrong)[:, 0]


def auc(first: torch.Tensor, second: torch.Tensor) -> float:
    """The chance that a random one of the first values is above a random one of the second."""
    is_first = [True] * len(first) + [False] * len(second)
    return float(roc_auc_score(is_first, torch.cat([first, second]).numpy()))


def starting_point(seed: int = 0) -> StartingPoint:
    """The AUC at each checkpoint; the seed decides which unseen pairs are compared."""
    trained, others = TRAINED
    chosen = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[: len(trained)]
    unseen = Pairs(others.a[chosen], others.b[chosen], others.answer[chosen], others.p)
    found = []
    for epoch in EPOCHS:
        model = ms.load_model("grokking-p113", checkpoint_value=epoch)
        of_trained, of_unseen = margins(model, trained), margins(model, unseen)
        found.append(auc(of_trained, of_unseen))
    # The control: unseen pairs (a, b) whose mirror image (b, a) was trained on, against the other unseen ones.
    known = set(zip(trained.b.tolist(), trained.a.tolist(), strict=True))
    is_mirrored = torch.tensor(
        [pair in known for pair in zip(unseen.a.tolist(), unseen.b.tolist(), strict=True)]
    )
    mirrored = auc(of_unseen[is_mirrored], of_unseen[~is_mirrored])
    figure = viz.curves(
        EPOCHS,
        {"trained against unseen pairs": found},
        title="Can the margin of grokking-p113 tell what it was trained on?",
        x_title="epoch",
        y_title="AUC (0.5 is chance)",
        points=True,
    )
    return StartingPoint(
        baseline={
            "AUC of the margin, trained against unseen pairs, last checkpoint": found[-1],
            "the same at epoch 200": found[EPOCHS.index(200)],
            "AUC at the last checkpoint, unseen pairs with a trained mirror image against other unseen ones": mirrored,
        },
        figure=figure,
        caption=(
            f"At epoch 200 the margin gives the training pairs away (AUC {found[1]:.3f}). When all answers are right, "
            f"some of that is left: {found[-1]:.3f} at the end. Pairs that were only trained on the other way round "
            f"stand out with {mirrored:.3f}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
