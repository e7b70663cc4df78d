"""Sorting and searching."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, assign_out
from .conversion import asarray
from .elementwise import where
from .indexing import take_along_axis
from .reduction import mean
from .shape import moveaxis, ravel, reshape

__all__ = ["argsort", "median", "searchsorted", "sort"]

_argsort = primitive(lambda x, *, axis, kind: np.argsort(x, axis, kind=kind), name="argsort")
_searchsorted = primitive(lambda x, values, *, side: np.searchsorted(x, values, side), name="searchsorted")


def _kind(name: str, kind: str | None, stable: Any) -> str | None:
    if kind not in (None, "quicksort", "mergesort", "heapsort", "stable"):
        raise ValueError(f"{name}: kind is {kind!r}; it must be 'quicksort', 'mergesort', 'heapsort' or 'stable'")
    return "stable" if stable else kind


@implements(np.argsort)
def argsort(
    a: ArrayLike,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    stable: bool | None = None,
) -> Tensor:
    """Positions that sort an array along an axis; integers, without derivative.

    Parameters
    ----------
    a : array_like
    axis : int, optional
        None: the elements are taken as one row.
    kind : str, optional
        As in NumPy.
    order : None
        For compatibility.
    stable : bool, optional
        Whether equal elements must keep their order.

    Returns
    -------
    Tensor
        NaN come last.
    """
    x = asarray(a)
    if axis is None:
        x, axis = ravel(x), 0
    result: Tensor = _argsort(x, axis=axis, kind=_kind("argsort", kind, stable))
    return result


@implements(np.sort)
def sort(
    a: ArrayLike,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    stable: bool | None = None,
) -> Tensor:
    """Sort along an axis; parameters as for `argsort`.

    Each element's cotangent goes back to where it came from; of equal ones, in the order of `stable`.
    """
    x = asarray(a)
    if axis is None:
        x, axis = ravel(x), 0
    if x.ndim == 0:
        raise ValueError("sort: a has no axes; it must have at least one")
    return take_along_axis(x, argsort(x, axis, kind or "stable", stable=stable), axis)


@implements(np.median)
def median(
    a: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Tensor:
    """Middle element over axes, or the mean of the two in the middle; NaN if there is one.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        By default all.
    out : Tensor, optional
        Where to store the result.
    overwrite_input : bool
        For compatibility.
    keepdims : bool
        Keep the reduced axes, with length one.

    Returns
    -------
    Tensor
        The cotangent goes to the elements in the middle.
    """
    x = asarray(a)
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    front = [k % x.ndim for k in axes]
    kept = [1 if k in front else n for k, n in enumerate(x.shape)]
    x = moveaxis(x, tuple(front), tuple(range(len(front))))
    x = sort(reshape(x, (-1, *x.shape[len(front) :])), 0)
    n = len(x)
    # NaN are sorted to the end. Where there is one, the last row replaces the middle ones.
    middle = mean(x[(n - 1) // 2 : n // 2 + 1], 0)
    nan = np.isnan(x._array[-1:]).any(axis=0)
    if nan.any():
        middle = where(nan, x[-1], middle)
    if keepdims:
        middle = reshape(middle, kept)
    return middle if out is None else assign_out("median", out, middle)


@implements(np.searchsorted)
def searchsorted(a: ArrayLike, v: ArrayLike, side: str = "left", sorter: Any = None) -> Tensor:
    """Positions at which elements would have to be inserted to keep a sorted vector sorted.

    Parameters
    ----------
    a : array_like, shape (n,)
        Ascending, unless `sorter` is given.
    v : array_like
        What to insert.
    side : {"left", "right"}
        Before or after equal elements.
    sorter : array_like of int, optional
        Positions that sort `a`.

    Returns
    -------
    Tensor
        Integers of the shape of `v`, without derivative.
    """
    x = asarray(a) if sorter is None else asarray(a)[sorter]
    result: Tensor = _searchsorted(x, asarray(v), side=side)
    return result
