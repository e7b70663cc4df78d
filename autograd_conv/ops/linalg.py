"""Products of vectors, matrices and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import OPERATORS, implements
from ..primitive import Primitive, primitive
from ..tensor import ArrayLike, Tensor, assign_out
from .shape import asarray

__all__ = ["matmul"]


def _matmul_x(g: Any, x_shape: tuple[int, ...], y: Any) -> Any:
    """Cotangent of the left factor: g yᵀ, with vectors read as matrices of one row or column."""
    if y.ndim == 1:
        return g[..., None] * y  # (..., m), (k) -> (..., m, k)
    if len(x_shape) == 1:
        return np.matmul(y, g[..., None])[..., 0]  # (..., k, n), (..., n) -> (..., k)
    return np.matmul(g, np.matrix_transpose(y))


def _matmul_y(g: Any, x: Any, y_shape: tuple[int, ...]) -> Any:
    """Cotangent of the right factor: xᵀ g."""
    if x.ndim == 1:
        # (k), (..., n) -> (..., k, n); (k), () -> (k)
        return x[:, None] * g[..., None, :] if len(y_shape) > 1 else x * g
    if len(y_shape) == 1:
        return np.matmul(g[..., None, :], x)[..., 0, :]  # (..., m), (..., m, k) -> (..., k)
    if len(y_shape) == 2 and x.ndim > 2:
        # One matrix for a whole batch: a single product sums over the batch too.
        x, g = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    return np.matmul(np.matrix_transpose(x), g)


_matmul: Primitive = primitive(np.matmul, name="matmul", arguments=("x", "y"), broadcasts=True)
_matmul.defvjp(x=_matmul_x, y=_matmul_y)
OPERATORS[np.matmul] = _matmul


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
    left, right = asarray(x1, dtype), asarray(x2, dtype)
    result: Tensor = _matmul(left, right)
    return result if out is None else assign_out("matmul", out, result)
