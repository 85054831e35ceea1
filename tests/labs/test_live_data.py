"""What the live figures read: the files in the package are what their commands make, and say what is true."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load

import mechscope as ms
from mechscope.data.digits import load_digits
from mechscope.dictionaries.evaluation import logit_effects
from mechscope.labs import live_data
from mechscope.labs.grokking import live_data as waves
from mechscope.labs.grokking.fourier_ablation import excluded_loss, restricted_loss
from mechscope.labs.grokking.full_batch import plain_loss
from mechscope.labs.grokking.pairs import split_pairs
from mechscope.labs.grokking.spectra import frequency_norms, keys_of
from mechscope.labs.grokking.structure import explained_by_cosines
from mechscope.labs.mnist_templates import live_data as templates
from mechscope.labs.mnist_templates.centring import centre_digit
from mechscope.labs.mnist_templates.experiment import TemplatesConfig
from mechscope.labs.sae import live_data as features
from mechscope.labs.sae.language_model import HOOK
from mechscope.recipes.family.package_files import held_out
from tests.labs.small_digits import small_digits


def test_unknown_steps_are_named() -> None:
    with pytest.raises(SystemExit, match="the step 'mnist' has no files for a live figure"):
        live_data.main(["mnist"])


def test_the_templates_are_as_good_as_they_say() -> None:
    digits = load_digits()
    tensors = load((templates.FOLDER / "templates.safetensors").read_bytes())
    described = json.loads((templates.FOLDER / "templates.json").read_text(encoding="utf-8"))
    answers = (digits.test_x @ tensors["weight"].float().T + tensors["bias"].float()).argmax(-1)
    right = answers == digits.test_y
    assert float(right.double().mean()) == pytest.approx(described["test_accuracy"], abs=2e-4)
    assert described["test_accuracy"] > 0.9
    rows = [digit["index"] for digit in described["digits"]]
    assert [digit["label"] for digit in described["digits"]] == [*range(10), *range(10)]
    assert digits.test_y[rows].tolist() == [*range(10), *range(10)]
    assert right[rows].tolist() == [True] * 10 + [False] * 10
    torch.testing.assert_close(tensors["digits"].float() / 255, digits.test_x[rows])


def test_other_digits_make_other_templates() -> None:
    made = templates.make_files(TemplatesConfig(steps=60), small_digits())
    tensors, described = load(made["templates.safetensors"]), json.loads(made["templates.json"])
    assert tensors["weight"].shape == (10, 64)
    assert tensors["weight"].dtype == torch.float16
    assert len(tensors["digits"]) == len(described["digits"])
    assert described["data"] == "scikit-learn's small digits"


@pytest.mark.slow
def test_the_templates_can_be_made_again() -> None:
    again = load(templates.make_files()["templates.safetensors"])["weight"].float()
    shipped = load((templates.FOLDER / "templates.safetensors").read_bytes())["weight"].float()
    # Another processor adds up in another order, and each step of Adam enlarges the difference a little.
    assert torch.corrcoef(torch.stack([again.flatten(), shipped.flatten()]))[0, 1] > 0.999


@pytest.mark.parametrize(("top", "left", "height", "width"), [(0, 0, 9, 6), (15, 3, 12, 5), (2, 2, 24, 24)])
def test_a_drawing_is_moved_and_scaled(top: int, left: int, height: int, width: int) -> None:
    image = torch.zeros(28, 28, dtype=torch.float64)
    image[top : top + height, left : left + width] = torch.rand(
        height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).clamp_min(0.2)
    found = centre_digit(image)
    places = torch.arange(28, dtype=torch.float64)
    for axis, extent in ((1, height), (0, width)):
        masses = found.sum(axis)
        assert float(masses @ places / masses.sum()) == pytest.approx(14, abs=0.35)
        inked = (masses > 0.02 * masses.max()).nonzero()
        wanted = 20 * extent / max(height, width)
        assert float(inked.max() - inked.min() + 1) == pytest.approx(wanted, abs=3)
    moved = torch.roll(image, (1 if top < 3 else -1, 1), (0, 1))
    torch.testing.assert_close(centre_digit(moved), found)


def test_an_empty_drawing_stays_empty() -> None:
    assert not centre_digit(torch.zeros(28, 28)).any()


def test_feature_pages_say_what_features_promote_and_how_often_they_are_active() -> None:
    shipped = load((features.FOLDER / "feature_pages.safetensors").read_bytes())
    dictionary = ms.dictionaries.load(features.NAME).float()
    model = ms.load_model(dictionary.metadata["model_name"])
    effects = logit_effects(model, dictionary.W_dec, model.W_out[0])
    for name, sign in (("promoted", 1), ("suppressed", -1)):
        best = (sign * effects).topk(features.LISTED, -1)
        torch.testing.assert_close(sign * shipped[f"{name}_by"].float(), best.values, atol=2e-3, rtol=2e-3)
        listed = effects.gather(1, shipped[name].long())
        torch.testing.assert_close(listed, shipped[f"{name}_by"].float(), atol=2e-3, rtol=2e-3)
    # Other text, so not the same densities; but features that are frequent here are frequent there.
    tokens = held_out().rows["code"][:150]
    _, cache = model.run_with_cache(tokens, names_filter=HOOK)
    active = dictionary.encode(cache[HOOK][:, 1:]) > 0
    density = active.double().mean((0, 1))
    both = torch.stack([density.log1p(), shipped["density"].double().log1p()])
    assert torch.corrcoef(both)[0, 1] > 0.8
    # The strongest token of every context stands in the same place.
    assert bool((shipped["tokens"][:, 0, features.BEFORE] >= 0).all())
    assert bool((shipped["activations"][:, 0, features.BEFORE] == features.LEVELS).all())


def test_pages_of_some_features_on_some_text() -> None:
    dictionary = ms.dictionaries.load(features.NAME).float()
    model = ms.load_model(dictionary.metadata["model_name"])
    tokens = held_out().rows["code"][:20]
    pages = features.make_pages(model, dictionary, tokens, [3, 120])
    _, cache = model.run_with_cache(tokens, names_filter=HOOK)
    values = dictionary.encode(cache[HOOK])[:, 1:, [3, 120]]
    torch.testing.assert_close(pages["largest"], values.flatten(0, 1).amax(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pages["density"], (values > 0).float().mean((0, 1)), atol=1e-4, rtol=1e-4)
    row, position = divmod(int(values[..., 1].argmax()), values.shape[1])
    first = max(0, position + 1 - features.BEFORE)
    shown = pages["tokens"][1, 0]
    window = tokens[row, first : position + 2 + features.AFTER].tolist()
    assert [token for token in shown.tolist() if token != features.NO_TOKEN] == window
    assert int(shown[features.BEFORE]) == int(tokens[row, position + 1])


def test_the_waves_of_a_checkpoint() -> None:
    shipped = load((waves.FOLDER / "waves.safetensors").read_bytes())
    described = json.loads((waves.FOLDER / "waves.json").read_text(encoding="utf-8"))
    steps, keys, neurons = described["epochs"], described["keys"], described["neurons"]
    last, row = waves.anatomy_at(steps[-1]), steps.index(7000)
    planes = waves.circle_planes(last.embedding, keys)
    assert keys == keys_of(last.W_L)
    explained = explained_by_cosines(last.logits, keys)
    assert described["explained"] == pytest.approx(explained, abs=1e-3)
    # The amplitudes explain exactly that share: each cosine's variance is half its squared amplitude.
    variance = last.logits.var(correction=0)
    amplitudes = torch.tensor(described["amplitudes"], dtype=torch.float64)
    assert float(amplitudes.square().sum() / 2 / variance) == pytest.approx(explained, abs=1e-3)
    anatomy = waves.anatomy_at(7000)
    torch.testing.assert_close(
        shipped["norms"][row].double(), frequency_norms(anatomy.embedding), atol=1e-3, rtol=1e-3
    )
    for name, scale, found in (
        ("circles", "circle_scales", anatomy.embedding @ planes),
        ("waves", "wave_scales", torch.stack([mean_by_sums(anatomy.neurons[..., one]) for one in neurons])),
    ):
        unit = torch.tensor(described[scale], dtype=torch.float64) / waves.LEVELS
        stored = shipped[name][row].double() * unit.view(-1, *[1] * (found.ndim - 1))
        torch.testing.assert_close(stored, found, atol=float(unit.max()), rtol=0)
    train, test = split_pairs(113, 3830, 0)
    losses = [
        float(plain_loss(anatomy.logits[train.a, train.b], train.answer)),
        float(plain_loss(anatomy.logits[test.a, test.b], test.answer)),
        restricted_loss(anatomy.logits, keys, test),
        excluded_loss(anatomy.logits, keys, train),
    ]
    assert shipped["losses"][row].tolist() == pytest.approx(losses, rel=1e-3, abs=1e-9)


def mean_by_sums(values: torch.Tensor) -> torch.Tensor:
    p = len(values)
    a = torch.arange(p)
    return torch.stack([values[a, (total - a) % p].mean() for total in range(p)])
