"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..dispatch import implements
from ..tensor import ArrayLike, Tensor, assign_out
from .conversion import asarray
from .indexing import scatter_add
from .reduction import sum
from .selection import where
from .shape import moveaxis, ravel

__all__ = ["diag", "diagflat", "diagonal", "trace", "tril", "triu"]


@implements(np.diagonal)
def diagonal(a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Elements of a diagonal.

    Parameters
    ----------
    a : array_like
        At least two axes.
    offset : int
        Which diagonal; above the main one if positive.
    axis1, axis2 : int
        Rows and columns of the matrices.

    Returns
    -------
    Tensor
        Without those axes, and with the diagonal as the last.

    Raises
    ------
    ValueError
        If `a` has fewer than two axes, or the two are one.
    """
    x = asarray(a)
    if x.ndim < 2:
        raise ValueError(f"diagonal: a has shape {x.shape}; it must have at least two axes")
    row = normalize_axis_index(axis1, x.ndim, "diagonal")
    column = normalize_axis_index(axis2, x.ndim, "diagonal")
    if row == column:
        raise ValueError(f"diagonal: axis1={axis1} and axis2={axis2} are the same axis")
    x = moveaxis(x, (row, column), (-2, -1))
    m, n = x.shape[-2:]
    places = np.arange(max(min(m + min(offset, 0), n - max(offset, 0)), 0))
    result: Tensor = x[..., places + max(-offset, 0), places + max(offset, 0)]
    return result


@implements(np.trace)
def trace(a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Tensor:
    """Sum of the elements of a diagonal; parameters as for `diagonal`."""
    result = sum(diagonal(a, offset, axis1, axis2), -1, dtype)
    return result if out is None else assign_out("trace", out, result)


@implements(np.diag)
def diag(v: ArrayLike, k: int = 0) -> Tensor:
    """The diagonal of a matrix, or a matrix with a given diagonal and zeros elsewhere.

    Parameters
    ----------
    v : array_like, shape (m, n) or (n,)
    k : int
        Which diagonal; above the main one if positive.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If `v` has neither one nor two axes.
    """
    x = asarray(v)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError(f"diag: v has shape {x.shape}; it must have one or two axes")
    n = x.size + abs(k)
    places = np.arange(x.size)
    result: Tensor = scatter_add(x, (places + max(-k, 0), places + max(k, 0)), (n, n))
    return result


@implements(np.diagflat)
def diagflat(v: ArrayLike, k: int = 0) -> Tensor:
    """A matrix with the elements of `v` on a diagonal; see `diag`."""
    return diag(ravel(v), k)


def _triangle(name: str, m: ArrayLike, k: int) -> tuple[Tensor, np.ndarray]:
    x = asarray(m)
    if x.ndim < 1:
        raise ValueError(f"{name}: m has no axes; it must have at least one")
    # A vector counts as a matrix of which each row is that vector, as in NumPy.
    rows, columns = (x.shape * 2)[-2:] if x.ndim == 1 else x.shape[-2:]
    return x, np.tri(rows, columns, k, dtype=bool)


@implements(np.tril)
def tril(m: ArrayLike, k: int = 0) -> Tensor:
    """The lower triangles of matrices: zeros above diagonal `k`."""
    x, below = _triangle("tril", m, k)
    result: Tensor = where(below, x, np.zeros((), x.dtype))
    return result


@implements(np.triu)
def triu(m: ArrayLike, k: int = 0) -> Tensor:
    """The upper triangles of matrices: zeros below diagonal `k`."""
    x, below = _triangle("triu", m, k - 1)
    result: Tensor = where(below, np.zeros((), x.dtype), x)
    return result
