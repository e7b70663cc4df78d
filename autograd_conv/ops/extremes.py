"""Largest and smallest elements, and questions about all elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, raw, wrap
from .constants import constant
from .conversion import asarray
from .reduction import Axes, finish, kept_shape, tupled

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "max", "min", "ptp",
]  # fmt: skip


def _extreme_vjp(g: Any, x: Any, ans: Any, axis: Any, where: Any) -> Any:
    """The cotangent goes to the elements that are the extreme, in equal parts."""
    kept = kept_shape(x.shape, axis)
    ans = ans.reshape(kept)
    # The second test is for NaN, which differs from itself: it is the extreme wherever there is one.
    wins = np.equal(x, ans) | (np.not_equal(x, x) & np.not_equal(ans, ans))
    if where is not True:
        wins = wins & where
    # None wins where `initial` is the extreme.
    count = np.maximum(np.sum(wins, axis=axis, keepdims=True), 1)
    return np.where(wins, g.reshape(kept) / count.astype(g.dtype), 0)


def _extreme(name: str, numpy_function: Any, which: str) -> Callable[..., Tensor]:
    reduce: Any = (np.maximum if numpy_function is np.max else np.minimum).reduce  # without NumPy's detours

    def forward(x: Any, *, axis: Any = None, keepdims: Any = False, where: Any = True, **initial: Any) -> Any:
        if where is True and not initial:
            return reduce(x, axis, None, None, keepdims)
        return reduce(x, axis, None, None, keepdims, where=where, **initial)

    prim = primitive(forward, name=name).defvjp(x=_extreme_vjp)

    def function(
        a: ArrayLike,
        axis: Axes = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Tensor:
        settings = {"axis": tupled(axis), "keepdims": keepdims}
        if initial is not None:
            settings["initial"] = initial
        if where is not True:
            settings["where"] = np.array(raw(where), bool)
        return finish(name, prim.unary(asarray(a), settings), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{which} element over axes; NaN if there is one.

    Parameters
    ----------
    a : array_like
    axis, out, keepdims, where
        As for `sum`.
    initial : scalar, optional
        One more element to compare with, needed if there may be no others.

    Returns
    -------
    Tensor
        Elements that tie for the extreme get equal parts of the cotangent (and so do several NaN).

    Raises
    ------
    ValueError
        If there are no elements, and no `initial`.
    """

    return implements(numpy_function)(function)


max = _extreme("max", np.max, "Largest")
min = _extreme("min", np.min, "Smallest")
# Two names of one function in NumPy 2, two functions in some releases.
amax = implements(np.amax)(max)
amin = implements(np.amin)(min)


@implements(np.ptp)
def ptp(a: ArrayLike, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Tensor:
    """Largest minus smallest element over axes ("peak to peak")."""
    x = asarray(a)
    return finish("ptp", max(x, axis, None, keepdims) - min(x, axis, None, keepdims), out)


# --- answers without derivatives ---------------------------------------------------------------------------


all = constant(np.all, "Whether all elements are true, over axes.")
any = constant(np.any, "Whether any element is true, over axes.")
argmax = constant(np.argmax, "Position of the first of the largest elements; of the first NaN, if any.")
argmin = constant(np.argmin, "Position of the first of the smallest elements; of the first NaN, if any.")
# NumPy returns an int if it counts them all.
count_nonzero = constant(
    np.count_nonzero, "Number of elements that are not zero, over axes.", lambda count: wrap(np.asarray(count))
)
