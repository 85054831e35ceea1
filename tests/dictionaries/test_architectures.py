"""Every architecture beside its formula written out, its loss's parts, its gradients and its folding."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from mechscope.dictionaries import DeadFeatures, SparseFeatures
from mechscope.dictionaries._geometric_median import geometric_median
from mechscope.dictionaries.building import build, from_state
from mechscope.dictionaries.config import ReluConfig
from mechscope.dictionaries.features import count_active, fired, times_active
from tests.dictionaries.helpers import CONFIGS, batch_of, shaken


def dense(features):
    return features.dense() if isinstance(features, SparseFeatures) else features


def by_formula(dictionary, x):
    """Features one number at a time, from the definition."""
    cfg, name = dictionary.cfg, dictionary.cfg.architecture
    p = {key: value.detach() for key, value in dictionary.state_dict().items()}
    z = x * p["scale_in"]
    z = z - p["b_dec"] if cfg.subtract_b_dec else z
    raw = torch.stack([(z * p["W_enc"][:, j]).sum(-1) for j in range(cfg.d_sae)], -1)
    if name == "gated":
        return (raw + p["b_gate"] > 0) * torch.relu(raw * p["r_mag"].exp() + p["b_mag"])
    pre = raw + p["b_enc"]
    if getattr(cfg, "rescale_by_decoder_norm", False):
        pre = pre * p["W_dec"].norm(dim=-1)
    if name in ("relu", "crosscoder"):
        return pre.clamp_min(0)
    if name == "jumprelu":
        return torch.where(pre > p["threshold"], pre, 0)
    flat = pre if name == "topk" else pre.reshape(1, -1)
    count = cfg.k if name == "topk" else round(cfg.k * len(x))
    ranks = flat.argsort(-1, descending=True).argsort(-1)
    return torch.where(ranks < count, flat, 0).clamp_min(0).view_as(pre)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CONFIGS)
def test_encoding_and_decoding_are_the_formula(name, seed):
    dictionary = shaken(name, seed)
    x, target = batch_of(dictionary, seed)
    expected = by_formula(dictionary, x)
    assert 0 < (expected > 0).float().mean() < 1
    features = dictionary.encode(x)
    assert_close(features, expected)
    assert_close(dense(dictionary.loss(x, target).features), expected)
    written = expected
    if getattr(dictionary.cfg, "rescale_by_decoder_norm", False):
        written = expected / dictionary.W_dec.norm(dim=-1)
    written = written @ dictionary.W_dec + dictionary.b_dec
    assert_close(dictionary.decode(features), written)
    if dictionary.W_skip is not None:
        written = written + x @ dictionary.W_skip.T
    # A new dictionary: the loss has moved BatchTopK's threshold.
    assert_close(shaken(name, seed)(x), written)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_parts_of_the_loss_are_their_formulas_and_add_up(name):
    dictionary = shaken(name, 3)
    x, target = batch_of(dictionary, 3)
    loss = dictionary.loss(x, target, sparsity=0.5)
    wanted = x if target is None else target
    features = by_formula(dictionary, x)
    written = shaken(name, 3)(x)
    parts = {"mse": ((written - wanted) ** 2).sum() / len(x)}
    cfg = dictionary.cfg
    norms = dictionary.W_dec.norm(dim=-1)
    if name == "crosscoder":
        norms = dictionary.W_dec[:, :4].norm(dim=-1) + dictionary.W_dec[:, 4:].norm(dim=-1)
    if name in ("relu", "transcoder"):
        parts["l1"] = 0.5 * cfg.l1 * features.sum() / len(x)
    if name in ("relu-free", "crosscoder"):
        parts["l1"] = 0.5 * cfg.l1 * (features * norms).sum() / len(x)
    if name == "jumprelu":
        parts["l0"] = 0.5 * cfg.l0 * (features > 0).sum() / len(x)
    if name == "gated":
        gates = ((x - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_gate).clamp_min(0)
        parts["l1"] = 0.5 * cfg.l1 * gates.sum() / len(x)
        parts["gate"] = ((gates @ dictionary.W_dec + dictionary.b_dec - x) ** 2).sum() / len(x)
    if name == "matryoshka":
        for width in (6, 12):
            inner = features[:, :width] @ dictionary.W_dec[:width] + dictionary.b_dec
            parts[f"mse_first_{width}"] = ((inner - x) ** 2).sum() / len(x)
    assert set(loss.parts) == set(parts)
    for part, value in parts.items():
        assert_close(loss.parts[part], value.double())
    assert_close(loss.total, sum(parts.values()).double())
    left = float(parts["mse"].detach()) * len(x)
    assert loss.fvu == pytest.approx(left / float(((wanted - wanted.mean(0)) ** 2).sum()), rel=1e-5)
    assert loss.l0 == pytest.approx(float((features > 0).sum() / len(x)))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_auxiliary_loss_is_its_formula(name):
    dictionary = shaken(name, 5)
    x, target = batch_of(dictionary, 5)
    mask = torch.zeros(24, dtype=torch.bool)
    mask[[1, 4, 7, 20, 22]] = True
    for k, share in ((3, 1.0), (10, 0.5)):
        loss = dictionary.loss(x, target, dead=DeadFeatures(mask, k, 0.25))
        z = x - dictionary.b_dec if dictionary.cfg.subtract_b_dec else x
        bias = dictionary.b_gate if name == "gated" else dictionary.b_enc
        pre = (z @ dictionary.W_enc + bias)[:, mask]
        ranks = pre.argsort(-1, descending=True).argsort(-1)
        kept = torch.where(ranks < min(k, 5), pre, 0)
        left = loss.target - loss.reconstruction
        expected = 0.25 * share * ((kept @ dictionary.W_dec[mask] - left) ** 2).sum() / len(x)
        assert_close(loss.parts["auxiliary"], expected)
    # What is left over is given: the auxiliary loss must not pull at the living.
    dictionary.zero_grad()
    dictionary.loss(x, target, dead=DeadFeatures(mask, 3)).parts["auxiliary"].backward()
    assert dictionary.W_dec.grad is not None
    assert not dictionary.W_dec.grad[~mask].any()
    assert dictionary.W_dec.grad[mask].any()


# The step functions' gradients are estimates on purpose; they have a test of their own.
@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in ("jumprelu", "gated")])
def test_gradients_are_differences(name):
    dictionary = shaken(name, 7)
    x, target = batch_of(dictionary, 7, n=6)
    dictionary.loss(x, target).total.backward()
    draw = torch.Generator().manual_seed(0)
    for key, parameter in dictionary.named_parameters():
        assert parameter.grad is not None
        direction = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            moved = shaken(name, 7)
            with torch.no_grad():
                dict(moved.named_parameters())[key].add_(direction, alpha=sign * 1e-7)
            values.append(float(moved.loss(x, target).total.detach()))
        slope = (values[0] - values[1]) / 2e-7
        assert float((parameter.grad * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-5), key


@pytest.mark.parametrize("scales", [(1.0, 1.0), (2.5, 0.4)])
@pytest.mark.parametrize("name", CONFIGS)
def test_folding_changes_no_output(name, scales):
    dictionary = shaken(name, 2)
    x, target = batch_of(dictionary, 2)
    dictionary.set_scale(scales[0], scales[1] if dictionary.cfg.transcodes else None)
    dictionary.loss(x, target)  # gives BatchTopK a threshold
    dictionary.eval()
    before = dictionary(x)
    folded = dictionary.fold()
    assert_close(folded(x), before)
    assert_close(dictionary(x), before)
    assert folded.scale_in == 1 and folded.scale_out == 1
    if dictionary.norms_fold:
        assert_close(folded.decoder_norms(), torch.ones(24, dtype=torch.float64))
    else:
        with pytest.raises(ValueError, match="would change which features"):
            dictionary.fold(norms=True)


def test_folding_norms_of_a_trained_topk_keeps_its_choice():
    # Unit rows and one scale: after the scale is folded all norms are equal, and folding them is exact too.
    dictionary = build(dataclasses.replace(CONFIGS["topk"], dtype="float64"), 0)
    dictionary.set_scale(3.0)
    x, _ = batch_of(dictionary)
    folded = dictionary.fold(norms=True)
    # The rows were made of unit length in float32.
    assert_close(folded.decoder_norms(), torch.ones(24, dtype=torch.float64), rtol=0, atol=1e-6)
    assert_close(folded(x), dictionary(x))
    assert_close(folded.encode(x), dictionary.encode(x) / 3.0)


def test_a_scale_for_each_layer_of_a_crosscoder():
    dictionary = shaken("crosscoder")
    x, _ = batch_of(dictionary)
    before = dictionary(x)
    scale = torch.tensor([2.0] * 4 + [0.5] * 4, dtype=torch.float64)
    dictionary.set_scale(scale)
    assert_close(dictionary(x / scale) * scale, before)
    assert_close(dictionary.fold()(x / scale) * scale, before)
    assert_close(dictionary.decoders()[1], dictionary.W_dec[:, 4:])
    assert_close(dictionary.encoders()[0], dictionary.W_enc[:4])


def test_jumprelu_moves_its_threshold_by_the_examples_around_it():
    # By hand: threshold 1, window 0.5 wide, so 0.9 and 1.2 are in it and 0.5, 2 are not.
    cfg = dataclasses.replace(CONFIGS["jumprelu"], d_in=1, d_sae=1, bandwidth=0.5, l0=3.0, dtype="float64")
    dictionary = build(cfg, 0)
    with torch.no_grad():
        dictionary.W_enc.fill_(1.0)
        dictionary.W_dec.fill_(1.0)
        dictionary.threshold.fill_(1.0)
    x = torch.tensor([[0.5], [0.9], [1.2], [2.0]], dtype=torch.float64)
    loss = dictionary.loss(x)
    loss.total.backward()
    # l0: −(2 in the window) / 0.5, mean of 4, weight 3. mse: d/df = 2 (f − x) / 4 with f − x = −0.9 and 0,
    # times −threshold / 0.5.
    from_l0 = -3.0 * 2 / 0.5 / 4
    from_mse = 2 * (-0.9) / 4 * (-1.0 / 0.5)
    assert dictionary.threshold.grad.item() == pytest.approx(from_l0 + from_mse, rel=1e-9)
    # The step passes nothing to the encoder; only active examples do, and they are exact here.
    assert dictionary.W_enc.grad.item() == pytest.approx(0.0, abs=1e-12)
    with torch.no_grad():
        dictionary.threshold.fill_(-0.2)
    dictionary.after_step()
    assert dictionary.threshold.item() == 0.0


def test_gated_trains_its_decoder_through_the_magnitudes_alone():
    dictionary = shaken("gated", 4)
    x, _ = batch_of(dictionary, 4)
    loss = dictionary.loss(x)
    (loss.parts["gate"] + loss.parts["l1"]).backward()
    assert dictionary.W_dec.grad is None
    assert dictionary.b_gate.grad.any()
    assert dictionary.r_mag.grad is None and dictionary.b_mag.grad is None


def test_batch_topk_estimates_a_threshold_that_keeps_its_l0():
    dictionary = build(dataclasses.replace(CONFIGS["batch_topk"], threshold_rate=0.5), 0)
    draw = torch.Generator().manual_seed(1)
    smallest = []
    for _ in range(3):
        features = dictionary.loss(torch.randn(400, 8, generator=draw)).features
        assert int((features > 0).sum()) == 1600
        smallest.append(features[features > 0].min().item())
    expected = 0.5 * (0.5 * smallest[0] + 0.5 * smallest[1]) + 0.5 * smallest[2]
    assert float(dictionary.threshold) == pytest.approx(expected, rel=1e-6)
    x = torch.randn(4000, 8, generator=draw)
    features = dictionary.encode(x)
    assert float(count_active(features).mean()) == pytest.approx(4.0, rel=0.1)
    # One example alone has what it has in company.
    assert_close(dictionary.encode(x[:1]), features[:1])
    dictionary.eval()
    before = float(dictionary.threshold)
    dictionary.loss(x[:10])
    assert float(dictionary.threshold) == before


@pytest.mark.parametrize("how", ["constant_norm", "layer_norm"])
def test_normalization_of_each_vector_is_turned_back(how):
    dictionary = shaken("relu", 1, normalize=how)
    x, _ = batch_of(dictionary, 1)
    stretched = x * torch.linspace(0.5, 3.0, len(x), dtype=torch.float64)[:, None]
    if how == "layer_norm":
        mean, deviation = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        inner = (x - mean) / (deviation + 1e-5)
    else:
        mean, deviation = 0.0, x.norm(dim=-1, keepdim=True) / 8**0.5
        inner = x / deviation
    plain = from_state(CONFIGS["relu"], {k: v.float() for k, v in dictionary.state().items()})
    expected = plain(inner.float()).double() * deviation + mean
    assert_close(dictionary(x), expected, rtol=1e-5, atol=1e-5)
    assert_close(dictionary.encode(stretched), dictionary.encode(x), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="decode\\(features, x\\)"):
        dictionary.decode(dictionary.encode(x))
    with pytest.raises(ValueError, match="leave the scale at 1"):
        dictionary.set_scale(2.0)


def test_wrong_shapes_are_errors():
    relu, skip = shaken("relu"), shaken("skip-topk-transcoder")
    with pytest.raises(ValueError, match=r"width d_in = 8, not of shape \(3, 7\)"):
        relu.encode(torch.zeros(3, 7))
    with pytest.raises(ValueError, match="an autoencoder's target"):
        relu.loss(torch.zeros(3, 8), torch.zeros(3, 8))
    with pytest.raises(ValueError, match="needs a target"):
        skip.loss(torch.zeros(3, 8))
    with pytest.raises(ValueError, match=r"must have shape \(3, 6\)"):
        skip.loss(torch.zeros(3, 8), torch.zeros(3, 8))
    with pytest.raises(ValueError, match="two scales"):
        skip.set_scale(1.0)
    with pytest.raises(ValueError, match="above 0"):
        relu.set_scale(0.0)


def test_batches_may_have_any_shape():
    for name in CONFIGS:
        dictionary = shaken(name).eval()
        x, target = batch_of(dictionary, 0, n=12)
        dictionary.loss(x, target)
        cube = x.view(3, 4, -1)
        assert_close(dictionary(cube), dictionary(x).view(3, 4, -1))
        assert_close(dictionary.encode(cube).view(12, -1), dictionary.encode(x))


def test_first_weights():
    cfg = ReluConfig(d_in=8, d_sae=24)
    one, same, other = build(cfg, 1), build(cfg, 1), build(cfg, 2)
    assert torch.equal(one.W_dec, same.W_dec) and not torch.equal(one.W_dec, other.W_dec)
    assert torch.equal(one.W_enc, one.W_dec.T)
    assert_close(one.decoder_norms(), torch.ones(24))
    # A truth drawn from the same seed must not be found before training.
    drawn = torch.randn(24, 8, generator=torch.Generator().manual_seed(1))
    truth = drawn / drawn.norm(dim=-1, keepdim=True)
    assert float((truth @ one.W_dec.detach().T).max(1).values.mean()) < 0.9
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0)) + 3.0
    at_median = build(dataclasses.replace(cfg, b_dec_start="geometric_median"), 1)
    at_median.start_from(x)
    one.start_from(x)
    assert_close(at_median.b_dec.data, geometric_median(x))
    assert not one.b_dec.any()


def test_geometric_median_minimises_the_summed_distance():
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points[0] = 1000.0
    median = geometric_median(points, steps=500, tolerance=1e-12)
    best = (points - median).norm(dim=-1).sum()
    assert median.abs().max() < 1 < points.mean(0).abs().max()
    for seed in range(20):
        step = 0.01 * torch.randn(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert (points - median - step).norm(dim=-1).sum() > best
    assert_close(
        geometric_median(torch.tensor([[0.0], [1.0], [5.0]])), torch.tensor([1.0]), rtol=0, atol=1e-2
    )


def test_unit_rows_are_kept_by_a_projected_step():
    dictionary = build(CONFIGS["relu"], 0)
    x, _ = batch_of(dictionary, 0)
    dictionary.loss(x).total.backward()
    dictionary.before_step()
    along = (dictionary.W_dec.grad * dictionary.W_dec).sum(-1)
    assert_close(along, torch.zeros(24), rtol=0, atol=1e-4)
    with torch.no_grad():
        dictionary.W_dec.sub_(dictionary.W_dec.grad, alpha=0.1)
    dictionary.after_step()
    assert_close(dictionary.decoder_norms(), torch.ones(24))


def test_what_counts_as_active():
    written_out = torch.tensor([[0.0, 2.0, 0.0], [1.0, 3.0, 0.0]])
    sparse = SparseFeatures(torch.tensor([[2.0, 0.0], [1.0, 3.0]]), torch.tensor([[1, 2], [0, 1]]), 3)
    assert torch.equal(sparse.dense(), written_out)
    for features in (written_out, sparse):
        assert count_active(features).tolist() == [1.0, 2.0]
        assert fired(features).tolist() == [True, True, False]
        assert times_active(features).tolist() == [1, 2, 0]
