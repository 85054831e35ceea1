"""docs/classic-interface.md: every classic name is the same here, or there is a reason, and the page says so."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("transformer_lens", reason="the `peers` extra is not installed")

from benchmarks import classic_interface  # noqa: E402
from benchmarks.classic_reasons import DIFFERENT, MISSING, SAME_CALL_OTHER_ANSWER  # noqa: E402


@pytest.fixture(scope="module")
def rows() -> list[classic_interface.Row]:
    return classic_interface.rows()


def test_every_difference_has_a_reason_and_every_reason_a_difference(
    rows: list[classic_interface.Row],
) -> None:
    assert classic_interface.unexplained(rows) == []
    assert classic_interface.stale(rows) == []


def test_the_page_is_what_make_tables_writes(rows: list[classic_interface.Row]) -> None:
    page = classic_interface.PAGE.read_text(encoding="utf-8")
    assert page == classic_interface.page(rows), "run `make tables`"
    assert str(Path.home()) not in page


def test_the_comparison_sees_what_it_should(rows: list[classic_interface.Row]) -> None:
    """Names of every kind are among the rows, so that an empty comparison cannot pass."""
    names = {row.name for row in rows}
    assert len(names) > 700
    for name in (
        "BertNextSentencePrediction",
        "utils.USE_DEFAULT_VALUE",
        "components.AbstractAttention.calculate_qkv_matrices",
        "components.Attention.hook_q",
        "hook_points.HookPoint.has_hooks",
        "HookedTransformerConfig.HookedTransformerConfig.use_qk_norm",
        "HookedTransformer.HookedTransformer.process_weights_",
        "patching.get_act_patch_resid_pre",
        "EasyTransformer",
    ):
        assert name in names, name


def test_differences_are_found() -> None:
    """Each kind of difference, on functions made for it."""

    def theirs(a: int, b: int = 2, *, c: int = 3) -> None: ...

    def same(a: int, b: int = 2, extra: int = 0, *, c: int = 3) -> None: ...

    def renamed(x: int, b: int = 2, *, c: int = 3) -> None: ...

    def reordered(b: int = 2, a: int = 1, *, c: int = 3) -> None: ...

    def keyword(a: int, *, b: int = 2, c: int = 3) -> None: ...

    def default(a: int, b: int = 5, *, c: int = 3) -> None: ...

    def found(ours: object) -> list[str]:
        return [key for key, _ in classic_interface.call_differences("f", theirs, ours)]

    assert found(same) == []
    assert found(renamed) == ["f(a)", "f(x)"]
    assert found(reordered) == ["f(a)", "f(b)"]
    assert found(keyword) == ["f(b)"]
    assert found(default) == ["f(b)"]
    row = classic_interface.Row("m", "m.f", (("m.f(b)", "text"),))
    assert classic_interface.unexplained([row]) == ["m.f(b)"]
    assert set(classic_interface.stale([])) == {*DIFFERENT, *MISSING, *SAME_CALL_OTHER_ANSWER}
