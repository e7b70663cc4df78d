"""Norms and functions of matrices.

References
----------
N. Higham, Functions of Matrices, SIAM 2008, section 10.3: the exponential by Padé approximation with scaling and
squaring; equation 3.16: its derivative as a block of the exponential of a larger matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import implements
from ..ops.elementwise import abs as absolute
from ..ops.extremes import max as maximum
from ..ops.extremes import min as minimum
from ..ops.linalg import dot, matmul
from ..ops.reduction import sum as total_of
from ..ops.shape import moveaxis
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, as_tensor, assign_out
from .common import identity_like, matrices, transposed
from .factorizations import svdvals
from .solving import inv

__all__ = ["cond", "expm", "matrix_norm", "matrix_power", "multi_dot", "norm", "vector_norm"]


# --- norms -------------------------------------------------------------------------------------------------


def _p_norm_forward(x: Any, *, ord: float, axis: Any) -> Any:
    size = np.abs(x)
    top = np.max(size, axis=axis, keepdims=True, initial=0)
    top = np.where((top > 0) & np.isfinite(top), top, 1)  # so that powers neither overflow nor vanish
    return (np.sum((size / top) ** ord, axis=axis, keepdims=True) ** (1 / ord) * top).astype(size.dtype, copy=False)


_p_norm = primitive(_p_norm_forward, name="norm")


def _p_norm_vjp(g: Any, x: Any, ans: Any, ord: float) -> Any:
    """sign(x) (|x| / norm)^(p-1); 0 at 0, which is in the subdifferential."""
    zero = ans == 0
    length = np.where(zero, 1, ans)
    if ord == 2:
        return np.where(zero, 0, g / length) * x
    share = np.absolute(x) / length
    flat = share == 0
    return np.where(flat, 0, g * np.where(flat, 1, share) ** (ord - 1)) * np.sign(x)


_p_norm.defvjp(x=_p_norm_vjp)


def _axes(function: str, axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    for one in axes:
        if not isinstance(one, (int, np.integer)):
            raise TypeError(f"{function}: argument 'axis' is {axis!r}; it must be an int or a tuple of ints")
        if not -ndim <= one < ndim:
            raise np.exceptions.AxisError(int(one), ndim)
    return tuple(int(one) % ndim for one in axes)


def _number(x: ArrayLike) -> Tensor:
    tensor = as_tensor(x)
    return tensor if tensor.dtype.kind in "fc" else tensor.astype(np.float64)


def _squeezed(value: Any, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    result: Tensor = value if keepdims else np.squeeze(value, axis=axes)
    return result


def _vector(x: Tensor, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    if ord == math.inf:
        return maximum(absolute(x), axis=axes, keepdims=keepdims)
    if ord == -math.inf:
        return minimum(absolute(x), axis=axes, keepdims=keepdims)
    if ord == 0:
        counted = (x != 0).astype(absolute(x).dtype)
        return total_of(counted, axis=axes, keepdims=keepdims)
    if ord == 1:
        return total_of(absolute(x), axis=axes, keepdims=keepdims)
    if isinstance(ord, str) or not isinstance(ord, (int, float, np.number)):
        raise ValueError(f"norm: argument 'ord' is {ord!r}, which is no norm of vectors; it must be a number")
    return _squeezed(_p_norm(x, ord=float(ord), axis=axes), axes, keepdims)


def _matrix(x: Tensor, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    rows, columns = axes
    if rows == columns:
        raise ValueError(f"norm: argument 'axis' names axis {rows} twice")
    if ord in (None, "fro", "f"):
        return _vector(x, 2, axes, keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        # Sums of columns for 1, of rows for infinity.
        summed, kept = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = total_of(absolute(x), axis=summed, keepdims=True)
        best = maximum if ord > 0 else minimum
        return _squeezed(best(sums, axis=kept, keepdims=True), axes, keepdims)
    if ord in (2, -2, "nuc"):
        values = svdvals(moveaxis(x, axes, (-2, -1)))
        if ord == "nuc":
            result = total_of(values, axis=-1)
        else:
            result = maximum(values, axis=-1) if ord == 2 else minimum(values, axis=-1)
        return np.expand_dims(result, tuple(sorted(axes))) if keepdims else result  # type: ignore[return-value]
    raise ValueError(
        f"norm: argument 'ord' is {ord!r}, which is no norm of matrices; it must be None, 'fro', 'nuc', inf, -inf, 1, "
        "-1, 2 or -2"
    )


@implements(np.linalg.norm)
def norm(x: ArrayLike, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Norm of vectors or matrices; names, orders and axes as in ``numpy.linalg.norm``.

    Parameters
    ----------
    x : array_like
    ord : {None, "fro", "nuc", inf, -inf, 0, number}, optional
        None: the root of the sum of squares.
    axis : int, pair of int, or None
        Of vectors, or of matrices; None: all of `x`.
    keepdims : bool

    Returns
    -------
    Tensor, real

    Raises
    ------
    ValueError
        If `ord` does not name a norm, or `x` has too many axes for it.

    Notes
    -----
    The derivative at 0 is 0. Where a maximum is reached more than once, cotangents are split evenly.
    """
    array = _number(x)
    axes = _axes("norm", axis, array.ndim)
    if axis is None and ord is None:
        return _vector(array, 2, axes, keepdims)
    if (axis is None and array.ndim not in (1, 2)) or len(axes) not in (1, 2):
        raise ValueError(
            f"norm: an array of shape {array.shape} with axis={axis} is neither vectors nor matrices; "
            "name one or two axes"
        )
    if len(axes) == 1:
        return _vector(array, 2 if ord is None else ord, axes, keepdims)
    return _matrix(array, ord, axes, keepdims)


