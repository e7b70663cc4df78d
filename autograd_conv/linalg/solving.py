"""Linear equations: inverse, solutions, determinant, pseudoinverse, least squares.

References
----------
M. Giles, Collected matrix derivative results for forward and reverse mode algorithmic differentiation, 2008: inverse,
determinant, solution. G. Golub and V. Pereyra, SIAM J. Numer. Anal. 10, 1973: pseudoinverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..dispatch import implements
from ..ops.conversion import asarray
from ..ops.diagonals import tril, triu
from ..ops.linalg import matmul
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, as_tensor, wrap
from .common import adjoint, identity_like, matrices, transposed

__all__ = [
    "SlogdetResult", "det", "inv", "lstsq", "matrix_rank", "pinv", "slogdet", "solve", "solve_triangular", "tensorinv",
    "tensorsolve",
]  # fmt: skip


# --- inverse and solutions ---------------------------------------------------------------------------------

_inv = primitive(np.linalg.inv, name="inv", arguments=("a",))
_inv.defvjp(a=lambda g, ans: -np.matmul(np.matmul(transposed(ans), g), transposed(ans)))


@implements(np.linalg.inv)
def inv(a: ArrayLike) -> Tensor:
    """Inverse of square matrices.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is singular, or not square.
    """
    return _inv(matrices("inv", "a", a, square=True))


_solve = primitive(np.linalg.solve, name="solve", arguments=("a", "b"), broadcasts=True)


def _solve_a(g: Any, a: Any, ans: Any, b_shape: tuple[int, ...]) -> Any:
    """-(a^-T g) ans^T: the cotangent of b, times the solution."""
    if len(b_shape) == 1:
        g, ans = g[..., None], ans[..., None]
    return -np.matmul(np.linalg.solve(transposed(a), g), transposed(ans))


def _solve_b(g: Any, a: Any, b_shape: tuple[int, ...]) -> Any:
    """a^-T g."""
    if len(b_shape) == 1:
        return np.linalg.solve(transposed(a), g[..., None])[..., 0]
    return np.linalg.solve(transposed(a), g)


_solve.defvjp(a=_solve_a, b=_solve_b)


@implements(np.linalg.solve)
def solve(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Solution x of ``a @ x = b``.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
    b : array_like, shape (n,) or (..., n, k)
        A vector, if it has one axis; else matrices.

    Returns
    -------
    Tensor, shape (..., n) or (..., n, k)

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is singular, or not square.
    """
    return _solve(matrices("solve", "a", a, square=True), as_tensor(b))


def solve_triangular(
    a: ArrayLike, b: ArrayLike, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False
) -> Tensor:
    """Solution of ``a @ x = b`` with triangular matrices; the other triangle of `a` is not read.

    Parameters
    ----------
    a : array_like, shape (..., n, n)
    b : array_like, shape (n,) or (..., n, k)
    trans : {0, 1, 2, "N", "T", "C"}
        Solve with `a`, its transpose, or its adjoint.
    lower : bool
        Which triangle of `a` counts.
    unit_diagonal : bool
        Whether the diagonal is taken to be ones, and not read.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If `trans` is none of these.
    numpy.linalg.LinAlgError
        If a diagonal element is zero.
    """
    x = matrices("solve_triangular", "a", a, square=True)
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(f"solve_triangular: argument 'trans' is {trans!r}; it must be 0, 1, 2, 'N', 'T' or 'C'")
    off = 1 if unit_diagonal else 0
    triangle = tril(x, -off) if lower else triu(x, off)
    if unit_diagonal:
        triangle = triangle + identity_like(x)
    if trans in (1, "T"):
        triangle = transposed(triangle)
    elif trans in (2, "C"):
        triangle = adjoint(triangle)
    return solve(triangle, b)


# --- determinant -------------------------------------------------------------------------------------------


