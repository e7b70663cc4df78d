"""Products of vectors, matrices and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..dispatch import FUNCTIONS, OPERATORS, implements
from ..primitive import Primitive, primitive
from ..tensor import ArrayLike, Tensor, assign_out
from .conversion import asarray, tensor_of
from .shape import expand_dims, moveaxis, ravel, reshape, roll, squeeze, transpose

__all__ = ["cross", "dot", "inner", "kron", "matmul", "matvec", "outer", "tensordot", "vdot", "vecdot", "vecmat"]


# --- matrix product ----------------------------------------------------------------------------------------

# From so many products of two numbers on, `kernels.matrix` is as fast as NumPy's BLAS or faster; calling it takes some
# microseconds more. It also spares the kernels that follow the threads of BLAS, which keep a core busy while they wait.
LEAST_PRODUCTS = 3_000_000

# Results of a single row, or of no more columns than this, leave most of a tile empty: BLAS is faster.
NARROW_COLUMNS = 16


def array_product(x: np.ndarray, y: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
    """``x @ y + columns`` of arrays."""
    if (
        x.ndim > 1 < y.ndim and x.size * y.shape[-1] >= LEAST_PRODUCTS and x.dtype.char in "fd"
        and y.shape[-1] > NARROW_COLUMNS and x.shape[-2] > 1 and (columns is None or columns.dtype == x.dtype)
    ):  # fmt: skip
        result = kernels.matrix.product(x, y, columns)
        if result is not None:
            return result
    result = _small_product(x, y)
    if columns is None:
        return result
    return np.add(result, columns, out=result if columns.dtype == result.dtype else None)


def _small_product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``np.matmul``; without axes to broadcast by way of `dot`, which takes a third of the time for small factors."""
    if 0 < x.ndim <= 2 and 0 < y.ndim <= 2:
        try:
            return x.dot(y)
        except ValueError:
            pass  # the message of matmul is the right one
    result: np.ndarray = np.matmul(x, y)
    return result


def product(x: Any, y: Any) -> Any:
    """``x @ y`` in a rule: of arrays, or of Tensors with their record."""
    if type(x) is np.ndarray and type(y) is np.ndarray:
        return array_product(x, y)
    return matrix_product(x, y)


def _matmul_x(g: Any, x_shape: tuple[int, ...], y: Any) -> Any:
    """Cotangent of the left factor: g yᵀ, with vectors read as matrices of one row or column."""
    if y.ndim == 1:
        return g[..., None] * y  # (..., m), (k) -> (..., m, k)
    if len(x_shape) == 1:
        return product(y, g[..., None])[..., 0]  # (..., k, n), (..., n) -> (..., k)
    return product(g, y.mT)


def _matmul_y(g: Any, x: Any, y_shape: tuple[int, ...]) -> Any:
    """Cotangent of the right factor: xᵀ g."""
    if x.ndim == 2 and len(y_shape) <= 2:
        return product(x.T, g)  # (k, m), (m, n) -> (k, n); (k, m), (m) -> (k)
    if x.ndim == 1:
        # (k), (..., n) -> (..., k, n); (k), () -> (k)
        return x[:, None] * g[..., None, :] if len(y_shape) > 1 else x * g
    if len(y_shape) == 1:
        return product(g[..., None, :], x)[..., 0, :]  # (..., m), (..., m, k) -> (..., k)
    if len(y_shape) == 2 and x.ndim > 2:
        # One matrix for a whole batch: a single product sums over the batch too.
        x, g = x.reshape((-1, x.shape[-1])), g.reshape((-1, g.shape[-1]))
    return product(x.mT, g)


matrix_product: Primitive = primitive(lambda x, y: array_product(x, y), name="matmul", broadcasts=True)
matrix_product.defvjp(x=_matmul_x, y=_matmul_y)
OPERATORS[np.matmul] = matrix_product.binary