@implements(np.linalg.vector_norm)
def vector_norm(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """Norm of order `ord` over `axis` (several axes count as one; None: all)."""
    array = _number(x)
    return _vector(array, ord, _axes("vector_norm", axis, array.ndim), keepdims)


@implements(np.linalg.matrix_norm)
def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """Norm of the matrices in the last two axes."""
    array = matrices("matrix_norm", "x", x)
    return _matrix(array, ord, (array.ndim - 2, array.ndim - 1), keepdims)


@implements(np.linalg.cond)
def cond(x: ArrayLike, p: Any = None) -> Tensor:
    """Condition number, ``norm(x) * norm(inv(x))``; by singular values for `p` None, 2 and -2."""
    array = matrices("cond", "x", x)
    if p in (None, 2, -2):
        values = svdvals(array)
        large, small = values[..., 0], values[..., -1]
        return small / large if p == -2 else large / small
    return matrix_norm(array, ord=p) * matrix_norm(inv(array), ord=p)


# --- powers and exponential --------------------------------------------------------------------------------


@implements(np.linalg.matrix_power)
def matrix_power(a: ArrayLike, n: int) -> Tensor:
    """Product of `n` times the same matrices; of their inverses for negative `n`.

    Parameters
    ----------
    a : array_like, shape (..., k, k)
    n : int

    Notes
    -----
    By repeated squaring: about ``2 * log2(n)`` products.
    """
    x = matrices("matrix_power", "a", a, square=True)
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"matrix_power: argument 'n' is {n!r}; it must be an int")
    if n == 0:
        return as_tensor(np.broadcast_to(identity_like(x), x.shape))
    if n < 0:
        x, n = inv(x), -n
    result: Tensor | None = None
    while n:
        if n % 2:
            result = x if result is None else matmul(result, x)
        n //= 2
        if n:
            x = matmul(x, x)
    assert result is not None
    return result


# Coefficients of the Padé approximation [13/13] of the exponential: (26 - k)! 13! / (26! k! (13 - k)!), k = 0..13.
_PADE = [
    math.factorial(26 - k) * math.factorial(13) / (math.factorial(26) * math.factorial(k) * math.factorial(13 - k))
    for k in range(14)
]

# Up to this 1-norm the approximation reaches double precision (Higham, table 10.2).
_PADE_BOUND = 5.371920351148152


def _expm_forward(a: Any) -> Any:
    if a.size == 0:
        return a.copy()
    size = np.max(np.sum(np.abs(a), axis=-2), axis=-1).max()
    halvings = max(0, math.ceil(math.log2(size / _PADE_BOUND))) if np.isfinite(size) and size > 0 else 0
    x = a / 2.0**halvings
    identity = np.eye(a.shape[-1], dtype=a.dtype)
    square = x @ x
    powers = [identity]
    for _ in range(6):
        powers.append(powers[-1] @ square)
    even = sum(_PADE[2 * k] * powers[k] for k in range(7))
    odd = x @ sum(_PADE[2 * k + 1] * powers[k] for k in range(7))
    result = np.linalg.solve(even - odd, even + odd)
    for _ in range(halvings):
        result = result @ result
    return result.astype(a.dtype, copy=False)


_expm = primitive(_expm_forward, name="expm")


def _expm_vjp(g: Any, a: Any) -> Any:
    """The upper right block of exp([[a^T, g], [0, a^T]])."""
    turned = transposed(a)
    n = a.shape[-1]
    top = np.concatenate([turned, g], axis=-1)
    bottom = np.concatenate([np.zeros(a.shape, a.dtype), turned], axis=-1)
    return _expm(np.concatenate([top, bottom], axis=-2))[..., :n, n:]


_expm.defvjp(a=_expm_vjp)


def expm(a: ArrayLike) -> Tensor:
    """Exponential of square matrices.

    Parameters
    ----------
    a : array_like, shape (..., n, n)

    Returns
    -------
    Tensor, shape (..., n, n)

    Notes
    -----
    Cost: about ``16 + log2(norm)`` products of matrices; the derivative, that of a matrix twice as large.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> print(ac.linalg.expm([[0.0, 1.0], [0.0, 0.0]]))
    [[1. 1.]
     [0. 1.]]
    """
    return _expm(matrices("expm", "a", a, square=True))


# --- products of several -----------------------------------------------------------------------------------


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[ArrayLike], *, out: Any = None) -> Tensor:
    """Product of several matrices, in the order that takes the fewest multiplications.

    Parameters
    ----------
    arrays : sequence of array_like
        At least two; the first and the last may be vectors.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If there are less than two.

    References
    ----------
    T. Cormen et al., Introduction to Algorithms, section 15.2: matrix-chain multiplication.
    """
    factors = [as_tensor(array) for array in arrays]
    count = len(factors)
    if count < 2:
        raise ValueError(f"multi_dot: {count} arrays were given; it takes at least two")
    first, last = factors[0].ndim == 1, factors[-1].ndim == 1
    if first:
        factors[0] = factors[0].reshape(1, -1)
    if last:
        factors[-1] = factors[-1].reshape(-1, 1)
    for k, factor in enumerate(factors):
        if factor.ndim != 2:
            raise np.linalg.LinAlgError(f"multi_dot: array {k} has shape {factor.shape}; it must be a matrix")
    sizes = [factor.shape[0] for factor in factors] + [factors[-1].shape[1]]
    cost = [[0.0] * count for _ in range(count)]
    split = [[0] * count for _ in range(count)]
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i][j], split[i][j] = min(
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return factors[i]
        return dot(product(i, split[i][j]), product(split[i][j] + 1, j))

    result = product(0, count - 1)
    if first and last:
        result = result.reshape(())
    elif first or last:
        result = result.reshape(-1)
    return result if out is None else assign_out("multi_dot", out, result)
