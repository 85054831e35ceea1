"""Do the embeddings of tokens that occur near each other overlap less than others?"""

import numpy as np
import torch
from scipy.stats import rankdata

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import read_standard_library
from mechscope.problems import StartingPoint, run_starter

NEAR = 8
"""Two tokens are near if at most this many places apart."""
MODULES = ("argparse.py", "ast.py", "datetime.py", "inspect.py", "tarfile.py", "typing.py")


def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-1l", process=False)
    library = read_standard_library()
    text = "\n".join(library[name] for name in MODULES)
    ids = model.to_tokens(text, truncate=False)[0, 1:]
    n = model.cfg.d_vocab
    counts = ids.bincount(minlength=n).float()
    near = torch.zeros(n, n)
    for steps in range(1, NEAR + 1):
        near.index_put_((ids[:-steps], ids[steps:]), torch.ones(len(ids) - steps), accumulate=True)
    near = near + near.T

    known = (counts >= 50).nonzero()[:, 0]
    E = model.W_E.detach()[known]
    E = E - E.mean(0)  # what all tokens share tells none of them apart
    E = E / E.norm(dim=1, keepdim=True)
    overlap = (E @ E.T).square()
    upper = torch.triu_indices(len(known), len(known), 1)
    overlap, near = overlap[*upper], near[known][:, known][*upper]
    # How often two tokens are near each other, compared with chance.
    expected = 2 * NEAR * counts[known][upper[0]] * counts[known][upper[1]] / len(ids)
    lift = near / expected
    rank = float(np.corrcoef(rankdata(lift), rankdata(overlap))[0, 1])

    generator = torch.Generator().manual_seed(seed)
    R = torch.nn.functional.normalize(torch.randn(len(known), E.shape[1], generator=generator), dim=1)
    by_chance = float((R @ R.T).square()[*upper].mean())
    tenths = [float(part.mean()) for part in overlap[lift.argsort()].chunk(10)]
    figure = viz.curves(
        [f"{i * 10}–{i * 10 + 10} %" for i in range(10)],
        {"token embeddings": tenths, "random directions": [by_chance] * 10},
        title="Overlap of token embeddings in mini-gelu-1l",
        x_title="pairs of tokens, from those that avoid each other to those that meet often",
        y_title="mean squared cosine",
        points=True,
    )
    return StartingPoint(
        baseline={
            "mean squared cosine of two embeddings": float(overlap.mean()),
            "mean squared cosine of random directions": by_chance,
            "rank correlation of meeting and overlap": rank,
        },
        figure=figure,
        caption=(
            f"Two tokens overlap by {float(overlap.mean()):.4f} on average, random directions by {by_chance:.4f}. "
            f"The tenth of pairs that avoid each other most has {tenths[0]:.4f}, the tenth that meets most "
            f"{tenths[-1]:.4f}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
