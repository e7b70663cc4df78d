"""Covariance and correlation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..dispatch import implements
from ..tensor import ArrayLike, Tensor, raw
from .conversion import asarray, astype
from .diagonals import diagonal
from .elementwise import sqrt
from .joining import concatenate
from .linalg import matmul
from .reduction import average
from .selection import clip
from .shape import atleast_2d, reshape, squeeze, transpose

__all__ = ["corrcoef", "cov"]


def _observations(name: str, m: ArrayLike, y: ArrayLike | None, rowvar: bool, dtype: Any) -> Tensor:
    """Variables in rows, shape (variables, observations)."""
    blocks = []
    for k, given in enumerate([m] if y is None else [m, y]):
        x = asarray(given)
        if x.ndim > 2:
            raise ValueError(f"{name}: {'my'[k]} has shape {x.shape}; it must have at most two axes")
        rows = atleast_2d(x)
        blocks.append(transpose(rows) if not rowvar and x.ndim == 2 else rows)
    dtype = np.result_type(*[block.dtype for block in blocks], np.float64) if dtype is None else dtype
    blocks = [astype(block, dtype, copy=False) for block in blocks]
    return blocks[0] if y is None else concatenate(blocks)


@implements(np.cov)
def cov(
    m: ArrayLike,
    y: ArrayLike | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: ArrayLike | None = None,
    aweights: ArrayLike | None = None,
    *,
    dtype: Any = None,
) -> Tensor:
    """Covariance matrix.

    Parameters
    ----------
    m, y : array_like, shape (variables, observations) or (observations,)
        `y` adds more variables.
    rowvar : bool
        False: observations are rows, variables columns.
    bias : bool
        Divide by n instead of n - 1.
    ddof : int, optional
        Divide by n - `ddof`, whatever `bias` says.
    fweights : array_like of int, optional
        How often each observation was made.
    aweights : array_like, optional
        Weights of the observations; gradients reach them.
    dtype : dtype, optional
        By default at least float64, as in NumPy.

    Returns
    -------
    Tensor, shape (variables, variables); a number for one variable

    Raises
    ------
    ValueError, TypeError
        For weights that NumPy refuses.
    """
    x = _observations("cov", m, y, rowvar, dtype)
    if not x.shape[0]:
        return matmul(x, transpose(x))
    ddof = (0 if bias else 1) if ddof is None else ddof
    n = x.shape[1]
    w: Any = None
    if fweights is not None:
        counts = np.asarray(raw(asarray(fweights)))
        if counts.dtype.kind not in "iub" or counts.shape != (n,) or (counts < 0).any():
            raise ValueError(f"cov: fweights must be {n} integers that are not negative, one for each observation")
        w = counts
    if aweights is not None:
        weights = asarray(aweights)
        if weights.shape != (n,) or (weights._array < 0).any():
            raise ValueError(f"cov: aweights must be {n} numbers that are not negative, one for each observation")
        w = weights if w is None else weights * w
    if w is None:
        norm: Any = float(n - ddof)
    else:
        norm = w.sum()
        if ddof:
            norm = norm - ddof * (1 if aweights is None else (w * aweights).sum() / norm)
    if raw(norm) <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
        norm = np.zeros(())
    x = x - reshape(average(x, 1, w), (-1, 1))
    weighted = x if w is None else x * w
    other = np.conjugate(x) if x.dtype.kind == "c" else x
    return squeeze(matmul(weighted, transpose(other)) / norm)


@implements(np.corrcoef)
def corrcoef(x: ArrayLike, y: ArrayLike | None = None, rowvar: bool = True, *, dtype: Any = None) -> Tensor:
    """Correlation coefficients of variables; parameters as for `cov`.

    Returns
    -------
    Tensor, shape (variables, variables)
        Between -1 and 1; 1 for one variable.
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    scale = sqrt(diagonal(c).real)
    c = c / reshape(scale, (-1, 1)) / scale
    return c if c.dtype.kind == "c" else clip(c, -1, 1)