@implements(np.matmul)
def matmul(x1: ArrayLike, x2: ArrayLike, /, out: Any = None, *, dtype: Any = None) -> Tensor:
    """Product of matrices, or of vectors and matrices.

    Parameters
    ----------
    x1 : array_like, shape (..., m, k) or (k,)
    x2 : array_like, shape (..., k, n) or (k,)
        Axes in front are broadcast against each other.
    out : Tensor, optional
        Where to store the result.
    dtype : dtype, optional
        Type in which to compute.

    Returns
    -------
    Tensor, shape (..., m, n); without m or n for a vector on that side

    Raises
    ------
    ValueError
        If the inner lengths differ, or a factor has no axes.
    """
    if dtype is None:
        result: Tensor = matrix_product.binary(tensor_of(x1), tensor_of(x2))
    else:
        result = matrix_product(asarray(x1, dtype), asarray(x2, dtype))
    return result if out is None else assign_out("matmul", out, result)


# --- by way of the matrix product --------------------------------------------------------------------------


@implements(np.tensordot)
def tensordot(a: ArrayLike, b: ArrayLike, axes: Any = 2) -> Tensor:
    """Sum of products over axes of two arrays.

    Parameters
    ----------
    a, b : array_like
    axes : int or pair of (int or sequence of int)
        The last so many axes of `a` with the first of `b`; or which axes of `a`, and which of `b`.

    Returns
    -------
    Tensor
        With the other axes of `a`, and then those of `b`.

    Raises
    ------
    ValueError
        If the axes are not as many, or not as long, on both sides.
    """
    x, y = asarray(a), asarray(b)
    if isinstance(axes, (int, np.integer)):
        left, right = list(range(x.ndim - int(axes), x.ndim)), list(range(int(axes)))
    else:
        left, right = [[int(n) for n in np.atleast_1d(pick)] for pick in axes]
    for name, picked, array in (("a", left, x), ("b", right, y)):
        wrong = [axis for axis in picked if not -array.ndim <= axis < array.ndim]
        if wrong:
            raise ValueError(f"tensordot: axes={axes} asks for axis {wrong[0]} of {name}, whose shape is {array.shape}")
    left, right = [axis % x.ndim for axis in left], [axis % y.ndim for axis in right]
    lengths = [x.shape[axis] for axis in left]
    if lengths != [y.shape[axis] for axis in right]:
        raise ValueError(
            f"tensordot: axes={axes} of a (shape {x.shape}) and b (shape {y.shape}) have lengths {lengths} and "
            f"{[y.shape[axis] for axis in right]}; they must be equal"
        )
    rows = [axis for axis in range(x.ndim) if axis not in left]
    columns = [axis for axis in range(y.ndim) if axis not in right]
    summed = int(np.prod(lengths, dtype=np.intp))
    m = int(np.prod([x.shape[axis] for axis in rows], dtype=np.intp))
    n = int(np.prod([y.shape[axis] for axis in columns], dtype=np.intp))
    product = matrix_product(
        reshape(transpose(x, [*rows, *left]), (m, summed)),
        reshape(transpose(y, [*right, *columns]), (summed, n)),
    )
    return reshape(product, [x.shape[axis] for axis in rows] + [y.shape[axis] for axis in columns])


@implements(np.dot)
def dot(a: ArrayLike, b: ArrayLike, out: Any = None) -> Tensor:
    """Product of vectors and matrices as `matmul`, of numbers with anything, or over inner axes.

    Parameters
    ----------
    a : array_like
    b : array_like
        With more than two axes, the sum is over the last axis of `a` and the last but one of `b`, and the
        other axes of both remain (nothing is broadcast).
    out : Tensor, optional
        Where to store the result.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the lengths of the summed axes differ.
    """
    x, y = tensor_of(a), tensor_of(b)
    if x.ndim == 0 or y.ndim == 0:
        result = x * y
    elif x.ndim <= 2 and y.ndim <= 2:
        result = matrix_product.binary(x, y)
    else:
        result = tensordot(x, y, (-1, -2 if y.ndim > 1 else 0))
    return result if out is None else assign_out("dot", out, result)


