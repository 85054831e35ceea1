"""How early do the final key frequencies of the modular adder stand out among all others?"""

import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.problems import StartingPoint, run_starter

EPOCHS = (0, 200, 400, 1000, 2000, 2800, 3800, 4800, 5800, 6600, 7000, 7600, 8800, 11900)


def spectrum(epoch: int) -> torch.Tensor:
    """The share of the embedding's variance at each frequency, from 1."""
    model = ms.load_model("grokking-p113", checkpoint_value=epoch)
    return torch.tensor(techniques.embedding_spectrum(model).values.values)


def starting_point(seed: int = 0) -> StartingPoint:
    # Checkpoints are bundled, so only the null depends on the seed.
    shares = torch.stack([spectrum(epoch) for epoch in EPOCHS])  # [epoch, frequency]
    keys = techniques.key_frequencies(shares[-1].numpy())
    places = [key - 1 for key in keys]
    ranks = shares.argsort(1, descending=True).argsort(1)[:, places].double() + 1
    mean_rank = ranks.mean(1)
    chance = (shares.shape[1] + 1) / 2

    # How good a mean rank three frequencies drawn at random have: the fifth percentile.
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.stack(
        [torch.randperm(shares.shape[1], generator=generator)[: len(keys)] for _ in range(5000)]
    )
    lucky = float((drawn.double() + 1).mean(1).quantile(0.05))
    first = next(epoch for epoch, rank in zip(EPOCHS, mean_rank, strict=True) if rank < lucky)
    figure = viz.curves(
        EPOCHS,
        {f"frequency {key}": ranks[:, i] for i, key in enumerate(keys)} | {"mean": mean_rank},
        title="Rank of the final key frequencies in the embedding of grokking-p113",
        x_title="epoch",
        y_title="rank (1 is the strongest)",
        points=True,
        markers=[viz.Marker(chance, "chance", "y"), viz.Marker(7700, "grokked")],
    )
    figure.update_yaxes(autorange="reversed")
    return StartingPoint(
        baseline={
            "mean rank of the key frequencies at epoch 0": float(mean_rank[0]),
            "mean rank of the key frequencies at epoch 200": float(mean_rank[1]),
            "mean rank by chance": chance,
            "first epoch with a mean rank that chance reaches in 5 % of cases": float(first),
        },
        figure=figure,
        caption=(
            f"At the start the key frequencies have ranks {', '.join(str(int(r)) for r in ranks[0])} of "
            f"{shares.shape[1]} (chance: {chance:g} on average), at epoch {EPOCHS[1]} "
            f"{', '.join(str(int(r)) for r in ranks[1])}. From epoch {first:,} on their mean rank beats "
            "95 % of random choices."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
