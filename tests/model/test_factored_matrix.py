"""FactoredMatrix against the dense matrix that it stands for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechscope.model.factored_matrix import FactoredMatrix

torch.manual_seed(0)


def make(leading=(), ldim=6, mdim=3, rdim=5, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(*leading, ldim, mdim, generator=generator, dtype=dtype)
    B = torch.randn(*leading, mdim, rdim, generator=generator, dtype=dtype)
    return FactoredMatrix(A, B)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@st.composite
def matrices(draw, square=False, leading=None):
    if leading is None:
        leading = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    ldim, mdim, rdim = (draw(st.integers(1, 7)) for _ in range(3))
    return make(leading, ldim, mdim, ldim if square else rdim, seed=draw(st.integers(0, 10_000)))


@settings(max_examples=60, deadline=None)
@given(matrices())
def test_singular_values_and_norm_are_those_of_the_dense_matrix(f):
    U, S, V = f.svd()
    close(U * S[..., None, :] @ V.mT, f.AB)
    close(S, torch.linalg.svdvals(f.AB)[..., : S.shape[-1]])
    close(U.mT @ U, torch.eye(S.shape[-1], dtype=U.dtype).expand(*S.shape, S.shape[-1]))
    close(f.norm(), torch.linalg.matrix_norm(f.AB))
    close(f.Vh, f.V)
    even = f.make_even()
    close(even.AB, f.AB)
    close(torch.linalg.svdvals(even.A), torch.linalg.svdvals(even.B))


@settings(max_examples=60, deadline=None)
@given(matrices(square=True))
def test_nonzero_eigenvalues_are_those_of_the_dense_matrix(f):
    dense = torch.linalg.eigvals(f.AB)
    ours = f.eigenvalues
    assert ours.shape[-1] == min(f.ldim, f.mdim)
    # Compared by power sums, which do not depend on an order: tr (AB)^k.
    for power in (1, 2, 3):
        close((ours**power).sum(-1), (dense**power).sum(-1))


@settings(max_examples=60, deadline=None)
@given(matrices(), st.data())
def test_products_agree_with_dense_products(f, data):
    size = data.draw(st.integers(1, 6))
    right = torch.randn(f.rdim, size, dtype=torch.float64)
    left = torch.randn(size, f.ldim, dtype=torch.float64)
    other = make((), f.rdim, data.draw(st.integers(1, 6)), size)
    for product, dense in (
        (f @ right, f.AB @ right),
        (left @ f, left @ f.AB),
        (f @ other, f.AB @ other.AB),
        (other.T @ f.T, other.AB.mT @ f.AB.mT),
    ):
        assert isinstance(product, FactoredMatrix)
        assert product.mdim <= max(min(f.shape[-2:]), f.mdim, other.mdim)
        close(product.AB, dense)
    close(f @ right[:, 0], (f.AB @ right[:, :1]).squeeze(-1))
    close(left[0] @ f, (left[:1] @ f.AB).squeeze(-2))
    close((f * 2.5).AB, f.AB * 2.5)
    close((torch.tensor([2.0]) * f).AB, f.AB * 2)
    close((f * torch.tensor(2.0)).AB, f.AB * 2)
    close((-f / 4).AB, f.AB / -4)
    close(f.T.AB, f.AB.mT)


@settings(max_examples=80, deadline=None)
@given(matrices(), st.data())
def test_indexing_agrees_with_the_dense_matrix(f, data):
    def index_of(length):
        number = st.integers(-length, length - 1)
        return data.draw(
            st.one_of(
                number,
                st.builds(slice, number, st.none(), st.sampled_from([None, 1, 2])),
                st.lists(number, min_size=1, max_size=4),
                st.lists(number, min_size=1, max_size=4).map(torch.tensor),
            )
        )

    leading = f.shape[:-2]
    chosen = [data.draw(st.integers(-n, n - 1)) for n in leading[: data.draw(st.integers(0, len(leading)))]]
    rows, columns = index_of(f.ldim), index_of(f.rdim)
    rest = [slice(None)] * (len(leading) - len(chosen))

    def kept(part):
        return [part] if isinstance(part, int) else part

    dense = f.AB[tuple(chosen)] if chosen else f.AB
    dense = dense[..., kept(rows), :][..., kept(columns)]
    close(f[(*chosen, *rest, rows, columns)].AB, dense)
    if not chosen:
        close(f[..., rows, columns].AB, dense)
    close(f[tuple(chosen)].AB if chosen else f[...].AB, f.AB[tuple(chosen)] if chosen else f.AB)


def test_a_whole_number_keeps_a_row_or_a_column_and_drops_a_leading_axis():
    f = make((2, 4))
    assert f[0].shape == (4, 6, 5)
    assert f[0, 1, 2].shape == (1, 5)
    assert f[0, 1, :, -1].shape == (6, 1)
    assert f[1, ..., 2, 3].shape == (4, 1, 1)
    assert f[None, :, 0].shape == (1, 2, 6, 5)
    assert f[[0, 1], [1, 3]].shape == (2, 6, 5)
    assert f[torch.tensor([True, False])].shape == (1, 4, 6, 5)
    assert make()[2].shape == (1, 5)


def test_shapes_and_parts():
    f = make((2, 4))
    assert (f.ldim, f.mdim, f.rdim, f.ndim, f.shape) == (6, 3, 5, 4, (2, 4, 6, 5))
    assert f.has_leading_dims and not make().has_leading_dims
    assert f.pair == (f.A, f.B)
    close(f.get_corner(2), f.AB[..., :2, :2])
    close(
        torch.linalg.vector_norm(f.collapse_l() @ torch.ones(5, dtype=torch.float64), dim=-1),
        torch.linalg.vector_norm(f @ torch.ones(5, dtype=torch.float64), dim=-1),
    )
    close(f.collapse_r() @ f.V.mT, f.AB)
    close(make(ldim=4, rdim=4).BA, make(ldim=4, rdim=4).B @ make(ldim=4, rdim=4).A)
    assert [f.unsqueeze(k).shape for k in (0, 1, 2, -3)] == [
        (1, 2, 4, 6, 5),
        (2, 1, 4, 6, 5),
        (2, 4, 1, 6, 5),
        (2, 4, 1, 6, 5),
    ]
    assert repr(f) == "FactoredMatrix [2 4 6 5] of rank 3"


def test_leading_axes_broadcast():
    f = FactoredMatrix(torch.ones(3, 1, 4, 2), torch.ones(5, 2, 6))
    assert f.shape == (3, 5, 4, 6) and f.A.shape == (3, 5, 4, 2)


def test_a_decomposition_is_computed_once_and_again_after_an_edit():
    f = make()
    assert f.svd() is f.svd()
    before = f.S
    f.A.mul_(2)
    close(f.S, before * 2)
    f.B.data.mul_(2)  # which torch does not count as an edit
    close(f.S, before * 4)
    f.A = f.A / 4
    close(f.S, before)


def test_half_precision_and_gradients():
    half = FactoredMatrix(*(part.bfloat16() for part in make().pair))
    assert half.S.dtype == torch.bfloat16  # as the factors, which it is multiplied with
    assert half.norm().dtype == torch.float32  # a statistic
    assert half[:, :5][:5].eigenvalues.is_complex()
    A = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    f = FactoredMatrix(A, torch.randn(3, 5, dtype=torch.float64))
    for _ in range(2):  # a decomposition kept from the first time could not be walked back again
        f.S.sum().backward()
    f.norm().backward()
    assert A.grad is not None and bool(A.grad.isfinite().all())


def test_a_norm_near_zero_is_not_lost_to_rounding():
    direction = torch.tensor([[1.0], [1.0]])
    f = FactoredMatrix(torch.ones(100, 2), torch.cat([direction.mT, -direction.mT]))
    assert f.norm() < 1e-5


def test_the_large_matrix_is_never_made():
    f = FactoredMatrix(torch.randn(200_000, 2), torch.randn(2, 200_000))  # 160 GB if it were
    assert f.svd().S.shape == (2,)
    assert f.norm() > 0
    assert f.eigenvalues.shape == (2,)
    assert (f @ f.T).norm() > 0 and (f @ torch.ones(200_000)).shape == (200_000,)
    assert f.get_corner().shape == (3, 3) and f[5, 7].AB.shape == (1, 1)


@pytest.mark.parametrize(
    ("misuse", "error", "says"),
    [
        (lambda f: FactoredMatrix(torch.ones(4, 2), torch.ones(3, 4)), ValueError, r"\[4, 2\].*\[3, 4\]"),
        (lambda f: FactoredMatrix(torch.ones(4), torch.ones(4, 4)), ValueError, "two axes"),
        (lambda f: FactoredMatrix(torch.ones(2, 4, 2), torch.ones(3, 2, 4)), ValueError, "do not broadcast"),
        (lambda f: f.BA, ValueError, r"square.*\[6, 5\]"),
        (lambda f: f.eigenvalues, ValueError, "square"),
        (lambda f: f @ torch.ones(6), ValueError, "the left has 5 columns and the right 6 rows"),
        (lambda f: f @ torch.ones(6, 6), ValueError, "the left has 5 columns and the right 6 rows"),
        (lambda f: torch.ones(3, 5) @ f, ValueError, "the left has 5 columns and the right 6 rows"),
        (lambda f: f @ f, ValueError, "the left has 5 columns and the right 6 rows"),
        (lambda f: f @ torch.tensor(2.0), ValueError, r"`\*`"),
        (lambda f: f * torch.ones(5), ValueError, "`@`"),
        (lambda f: f @ "x", TypeError, "unsupported"),
        (lambda f: f * "x", TypeError, "multiply|unsupported"),
        (lambda f: f[0, 0, 0], IndexError, "2 axes"),
        (lambda f: f[..., ..., 0], IndexError, "2 axes"),
        (lambda f: f[6], IndexError, "row 6 is out of range: there are 6"),
        (lambda f: f[0, -6], IndexError, "column -6 is out of range: there are 5"),
        (lambda f: f[None, :, None], IndexError, "None|axes"),
        (lambda f: f.unsqueeze(1), ValueError, "give 0 to 0"),
        (lambda f: f.unsqueeze(-1), ValueError, "unsqueeze"),
    ],
)
def test_misuse_says_what_is_wrong(misuse, error, says):
    with pytest.raises(error, match=says):
        misuse(make())


@pytest.mark.peer
def test_agrees_with_the_classic_class():
    peer = pytest.importorskip("transformer_lens").FactoredMatrix
    ours = make((2, 3), 6, 3, 6)
    theirs = peer(*ours.pair)
    close(ours.S, theirs.S)
    close(ours.norm(), theirs.norm())
    close(ours.U.abs(), theirs.U.abs())
    close(ours.V.abs(), theirs.V.abs())
    with pytest.warns(DeprecationWarning):
        close(ours.Vh.abs(), theirs.Vh.abs())
    close(ours.eigenvalues.abs().sort().values, theirs.eigenvalues.abs().sort().values)
    close(ours.collapse_l().abs(), theirs.collapse_l().abs())
    close(ours.collapse_r().abs(), theirs.collapse_r().abs())
    for index in (
        0,
        (0, 1),
        (0, 1, 2),
        (0, 1, 2, 3),
        (slice(None), 1),
        (0, 1, slice(1, 3), [0, 2]),
        None,
        -1,
    ):
        found, expected = ours[index], theirs[index]
        assert (found.A.shape, found.B.shape) == (expected.A.shape, expected.B.shape), index
        close(found.AB, expected.AB)
    for other in (torch.randn(6), torch.randn(6, 2), torch.randn(2, 3, 6, 4)):
        found, expected = ours @ other.double(), theirs @ other.double()
        assert type(found).__name__ == type(expected).__name__
        close(getattr(found, "AB", found), getattr(expected, "AB", expected))
