"""Median, percentiles and quantiles, by every method that NumPy has.

A quantile lies between two neighbours of the sorted elements. *Where* it lies depends on the number of elements
and the method, not on their values: it is the same quantile of 0, 1, 2, ... So NumPy's own function is asked for
the places, and the elements are gathered from there: the cotangent goes to them.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..dispatch import implements
from ..errors import AutodiffError
from ..tensor import ArrayLike, Tensor, assign_out, raw
from .conversion import asarray, astype
from .indexing import take_along_axis
from .ordering import sort
from .reduction import axes_of, kept_shape, mean
from .selection import where
from .shape import moveaxis, reshape

__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]


def _rows(x: Tensor, axis: Any) -> Tensor:
    """The reduced axes as one, in front."""
    axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim, "axis")
    if not axes:
        return reshape(x, (1, *x.shape))
    moved = moveaxis(x, axes, tuple(range(len(axes))))
    return reshape(moved, (int(np.prod(moved.shape[: len(axes)])), *moved.shape[len(axes) :]))


def _places(count: int, q: Any, method: Any, weights: Any = None) -> Any:
    """Where, among `count` sorted elements, the quantiles lie; whole and broken numbers."""
    numbers = np.arange(count, dtype=np.float64)
    return np.quantile(numbers, q, method=method, weights=weights)


def _all_places(rows: np.ndarray, counts: np.ndarray, q: np.ndarray, method: str, weights: Any) -> np.ndarray:
    """The places for each quantile and slice, shape (Q, ...): `counts` elements of each slice are not NaN."""
    rest = rows.shape[1:]
    places = np.zeros((q.size, *rest))
    if weights is None:
        for count in np.unique(counts[counts > 0]):
            places[:, counts == count] = np.reshape(_places(int(count), q, method), (q.size, 1))
        return places
    order = np.argsort(rows, 0, kind="stable")
    weights = np.take_along_axis(np.broadcast_to(weights, rows.shape), order, 0)
    for slot in np.ndindex(*rest):
        count = int(counts[slot])
        if count:
            places[(slice(None), *slot)] = _places(count, q, method, weights[(slice(count), *slot)]).reshape(-1)
    return places


def _quantile(
    name: str,
    a: ArrayLike,
    q: Any,
    axis: Any,
    out: Any,
    method: Any,
    keepdims: bool,
    weights: Any,
    skip_nan: bool,
) -> Tensor:
    x = asarray(a)
    for parameter, value in (("q", q), ("weights", weights)):
        if isinstance(value, Tensor) and value.requires_grad:
            raise AutodiffError(f"{name}: there is no derivative by {parameter!r}; pass {parameter}.detach()")
    q, weights = raw(asarray(q)) if isinstance(q, (list, tuple)) else raw(q), raw(weights)
    # What NumPy says of q, method and weights, and the dtype that it would return.
    dtype = np.quantile(np.zeros(1, x.dtype), q, method=method, weights=None if weights is None else np.ones(1)).dtype
    rows = _rows(x, axis)
    ordered = sort(rows, 0)
    n, rest, q_shape = len(rows), rows.shape[1:], np.shape(q)
    kept = kept_shape(x.shape, axis) if keepdims else rest
    if n == 0:
        return asarray(np.full((*q_shape, *kept), np.nan, dtype))
    nan = np.isnan(ordered._array) if x.dtype.kind == "f" else np.zeros((1, *rest), bool)
    counts = n - nan.sum(0) if skip_nan else np.full(rest, n)
    if weights is not None and np.shape(weights) != x.shape:
        lengths = tuple([x.shape[k] for k in axes_of(axis, x.ndim)])
        if np.shape(weights) != lengths:
            raise ValueError(
                f"{name}: weights have shape {np.shape(weights)}; they must have the shape {x.shape} of a, or that "
                f"of its reduced axes, {lengths}"
            )
        weights = np.reshape(weights, (n,) + (1,) * len(rest))
    elif weights is not None:
        weights = _rows(asarray(weights), axis)._array
    places = _all_places(rows._array, counts, np.asarray(q).reshape(-1), method, weights)
    below = np.floor(places).astype(np.intp)
    part = (places - below).astype(dtype)
    result = take_along_axis(ordered, below, 0)
    if part.any():
        above = take_along_axis(ordered, np.ceil(places).astype(np.intp), 0)
        result = result + (above - result) * part
    result = astype(result, dtype, copy=False)
    if skip_nan and not counts.all():
        warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=3)
    if nan[-1].any() and not skip_nan:  # they are sorted to the end, and replace the result
        result = where(nan[-1], ordered[-1:], result).astype(dtype, copy=False)
    result = reshape(result, (*q_shape, *kept))
    return result if out is None else assign_out(name, out, result)


_PARAMETERS = """Parameters
    ----------
    a : array_like
    q : float or array_like
        Which, between 0 and {most}. A constant: there is no derivative by `q`.
    axis : int or tuple of int, optional
        By default all.
    out : Tensor, optional
        Where to store the result.
    overwrite_input : bool
        For compatibility.
    method : str
        Any of NumPy's: "linear", "lower", "higher", "midpoint", "nearest", "median_unbiased", ...
    keepdims : bool
        Keep the reduced axes, with length one.
    weights : array_like, optional
        Of the shape of `a` or of its reduced axes, for method "inverted_cdf". No derivative.

    Returns
    -------
    Tensor
        The axes of `q`, and then those of `a` that remain. The cotangent goes to the elements next to the
        quantile, in the proportion in which they make it up.
    """


def _family(numpy_function: Any, summary: str, most: int, skip_nan: bool) -> Any:
    name = numpy_function.__name__

    def function(
        a: ArrayLike,
        q: ArrayLike,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: bool = False,
        *,
        weights: ArrayLike | None = None,
    ) -> Tensor:
        if most != 1:
            q = q / most if isinstance(q, (int, float, Tensor)) else asarray(q) / most
        return _quantile(name, a, q, axis, out, method, keepdims, weights, skip_nan)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{summary}\n\n    {_PARAMETERS.format(most=most)}"
    return implements(numpy_function)(function)


quantile = _family(np.quantile, "Quantiles over axes; NaN if there is one.", 1, False)
percentile = _family(np.percentile, "Percentiles over axes; NaN if there is one.", 100, False)
nanquantile = _family(np.nanquantile, "Quantiles over axes of what is not NaN.", 1, True)
nanpercentile = _family(np.nanpercentile, "Percentiles over axes of what is not NaN.", 100, True)


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
    rows = sort(_rows(x, axis), 0)
    n = len(rows)
    # NaN are sorted to the end. Where there is one, the last row replaces the middle ones.
    middle = mean(rows[max(n - 1, 0) // 2 : n // 2 + 1], 0)
    nan = np.isnan(rows._array[-1:]).any(axis=0)
    if nan.any():
        middle = where(nan, rows[-1], middle)
    if keepdims:
        middle = reshape(middle, kept_shape(x.shape, axis))
    return middle if out is None else assign_out("median", out, middle)


@implements(np.nanmedian)
def nanmedian(
    a: ArrayLike,
    axis: int | tuple[int, ...] | None = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Tensor:
    """As `median`, of what is not NaN; NaN, with a warning, where there is nothing else."""
    if asarray(a).dtype.kind in "biu":
        return median(a, axis, out, keepdims=keepdims)
    return _quantile("nanmedian", a, 0.5, axis, out, "linear", keepdims, None, True)
