"""How far does a learner that never looks inside get with mystery models?"""

import random

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from mechscope import viz
from mechscope.course.challenges import mystery
from mechscope.problems import StartingPoint, run_starter

MYSTERIES = 6
ASKED = 3000
"""Inputs on which the model is asked, of 15,625."""
NEEDED = 0.999


def starting_point(seed: int = 0) -> StartingPoint:
    agreement, commonest = [], []
    for number in range(seed * MYSTERIES, (seed + 1) * MYSTERIES):
        subject = mystery.mystery(number)
        inputs = mystery.every_input(subject)
        answers = np.array(subject.answers(inputs))
        letters = np.array(inputs)[..., None] == np.array(subject.alphabet)  # [input, place, letter]
        x = letters.reshape(len(inputs), -1)
        asked = np.array(random.Random(number).sample(range(len(inputs)), ASKED))
        tree = DecisionTreeClassifier(random_state=seed).fit(x[asked], answers[asked])
        others = np.setdiff1d(np.arange(len(inputs)), asked)
        agreement.append(float(np.mean(tree.predict(x[others]) == answers[others])))
        commonest.append(float(np.unique(answers, return_counts=True)[1].max() / len(answers)))
    solved = sum(share >= NEEDED for share in agreement)
    figure = viz.bars(
        [f"mystery {number}" for number in range(seed * MYSTERIES, (seed + 1) * MYSTERIES)],
        {"decision tree": agreement, "always the commonest answer": commonest},
        title=f"A decision tree that asked each mystery model {ASKED:,} times",
        x_title="model",
        y_title="agreement on other inputs (share)",
        number_format=".3f",
        markers=[viz.Marker(NEEDED, "counts as solved", "y")],
    )
    return StartingPoint(
        baseline={
            "the model's answer given by the tree (median share)": float(np.median(agreement)),
            f"mysteries solved (of {MYSTERIES})": float(solved),
            "the commonest answer (median share)": float(np.median(commonest)),
        },
        figure=figure,
        caption=(
            f"The tree agrees with the model on {min(agreement):.1%} to {max(agreement):.1%} of the inputs that it did "
            f"not ask about, and solves {solved} of {MYSTERIES} mysteries."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