@primitive(name="cofactor")
def _cofactor(a: np.ndarray) -> np.ndarray:
    """The matrix of cofactors, det(a) a^-T for regular matrices: by singular values, which serve singular ones too."""
    u, s, vh = np.linalg.svd(a)
    n = a.shape[-1]
    others = np.stack([np.prod(np.delete(s, i, axis=-1), axis=-1) for i in range(n)], axis=-1) if n else s
    factor = np.linalg.det(u) * np.linalg.det(vh)
    # a = u s vh, so a^-T det(a) = conj(u) (det(s) / s) conj(vh) det(u vh); u and vh are unitary.
    return factor[..., None, None] * np.matmul(u.conj() * others[..., None, :], vh.conj())


def _cofactor_vjp(g: Any, a: Any, ans: Any) -> Any:
    """Derivative of det(a) a^-T, where a is regular."""
    inverse = np.linalg.inv(transposed(a))
    inner = np.sum(g * inverse, axis=(-2, -1), keepdims=True)
    return inner * ans - np.matmul(np.matmul(ans, transposed(g)), inverse)


_cofactor.defvjp(a=_cofactor_vjp)
_det = primitive(np.linalg.det, name="det", arguments=("a",))
_det.defvjp(a=lambda g, a: g[..., None, None] * _cofactor(a))


@implements(np.linalg.det)
def det(a: ArrayLike) -> Tensor:
    """Determinant of square matrices; its first derivative, the cofactors, exists for singular ones too.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    Tensor, shape (...)
    """
    return _det(matrices("det", "a", a, square=True))


class SlogdetResult(NamedTuple):
    """Sign, and logarithm of the absolute value, of a determinant."""

    sign: Tensor
    logabsdet: Tensor


_slogdet = primitive(np.linalg.slogdet, name="slogdet", arguments=("a",), multiple=True, holomorphic=False)


def _slogdet_vjp(g: Any, a: Any, ans: Any) -> Any:
    """``(g_log + i c) a^-H``, where c is what turning the sign costs: 0 for a real one."""
    g_sign, g_log = g
    factor = g_log
    if a.dtype.kind == "c":
        factor = g_log - 1j * np.imag(np.conjugate(g_sign) * ans[0])
    return factor[..., None, None] * np.linalg.inv(adjoint(a))


_slogdet.defvjp(a=_slogdet_vjp)


@implements(np.linalg.slogdet)
def slogdet(a: ArrayLike) -> SlogdetResult:
    """Sign, and logarithm of the absolute value, of the determinant, without overflow.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    SlogdetResult
        ``sign`` (of modulus 1; 0 for a singular matrix) and ``logabsdet`` (minus infinity then), shape (...).
    """
    return SlogdetResult(*_slogdet(matrices("slogdet", "a", a, square=True)))


# --- pseudoinverse and least squares -----------------------------------------------------------------------


def _pinv_forward(a: Any, *, rcond: Any = None, hermitian: bool = False) -> Any:
    return np.linalg.pinv(a, hermitian=hermitian) if rcond is None else np.linalg.pinv(a, rcond, hermitian=hermitian)


_pinv = primitive(_pinv_forward, name="pinv", holomorphic=False)


def _pinv_vjp(g: Any, a: Any, ans: Any) -> Any:
    """The adjoint of dP = -P dA P + P P^H dA^H (I - A P) + (I - P A) dA^H P^H P, for a constant rank."""
    p, ph, gh = ans, adjoint(ans), adjoint(g)
    left = np.matmul(gh, np.matmul(p, ph))
    right = np.matmul(np.matmul(ph, p), gh)
    return (
        -np.matmul(np.matmul(ph, g), ph)
        + left - np.matmul(a, np.matmul(p, left))
        + right - np.matmul(np.matmul(right, p), a)
    )  # fmt: skip


_pinv.defvjp(a=_pinv_vjp)


