"""How many latents does a crosscoder call exclusive, and how many if there can be none?"""

import torch

import mechscope as ms
from mechscope import dictionaries, viz
from mechscope.data.python_code import read_standard_library
from mechscope.problems import StartingPoint, run_starter

HOOK, LATENTS, STEPS, ROWS = "blocks.0.mlp.hook_post", 256, 260, 400


def neurons(name: str) -> torch.Tensor:
    """Activations on Python code [example neuron], with a mean length of 1."""
    model = ms.load_model(name)
    text = "\n".join(read_standard_library()[module] for module in ("argparse.py", "datetime.py"))
    begin, *ids = model.to_tokens(text, truncate=False)[0].tolist()
    width = model.cfg.n_ctx - 1
    tokens = torch.tensor(ids[: ROWS * width]).view(ROWS, width)
    tokens = torch.cat([torch.full((ROWS, 1), begin), tokens], 1)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=HOOK)
    x = cache[HOOK][:, 1:].flatten(0, 1)
    return x / x.norm(dim=1).mean()


def shares(both: torch.Tensor, seed: int) -> torch.Tensor:
    """For each living latent, the first side's share of its decoder's length: 0 or 1 means exclusive."""
    config = dictionaries.CrosscoderConfig(d_in=both.shape[1], d_sae=LATENTS, n_layers=2, l1=1.0)
    crosscoder = dictionaries.build(config, generator=seed)
    training = dictionaries.TrainingConfig(steps=STEPS, lr=1e-2, lr_decay=80, sparsity_warmup=60, seed=seed)
    stream = dictionaries.TensorStream(both, batch_size=256, seed=seed)
    dictionaries.train(crosscoder, stream, training, progress=False)
    with torch.no_grad():
        alive = (crosscoder.encode(both[:8000]) > 0).any(0)
        norms = crosscoder.W_dec.view(LATENTS, 2, -1).norm(dim=2)[alive]
    return norms[:, 0] / norms.sum(1)


def starting_point(seed: int = 0) -> StartingPoint:
    one, two = neurons("mini-gelu-1l"), neurons("mini-gelu-1l-seed1")
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(one.shape[1], one.shape[1], generator=generator)).Q
    pairs = {"another seed": two, "itself, rotated": one @ turn, "another text": two.roll(5000, 0)}
    found = {name: shares(torch.cat([one, other], 1), seed) for name, other in pairs.items()}
    exclusive = {name: float(((s < 0.1) | (s > 0.9)).double().mean()) for name, s in found.items()}
    places = torch.linspace(0, 1, 101)
    figure = viz.curves(
        places,
        {name: values.quantile(places) for name, values in found.items()},
        title="Crosscoders of mini-gelu-1l and …",
        x_title="share of latents with less",
        y_title="first model's share of the decoder",
        markers=[viz.Marker(0.1, "exclusive below", "y"), viz.Marker(0.9, "exclusive above", "y")],
    )
    return StartingPoint(
        baseline={f"exclusive latents, model and {name} (share)": share for name, share in exclusive.items()},
        figure=figure,
        caption=(
            f"Between two seeds {exclusive['another seed']:.0%} of the latents look exclusive. Between a model and its "
            f"own rotated copy, where none can be, {exclusive['itself, rotated']:.0%} do. Between two models that read "
            f"different texts, where all should be, {exclusive['another text']:.0%} do."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
