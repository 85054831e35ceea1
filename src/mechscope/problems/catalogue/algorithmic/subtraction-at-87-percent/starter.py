"""Where does the model of subtraction go wrong, and does it know the rule all the same?"""

import torch

from mechscope import viz
from mechscope.course.challenges.challenge import challenge
from mechscope.problems import StartingPoint, run_starter

P = 31
"""Numbers are subtracted modulo 31."""


def starting_point(seed: int = 0) -> StartingPoint:
    # The model is bundled and every pair is tried, so nothing depends on the seed.
    subject = challenge("subtraction")
    pairs = [(str(a), str(b)) for a in range(P) for b in range(P)]
    logits = subject.logits(pairs).view(P, P, P)  # [a, b, answer]
    unseen = torch.tensor([subject.task.is_held_out(pair) for pair in pairs]).view(P, P)
    a, b = torch.arange(P)[:, None], torch.arange(P)[None]

    # Logits by distance from the right answer, so that all pairs can be compared.
    distance = torch.arange(P)
    by_distance = logits.gather(2, (a - b)[..., None].add(distance) % P)
    wrong_by = by_distance.argmax(2)
    right = wrong_by == 0

    # If the model only knew a - b, all pairs with one difference would have the same logits. Average over them.
    same_difference = torch.stack(
        [logits[(d + torch.arange(P)) % P, torch.arange(P)].mean(0) for d in range(P)]
    )
    averaged = float((same_difference.argmax(1) == torch.arange(P)).float().mean())

    # Which wrong answers come closest on average? If near-ties were the cause, errors would land there.
    mean_logit = by_distance[~unseen].mean(0)
    rivals = mean_logit[1:].topk(4).indices + 1
    errors = wrong_by[unseen & ~right]
    at_rivals = float(torch.isin(errors, rivals).float().mean())

    counts = errors.bincount(minlength=P)
    figure = viz.bars(
        [str(k) for k in range(1, P)],
        {"wrong answers": counts[1:]},
        title="By how much is the model of subtraction wrong?",
        x_title="given answer minus right answer, modulo 31",
        y_title="unseen pairs",
        number_format=".0f",
        markers=[viz.Marker(len(errors) / (P - 1), "if errors were random", "y")],
    )
    accuracy = float(right[unseen].float().mean())
    return StartingPoint(
        baseline={
            "unseen pairs right (share)": accuracy,
            "differences right if logits are averaged over pairs (share)": averaged,
            "wrong answers at the 4 strongest rivals (share; chance 0.13)": at_rivals,
        },
        figure=figure,
        caption=(
            f"{len(errors)} of {int(unseen.sum())} unseen pairs are wrong, {int(counts.max())} of them by "
            f"{int(counts.argmax())}. The answers that come closest on average are off by "
            f"{', '.join(str(int(k)) for k in rivals)}, and only {at_rivals:.0%} of the errors land there."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