@implements(np.vdot)
def vdot(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Sum of products of all elements, those of `a` conjugated."""
    x, y = ravel(a), ravel(b)
    result: Tensor = matrix_product(np.conjugate(x) if x.dtype.kind == "c" else x, y)
    return result


@implements(np.inner)
def inner(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Sum of products over the last axes."""
    x, y = asarray(a), asarray(b)
    return x * y if x.ndim == 0 or y.ndim == 0 else tensordot(x, y, (-1, -1))


@implements(np.outer)
def outer(a: ArrayLike, b: ArrayLike, out: Any = None) -> Tensor:
    """All products of an element of `a` with one of `b`: shape ``(a.size, b.size)``."""
    result = reshape(a, (-1, 1)) * reshape(b, (1, -1))
    return result if out is None else assign_out("outer", out, result)


@implements(np.vecdot)
def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Scalar products of vectors along an axis, broadcast; `x1` is conjugated."""
    x, y = asarray(x1), asarray(x2)
    if x.ndim == 0 or y.ndim == 0 or x.shape[axis] != y.shape[axis]:
        raise ValueError(
            f"vecdot: x1 has shape {x.shape} and x2 has shape {y.shape}; both must have the same length along axis "
            f"{axis}"
        )
    if axis != -1:
        x, y = moveaxis(x, axis, -1), moveaxis(y, axis, -1)
    if x.dtype.kind == "c":
        x = np.conjugate(x)  # type: ignore[assignment]
    product = matrix_product(expand_dims(x, -2), expand_dims(y, -1))  # (..., 1, k), (..., k, 1) -> (..., 1, 1)
    return squeeze(product, (-2, -1))


def matvec(x1: ArrayLike, x2: ArrayLike, /, out: Any = None, *, dtype: Any = None) -> Tensor:
    """Products of matrices, shape (..., m, n), and vectors, shape (..., n): shape (..., m)."""
    x, y = asarray(x1, dtype), asarray(x2, dtype)
    if x.ndim < 2 or y.ndim < 1 or x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"matvec: x1 has shape {x.shape} and x2 has shape {y.shape}; they must be (..., m, n) and (..., n)"
        )
    result = squeeze(matrix_product(x, expand_dims(y, -1)), -1)
    return result if out is None else assign_out("matvec", out, result)


def vecmat(x1: ArrayLike, x2: ArrayLike, /, out: Any = None, *, dtype: Any = None) -> Tensor:
    """Products of vectors, shape (..., n) and conjugated, and matrices, shape (..., n, m): shape (..., m)."""
    x, y = asarray(x1, dtype), asarray(x2, dtype)
    if x.ndim < 1 or y.ndim < 2 or x.shape[-1] != y.shape[-2]:
        raise ValueError(
            f"vecmat: x1 has shape {x.shape} and x2 has shape {y.shape}; they must be (..., n) and (..., n, m)"
        )
    if x.dtype.kind == "c":
        x = np.conjugate(x)  # type: ignore[assignment]
    result = squeeze(matrix_product(expand_dims(x, -2), y), -2)
    return result if out is None else assign_out("vecmat", out, result)


if hasattr(np, "matvec"):  # NumPy 2.2
    FUNCTIONS[np.matvec], FUNCTIONS[np.vecmat] = matvec, vecmat


@implements(np.kron)
def kron(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Kronecker product: `b` in place of each element of `a`, multiplied by it."""
    x, y = asarray(a), asarray(b)
    ndim = max(x.ndim, y.ndim)
    m, n = (1,) * (ndim - x.ndim) + x.shape, (1,) * (ndim - y.ndim) + y.shape
    # (m1, 1, m2, 1) times (1, n1, 1, n2)
    product = reshape(x, [k for length in m for k in (length, 1)]) * reshape(
        y, [k for length in n for k in (1, length)]
    )
    return reshape(product, [p * q for p, q in zip(m, n)])


@implements(np.cross)
def cross(
    a: ArrayLike, b: ArrayLike, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Tensor:
    """Vector product of three-dimensional vectors, broadcast.

    Parameters
    ----------
    a, b : array_like
    axisa, axisb, axisc : int
        Axis of the vectors in `a`, in `b` and in the result.
    axis : int, optional
        All three at once.

    Raises
    ------
    ValueError
        If an axis has another length than 3.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = asarray(a), asarray(b)
    for name, array, k in (("a", x, axisa), ("b", y, axisb)):
        if not -array.ndim <= k < array.ndim or array.shape[k] != 3:
            raise ValueError(f"cross: {name} has shape {array.shape}; the length along axis {k} must be 3")
    x, y = moveaxis(x, axisa, -1), moveaxis(y, axisb, -1)
    product = roll(x, -1, -1) * roll(y, -2, -1) - roll(x, -2, -1) * roll(y, -1, -1)
    return moveaxis(product, -1, axisc)
