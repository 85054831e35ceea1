"""Changes of units: what they do at the hook point and to the logits is what arithmetic on activations says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mechscope import load_model
from mechscope.dictionaries import TopKConfig, build
from mechscope.dictionaries.files import save
from mechscope.model.transformer import HookedTransformer
from mechscope.neuroscope.sites import Site, find_sites
from mechscope.neuroscope.unit_changes import change_hook, changes_of

UNIT = 1
TEXT = "The cat sat on the mat."


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    return load_model("mini-gelu-1l")


def directions_at(model: HookedTransformer, folder: Path, hook: str, width: int = 64) -> Site:
    """Three directions whose lengths are not 1."""
    directions = 3 * torch.randn(3, width, generator=torch.Generator().manual_seed(0))
    save_file({"directions": directions}, folder / "refusal.safetensors")
    (site,) = find_sites(model, [f"{folder / 'refusal.safetensors'}@{hook}"])
    return site


def run(
    model: HookedTransformer, site: Site, *hooks: tuple
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The activation at a site's hook point, its units there, and the logits."""
    with model.hooks(fwd_hooks=list(hooks)):
        logits, cache = model.run_with_cache(TEXT)
    activations = {hook: cache[hook] for hook in site.hooks}
    return activations[site.hooks[0]], site.read(activations), logits


@pytest.mark.parametrize("hook", ["resid_pre0", "resid_post0", "z0", "mlp_out0"])
@pytest.mark.parametrize(("change", "amount"), [("zero", 7.0), ("add", 2.5), ("add", -1.0)])
def test_a_direction_is_moved_until_its_projection_is_as_asked(
    model: HookedTransformer, tmp_path: Path, hook: str, change: str, amount: float
) -> None:
    site = directions_at(model, tmp_path, hook)
    assert changes_of(site) == ("zero", "add")
    plain, units, logits = run(model, site)
    changed, moved, other = run(model, site, change_hook(site, UNIT, change, amount))
    wanted = torch.zeros_like(units[..., UNIT]) if change == "zero" else units[..., UNIT] + amount
    assert torch.allclose(moved[..., UNIT], wanted, atol=1e-4)
    assert changed.shape == plain.shape
    # Nothing moves but what lies along the direction.
    step = (changed - plain).flatten(2)
    direction = site.directions[UNIT]
    assert torch.allclose(
        step, (step @ direction)[..., None] * direction / direction.square().sum(), atol=1e-4
    )
    assert (other - logits).abs().max() > 1e-3
    if hook == "resid_post0":
        expected = model.unembed(model.ln_final(changed))
        assert torch.allclose(other, expected, atol=1e-4)


def test_what_a_direction_writes_is_what_raises_its_activation_by_one(
    model: HookedTransformer, tmp_path: Path
) -> None:
    site = directions_at(model, tmp_path, "resid_mid0")
    writes = site.output_weights()
    assert writes is not None
    assert torch.allclose((writes * site.directions).sum(1), torch.ones(3))
    plain, _, _ = run(model, site)
    changed, _, _ = run(model, site, change_hook(site, UNIT, "add", 1.0))
    assert torch.allclose(changed - plain, writes[UNIT].expand_as(plain), atol=1e-5)


def test_a_model_in_half_precision_keeps_it(tmp_path: Path) -> None:
    half = load_model("mini-gelu-1l").to(torch.bfloat16)
    site = directions_at(half, tmp_path, "resid_post0")
    changed, moved, _ = run(half, site, change_hook(site, UNIT, "zero", 0))
    assert changed.dtype == torch.bfloat16
    assert moved[..., UNIT].abs().max() < 0.1 * site.directions[UNIT].norm()


@pytest.mark.parametrize(("hook", "head"), [("blocks.0.hook_resid_mid", None), ("blocks.0.attn.hook_z", 2)])
def test_a_latent_moves_what_its_dictionary_reads(
    model: HookedTransformer, tmp_path: Path, hook: str, head: int | None
) -> None:
    mine = build(TopKConfig(d_in=64 if head is None else model.cfg.d_head, d_sae=10, k=3), 0)
    mine.metadata |= {"hook_name": hook} | ({} if head is None else {"hook_head_index": head})
    save(mine, tmp_path / "mine")
    (site,) = find_sites(model, [str(tmp_path / "mine")])
    assert changes_of(site) == ("zero", "add")
    plain, units, _ = run(model, site)
    unit = int(units.sum((0, 1)).argmax())
    decoder = site.dictionary.W_dec[unit].detach() / site.dictionary.scale_out
    for change, steps in (("zero", -units[..., unit]), ("add", torch.full_like(units[..., unit], 1.5))):
        changed, _, _ = run(model, site, change_hook(site, unit, change, 1.5))
        expected = plain.clone()
        part = expected if head is None else expected[:, :, head]
        part += steps[..., None] * decoder
        assert torch.allclose(changed, expected, atol=1e-5)


def test_a_change_without_a_meaning_is_refused(model: HookedTransformer, tmp_path: Path) -> None:
    site = directions_at(model, tmp_path, "resid_post0")
    with pytest.raises(ValueError, match="units of refusal can be changed by zero or add, not by 'multiply'"):
        change_hook(site, UNIT, "multiply", 2)
    (heads,) = find_sites(model, ["attn0.entropy"])
    with pytest.raises(ValueError, match="by zero or multiply, not by 'add'"):
        change_hook(heads, UNIT, "add", 2)
