"""Differences, derivatives on grids, integrals, interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..dispatch import implements
from ..tensor import ArrayLike, Tensor, raw
from .conversion import asarray
from .joining import concatenate
from .reduction import sum
from .selection import where
from .shape import broadcast_to, moveaxis, ravel, reshape

__all__ = ["diff", "ediff1d", "gradient", "interp", "trapezoid", "unwrap"]


def _subtract(x: Tensor, y: Tensor) -> Tensor:
    return x != y if x.dtype == bool else x - y


@implements(np.diff)
def diff(
    a: ArrayLike, n: int = 1, axis: int = -1, prepend: ArrayLike | None = None, append: ArrayLike | None = None
) -> Tensor:
    """Differences of neighbours along an axis, `n` times over.

    Parameters
    ----------
    a : array_like
    n : int
        0 for `a` itself.
    axis : int
    prepend, append : array_like, optional
        What to put before and after `a` along the axis first; a number is repeated.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If `n` is negative, or `a` has no axes.
    """
    x = asarray(a)
    if n < 0:
        raise ValueError(f"diff: n is {n}; it must not be negative")
    if n == 0:
        return x
    if x.ndim == 0:
        raise ValueError("diff: a has no axes; it must have at least one")
    axis = normalize_axis_index(axis, x.ndim)
    parts = []
    for part in (prepend, x, append):
        if part is not None:
            edge = asarray(part)
            parts.append(broadcast_to(edge, (*x.shape[:axis], 1, *x.shape[axis + 1 :])) if edge.ndim == 0 else edge)
    x = concatenate(parts, axis) if len(parts) > 1 else x
    later = (*[slice(None)] * axis, slice(1, None))
    earlier = (*[slice(None)] * axis, slice(None, -1))
    for _ in range(n):
        x = _subtract(x[later], x[earlier])
    return x


@implements(np.ediff1d)
def ediff1d(ary: ArrayLike, to_end: ArrayLike | None = None, to_begin: ArrayLike | None = None) -> Tensor:
    """Differences of neighbours among all elements, between `to_begin` and `to_end`."""
    x = ravel(ary)
    middle = x[1:] - x[:-1]
    parts = []
    for name, part in (("to_begin", to_begin), ("", middle), ("to_end", to_end)):
        if part is not None:
            values = ravel(part)
            if name and not np.can_cast(values.dtype, x.dtype, "same_kind"):
                raise TypeError(f"ediff1d: {name} has dtype {values.dtype}, which is not converted to {x.dtype}")
            parts.append(values.astype(x.dtype, copy=False) if name else values)
    return concatenate(parts) if len(parts) > 1 else middle


# --- derivatives on a grid -------------------------------------------------------------------------------------


def _derivative(f: Tensor, spacing: Any, axis: int, edge_order: int) -> Tensor:
    """Second-order differences inside, of order `edge_order` at the edges.

    With the distances a before and b after a point, f' = -b/(a(a+b)) f[-] + (b-a)/(ab) f[0] + a/(b(a+b)) f[+],
    exact for parabolas. At an edge the parabola, or the line, through the outermost points counts.
    """
    f = moveaxis(f, axis, 0)
    n = len(f)
    if n < edge_order + 1:
        raise ValueError(
            f"gradient: axis {axis} has length {n}; edge_order={edge_order} needs at least {edge_order + 1}"
        )
    column = (-1,) + (1,) * (f.ndim - 1)
    steps = asarray(spacing)
    h = reshape(broadcast_to(steps, (n - 1,)) if steps.ndim == 0 else diff(steps), column)
    if len(h) != n - 1:
        raise ValueError(f"gradient: {len(h) + 1} coordinates for axis {axis} of length {n}; they must be as many")
    a, b = h[:-1], h[1:]
    inside = (f[2:] * (a / b) + f[1:-1] * ((b - a) / a * ((a + b) / b)) - f[:-2] * (b / a)) / (a + b)
    if edge_order == 1:
        first, last = (f[1:2] - f[:1]) / h[:1], (f[-1:] - f[-2:-1]) / h[-1:]
    else:
        a, b, c, d = h[0:1], h[1:2], h[-2:-1], h[-1:]
        first = -(2 * a + b) / (a * (a + b)) * f[0:1] + (a + b) / (a * b) * f[1:2] - a / (b * (a + b)) * f[2:3]
        last = d / (c * (c + d)) * f[-3:-2] - (c + d) / (c * d) * f[-2:-1] + (2 * d + c) / (d * (c + d)) * f[-1:]
    return moveaxis(concatenate([first, inside, last]), 0, axis).astype(f.dtype, copy=False)


@implements(np.gradient)
def gradient(f: ArrayLike, *varargs: ArrayLike, axis: Any = None, edge_order: int = 1) -> Any:
    """Derivatives along axes of a function that is known on a grid (not to be confused with `grad`).

    Parameters
    ----------
    f : array_like
    *varargs : array_like
        Distances of the grid: a number for all axes, or for each axis a number or the coordinates.
    axis : int or tuple of int, optional
        By default all.
    edge_order : {1, 2}
        Accuracy at the edges.

    Returns
    -------
    Tensor, or a tuple of them for several axes
        Gradients reach `f` and the distances.

    Raises
    ------
    TypeError
        If there are neither none, one nor as many distances as axes.
    ValueError
        For another `edge_order`, or an axis that is too short.
    """
    values = asarray(f)
    if values.dtype.kind in "biu":
        values = values.astype(np.float64)
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order is {edge_order}; it must be 1 or 2")
    axes = tuple(range(values.ndim)) if axis is None else normalize_axis_tuple(axis, values.ndim, "gradient: axis")
    spacings: list[Any] = list(varargs) or [1.0]
    if len(spacings) == 1 and np.ndim(raw(spacings[0])) == 0:
        spacings *= len(axes)
    if len(spacings) != len(axes):
        raise TypeError(f"gradient: {len(varargs)} distances for {len(axes)} axes; give none, one, or as many as axes")
    spacings = [np.asarray(s, values.dtype) if isinstance(s, (int, float)) else asarray(s) for s in spacings]
    results = [_derivative(values, spacing, k, edge_order) for spacing, k in zip(spacings, axes)]
    return results[0] if len(results) == 1 else tuple(results)


@implements(np.trapezoid)
def trapezoid(y: ArrayLike, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1) -> Tensor:
    """Integral along an axis by the trapezoidal rule.

    Parameters
    ----------
    y : array_like
        Values of the function.
    x : array_like, optional
        Where: one-dimensional, or of the shape of `y`.
    dx : array_like
        Distance of the points, without `x`.
    axis : int

    Returns
    -------
    Tensor
        Gradients reach all arguments.
    """
    values = asarray(y)
    axis = normalize_axis_index(axis, values.ndim)
    steps: Any = dx
    if x is not None:
        points = asarray(x)
        steps = diff(points) if points.ndim == 1 else diff(points, axis=axis)
        if points.ndim == 1:
            steps = reshape(steps, [-1 if k == axis else 1 for k in range(values.ndim)])
    before = (slice(None),) * axis
    means = (values[(*before, slice(1, None))] + values[(*before, slice(None, -1))]) / 2
    return sum(steps * means, axis)


# --- functions of one variable ---------------------------------------------------------------------------------


@implements(np.interp)
def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    left: ArrayLike | None = None,
    right: ArrayLike | None = None,
    period: float | None = None,
) -> Tensor:
    """The line through points, where asked.

    Parameters
    ----------
    x : array_like
        Where.
    xp, fp : array_like, shape (n,)
        Coordinates, ascending unless `period` is given, and values of the points.
    left, right : scalar, optional
        Value before the first and after the last point; by default those of these points.
    period : float, optional
        Period of the coordinates; `left` and `right` are ignored.

    Returns
    -------
    Tensor
        Of the shape of `x`. Gradients reach `x` (the slope: at a point itself that of the piece to its right), `xp`,
        `fp`, `left` and `right`.

    Raises
    ------
    ValueError
        If there are no points, or not as many values; if `period` is 0.
    """
    at, points, values = asarray(x), asarray(xp), asarray(fp)
    if points.ndim != 1 or points.shape != values.shape or not len(points):
        raise ValueError(
            f"interp: xp has shape {points.shape} and fp has shape {values.shape}; both must be (n,), with n > 0"
        )
    dtype = np.result_type(values.dtype, np.float64)  # as NumPy, which computes in double precision
    if period is not None:
        if period == 0:
            raise ValueError("interp: period is 0; it must be another number")
        period = abs(period)
        points = points % period
        order = np.argsort(points._array, kind="stable")
        points, values = points[order], values[order]
        points = concatenate([points[-1:] - period, points, points[:1] + period])
        values = concatenate([values[-1:], values, values[:1]])
        at, left, right = at % period, None, None
    n = len(points)
    p = points._array
    place = np.clip(np.searchsorted(p, at._array, side="right") - 1, 0, max(n - 2, 0))
    above = np.minimum(place + 1, n - 1)
    start, stop = points[place], points[above]
    low, high = values[place], values[above]
    apart = stop._array != start._array
    width = where(apart, stop - start, 1)
    result = low + (high - low) * ((at - start) / width)
    result = where(at._array == stop._array, high + (result - high), result) if n > 1 else low
    result = where(at._array > p[-1], values[-1] if right is None else right, result)
    result = where(at._array < p[0], values[0] if left is None else left, result)
    result = where(np.isnan(at._array), at, result)
    return result.astype(dtype, copy=False)


@implements(np.unwrap)
def unwrap(p: ArrayLike, discont: float | None = None, axis: int = -1, *, period: float = 2 * np.pi) -> Tensor:
    """Add multiples of a period, so that neighbours along an axis differ by no more than half of it.

    Parameters
    ----------
    p, discont, axis, period
        As for ``numpy.unwrap``.

    Returns
    -------
    Tensor
        What is added is constant between jumps: the cotangent goes through.
    """
    x = asarray(p)
    smooth = np.unwrap(x._array, raw(discont), axis, period=raw(period))
    return x + (smooth - x._array)
