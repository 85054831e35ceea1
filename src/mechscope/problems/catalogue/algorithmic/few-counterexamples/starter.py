"""How many counterexamples teach the model of brackets that order matters?"""

import copy
import itertools
import random

import torch

from mechscope import viz
from mechscope.course.challenges.challenge import challenge
from mechscope.problems import StartingPoint, run_starter

COUNTS = (0, 1, 2, 4, 8, 64)
STEPS = 120


def starting_point(seed: int = 0) -> StartingPoint:
    subject = challenge("brackets")
    rng = random.Random(seed)
    # Strings with as many opening as closing brackets. Training never showed one that was not balanced.
    even = [s for s in itertools.product("()", repeat=10) if s.count("(") == 5 and subject.rule(s) == "no"]
    rng.shuffle(even)
    test = [s for s in even if subject.task.is_held_out(s)]
    shown = [s for s in even if not subject.task.is_held_out(s)]
    ordinary = [s for s, _ in subject.task.training_set(2000, seed)]
    usual = subject.held_out(500, seed)

    def labels(rows: list) -> torch.Tensor:
        return torch.tensor([subject.outputs.index(subject.rule(row)) for row in rows])

    def fine_tuned(examples: list) -> tuple[float, float]:
        """Accuracy on unseen counterexamples and on ordinary strings after training on half of each kind."""
        model = copy.deepcopy(subject.model).requires_grad_(True)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        generator = torch.Generator().manual_seed(seed)
        tokens, answers = subject.encode(ordinary + examples), labels(ordinary + examples)
        for _ in range(STEPS):
            batch = torch.randint(len(ordinary), (64,), generator=generator)
            if examples:
                batch[:32] = len(ordinary) + torch.randint(len(examples), (32,), generator=generator)
            loss = torch.nn.functional.cross_entropy(model(tokens[batch])[:, -1], answers[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        tuned = subject.with_model(model)
        return tuned.accuracy(test), tuned.accuracy(usual)

    found = [fine_tuned(shown[:count]) for count in COUNTS]
    order, rest = zip(*found, strict=True)
    figure = viz.curves(
        [str(count) for count in COUNTS],
        {"unbalanced strings with even counts, unseen": order, "ordinary strings, unseen": rest},
        title="Fine-tuning the model of brackets on a few counterexamples",
        x_title="different counterexamples shown",
        y_title="accuracy (share)",
        points=True,
    )
    half = next((n for n, share in zip(COUNTS, order, strict=True) if share > 0.5), COUNTS[-1])
    return StartingPoint(
        baseline={
            "unseen counterexamples right with 8 shown (share)": order[COUNTS.index(8)],
            "unseen counterexamples right with 64 shown (share)": order[-1],
            "ordinary strings right with 64 shown (share)": rest[-1],
        },
        figure=figure,
        caption=(
            f"Without counterexamples {order[0]:.0%} of {len(test)} unseen ones are right; more than half are right "
            f"from {half} on, and {order[-1]:.0%} after {COUNTS[-1]} different ones. Ordinary strings stay at "
            f"{min(rest):.0%} or more."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
