"""Does the error of growing dictionaries say how many features a layer has?"""

import torch

import mechscope as ms
from mechscope import dictionaries, viz
from mechscope.data.python_code import read_standard_library
from mechscope.problems import StartingPoint, run_starter

HOOK = "blocks.0.mlp.hook_post"
SIZES = (64, 128, 256, 512)
ROWS, K, STEPS = 400, 16, 150


def unexplained(x: torch.Tensor, test: torch.Tensor, seed: int) -> list[float]:
    """The share of variance that dictionaries of every size leave unexplained, on examples that they did not see."""
    trained = {
        str(size): dictionaries.build(
            dictionaries.TopKConfig(d_in=x.shape[1], d_sae=size, k=K), generator=seed
        )
        for size in SIZES
    }
    config = dictionaries.TrainingConfig(steps=STEPS, lr=5e-3, lr_decay=50, seed=seed)
    dictionaries.train(
        trained, dictionaries.TensorStream(x, batch_size=256, seed=seed), config, progress=False
    )
    with torch.no_grad():
        total = (test - test.mean(0)).square().sum()
        return [float((test - sae(test)).square().sum() / total) for sae in trained.values()]


def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-1l")
    library = read_standard_library()
    ids = model.to_tokens(
        "\n".join(library[name] for name in ("argparse.py", "datetime.py")), truncate=False
    )[0]
    width = model.cfg.n_ctx - 1
    rows = ids[1 : 1 + ROWS * width].view(ROWS, width)
    tokens = torch.cat([ids[:1].expand(ROWS, 1), rows], 1)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=HOOK)
    x = cache[HOOK][:, 1:].flatten(0, 1)
    generator = torch.Generator().manual_seed(seed)
    x = x[torch.randperm(len(x), generator=generator)]
    # A null without any features: normal noise with the same mean and covariance.
    spread = torch.linalg.cholesky(torch.cov(x.T) + 1e-5 * torch.eye(x.shape[1]))
    noise = x.mean(0) + torch.randn(x.shape, generator=generator) @ spread.T
    cut = len(x) * 4 // 5
    found = {
        "neurons of mini-gelu-1l": unexplained(x[:cut], x[cut:], seed),
        "normal noise with the same covariance": unexplained(noise[:cut], noise[cut:], seed),
    }
    real, null = found.values()
    figure = viz.curves(
        SIZES,
        found,
        title=f"Error of dictionaries with {K} active features",
        x_title="features in the dictionary",
        y_title="variance unexplained (share)",
        log_x=True,
        points=True,
    )
    gain, by_noise = real[-2] - real[-1], null[-2] - null[-1]
    return StartingPoint(
        baseline={
            f"variance unexplained with {SIZES[-1]} features (share)": real[-1],
            "gain of the last doubling (share of variance)": gain,
            "gain of the last doubling for noise without features (share of variance)": by_noise,
        },
        figure=figure,
        caption=(
            f"From {SIZES[0]} to {SIZES[-1]} features the error falls from {real[0]:.2f} to {real[-1]:.2f}. The last "
            f"doubling gains {gain:.3f}; for noise that has no features at all it gains {by_noise:.3f}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
