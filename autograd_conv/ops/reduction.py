"""Sums, extremes and other functions that reduce axes, or accumulate along one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, assign_out, raw
from .elementwise import where as _where
from .shape import asarray

__all__ = ["max", "mean", "sum"]

Axes = int | tuple[int, ...] | None


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The reduced axes as numbers from 0 on; NumPy has checked them in the forward."""
    if axis is None:
        return tuple(range(ndim))
    return tuple([a % ndim for a in axis]) if isinstance(axis, tuple) else ((axis % ndim,) if ndim else ())


def _kept(x_shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """Shape of a result whose reduced axes are kept with length one."""
    if axis is None:
        return (1,) * len(x_shape)
    reduced = _axes(axis, len(x_shape))
    return tuple([1 if k in reduced else n for k, n in enumerate(x_shape)])


def _count(x_shape: tuple[int, ...], axis: Any) -> int:
    """Number of elements that one element of the result is made from."""
    count = 1
    for a in _axes(axis, len(x_shape)):
        count *= x_shape[a]
    return count


def _sum_vjp(g: Any, x_shape: tuple[int, ...], axis: Any) -> Any:
    return np.broadcast_to(g.reshape(_kept(x_shape, axis)), x_shape)


def _mean_vjp(g: Any, x_shape: tuple[int, ...], axis: Any) -> Any:
    count = _count(x_shape, axis) or 1
    return np.broadcast_to(g.reshape(_kept(x_shape, axis)) / count, x_shape)


_sum = primitive(
    lambda x, *, axis=None, dtype=None, keepdims=False: np.add.reduce(x, axis, dtype, None, keepdims),
    name="sum",
).defvjp(x=_sum_vjp)
_mean = primitive(
    lambda x, *, axis=None, dtype=None, keepdims=False: np.mean(x, axis, dtype, keepdims=keepdims),
    name="mean",
).defvjp(x=_mean_vjp)


@implements(np.sum)
def sum(a: ArrayLike, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Tensor:
    return _sum(asarray(a), axis=axis, dtype=dtype, keepdims=keepdims)


@implements(np.mean)
def mean(a: ArrayLike, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Tensor:
    return _mean(asarray(a), axis=axis, dtype=dtype, keepdims=keepdims)


def _extreme_vjp(g: Any, x: Any, ans: Any, axis: Any, where: Any) -> Any:
    kept = _kept(x.shape, axis)
    ans = ans.reshape(kept)
    # The second test is for NaN, the only value that differs from itself: it wins, and so shares.
    wins = np.equal(x, ans) | (np.not_equal(x, x) & np.not_equal(ans, ans))
    if where is not True:
        wins = wins & where
    count = np.maximum(np.sum(wins, axis=axis, keepdims=True), 1)
    return np.where(wins, g.reshape(kept) / count.astype(g.dtype), 0)


def _maximum_forward(x: Any, *, axis: Any = None, keepdims: bool = False, **more: Any) -> Any:
    return np.max(x, axis, keepdims=keepdims, **more)


_max = primitive(_maximum_forward, name="max")
_max.settings["where"] = True
_max.defvjp(x=_extreme_vjp)


@implements(np.max)
def max(a: ArrayLike, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Tensor:
    return _max(asarray(a), axis=axis, keepdims=keepdims)
