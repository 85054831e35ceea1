"""A low-rank matrix, stored as two thin factors.

W_V W_O of a GPT-2 head is a 768 × 768 matrix of rank 64. As a `FactoredMatrix` it stays two 768 × 64 matrices, from
which singular values, eigenvalues, norms and products are computed without ever making the large matrix.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any, NamedTuple

import torch
from jaxtyping import Complex, Float

from mechscope.arguments import is_whole_number, shown
from mechscope.model.precision import at_least_float32


class SVD(NamedTuple):
    """AB = U diag(S) Vᵀ, with singular values in descending order."""

    U: Float[torch.Tensor, "*leading ldim rank"]
    """Left singular vectors, as columns."""
    S: Float[torch.Tensor, "*leading rank"]
    """Singular values."""
    V: Float[torch.Tensor, "*leading rdim rank"]
    """Right singular vectors, as columns."""


class FactoredMatrix:
    """The matrix A B [... ldim rdim], for A [... ldim mdim] and B [... mdim rdim].

    Leading axes broadcast, as in `torch.matmul`.

    >>> f = FactoredMatrix(torch.randn(12, 768, 64), torch.randn(12, 64, 768))
    >>> f
    FactoredMatrix [12 768 768] of rank 64
    >>> (f @ torch.randn(768)).shape, f[3].S.shape, (f @ f.T).mdim
    (torch.Size([12, 768]), torch.Size([64]), 64)

    Raises:
        TypeError: for factors that are not tensors.
        ValueError: for factors that cannot be multiplied.
    """

    def __init__(
        self, A: Float[torch.Tensor, "... ldim mdim"], B: Float[torch.Tensor, "... mdim rdim"]
    ) -> None:
        for name, factor in (("A", A), ("B", B)):
            if not isinstance(factor, torch.Tensor):
                raise TypeError(f"{name} is a tensor [... row column], not {shown(factor)}.")
        if A.dtype != B.dtype:
            raise ValueError(f"the factors of a matrix have one data type; A has {A.dtype}, B {B.dtype}.")
        if A.ndim < 2 or B.ndim < 2:
            raise ValueError(
                f"the factors of a matrix have at least two axes; A has shape {_show(A)}, B {_show(B)}. "
                "Make a vector a column with v[:, None] or a row with v[None]."
            )
        if A.shape[-1] != B.shape[-2]:
            raise ValueError(
                f"A {_show(A)} cannot be multiplied by B {_show(B)}: A's last axis has {A.shape[-1]} entries "
                f"and B's second to last has {B.shape[-2]}; they must be equal."
            )
        try:
            leading = torch.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        except RuntimeError:
            raise ValueError(
                f"the leading axes of A {_show(A)} and B {_show(B)} do not broadcast: "
                f"{list(A.shape[:-2])} and {list(B.shape[:-2])}."
            ) from None
        self.A = A.expand(*leading, *A.shape[-2:])
        self.B = B.expand(*leading, *B.shape[-2:])
        self._svd: tuple[torch.Tensor, torch.Tensor, SVD] | None = None

    # Shape ------------------------------------------------------------------------------------

    @property
    def ldim(self) -> int:
        """The number of rows."""
        return self.A.shape[-2]

    @property
    def rdim(self) -> int:
        """The number of columns."""
        return self.B.shape[-1]

    @property
    def mdim(self) -> int:
        """The length of the inner axis; the rank of the matrix is at most this."""
        return self.A.shape[-1]

    @property
    def shape(self) -> torch.Size:
        """The shape of the product [... ldim rdim]."""
        return torch.Size((*self.A.shape[:-1], self.rdim))

    @property
    def ndim(self) -> int:
        """The number of axes of the product."""
        return self.A.ndim

    @property
    def has_leading_dims(self) -> bool:
        """Whether there are leading axes, so that this is a batch of matrices."""
        return self.ndim > 2

    @property
    def pair(
        self,
    ) -> tuple[Float[torch.Tensor, "*leading ldim mdim"], Float[torch.Tensor, "*leading mdim rdim"]]:
        """The factors (A, B)."""
        return self.A, self.B

    def __repr__(self) -> str:
        rank = min(self.ldim, self.mdim, self.rdim)
        return f"FactoredMatrix [{' '.join(map(str, self.shape))}] of rank {rank}"

    # Products ---------------------------------------------------------------------------------

    @property
    def AB(self) -> Float[torch.Tensor, "*leading ldim rdim"]:
        """The product as one tensor [... ldim rdim]."""
        return self.A @ self.B

    @property
    def BA(self) -> Float[torch.Tensor, "*leading mdim mdim"]:
        """The factors multiplied in the opposite order [... mdim mdim]; BA has the same nonzero eigenvalues as AB.

        Raises:
            ValueError: if AB is not square.
        """
        self._need_square("BA")
        return self.B @ self.A

    @property
    def T(self) -> FactoredMatrix:
        """The transpose [... rdim ldim]."""
        return FactoredMatrix(self.B.mT, self.A.mT)

    def __matmul__(self, other: torch.Tensor | FactoredMatrix) -> Any:
        """AB times a vector gives a tensor [... ldim]; AB times a matrix gives a FactoredMatrix."""
        if isinstance(other, FactoredMatrix):
            self._check_inner(self.rdim, other.ldim, self.shape, other.shape)
            middle = self.B @ other.A
            # Keep the smaller of the two inner axes.
            if other.mdim < self.mdim:
                return FactoredMatrix(self.A @ middle, other.B)
            return FactoredMatrix(self.A, middle @ other.B)
        if not isinstance(other, torch.Tensor):
            return NotImplemented
        self._check_tensor(other)
        if other.ndim == 1:
            self._check_inner(self.rdim, len(other), self.shape, other.shape)
            return (self.A @ (self.B @ other[:, None])).squeeze(-1)
        self._check_inner(self.rdim, other.shape[-2], self.shape, other.shape)
        if self.mdim <= self.rdim:
            return FactoredMatrix(self.A, self.B @ other)
        return FactoredMatrix(self.AB, other)

    def __rmatmul__(self, other: torch.Tensor) -> Any:
        """A vector times AB gives a tensor [... rdim]; a matrix times AB gives a FactoredMatrix."""
        if not isinstance(other, torch.Tensor):
            return NotImplemented
        self._check_tensor(other)
        self._check_inner(other.shape[-1], self.ldim, other.shape, self.shape)
        if other.ndim == 1:
            return ((other[None] @ self.A) @ self.B).squeeze(-2)
        if self.mdim <= self.ldim:
            return FactoredMatrix(other @ self.A, self.B)
        return FactoredMatrix(other, self.AB)

    def _check_tensor(self, other: torch.Tensor) -> None:
        if other.ndim == 0:
            raise ValueError("`@` multiplies by a vector or a matrix; use `*` for a number.")

    @staticmethod
    def _check_inner(left: int, right: int, left_shape: Any, right_shape: Any) -> None:
        if left != right:
            raise ValueError(
                f"shapes {list(left_shape)} and {list(right_shape)} cannot be multiplied: the left has {left} columns "
                f"and the right {right} rows. (Pass a batch of vectors [... d] as columns, v[..., None].)"
            )

    def __mul__(self, scalar: float | torch.Tensor) -> FactoredMatrix:
        """Multiply by a number.

        Raises:
            ValueError: for a tensor with more than one element.
        """
        if isinstance(scalar, torch.Tensor):
            if scalar.numel() != 1:
                raise ValueError(
                    f"`*` takes one number, not a tensor of shape {_show(scalar)}; "
                    "use `@` for a matrix product."
                )
            scalar = scalar.reshape(())
        elif not isinstance(scalar, (int, float)):
            return NotImplemented
        return FactoredMatrix(self.A * scalar, self.B)

    __rmul__ = __mul__

    def __truediv__(self, scalar: float | torch.Tensor) -> FactoredMatrix:
        """Divide by a number."""
        return self * (1 / scalar) if isinstance(scalar, (int, float, torch.Tensor)) else NotImplemented

    def __neg__(self) -> FactoredMatrix:
        return self * -1

    # Decompositions and norms -----------------------------------------------------------------

    def svd(self) -> SVD:
        """U, S and V with AB = U diag(S) Vᵀ, from the factors alone; cached until they change.

        With A = Q R and Bᵀ = Q' R', the singular values of AB are those of the small matrix R R'ᵀ.

        Raises:
            ValueError: for factors with NaN or infinite entries.
        """
        graph_wanted = torch.is_grad_enabled() and (self.A.requires_grad or self.B.requires_grad)
        if self._svd is not None and not graph_wanted:
            # Compare the values, because torch does not count an edit through `.data` as a new version.
            A, B, kept = self._svd
            same = torch.equal(self.A, A) and torch.equal(self.B, B)
            if same and (not kept.S.is_inference() or torch.is_inference_mode_enabled()):
                return kept
        A, B = at_least_float32(self.A), at_least_float32(self.B)
        self._need_finite("singular values")
        left, left_core = torch.linalg.qr(A)
        right, right_core = torch.linalg.qr(B.mT)
        U, S, Vh = torch.linalg.svd(left_core @ right_core.mT, full_matrices=False)
        result = SVD(*(part.to(self.A.dtype) for part in (left @ U, S, right @ Vh.mT)))
        # Do not cache a graph, which can be used only once, or "meta" tensors, which have no values to compare.
        if not (result.S.requires_grad or result.S.is_meta):
            self._svd = (self.A.detach().clone(), self.B.detach().clone(), result)
        return result

    @property
    def U(self) -> Float[torch.Tensor, "*leading ldim rank"]:
        """Left singular vectors as columns [... ldim rank]."""
        return self.svd().U

    @property
    def S(self) -> Float[torch.Tensor, "*leading rank"]:
        """Singular values, descending [... rank]."""
        return self.svd().S

    @property
    def V(self) -> Float[torch.Tensor, "*leading rdim rank"]:
        """Right singular vectors as columns [... rdim rank]."""
        return self.svd().V

    @property
    def Vh(self) -> Float[torch.Tensor, "*leading rdim rank"]:
        """The same as V: the classic interface has columns under this name too."""
        return self.svd().V

    @property
    def eigenvalues(self) -> Complex[torch.Tensor, "*leading smaller"]:
        """Eigenvalues of AB, complex [... min(ldim, mdim)]; all others are 0.

        AB and BA have the same nonzero eigenvalues, so the smaller matrix is used.

        Raises:
            ValueError: if AB is not square, or its factors have NaN or infinite entries.
        """
        self._need_square("eigenvalues")
        self._need_finite("eigenvalues")
        wide = FactoredMatrix(at_least_float32(self.A), at_least_float32(self.B))
        return torch.linalg.eigvals(wide.BA if self.mdim <= self.ldim else wide.AB)

    def norm(self) -> Float[torch.Tensor, "*leading"]:
        """Frobenius norm [...]: the square root of the sum of squared entries, in float32 or float64."""
        A, B = at_least_float32(self.A), at_least_float32(self.B)
        if self.mdim >= min(self.ldim, self.rdim):  # AB is no larger than its factors
            return torch.linalg.matrix_norm(A @ B)
        thin, wide = (A, B) if self.ldim >= self.rdim else (B.mT, A.mT)
        # Q does not change the norm: ‖A B‖ = ‖Q R B‖ = ‖R B‖.
        return torch.linalg.matrix_norm(torch.linalg.qr(thin).R @ wide)

    def make_even(self) -> FactoredMatrix:
        """The same matrix with the factors U √S and √S Vᵀ, which have the same singular values."""
        U, S, V = self.svd()
        root = S.sqrt()
        return FactoredMatrix(U * root[..., None, :], root[..., None] * V.mT)

    def collapse_l(self) -> Float[torch.Tensor, "*leading rank rdim"]:
        """S Vᵀ [... rank rdim]: AB without its left singular vectors; ‖S Vᵀ v‖ = ‖AB v‖."""
        return self.S[..., None] * self.V.mT

    def collapse_r(self) -> Float[torch.Tensor, "*leading ldim rank"]:
        """U S [... ldim rank]: AB without its right singular vectors; ‖v U S‖ = ‖v AB‖."""
        return self.U * self.S[..., None, :]

    def get_corner(self, k: int = 3) -> Float[torch.Tensor, "*leading k k"]:
        """The first k rows and columns of AB [... k k], for inspection.

        Raises:
            ValueError: for k below 1.
        """
        if not is_whole_number(k, least=1):
            raise ValueError(f"a corner has at least one row and column, not {k!r}.")
        return self.A[..., :k, :] @ self.B[..., :, :k]

    # Parts ------------------------------------------------------------------------------------

    def unsqueeze(self, k: int) -> FactoredMatrix:
        """The same matrix with a leading axis of size 1 inserted at index k.

        Raises:
            ValueError: for an index that is not before the two axes of the matrix.
        """
        axis = k + self.ndim + 1 if k < 0 else k
        if not 0 <= axis <= self.ndim - 2:
            raise ValueError(
                f"unsqueeze({k}) is not before the rows and columns of {list(self.shape)}; "
                f"give 0 to {self.ndim - 2}."
            )
        return FactoredMatrix(self.A.unsqueeze(axis), self.B.unsqueeze(axis))

    def __getitem__(self, index: Any) -> FactoredMatrix:
        """Index leading axes, then rows, then columns; the result is always a FactoredMatrix.

        A whole number drops a leading axis, but keeps a row or a column as an axis of size 1. Rows and columns are
        selected independently of each other and of the leading axes.
        """
        leading, rows, columns = self._split_index(index if isinstance(index, tuple) else (index,))
        A, B = self.A, self.B
        if leading:
            A, B = A[(*leading, ...)], B[(*leading, ...)]
        return FactoredMatrix(A[..., rows, :], B[..., :, columns])

    def _split_index(self, index: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, Any]:
        n_dots = sum(isinstance(part, EllipsisType) for part in index)
        taken = sum(_axes_taken(part) for part in index)
        if n_dots > 1 or taken > self.ndim:
            raise IndexError(
                f"{index!r} does not index a FactoredMatrix of shape {list(self.shape)}, "
                f"which has {self.ndim} axes."
            )
        fill = (slice(None),) * (self.ndim - taken)
        if n_dots:
            dots = next(at for at, part in enumerate(index) if isinstance(part, EllipsisType))
            index = (*index[:dots], *fill, *index[dots + 1 :])
        else:
            index = (*index, *fill)
        *leading, rows, columns = index
        return tuple(leading), _keep_axis(rows, self.ldim, "row"), _keep_axis(columns, self.rdim, "column")

    def _need_finite(self, what: str) -> None:
        # Some solvers crash the whole process on NaN.
        if not bool(self.A.isfinite().all() and self.B.isfinite().all()):
            raise ValueError(f"a matrix with NaN or infinite entries has no {what}.")

    def _need_square(self, what: str) -> None:
        if self.ldim != self.rdim:
            raise ValueError(f"{what} needs a square matrix, not one of shape {list(self.shape)}.")


def _axes_taken(part: Any) -> int:
    if part is None or isinstance(part, EllipsisType):
        return 0
    if isinstance(part, torch.Tensor) and part.dtype == torch.bool:
        return part.ndim
    return 1


def _keep_axis(part: Any, length: int, what: str) -> Any:
    """Convert a whole number to a slice of length 1; return anything else unchanged."""
    if part is None:
        raise IndexError("rows and columns cannot be indexed with None; add a leading axis with unsqueeze.")
    if isinstance(part, torch.Tensor) and part.ndim == 0:
        part = int(part)
    if is_whole_number(part):
        if not -length <= part < length:
            raise IndexError(f"{what} {part} is out of range: there are {length}.")
        part = int(part) % length
        return slice(part, part + 1)
    return part


def _show(tensor: torch.Tensor) -> str:
    return str(list(tensor.shape))
