"""Functions of the main namespace under their names, and with the axes, that the Array API standard gives them here."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import implements
from ..ops import diagonals, linalg, shape
from ..tensor import ArrayLike, Tensor, as_tensor
from .common import matrices

__all__ = ["cross", "diagonal", "matmul", "matrix_transpose", "outer", "tensordot", "trace", "vecdot"]


@implements(np.linalg.diagonal)
def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Tensor:
    """Diagonals of the matrices in the last two axes."""
    return diagonals.diagonal(matrices_of_any("diagonal", x), offset, -2, -1)


@implements(np.linalg.trace)
def trace(x: ArrayLike, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """Sums of the diagonals of the matrices in the last two axes."""
    return diagonals.trace(matrices_of_any("trace", x), offset, -2, -1, dtype)


@implements(np.linalg.cross)
def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Cross product of vectors with three elements along `axis`."""
    a, b = as_tensor(x1), as_tensor(x2)
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise ValueError(f"cross: shapes {a.shape} and {b.shape} must both have length 3 along axis {axis}")
    return linalg.cross(a, b, axis=axis)


@implements(np.linalg.outer)
def outer(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Products of all pairs of elements of two vectors."""
    a, b = as_tensor(x1), as_tensor(x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"outer: both arguments must have one axis, got shapes {a.shape} and {b.shape}")
    return linalg.outer(a, b)


@implements(np.linalg.matmul)
def matmul(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Product of matrices; see `autograd_conv.matmul`."""
    return linalg.matmul(x1, x2)


@implements(np.linalg.matrix_transpose)
def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """The matrices in the last two axes, transposed."""
    return shape.matrix_transpose(matrices_of_any("matrix_transpose", x))


@implements(np.linalg.tensordot)
def tensordot(x1: ArrayLike, x2: ArrayLike, /, *, axes: Any = 2) -> Tensor:
    """Sum of products over axes; see `autograd_conv.tensordot`."""
    return linalg.tensordot(x1, x2, axes)


@implements(np.linalg.vecdot)
def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Inner products of vectors along `axis`, the first one conjugated."""
    return linalg.vecdot(x1, x2, axis=axis)


def matrices_of_any(function: str, x: ArrayLike) -> Tensor:
    """`x` as a Tensor with at least two axes, of any dtype."""
    tensor = as_tensor(x)
    return tensor if tensor.dtype.kind not in "fc" and tensor.ndim >= 2 else matrices(function, "x", tensor)
