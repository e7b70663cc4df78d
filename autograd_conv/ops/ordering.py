"""Sorting and searching."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import CONSTANT, implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, raw
from .conversion import asarray
from .indexing import take_along_axis
from .shape import flip, ravel

__all__ = ["argsort", "partition", "sort"]

_argsort = primitive(lambda x, *, axis, kind: np.argsort(x, axis, kind=kind), name="argsort")


def _kind(name: str, kind: str | None, stable: Any) -> str | None:
    if kind not in (None, "quicksort", "mergesort", "heapsort", "stable"):
        raise ValueError(f"{name}: kind is {kind!r}; it must be 'quicksort', 'mergesort', 'heapsort' or 'stable'")
    return "stable" if stable else kind


CONSTANT.add(np.argsort)


@implements(np.argsort)
def argsort(
    a: ArrayLike,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    stable: bool | None = None,
    descending: bool = False,
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
        Whether equal elements must keep their order; they always do if `descending`.
    descending : bool
        Largest first (Array API standard).

    Returns
    -------
    Tensor
        NaN come last, or first if `descending`.
    """
    x = asarray(a)
    if axis is None:
        x, axis = ravel(x), 0
    kind = _kind("argsort", kind, stable)
    if descending and x.ndim:
        # What comes last in a stable ascending order of the reversed elements comes first, and ties stay in order.
        positions: Tensor = _argsort(flip(x, axis), axis=axis, kind="stable")
        return flip(x.shape[axis] - 1 - positions, axis)
    result: Tensor = _argsort(x, axis=axis, kind=kind)
    return result


@implements(np.sort)
def sort(
    a: ArrayLike,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    stable: bool | None = None,
    descending: bool = False,
) -> Tensor:
    """Sort along an axis; parameters as for `argsort`.

    Each element's cotangent goes back to where it came from; of equal ones, in the order of `stable`.
    """
    x = asarray(a)
    if axis is None:
        x, axis = ravel(x), 0
    if x.ndim == 0:
        raise ValueError("sort: a has no axes; it must have at least one")
    return take_along_axis(x, argsort(x, axis, kind or "stable", stable=stable, descending=descending), axis)


@implements(np.partition)
def partition(a: ArrayLike, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None) -> Tensor:
    """Put the `kth` smallest elements at their places; smaller ones come before, larger ones after them.

    Parameters
    ----------
    a : array_like
    kth : int or sequence of int
    axis : int, optional
        None: the elements are taken as one row.
    kind, order
        For compatibility.

    Returns
    -------
    Tensor
        Each element's cotangent goes back to where it came from.
    """
    x = asarray(a)
    if axis is None:
        x, axis = ravel(x), 0
    return take_along_axis(x, np.argpartition(x._array, raw(kth), axis), axis)
