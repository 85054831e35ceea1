"""One model used from several threads and asyncio tasks at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
import torch

from mechscope.model.hook_points import HookPoint
from mechscope.model.transformer import HookedTransformer
from mechscope.techniques.sweep import Edit, Sweep
from tests.model.tiny import tiny_model, tiny_tokens

THREADS, RUNS = 8, 12
RESID = "blocks.0.hook_resid_post"


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """`work(0)`, `work(1)`, … in as many threads, all started together."""
    start = threading.Barrier(THREADS)

    def begin(number: int) -> Any:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


@pytest.mark.parametrize("variant", ["plain", "rotary", "window"])
def test_every_thread_caches_its_own_activations(variant: str) -> None:
    model = tiny_model(variant)
    inputs = [tiny_tokens(1, 2 + number, seed=number) for number in range(THREADS)]
    expected = [model.run_with_cache(tokens) for tokens in inputs]
    fresh = tiny_model(variant)  # whose rotary table is not made yet

    def work(number: int) -> None:
        logits, right = expected[number]
        for _ in range(RUNS):
            found, cache = fresh.run_with_cache(inputs[number])
            assert torch.equal(found, logits)
            assert list(cache) == list(right)
            assert all(torch.equal(cache[name], right[name]) for name in right)

    at_once(work)
    assert not any(point.fwd_hooks or point.bwd_hooks for point in fresh.hook_points())


def test_hooks_of_one_thread_do_not_reach_another() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    expected = [
        model.run_with_hooks(tokens, fwd_hooks=[(RESID, lambda x, hook, by=by: x * by)])
        for by in range(THREADS)
    ]

    def work(number: int) -> None:
        for _ in range(RUNS):
            with model.hooks(fwd_hooks=[(RESID, lambda x, hook: x * number)]):
                assert torch.equal(model(tokens), expected[number])
            assert torch.equal(model(tokens), expected[1])

    at_once(work)


def test_resetting_hooks_in_one_thread_leaves_those_of_others_on() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    inside, reset = threading.Event(), threading.Event()

    def other() -> None:
        inside.wait()
        model.reset_hooks(including_permanent=True)
        reset.set()

    thread = threading.Thread(target=other)
    thread.start()
    fired: list[str] = []
    with model.hooks(fwd_hooks=[(RESID, lambda x, hook: fired.append(hook.name))]):
        inside.set()
        reset.wait()
        model(tokens)
    thread.join()
    assert fired == [RESID]


def test_gradients_are_cached_by_the_thread_that_asked() -> None:
    models_tokens = [tiny_tokens(1, 6, seed=number) for number in range(THREADS)]
    model = tiny_model()
    for parameter in model.parameters():  # their .grad is shared by all threads, as in any torch module
        parameter.requires_grad_(False)

    def gradient(number: int) -> torch.Tensor:
        kept: list[torch.Tensor] = []
        start = model.input_to_embed(models_tokens[number])[0].requires_grad_()
        with model.hooks(bwd_hooks=[(RESID, lambda g, hook: kept.append(g.clone()))]):
            model(start, start_at_layer=0, tokens=models_tokens[number], return_type="loss").backward()
        return kept[0]

    alone = [gradient(number) for number in range(THREADS)]
    for _ in range(3):
        for found, right in zip(at_once(gradient), alone, strict=True):
            assert torch.equal(found, right)


def test_hooks_added_to_the_model_are_seen_by_all_threads() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    expected = model.run_with_hooks(tokens, fwd_hooks=[(RESID, lambda x, hook: x * 3)])
    model.add_hook(RESID, lambda x, hook: x * 3)
    assert all(torch.equal(found, expected) for found in at_once(lambda _: model(tokens)))


def test_hooks_that_are_left_on_become_the_models() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    expected = model.run_with_hooks(tokens, fwd_hooks=[(RESID, lambda x, hook: x * 3)])
    with model.hooks(fwd_hooks=[(RESID, lambda x, hook: x * 3)], reset_hooks_end=False):
        pass
    assert all(torch.equal(found, expected) for found in at_once(lambda _: model(tokens)))
    model.reset_hooks()
    assert not torch.equal(model(tokens), expected)


def test_what_hooks_remember_stays_in_their_thread() -> None:
    model, tokens = tiny_model(), tiny_tokens()

    def remember(activation: torch.Tensor, hook: HookPoint) -> None:
        hook.ctx["thread"] = threading.get_ident()

    def work(_: int) -> None:
        for _ in range(RUNS):
            model.run_with_hooks(tokens, fwd_hooks=[(RESID, remember)])
            assert model.hook_dict[RESID].ctx == {"thread": threading.get_ident()}
            model.clear_contexts()

    model.hook_dict[RESID].ctx["mine"] = 1
    at_once(work)
    assert model.hook_dict[RESID].ctx == {"mine": 1}


def test_sweeps_in_several_threads() -> None:
    model, tokens = tiny_model(), tiny_tokens(1, 5)
    last = torch.tensor([[4]])

    def sweep(number: int) -> torch.Tensor:
        edits = [
            Edit(f"blocks.{layer}.hook_resid_pre", float(number), pos=pos)
            for layer in range(2)
            for pos in range(5)
        ]
        return Sweep(model, tokens, last, progress=False).run(edits, lambda logits: logits[:, 0])

    alone = [sweep(number) for number in range(THREADS)]
    for found, right in zip(at_once(sweep), alone, strict=True):
        assert torch.equal(found, right)


def test_a_pool_inside_a_block_is_warned_of() -> None:
    """The hooks act on the thread that entered the block; silence here would be an intervention that never happened."""
    model, tokens = tiny_model(), tiny_tokens()
    with (
        pytest.warns(UserWarning, match="other threads"),
        model.hooks(fwd_hooks=[(RESID, lambda x, hook: x * 0)]),
        ThreadPoolExecutor(1) as pool,
    ):
        pool.submit(model, tokens).result()


def test_a_copied_context_takes_the_hooks_along() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    expected = model.run_with_hooks(tokens, fwd_hooks=[(RESID, lambda x, hook: x * 0)])
    with model.hooks(fwd_hooks=[(RESID, lambda x, hook: x * 0)]), ThreadPoolExecutor(1) as pool:
        found = pool.submit(copy_context().run, model, tokens).result()
    assert torch.equal(found, expected)


async def _scaled(model: HookedTransformer, tokens: torch.Tensor, by: float) -> torch.Tensor:
    with model.hooks(fwd_hooks=[(RESID, lambda x, hook: x * by)]):
        await asyncio.sleep(0)
        in_between = model(tokens)
        await asyncio.sleep(0)
        in_thread = await asyncio.to_thread(model, tokens)
    assert torch.equal(in_between, in_thread)
    return in_between


def test_coroutines_do_not_share_hooks() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    expected = [
        model.run_with_hooks(tokens, fwd_hooks=[(RESID, lambda x, hook, by=by: x * by)])
        for by in range(THREADS)
    ]
    plain = model(tokens)

    async def plainly() -> torch.Tensor:
        for _ in range(5):
            await asyncio.sleep(0)
            assert torch.equal(model(tokens), plain)
        return plain

    async def everything() -> list[torch.Tensor]:
        return await asyncio.gather(*(_scaled(model, tokens, by) for by in range(THREADS)), plainly())

    found = asyncio.run(everything())
    assert all(torch.equal(one, right) for one, right in zip(found, [*expected, plain], strict=True))


def test_tasks_that_are_started_inside_a_block_are_inside() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    expected = model.run_with_hooks(tokens, fwd_hooks=[(RESID, lambda x, hook: x * 0)])

    async def run() -> torch.Tensor:
        return model(tokens)

    async def start() -> torch.Tensor:
        with model.hooks(fwd_hooks=[(RESID, lambda x, hook: x * 0)]):
            return await asyncio.create_task(run())

    assert torch.equal(asyncio.run(start()), expected)
