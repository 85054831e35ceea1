"""Hooks: what fires, what comes off, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mechscope.model.hook_points import HookPoint
from mechscope.model.hooked_root_module import HookedRootModule
from tests.model.tiny import tiny_model, tiny_tokens

RESID = "blocks.0.hook_resid_post"


class Doubler(HookedRootModule):
    """A user's own module with hook points."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.hook_before = HookPoint()
        self.hook_after = HookPoint()
        self.setup()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.hook_after(2 * self.hook_before(x * self.weight))


def no_listeners(model: HookedRootModule) -> bool:
    return not any(point.watched for point in model.hook_points())


def test_a_users_own_module_has_names_hooks_and_a_cache() -> None:
    model = Doubler()
    output, cache = model.run_with_cache(torch.arange(3.0))
    assert list(cache) == ["hook_before", "hook_after"]
    assert torch.equal(output, cache["hook_after"])
    out = model.run_with_hooks(torch.arange(3.0), fwd_hooks=[("hook_before", lambda x, hook: x + 1)])
    assert out.tolist() == [2.0, 4.0, 6.0]


def test_a_hook_may_return_edit_or_only_look() -> None:
    model = Doubler()
    seen = []

    def edit(x: torch.Tensor, hook: HookPoint) -> None:
        x += 1

    def look(x: torch.Tensor, hook: HookPoint) -> None:
        seen.append((hook.name, x.tolist()))

    out = model.run_with_hooks(torch.zeros(3), fwd_hooks=[("hook_before", edit), ("hook_before", look)])
    assert out.tolist() == [2.0, 2.0, 2.0]
    assert seen == [("hook_before", [1.0, 1.0, 1.0])]


def test_hooks_come_off_after_the_block_and_after_an_exception() -> None:
    model = tiny_model()
    with model.hooks(fwd_hooks=[(RESID, lambda x, hook: x)]):
        assert model.hook_dict[RESID].watched
        model(tiny_tokens())
    assert no_listeners(model)

    def explode(x: torch.Tensor, hook: HookPoint) -> None:
        raise ZeroDivisionError

    for run in (
        lambda: model.run_with_hooks(tiny_tokens(), fwd_hooks=[(RESID, explode)]),
        lambda: model.run_with_cache(torch.full((1, 2), 99)),
        lambda: model.run_with_hooks(
            tiny_tokens(), fwd_hooks=[(RESID, lambda x, hook: x), ("no_such", explode)]
        ),
    ):
        with pytest.raises((ZeroDivisionError, ValueError, KeyError)):
            run()
        assert no_listeners(model)
        assert model.context_level == 0


def test_hooks_nest_and_only_the_inner_ones_come_off_first() -> None:
    model = Doubler()
    x = torch.zeros(3)

    def add(n: float):
        return lambda x, hook: x + n

    with model.hooks(fwd_hooks=[("hook_after", add(1))]):
        with model.hooks(fwd_hooks=[("hook_after", add(10))]):
            assert model(x).tolist() == [11.0] * 3
        assert model(x).tolist() == [1.0] * 3
    assert model(x).tolist() == [0.0] * 3


def test_permanent_hooks_survive_a_reset_and_contexts() -> None:
    model = Doubler()
    model.add_perma_hook("hook_after", lambda x, hook: x + 1)
    model.add_hook("hook_after", lambda x, hook: x + 10)
    with model.hooks(fwd_hooks=[("hook_after", lambda x, hook: x + 100)]):
        assert model(torch.zeros(1)).tolist() == [111.0] * 3
    assert model(torch.zeros(1)).tolist() == [11.0] * 3
    model.reset_hooks()
    assert model(torch.zeros(1)).tolist() == [1.0] * 3
    model.reset_hooks(including_permanent=True)
    assert model(torch.zeros(1)).tolist() == [0.0] * 3


def test_a_prepended_hook_comes_first() -> None:
    model = Doubler()
    model.add_hook("hook_after", lambda x, hook: x * 10)
    model.add_hook("hook_after", lambda x, hook: x + 1, prepend=True)
    assert model(torch.zeros(3)).tolist() == [10.0] * 3


