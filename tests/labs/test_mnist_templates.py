"""Step 00: its methods against hand-computed cases and brute force, and the whole of it on small real digits."""

from __future__ import annotations

import dataclasses
import json
from itertools import permutations
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechscope.data.digits import Digits, describe_digits, load_digits
from mechscope.labs import check_claims, run_lab
from mechscope.labs.mnist_templates import LAB, TemplatesConfig
from mechscope.labs.mnist_templates.bilinear import EigenFeatures, eigen_features, leading_patterns
from mechscope.labs.mnist_templates.claims import CLAIMS
from mechscope.labs.mnist_templates.measures import Trained, measure
from mechscope.labs.mnist_templates.networks import Network, train_network
from mechscope.labs.mnist_templates.softmax_regression import Classifiers, batches, train_classifiers
from mechscope.labs.mnist_templates.templates import (
    class_means,
    class_templates,
    evidence,
    live_pixels,
    nearest_mean_accuracy,
    row_permutation_p,
    smoothness,
    template_correlations,
)
from mechscope.runs.workspace import Workspace
from tests.labs.small_digits import small_digits

SMALL = TemplatesConfig(steps=600, network_steps=200, hidden=24, learning_rate=5e-3, shuffles=20)


class Silent:
    """A progress bar that shows nothing."""

    def update(self) -> None: ...


@pytest.fixture(scope="module")
def digits() -> Digits:
    return small_digits()


