"""Polynomials as vectors of coefficients, the highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .conversion import asarray
from .filtering import convolve
from .joining import concatenate, stack
from .shape import atleast_1d, reshape

__all__ = [
    "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval", "roots", "vander",
]  # fmt: skip


@implements(np.vander)
def vander(x: ArrayLike, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers of the elements of a vector, in columns; the highest power first, unless `increasing`."""
    points = asarray(x)
    if points.ndim != 1:
        raise ValueError(f"vander: x has shape {points.shape}; it must have one axis")
    n = len(points) if N is None else N
    powers = np.arange(n) if increasing else np.arange(n)[::-1]
    return reshape(points, (-1, 1)) ** powers


@implements(np.polyval)
def polyval(p: ArrayLike, x: ArrayLike) -> Tensor:
    """The value of a polynomial at `x`, by Horner's rule; gradients reach both."""
    coefficients, at = asarray(p), asarray(x)
    total = at * 0
    for coefficient in coefficients:
        total = total * at + coefficient
    return total


def _sum(a1: ArrayLike, a2: ArrayLike, sign: int) -> Tensor:
    p, q = atleast_1d(a1), atleast_1d(a2)
    longest = max(len(p), len(q))
    p, q = [concatenate([np.zeros(longest - len(r), r.dtype), r]) if len(r) < longest else r for r in (p, q)]
    return p + q if sign > 0 else p - q


@implements(np.polyadd)
def polyadd(a1: ArrayLike, a2: ArrayLike) -> Tensor:
    """Sum of two polynomials."""
    return _sum(a1, a2, 1)


@implements(np.polysub)
def polysub(a1: ArrayLike, a2: ArrayLike) -> Tensor:
    """Difference of two polynomials."""
    return _sum(a1, a2, -1)


@implements(np.polymul)
def polymul(a1: ArrayLike, a2: ArrayLike) -> Tensor:
    """Product of two polynomials."""
    return convolve(a1, a2)


@implements(np.polydiv)
def polydiv(u: ArrayLike, v: ArrayLike) -> tuple[Tensor, Tensor]:
    """Quotient and remainder of two polynomials, by long division.

    The remainder begins with its first coefficient that is not zero up to rounding, as NumPy's.
    """
    rest, divisor = atleast_1d(u) + 0.0, atleast_1d(v) + 0.0
    rest = rest.astype(np.result_type(rest.dtype, divisor.dtype), copy=False)
    n = len(divisor)
    quotient = []
    for _ in range(len(rest) - n + 1):
        factor = rest[0] / divisor[0]
        quotient.append(factor)
        rest = concatenate([rest[1:n] - factor * divisor[1:], rest[n:]])
        # The leading coefficient is gone; what follows is one shorter.
    if not quotient:
        return asarray(np.zeros(1, rest.dtype)), rest
    if not len(rest):
        rest = asarray(np.zeros(1, quotient[0].dtype))
    leading = np.flatnonzero(~np.isclose(rest._array, 0, rtol=1e-14))
    return stack(quotient), rest[min(int(leading[0]) if leading.size else len(rest), len(rest) - 1) :]


@implements(np.polyder)
def polyder(p: ArrayLike, m: int = 1) -> Tensor:
    """The `m`-th derivative of a polynomial."""
    if int(m) < 0:
        raise ValueError(f"polyder: m is {m}; it must not be negative (see polyint)")
    result = atleast_1d(p)
    for _ in range(int(m)):
        result = result[:-1] * np.arange(len(result) - 1, 0, -1)
    return result


@implements(np.polyint)
def polyint(p: ArrayLike, m: int = 1, k: Any = None) -> Tensor:
    """The `m`-th antiderivative of a polynomial, with integration constants `k` (0 by default)."""
    if int(m) < 0:
        raise ValueError(f"polyint: m is {m}; it must not be negative (see polyder)")
    constants = atleast_1d(np.zeros(int(m)) if k is None else k)
    if len(constants) == 1 and m > 1:
        constants = constants * np.ones(int(m))
    if len(constants) < m:
        raise ValueError(f"polyint: {len(constants)} constants for m={m}; give one, or as many as m")
    result = atleast_1d(p)
    for order in range(int(m)):
        result = concatenate([result / np.arange(len(result), 0, -1), constants[order : order + 1]])
    return result


@implements(np.poly)
def poly(seq_of_zeros: ArrayLike) -> Tensor:
    """The monic polynomial with given zeros; gradients reach the zeros.

    Raises
    ------
    ValueError
        For a matrix, whose characteristic polynomial it would be.
    """
    zeros = atleast_1d(seq_of_zeros)
    if zeros.ndim != 1:
        raise ValueError(
            f"poly: seq_of_zeros has shape {zeros.shape}; characteristic polynomials of matrices are not covered, "
            "only zeros along one axis"
        )
    dtype = np.dtype(np.mintypecode(zeros.dtype.char))
    result, nothing = asarray(np.ones(1, dtype)), np.zeros(1, dtype)
    for zero in zeros:
        result = concatenate([result, nothing]) - concatenate([nothing, result * zero])
    return result


