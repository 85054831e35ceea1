"""Measure where an image of a 4 has to be patched with a 9 for digits-cnn to change its mind."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.digits import load_digits
from mechscope.problems import StartingPoint, run_starter

HOOK = "blocks.1.hook_pool"
PAIRS = 60


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    """Patch each of the 7 × 7 positions of block 1; the seed decides which images are paired."""
    model, digits = ms.load_subject("digits-cnn"), load_digits()
    generator = torch.Generator().manual_seed(seed)

    def drawn(digit: int) -> torch.Tensor:
        rows = (digits.test_y == digit).nonzero()[:, 0]
        rows = rows[model(digits.test_x[rows]).argmax(-1) == digit]
        return digits.test_x[rows[torch.randperm(len(rows), generator=generator)[:PAIRS]]]

    fours, other_fours, nines = drawn(4), drawn(4), drawn(9)

    def difference(logits: torch.Tensor) -> torch.Tensor:
        return logits[:, 9] - logits[:, 4]

    base, goal = difference(model(fours)), difference(model(nines))
    size = 7

    def moved(donors: torch.Tensor) -> torch.Tensor:
        """Share of the way from 4 to 9 that each patched position goes, averaged over pairs: [row, column]."""
        _, cache = model.run_with_cache(donors, names_filter=HOOK)
        shares = torch.zeros(size, size)
        for row in range(size):
            for column in range(size):

                def patch(
                    value: torch.Tensor, hook: object, row: int = row, column: int = column
                ) -> torch.Tensor:
                    value[:, :, row, column] = cache[HOOK][:, :, row, column]
                    return value

                patched = difference(model.run_with_hooks(fours, fwd_hooks=[(HOOK, patch)]))
                shares[row, column] = ((patched - base).mean() / (goal - base).mean()).item()
        return shares

    from_nines, from_fours = moved(nines), moved(other_fours)
    best = int(from_nines.argmax())
    row, column = divmod(best, size)
    figure = viz.heatmap(
        100 * from_nines,
        title="Patching one position of block 1 from a 9 into a 4",
        x_title="column",
        y_title="row",
        unit="% of the way from 4 to 9",
        square=True,
        write_numbers=False,
    )
    return StartingPoint(
        baseline={
            "way from 4 to 9 by the best of 49 positions (%)": 100 * float(from_nines.max()),
            "the same when the patch comes from another 4 (%)": 100 * float(from_fours.max()),
            "sum of all positions (%; 100 if they only added up)": 100 * float(from_nines.sum()),
        },
        figure=figure,
        caption=(
            f"Row {row}, column {column} goes furthest: {100 * from_nines.max():.0f} % of the way. The best patch "
            f"from another 4 goes {100 * from_fours.max():.0f} %."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
