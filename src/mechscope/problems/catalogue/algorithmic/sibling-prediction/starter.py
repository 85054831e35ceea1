"""How well does one model predict what its sibling answers to inputs unlike those of training?"""

import itertools

import numpy as np

from mechscope import viz
from mechscope.course.challenges.challenge import challenge
from mechscope.course.challenges.training import train
from mechscope.problems import StartingPoint, run_starter

SIBLINGS = 3
STEPS = 300


def starting_point(seed: int = 0) -> StartingPoint:
    subject = challenge("running_sum")
    models = [subject.with_model(train(subject.task, 10 * seed + i + 1, STEPS)) for i in range(SIBLINGS)]
    usual, wide = subject.held_out(1000, seed), subject.held_out(1000, seed, wide=True)
    shown = [row for row in wide if "3" not in row]  # the token 3 never occurs in training
    unseen = [row for row in wide if "3" in row]
    sibling, rule, chance = [], [], []
    for inputs in (usual, shown, unseen):
        answers = [np.array(model.answers(inputs)) for model in models]
        truth = np.array([subject.rule(row) for row in inputs])
        sibling.append(np.mean([np.mean(x == y) for x, y in itertools.combinations(answers, 2)]))
        rule.append(np.mean([np.mean(x == truth) for x in answers]))
        frequencies = [np.unique(x, return_counts=True)[1] / len(x) for x in answers]
        chance.append(np.mean([shares.max() for shares in frequencies]))
    figure = viz.bars(
        ["as in training", "other sums, known tokens", "with the unseen token 3"],
        {"a sibling's answer": sibling, "the true rule": rule, "the model's commonest answer": chance},
        title="What predicts the answers of a small model of running sums?",
        x_title="inputs",
        y_title="answers predicted (share)",
        number_format=".2f",
    )
    return StartingPoint(
        baseline={
            "answers predicted by a sibling, unseen token (share)": float(sibling[2]),
            "answers predicted by the true rule, unseen token (share)": float(rule[2]),
            "answers predicted by a sibling, as in training (share)": float(sibling[0]),
        },
        figure=figure,
        caption=(
            f"On inputs like those of training, siblings agree on {sibling[0]:.0%}. On inputs with a token that none "
            f"of them ever saw they agree on {sibling[2]:.0%}, and the true rule predicts {rule[2]:.0%}; always saying "
            f"the commonest answer gives {chance[2]:.0%}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
