"""Sums and products of all elements so far, along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import FUNCTIONS, implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, assign_out
from .conversion import asarray
from .padding import pad
from .shape import ravel

__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum"]


def _from_the_end(g: Any, axis: int) -> Any:
    """An element of x is in the sums at its own place and at all later ones."""
    return np.flip(np.cumsum(np.flip(g, axis), axis), axis)


_cumsum = primitive(lambda x, *, axis, dtype=None: np.cumsum(x, axis, dtype), name="cumsum")
_cumsum.defvjp(x=_from_the_end)


def _cumprod_vjp(g: Any, x: Any, axis: int) -> Any:
    """Exact for any number of zeros: nothing is divided.

    With E[i] the product of the elements before i, the cotangent is E[i] R[i], where R[i] = sum over k >= i
    of g[k] x[i+1] ... x[k] obeys R[i] = g[i] + x[i+1] R[i+1]. The steps R -> b + a R are composed in pairs,
    doubling the distance each time: O(n log n) work in log n steps that can be differentiated again.
    """
    x, g = np.moveaxis(x, axis, 0), np.moveaxis(g, axis, 0)
    n = len(x)
    if n == 0:
        return np.moveaxis(g, 0, axis)
    one = np.ones((1, *x.shape[1:]), x.dtype)
    before = np.cumprod(np.concatenate([one, x[:-1]]), 0)
    factor, total = np.concatenate([x[1:], 0 * one]), g
    reach = 1
    while reach < n:
        tail = (reach, *x.shape[1:])
        later = np.concatenate([total[reach:], np.zeros(tail, total.dtype)])
        total = total + factor * later
        factor = factor * np.concatenate([factor[reach:], np.zeros(tail, x.dtype)])
        reach *= 2
    return np.moveaxis(before * total, 0, axis)


_cumprod = primitive(lambda x, *, axis, dtype=None: np.cumprod(x, axis, dtype), name="cumprod")
_cumprod.defvjp(x=_cumprod_vjp)


def _accumulate(name: str, prim: Any, a: ArrayLike, axis: int | None, dtype: Any, out: Any) -> Tensor:
    x = asarray(a)
    if axis is None:
        x, axis = ravel(x), 0
    result: Tensor = prim(x, axis=axis, dtype=dtype)
    return result if out is None else assign_out(name, out, result)


@implements(np.cumsum)
def cumsum(a: ArrayLike, axis: int | None = None, dtype: Any = None, out: Any = None) -> Tensor:
    """Sums of the elements up to each place along an axis.

    Parameters
    ----------
    a : array_like
    axis : int, optional
        By default the elements are taken as one row, in row-major order.
    dtype : dtype, optional
        Type in which to add up.
    out : Tensor, optional
        Where to store the result.

    Returns
    -------
    Tensor
    """
    return _accumulate("cumsum", _cumsum, a, axis, dtype, out)


@implements(np.cumprod)
def cumprod(a: ArrayLike, axis: int | None = None, dtype: Any = None, out: Any = None) -> Tensor:
    """Products of the elements up to each place along an axis; parameters as for `cumsum`.

    The derivatives are exact for any number of zeros.
    """
    return _accumulate("cumprod", _cumprod, a, axis, dtype, out)


def _cumulative(name: str, prim: Any, initial: int) -> Any:
    def function(
        x: ArrayLike,
        /,
        *,
        axis: int | None = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Tensor:
        values = asarray(x)
        if axis is None:
            if values.ndim > 1:
                raise ValueError(
                    f"{name}: x has shape {values.shape}; for other than one axis, give the one to go along"
                )
            values, axis = ravel(values), 0
        result = _accumulate(name, prim, values, axis, dtype, None)
        if include_initial:
            widths = [(0, 0)] * result.ndim
            widths[axis] = (1, 0)
            result = pad(result, widths, constant_values=initial)
        return result if out is None else assign_out(name, out, result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""As `{name.replace("ulative_", "")}`, by the rules of the Python Array API standard.

    Parameters
    ----------
    x : array_like
    axis : int, optional
        Needed unless there is one axis.
    dtype : dtype, optional
    out : Tensor, optional
        Where to store the result.
    include_initial : bool
        Put {initial} in front, so that the result is longer by one.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If `axis` is missing.
    """
    if hasattr(np, name):  # NumPy 2.1
        FUNCTIONS[getattr(np, name)] = function
    return function


cumulative_sum = _cumulative("cumulative_sum", _cumsum, 0)
cumulative_prod = _cumulative("cumulative_prod", _cumprod, 1)