def test_hooks_stay_when_told_to() -> None:
    model = Doubler()
    model.run_with_hooks(
        torch.zeros(3), fwd_hooks=[("hook_after", lambda x, hook: x + 1)], reset_hooks_end=False
    )
    assert model(torch.zeros(3)).tolist() == [1.0] * 3


def test_a_context_keeps_notes_until_cleared() -> None:
    model = Doubler()

    def note(x: torch.Tensor, hook: HookPoint) -> None:
        hook.ctx["mean"] = x.mean().item()

    model.run_with_hooks(torch.ones(3), fwd_hooks=[("hook_after", note)])
    assert model.hook_dict["hook_after"].ctx == {"mean": 2.0}
    model.reset_hooks()
    assert model.hook_dict["hook_after"].ctx == {}


def test_gradients_are_seen_and_changed() -> None:
    model = Doubler()
    grads = {}

    def keep(grad: torch.Tensor, hook: HookPoint) -> None:
        grads[hook.name] = grad.tolist()

    with model.hooks(bwd_hooks=[(lambda name: True, keep)]):
        model(torch.ones(3)).sum().backward()
    assert grads == {"hook_after": [1.0] * 3, "hook_before": [2.0] * 3}
    model.zero_grad()
    with model.hooks(bwd_hooks=[("hook_before", lambda grad, hook: (grad * 5,))]):
        model(torch.ones(3)).sum().backward()
    assert model.weight.grad is not None
    assert model.weight.grad.tolist() == [10.0] * 3


def test_a_gradient_hook_hears_a_backward_pass_that_comes_after_the_block() -> None:
    model = Doubler()
    heard = []
    loss = model.run_with_hooks(
        torch.ones(3), bwd_hooks=[("hook_before", lambda grad, hook: heard.append(1))]
    ).sum()
    assert no_listeners(model)
    loss.backward()
    assert heard == [1]


def test_neighbouring_points_have_gradients_of_their_own() -> None:
    """resid_post of one block and resid_pre of the next hold the same tensor, and the same gradient."""
    model = tiny_model()
    _, cache = model.run_with_cache(tiny_tokens(), return_type="loss", incl_bwd=True)
    post, pre = cache["blocks.0.hook_resid_post_grad"], cache["blocks.1.hook_resid_pre_grad"]
    assert torch.allclose(post, pre)
    model.zero_grad()
    with model.hooks(bwd_hooks=[("blocks.1.hook_resid_pre", lambda grad, hook: torch.zeros_like(grad))]):
        _, cut = model.run_with_cache(tiny_tokens(), return_type="loss", incl_bwd=True)
    assert not cut["blocks.0.hook_resid_post_grad"].any()
    assert cut["blocks.1.hook_resid_post_grad"].any()


@pytest.mark.parametrize(
    "names", ["blocks.0.hook_resid_pst", ["blocks.0.hook_resid_post", "blocks.0.hook_resid_pst"]]
)
def test_a_misspelt_name_is_refused_with_the_nearest(names: str | list[str]) -> None:
    model = tiny_model()
    for call in (
        lambda: model.run_with_cache(tiny_tokens(), names_filter=names),
        lambda: model.run_with_hooks(tiny_tokens(), fwd_hooks=[(names, lambda x, hook: x)]),
        lambda: model.add_hook(names, lambda x, hook: x),
    ):
        with pytest.raises(KeyError, match="blocks.0.hook_resid_pst.*nearest.*blocks.0.hook_resid_post"):
            call()
        assert no_listeners(model)


@pytest.mark.parametrize("variant", ["plain", "grouped", "shortformer"])
@pytest.mark.parametrize("block", ["", "blocks.0.", "blocks."])
def test_a_predicate_that_matches_whole_blocks_changes_nothing_in_them(variant: str, block: str) -> None:
    """Inputs split by head would give norms another shape, and grouped heads cannot have them all."""
    model, tokens = tiny_model(variant), tiny_tokens()
    _, every = model.run_with_cache(tokens)
    _, found = model.run_with_cache(tokens, names_filter=lambda name: name.startswith(block))
    assert list(found) == [name for name in every if name.startswith(block)]
    assert all(torch.equal(found[name], every[name]) for name in found)