def random_network(seed: int, hidden: int = 3, pixels: int = 7) -> Network:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"W_in": (pixels, hidden), "V_in": (pixels, hidden), "W_out": (hidden, 10)}
    return Network(
        "bilinear", {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    )


# Softmax regression ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_float64")
def test_the_written_out_gradient_is_autograd_s(digits: Digits) -> None:
    """Our training against torch's AdamW and autograd, one instance at a time, the same batches."""
    digits = dataclasses.replace(digits, train_x=digits.train_x.double())
    labels = [digits.train_y, digits.train_y.flip(0)]
    decays = [0.0, 2.0]
    options = {"steps": 12, "batch": 100, "learning_rate": 1e-2, "seed": 3}
    ours = train_classifiers(digits.train_x, labels, decays, bar=Silent(), **options)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(3)
    start = (torch.rand(64, 20, generator=generator) * 2 - 1) / 8
    order = list(batches(len(digits.train_x), 100, 12, generator))
    for instance, decay in enumerate(decays):
        layer = torch.nn.Linear(64, 10)
        layer.weight.data = start[:, 10 * instance : 10 * (instance + 1)].T.clone()
        torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-2, weight_decay=decay)
        for rows in order:
            loss = torch.nn.functional.cross_entropy(layer(digits.train_x[rows]), labels[instance][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.testing.assert_close(ours.weight[instance], layer.weight.detach(), rtol=0, atol=1e-10)
        torch.testing.assert_close(ours.bias[instance], layer.bias.detach(), rtol=0, atol=1e-10)


@given(count=st.integers(1, 30), size=st.integers(1, 12), steps=st.integers(1, 20), seed=st.integers(0, 99))
def test_batches_are_full_and_cover_an_epoch_without_repeats(
    count: int, size: int, steps: int, seed: int
) -> None:
    drawn = list(batches(count, size, steps, torch.Generator().manual_seed(seed)))
    size = min(size, count)
    assert [len(rows) for rows in drawn] == [size] * steps
    per_epoch = count // size
    for start in range(0, steps, per_epoch):
        rows = torch.cat(drawn[start : start + per_epoch])
        assert len(rows.unique()) == len(rows)


def test_labels_and_decays_come_in_pairs(digits: Digits) -> None:
    with pytest.raises(ValueError, match="1 label sets and 2 decays"):
        train_classifiers(
            digits.train_x, [digits.train_y], [0, 1], steps=1, batch=1, learning_rate=1, seed=0, bar=Silent()
        )  # type: ignore[arg-type]


# Templates ------------------------------------------------------------------------------------------


def test_means_and_templates_by_hand() -> None:
    x = torch.tensor([[0.0, 2.0], [2.0, 2.0], [5.0, 1.0], [9.0, 0.0]])
    means = class_means(x, torch.tensor([0, 0, 1, 2]), classes=3)
    assert means.tolist() == [[1, 2], [5, 1], [9, 0]]
    assert class_templates(means).tolist() == [[-6, 1.5], [0, 0], [6, -1.5]]
    assert nearest_mean_accuracy(means, torch.tensor([[1.0, 2.0], [8.0, 0.0]]), torch.tensor([0, 1])) == 0.5
    with pytest.raises(ValueError, match="class 2 has no image"):
        class_means(x, torch.tensor([0, 0, 1, 1]), classes=3)


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-5, 5))
def test_correlation_ignores_scale_shift_and_dead_pixels(seed: int, scale: float, shift: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows, templates = (torch.randn(3, 12, generator=generator).double() for _ in range(2))
    live = torch.arange(12) < 9
    found = template_correlations(rows, templates, live)
    expected = torch.corrcoef(torch.cat([rows, templates])[:, live])[:3, 3:]
    assert torch.allclose(found, expected, atol=1e-8)
    moved = rows * scale + shift
    moved[:, ~live] = 1e6
    assert torch.allclose(template_correlations(moved, templates, live), found, atol=1e-6)


def test_a_constant_row_matches_nothing() -> None:
    found = template_correlations(torch.ones(1, 4), torch.randn(2, 4), torch.ones(4, dtype=torch.bool))
    assert found.abs().max() < 1e-3


def test_live_pixels_vary() -> None:
    x = torch.zeros(100, 3)
    x[::2, 1], x[0, 2] = 1.0, 0.1
    assert live_pixels(x).tolist() == [False, True, False]


def test_smoothness_of_stripes_ramps_and_noise() -> None:
    ramp = torch.arange(8.0).repeat(8, 1).flatten()[None]
    assert smoothness(ramp, 8) == pytest.approx(1)
    stripes = torch.tensor([1.0, -1.0]).repeat(32)[None]
    assert smoothness(stripes, 8) == pytest.approx(-1)
    noise = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    assert abs(smoothness(noise, 8)) < 0.03


def test_rows_in_random_order_by_hand() -> None:
    """Three rows have six orders; enumerated here, drawn there."""
    match = torch.tensor([[0.5, 0.4, 0.3], [0.6, 0.1, 0.2], [0.0, 0.1, 0.9]])
    means = [sum(float(match[row, c]) for c, row in enumerate(rows)) for rows in permutations(range(3))]
    exact = sum(mean >= means[0] - 1e-9 for mean in means) / 6  # the observed order comes first
    assert exact == 2 / 6
    for seed in (0, 1):
        assert float(row_permutation_p(match, 20_000, seed)) == pytest.approx(exact, abs=0.02)


def test_the_permutation_test_tells_a_diagonal_from_a_turned_one() -> None:
    match = torch.eye(10) + 0.1 * torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    assert float(row_permutation_p(match)) <= 0.001
    assert float(row_permutation_p(match.roll(1, dims=0))) > 0.5
    assert float(row_permutation_p(torch.zeros(10, 10))) == 1


@given(st.integers(0, 10_000))
def test_evidence_sums_to_the_logit(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    row, image = torch.randn(2, 50, generator=generator)
    per_pixel, error = evidence(row, torch.tensor(0.7), image)
    assert float(per_pixel.sum()) + 0.7 == pytest.approx(float(row @ image) + 0.7, abs=1e-4)
    assert error < 1e-4


# Bilinear -------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), hidden=st.integers(1, 6))
def test_eigenfeatures_rebuild_every_score(seed: int, hidden: int) -> None:
    network = random_network(seed, hidden)
    features = eigen_features(network)
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(seed + 1)).double()
    rebuilt = torch.einsum("ck, ckp, bp -> bck", features.values, features.vectors, x)
    projected = torch.einsum("ckp, bp -> bck", features.vectors, x)
    scores = (rebuilt * projected).sum(-1)
    exact = Network("bilinear", {name: tensor.double() for name, tensor in network.tensors.items()}).logits(x)
    assert torch.allclose(scores, exact, atol=1e-8)
    assert (features.values.abs().diff(dim=-1) <= 1e-12).all()


def test_eigenvalues_are_those_of_the_full_matrix() -> None:
    network = random_network(0)
    w, v, p = (network.tensors[name].double() for name in ("W_in", "V_in", "W_out"))
    for digit in range(10):
        form = (w * p[:, digit]) @ v.T
        full = torch.linalg.eigvalsh((form + form.T) / 2)
        ours = torch.nn.functional.pad(eigen_features(network).values[digit], (0, 1))
        assert torch.allclose(ours.sort().values, full, atol=1e-10)


def test_effective_rank_counts_equal_directions() -> None:
    values = torch.tensor([[2.0, -2.0, 2.0, 2.0], [5.0, 0.0, 0.0, 0.0]])
    features = EigenFeatures(values, torch.zeros(2, 4, 1))
    assert features.effective_ranks().tolist() == pytest.approx([4, 1])
    assert features.participation_ratios().tolist() == pytest.approx([4, 1])


def test_the_leading_pattern_speaks_for_its_digit() -> None:
    features = EigenFeatures(torch.tensor([[-9.0, 4.0, 1.0]]), -torch.eye(3)[None].double())
    pattern = leading_patterns(features, torch.tensor([[0.0, 1.0, 0.0]]))
    assert pattern.tolist() == [[0, 1, 0]]


def test_only_bilinear_networks_have_eigenfeatures() -> None:
    with pytest.raises(ValueError, match="this one is 'relu'"):
        eigen_features(Network("relu", {}))


@pytest.mark.parametrize("kind", ["relu", "bilinear"])
def test_both_networks_learn(digits: Digits, kind) -> None:
    options = {"hidden": 24, "steps": 250, "batch": 64, "learning_rate": 1e-2, "seed": 0, "bar": Silent()}
    network = train_network(kind, digits.train_x, digits.train_y, decay=0.0, **options)
    assert network.accuracy(digits.test_x, digits.test_y) > 0.9
    assert not any(tensor.requires_grad for tensor in network.tensors.values())


# The whole step -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory):
    lab = dataclasses.replace(
        LAB, configs={"quick": SMALL, "full": SMALL}, inputs=lambda: {"digits": "small digits"}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mechscope.labs.mnist_templates.experiment.load_digits", small_digits)
        return run_lab(lab, out=tmp_path_factory.mktemp("runs"), device="cpu")


def test_without_network_or_data_folder_the_step_reads_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MECHSCOPE_DATA", raising=False)
    monkeypatch.setenv("MECHSCOPE_OFFLINE", "1")
    monkeypatch.setenv("MECHSCOPE_CACHE", str(tmp_path))
    assert LAB.inputs() == {"digits": describe_digits()}
    assert LAB.inputs()["digits"].startswith("MNIST, 28×28 pixels, 60,000 images")
    assert not [claim.id for claim in CLAIMS if claim.needs]


def test_no_claim_is_left_out_and_what_any_digits_show_holds(small_run) -> None:
    """Claims that name a number of MNIST may fail on these smaller digits; none is skipped."""
    status = {checked.claim.id: (checked.status, checked.reason) for checked in small_run.claims}
    assert status["0.3a"] == ("pass", "")
    assert status["0.3c"] == ("pass", "")
    assert status["0.5a"] == ("pass", "")
    assert "not-run" not in {verdict for verdict, _ in status.values()}


def test_the_report_says_which_digits(small_run) -> None:
    html = small_run.report.read_text(encoding="utf-8")
    assert "This run read scikit-learn's small digits" in html
    assert "[[number" not in html
    assert "[[figure" not in html
    assert html.count("<figure ") == len(small_run.outcome.figures) == 9
    assert json.loads((small_run.folder / "claims.json").read_text())["counts"]["not-run"] == 0


def test_every_figure_has_words_and_numbers(small_run) -> None:
    for figure in small_run.outcome.figures:
        assert "ook" in figure.caption, f"{figure.name} does not say what to look for"
        assert figure.data
        assert (small_run.folder / "figures" / f"{figure.name}.json").is_file()


def test_seeds_differ_and_repeat(digits: Digits, tmp_path: Path) -> None:
    from mechscope.labs.mnist_templates.experiment import train

    config = dataclasses.replace(SMALL, steps=30, network_steps=10)
    shops = [Workspace(config, (0, 1), torch.device("cpu"), tmp_path / name) for name in "ab"]
    first, again = (train(shop, digits, 0) for shop in shops)
    other = train(shops[0], digits, 1)
    assert first.linear.weight.equal(again.linear.weight)
    assert first.bilinear[1].tensors["W_in"].equal(again.bilinear[1].tensors["W_in"])
    assert not first.linear.weight.allclose(other.linear.weight)


# Sabotage: the claims must notice -------------------------------------------------------------------


def verdicts(digits: Digits, trained: Trained) -> dict[str, str]:
    # Claims about MNIST are asked here too: sabotage has to be noticed on any digits.
    return {
        checked.claim.id: checked.status for checked in check_claims(CLAIMS, {0: measure(digits, trained)})
    }


@pytest.fixture(scope="module")
def trained(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from mechscope.labs.mnist_templates.experiment import train

    shop = Workspace(SMALL, (0,), torch.device("cpu"), tmp_path_factory.mktemp("parts"))
    return train(shop, digits, 0)


def test_shuffled_pixels_fail_the_look(digits: Digits, trained: Trained) -> None:
    assert verdicts(digits, trained)["0.3a"] == "pass"
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    linear = Classifiers(trained.linear.weight[:, :, order], trained.linear.bias)
    found = verdicts(digits, dataclasses.replace(trained, linear=linear))
    assert (found["0.3a"], found["0.4a"]) == ("fail", "fail")


def test_rows_of_other_digits_fail_the_look(digits: Digits, trained: Trained) -> None:
    linear = Classifiers(trained.linear.weight.roll(1, dims=1), trained.linear.bias)
    assert verdicts(digits, dataclasses.replace(trained, linear=linear))["0.3a"] == "fail"


def test_shuffled_labels_fail_every_claim_about_templates(digits: Digits, tmp_path: Path) -> None:
    """The same training on labels that mean nothing: no row looks like its digit."""
    from mechscope.labs.mnist_templates.experiment import train

    order = torch.randperm(len(digits.train_y), generator=torch.Generator().manual_seed(1))
    nonsense = dataclasses.replace(digits, train_y=digits.train_y[order])
    config = dataclasses.replace(SMALL, steps=200, network_steps=60)
    found = verdicts(digits, train(Workspace(config, (0,), torch.device("cpu"), tmp_path), nonsense, 0))
    assert found["0.3a"] == found["0.4a"] == "fail"


def half_shuffled(labels: torch.Tensor, seed: int, index: int) -> torch.Tensor:
    """Labels of which only every other one may have changed places."""
    generator = torch.Generator().manual_seed(97 * seed + index)
    chosen = torch.randperm(len(labels), generator=generator)[: len(labels) // 2]
    mixed = labels.clone()
    mixed[chosen] = labels[chosen[torch.randperm(len(chosen), generator=generator)]]
    return mixed


def test_half_shuffled_labels_are_no_null(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mechscope.labs.mnist_templates import experiment

    monkeypatch.setattr(experiment, "shuffled_labels", half_shuffled)
    config = dataclasses.replace(SMALL, steps=200, network_steps=60)
    found = measure(
        digits, experiment.train(Workspace(config, (0,), torch.device("cpu"), tmp_path), digits, 0)
    )
    assert found["rows_matching_wd1"] == 10  # the classifiers themselves are as good as ever
    assert found["rows_matching_null"] > 9
    assert found["size_correlation_null"] > 0.3
    (claim,) = [claim for claim in CLAIMS if claim.id == "0.3a"]
    assert check_claims([claim], {0: found})[0].status == "fail"


def test_a_single_shuffle_is_no_null(digits: Digits, trained: Trained) -> None:
    assert verdicts(digits, trained)["0.3a"] == "pass"
    few = Classifiers(trained.linear.weight[:4], trained.linear.bias[:4])
    assert verdicts(digits, dataclasses.replace(trained, linear=few))["0.3a"] == "fail"
    none = Classifiers(trained.linear.weight[:3], trained.linear.bias[:3])
    with pytest.raises(ValueError, match="no classifier on shuffled labels"):
        measure(digits, dataclasses.replace(trained, linear=none))


@pytest.mark.slow
@pytest.mark.parametrize("shuffling", ["whole", "half"])
def test_the_smoothness_of_shuffled_labels_on_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffling: str
) -> None:
    """0.38 where the labels say nothing; 0.61 to 0.63 where half of them still do, and that must fail."""
    from mechscope.labs.mnist_templates import experiment

    mnist = load_digits()
    if shuffling == "half":
        monkeypatch.setattr(experiment, "shuffled_labels", half_shuffled)
    config = dataclasses.replace(TemplatesConfig(), network_steps=20)
    found = measure(mnist, experiment.train(Workspace(config, (0,), torch.device("cpu"), tmp_path), mnist, 0))
    claims = [claim for claim in CLAIMS if claim.id in ("0.3a", "0.3b", "0.4a", "0.4b", "0.4c")]
    status = {checked.claim.id: checked.status for checked in check_claims(claims, {0: found})}
    wanted = {
        **dict.fromkeys(status, "pass"),
        **({"0.3a": "fail", "0.4c": "fail"} if shuffling == "half" else {}),
    }
    assert status == wanted


@pytest.mark.parametrize("seed", [0, 1])
def test_shuffled_weights_fail_the_look(digits: Digits, trained: Trained, seed: int) -> None:
    weight, true = trained.linear.weight.clone(), len(trained.decays)
    order = torch.randperm(weight[:true].numel(), generator=torch.Generator().manual_seed(seed))
    weight[:true] = weight[:true].flatten()[order].view_as(weight[:true])
    found = verdicts(digits, dataclasses.replace(trained, linear=Classifiers(weight, trained.linear.bias)))
    assert (found["0.3a"], found["0.4a"]) == ("fail", "fail")


@pytest.mark.parametrize("seed", [0, 1])
def test_one_picture_on_every_row_changes_the_look_and_no_answer(
    digits: Digits, trained: Trained, seed: int
) -> None:
    plain = measure(digits, trained)
    assert (plain["answers_changed"], plain["rows_matching_disguised"]) == (0, 1)
    # The look at rows less their mean does not see such a picture, whichever it is; the plain look does.
    picture = 3 * torch.randn(digits.train_x.shape[1], generator=torch.Generator().manual_seed(seed))
    linear = Classifiers(trained.linear.weight + picture, trained.linear.bias)
    found = measure(digits, dataclasses.replace(trained, linear=linear))
    assert found["correlation_centred"] == pytest.approx(plain["correlation_centred"], abs=1e-4)
    assert found["rows_matching_centred"] == plain["rows_matching_centred"]
    assert found["correlation_wd1"] < 0.5 * plain["correlation_wd1"]


def test_a_null_that_is_no_null_fails_the_look(digits: Digits, trained: Trained) -> None:
    weight = trained.linear.weight.clone()
    weight[len(trained.decays) :] = weight[1]
    found = verdicts(digits, dataclasses.replace(trained, linear=Classifiers(weight, trained.linear.bias)))
    assert found["0.3a"] == "fail"


def test_hidden_units_that_are_templates_fail_the_contrast(digits: Digits, trained: Trained) -> None:
    templates = class_templates(class_means(digits.train_x, digits.train_y))
    relu = tuple(
        Network("relu", {**network.tensors, "W_in": templates.repeat(3, 1)[:24].T})
        for network in trained.relu
    )
    assert verdicts(digits, dataclasses.replace(trained, relu=relu))["0.5a"] == "fail"
