"""Into how many latents does a sparse dictionary break three known circles?"""

import torch

import mechscope as ms
from mechscope import dictionaries, techniques, viz
from mechscope.problems import StartingPoint, run_starter

P = 113
SIZE = 128
ACTIVE = (1, 2, 3, 4, 6)


def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("grokking-p113")
    keys = techniques.key_frequencies(techniques.embedding_spectrum(model))
    numbers = model.W_E.detach()[:P]
    waves = techniques.fourier_basis(P).float()[[row for k in keys for row in (2 * k - 1, 2 * k)]]
    # A point for each number on all circles at once, at random strengths: a circle is on in two fifths of the examples.
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(P, (8192, len(keys)), generator=generator)
    on = torch.rand(8192, len(keys), 1, generator=generator) < 0.4
    on = on * (0.5 + torch.rand(8192, len(keys), 1, generator=generator))
    circles = torch.stack(
        [waves[2 * i : 2 * i + 2].T @ (waves[2 * i : 2 * i + 2] @ numbers) for i in range(len(keys))]
    )
    x = (on * circles[torch.arange(len(keys)), which]).sum(1)

    used, unexplained = [], []
    for k in ACTIVE:
        sae = dictionaries.build(dictionaries.TopKConfig(d_in=x.shape[1], d_sae=SIZE, k=k), generator=seed)
        config = dictionaries.TrainingConfig(steps=220, lr=1e-2, lr_decay=80, seed=seed)
        dictionaries.train(
            sae, dictionaries.TensorStream(x, batch_size=256, seed=seed), config, progress=False
        )
        with torch.no_grad():
            active = sae.encode(x)
            used.append(float((active > 0).any(0).sum()) / len(keys))
            unexplained.append(
                float((x - sae.decode(active)).square().sum() / (x - x.mean(0)).square().sum())
            )
    circles_on = float((on > 0).float().sum((1, 2)).mean())
    good = next((k for k, left in zip(ACTIVE, unexplained, strict=True) if left < 0.01), ACTIVE[-1])
    figure = viz.curves(
        ACTIVE,
        {"variance unexplained": unexplained},
        title=f"Three circles of {P} numbers in a dictionary of {SIZE} latents",
        x_title="latents active per example",
        y_title="variance unexplained (share)",
        log_y=True,
        points=True,
        markers=[viz.Marker(circles_on, "circles present per example (mean)")],
    )
    return StartingPoint(
        baseline={
            "active latents that leave less than 1 % unexplained": float(good),
            "circles present per example (mean)": circles_on,
            "latents used per circle with 2 active": used[1],
        },
        figure=figure,
        caption=(
            f"On average {circles_on:.1f} circles are present, so a unit for each circle would have {circles_on:.1f} "
            f"active units. The dictionary needs {good} active latents to leave less than 1 % unexplained; with 2 it "
            f"breaks a circle into {used[1]:.0f} latents and leaves {unexplained[1]:.0%}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