def test_a_predicate_may_name_optional_points() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    ends = ("hook_result", "hook_z")
    for wanted in (ends, ends[:1]):
        _, cache = model.run_with_cache(
            tokens, names_filter=lambda name, wanted=wanted: name.endswith(wanted)
        )
        assert {name.rpartition(".")[2] for name in cache} == {*wanted}
    model.set_use_attn_result(True)
    _, cache = model.run_with_cache(tokens, names_filter=lambda name: True)
    assert "blocks.0.attn.hook_result" in cache


def test_a_predicate_that_matches_nothing_is_refused() -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match="matches none of the"):
        model.run_with_cache(tiny_tokens(), names_filter=lambda name: "hook_patern" in name)
    with pytest.raises(ValueError, match="matches none of the"):
        model.run_with_hooks(tiny_tokens(), fwd_hooks=[(lambda name: False, lambda x, hook: x)])


@pytest.mark.parametrize(
    ("variant", "name", "reason"),
    [
        ("attention only", "blocks.0.mlp.hook_post", "attention-only"),
        ("attention only", "blocks.0.hook_resid_mid", "attention-only"),
        ("parallel", "blocks.0.hook_resid_mid", "in parallel"),
        ("plain", "blocks.0.attn.hook_rot_q", "not rotary"),
        ("plain", "blocks.7.hook_resid_pre", "2 layers"),
        ("plain", "blocks.0.mlp.hook_pre_linear", "not gated"),
        ("no norm", "ln_final.hook_scale", "no norms"),
        ("rotary", "hook_pos_embed", "rotary"),
    ],
)
def test_a_point_that_this_model_lacks_says_why(variant: str, name: str, reason: str) -> None:
    with pytest.raises(KeyError, match=reason):
        tiny_model(variant).run_with_hooks(tiny_tokens(), fwd_hooks=[(name, lambda x, hook: x)])


@pytest.mark.parametrize(
    ("hook", "error", "message"),
    [
        (lambda x, hook: x[:, :-1], ValueError, "returned shape"),
        (lambda x, hook: x.double(), ValueError, "float64"),
        (lambda x, hook: "nothing", TypeError, "returned a str"),
    ],
)
def test_a_hook_that_returns_something_else_is_refused(hook, error, message) -> None:
    with pytest.raises(error, match=message):
        tiny_model().run_with_hooks(tiny_tokens(), fwd_hooks=[(RESID, hook)])


def test_an_intervention_that_never_fires_is_an_error() -> None:
    model = tiny_model()
    with pytest.raises(RuntimeError, match="never fired"):
        model.run_with_hooks(
            tiny_tokens(), stop_at_layer=1, fwd_hooks=[("blocks.1.hook_resid_post", lambda x, hook: x)]
        )
    with (
        pytest.raises(RuntimeError, match="never fired"),
        model.hooks(fwd_hooks=[("ln_final.hook_scale", lambda x, hook: x)]),
    ):
        model(tiny_tokens(), stop_at_layer=1)
    with model.hooks(fwd_hooks=[(RESID, lambda x, hook: x)]):
        pass  # the model did not run: nothing to complain about
    with pytest.raises(RuntimeError, match="never computed"):
        model.run_with_cache(tiny_tokens(), stop_at_layer=1, names_filter=["blocks.1.hook_resid_post"])


def test_other_misuse_of_hooks() -> None:
    model = tiny_model()
    with pytest.raises(TypeError, match=r"\(name, function\) pairs"):
        model.run_with_hooks(tiny_tokens(), fwd_hooks=[RESID])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a hook must be a function"):
        model.add_hook(RESID, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        model.run_with_cache(tiny_tokens(), name_filter=RESID)
    with pytest.raises(ValueError, match="'fwd' or 'bwd'"):
        model.add_hook(RESID, lambda x, hook: x, dir="forward")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scalar"):
        model.run_with_cache(tiny_tokens(), incl_bwd=True)


def test_torchs_own_hooks_work_on_a_hook_point() -> None:
    model = tiny_model()
    seen = []
    handle = model.blocks[0].hook_resid_post.register_forward_hook(
        lambda module, args, out: seen.append(out.shape)
    )
    model(tiny_tokens(2, 5))
    handle.remove()
    model(tiny_tokens(2, 5))
    assert seen == [(2, 5, 24)]