@implements(np.linalg.pinv)
def pinv(a: ArrayLike, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    """Moore-Penrose pseudoinverse.

    Parameters
    ----------
    a : array_like, shape (..., m, n)
    rcond, rtol : array_like of float, optional
        Singular values below this fraction of the largest count as zero; give one of the two names.
    hermitian : bool
        Whether the matrices are Hermitian.

    Returns
    -------
    Tensor, shape (..., n, m)

    Notes
    -----
    The derivative is that at constant rank.
    """
    if rcond is not None and rtol is not None:
        raise ValueError("pinv: arguments 'rcond' and 'rtol' are two names for one thing; give one of them")
    cut = rcond if rtol is None else rtol
    return _pinv(matrices("pinv", "a", a), rcond=cut, hermitian=hermitian)


@implements(np.linalg.lstsq)
def lstsq(a: ArrayLike, b: ArrayLike, rcond: float | None = None) -> tuple[Tensor, Tensor, int, Tensor]:
    """Solution of ``a @ x = b`` with the least squares of residuals, and among those the shortest.

    Parameters
    ----------
    a : array_like, shape (m, n)
    b : array_like, shape (m,) or (m, k)
    rcond : float, optional
        Singular values below this fraction of the largest count as zero.

    Returns
    -------
    x : Tensor, shape (n,) or (n, k)
    residuals : Tensor, shape (1,) or (k,)
        Sums of squares; empty if ``m <= n`` or the rank is less than n.
    rank : int
    s : Tensor
        Singular values of `a`, without derivative.
    """
    x, y = matrices("lstsq", "a", a), asarray(b)
    solution, residuals, rank, s = np.linalg.lstsq(x._array, y._array, rcond)
    if not (x.requires_grad or y.requires_grad):
        return wrap(solution), wrap(residuals), int(rank), wrap(s)
    cut = np.finfo(x.dtype).eps * max(x.shape) if rcond is None else max(rcond, 0.0)
    solved = matmul(pinv(x, rcond=cut), y)
    if residuals.size == 0:
        return solved, wrap(residuals), int(rank), wrap(s)
    rest = y - matmul(x, solved)
    squares = np.real(rest * np.conjugate(rest))
    total: Any = np.sum(squares, axis=0)
    return solved, total.reshape(residuals.shape), int(rank), wrap(s)


@implements(np.linalg.matrix_rank)
def matrix_rank(A: ArrayLike, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    """Number of singular values that are not zero, within a tolerance: an integer, which has no derivative."""
    values = as_tensor(A)._array
    options = {} if rtol is None else {"rtol": rtol}
    return wrap(np.asarray(np.linalg.matrix_rank(values, tol, hermitian, **options)))


# --- tensors as matrices -----------------------------------------------------------------------------------


@implements(np.linalg.tensorinv)
def tensorinv(a: ArrayLike, ind: int = 2) -> Tensor:
    """Inverse with respect to ``tensordot(a, x, ind)``; see ``numpy.linalg.tensorinv``."""
    if not isinstance(ind, (int, np.integer)) or ind <= 0:
        raise ValueError(f"tensorinv: argument 'ind' is {ind!r}; it must be a positive int")
    x = as_tensor(a)
    rows = int(np.prod(x.shape[:ind]))
    inverse = inv(x.reshape(rows, -1))
    return inverse.reshape(*x.shape[ind:], *x.shape[:ind])


@implements(np.linalg.tensorsolve)
def tensorsolve(a: ArrayLike, b: ArrayLike, axes: Sequence[int] | None = None) -> Tensor:
    """Solution of ``tensordot(a, x, x.ndim) = b``; see ``numpy.linalg.tensorsolve``."""
    x, y = as_tensor(a), as_tensor(b)
    if axes is not None:
        order = [axis for axis in range(x.ndim) if axis not in axes] + list(axes)
        x = x.transpose(order)
    shape = x.shape[y.ndim :]
    columns = int(np.prod(shape))
    if x.size != columns * columns:
        raise np.linalg.LinAlgError(
            f"tensorsolve: argument 'a' of shape {x.shape} is no square matrix, of {y.size} equations for "
            f"{columns} numbers"
        )
    solved = solve(x.reshape(columns, columns), y.reshape(-1))
    return solved.reshape(shape)