_roots = primitive(np.roots, name="roots", arguments=("p",))


def _roots_p(g: Any, p: Any, ans: Any) -> Any:
    """Moving along p(r) = 0: dr = -(sum over k of r**k dp_k) / p'(r). Roots must be single."""
    degree = len(p) - 1
    powers = ans[:, None] ** np.arange(degree, -1, -1)  # (roots, coefficients)
    slope = np.matmul(powers[:, 1:], np.arange(degree, 0, -1) * p[:-1])
    return -np.matmul(g / np.conjugate(slope), np.conjugate(powers))


_roots.defvjp(p=_roots_p)


@implements(np.roots)
def roots(p: ArrayLike) -> Tensor:
    """The zeros of a polynomial, as eigenvalues of its companion matrix.

    Parameters
    ----------
    p : array_like, shape (n + 1,)
        Coefficients, the highest power first.

    Returns
    -------
    Tensor, shape (n,)
        Real or complex. Zeros that occur more than once have no derivative (it is infinite).
    """
    coefficients = atleast_1d(p)
    used = np.flatnonzero(coefficients._array)
    if coefficients.ndim == 1 and used.size and used[0]:  # zeros in front lower the degree
        coefficients = coefficients[int(used[0]) :]
    result: Tensor = _roots(coefficients)
    return result


# --- least squares ---------------------------------------------------------------------------------------------

_solve = primitive(np.linalg.solve, name="solve", arguments=("a", "b"))


def _solve_a(g: Any, a: Any, ans: Any) -> Any:
    return -np.matmul(_solve(np.matrix_transpose(a), g), np.matrix_transpose(ans))


_solve.defvjp(a=_solve_a, b=lambda g, a: _solve(np.matrix_transpose(a), g))

_lstsq = primitive(lambda a, b, *, rcond: np.linalg.lstsq(a, b, rcond)[0], name="lstsq")


def _lstsq_a(g: Any, a: Any, b: Any, ans: Any) -> Any:
    """For full rank: with u = (aᵀa)⁻¹ g, the cotangent (b - a x) uᵀ - a u xᵀ."""
    u = _solve(np.matmul(np.matrix_transpose(a), a), g)
    rest = b - np.matmul(a, ans)
    return np.matmul(rest, np.matrix_transpose(u)) - np.matmul(np.matmul(a, u), np.matrix_transpose(ans))


_lstsq.defvjp(
    a=_lstsq_a,
    b=lambda g, a: np.matmul(a, _solve(np.matmul(np.matrix_transpose(a), a), g)),
)


@implements(np.polyfit)
def polyfit(
    x: ArrayLike,
    y: ArrayLike,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: ArrayLike | None = None,
    cov: Any = False,
) -> Tensor:
    """The polynomial of a given degree with the least sum of squared distances to points.

    Parameters
    ----------
    x : array_like, shape (n,)
    y : array_like, shape (n,) or (n, k)
        Several columns are fitted one by one.
    deg : int
    rcond : float, optional
        As in NumPy. The derivative is that of full rank.
    full, cov : bool
        Only False: NumPy's own function, on ``x.numpy()``, gives residuals and covariances.
    w : array_like, shape (n,), optional
        Weights of the distances.

    Returns
    -------
    Tensor, shape (deg + 1,) or (deg + 1, k)
        Gradients reach `x`, `y` and `w`.

    Raises
    ------
    ValueError, TypeError
        If `deg` is negative, there are no points, or shapes do not fit; for `full` or `cov`.
    """
    points, values = asarray(x) + 0.0, asarray(y) + 0.0
    if full or cov:
        raise TypeError("polyfit: full= and cov= are not covered for Tensors; pass x.numpy() and y.numpy() for them")
    if deg < 0 or points.ndim != 1 or not len(points) or values.ndim not in (1, 2) or len(values) != len(points):
        raise ValueError(
            f"polyfit: deg is {deg}, x has shape {points.shape} and y has shape {values.shape}; they must be at least "
            "0, (n,) and (n,) or (n, k), with n > 0"
        )
    left, right = vander(points, deg + 1), reshape(values, (len(points), -1))
    if w is not None:
        weights = reshape(asarray(w) + 0.0, (-1, 1))
        left, right = left * weights, right * weights
    scale = np.sqrt((left._array**2).sum(0))
    if rcond is None:
        rcond = len(points) * float(np.finfo(points.dtype).eps)
    result = _lstsq(left / scale, right, rcond=rcond) / scale[:, None]
    return reshape(result, (-1,)) if values.ndim == 1 else result
