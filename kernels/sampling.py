"""Reading an array between its elements, at points that differ from output to output, and the transpose of that.

    sample   y[n, p, c]  =  sum over taps k of  b(u[n, p], k) * x[n, k, c]
    splat    x[n, k, c]  =  sum over points p of  b(u[n, p], k) * g[n, p, c]

``u`` is a point in units of elements (element k stands at k), and ``b`` the product, over the spatial axes, of a basis
function: a step ("nearest"), a triangle ("linear"), or cubic convolution ("cubic"). All are polynomials between
elements, so that derivatives with respect to the points are the same two functions with derived basis functions: every
axis has an `order`, and ``d sample / d u_a`` is `sample` with one more on axis a. With that the two are closed under
differentiation, as correlation and its gradients are.

Shapes::

    x  (N, D, H, W, C)        u  (N, P, 3)        y, g  (N, P, C)
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import contiguous
from .jit import kernel
from .tables import CUBIC_STEEPNESS
from .threads import parallel_for

Array = NDArray[Any]
Orders = tuple[int, int, int]

DEGREES = {"nearest": 0, "linear": 1, "cubic": 3}
"""Interpolation, and the degree of its polynomials: derivatives of a higher order are zero."""

BORDERS = ("zeros", "border", "reflection", "reflection_edges")
"""What a tap outside of the array reads: nothing; the next element; its mirror image at the outermost elements;
its mirror image at their outer edges."""

# Channels that one work item of `splat` owns: two cache lines of float32.
SPLAT_CHANNELS = 32

# Products that these loops make in a nanosecond on one core: only to tell small work from large.
PRODUCTS_PER_NANOSECOND = 1.0


@kernel
def _inner_place(place: float, size: int, border: int) -> int:
    """Return the element that a tap at `place` (a whole number) reads, or -1."""
    if border == 0:
        return int(place) if place >= 0 and place < size else -1
    if (border >= 2 and size > 1) or border == 3:
        # border 2 mirrors at 0 and size - 1, border 3 half an element further out
        shift = 0.0 if border == 2 else 0.5
        span = size - 1.0 if border == 2 else float(size)
        away = abs(place + shift)
        turns = np.floor(away / span)
        away -= turns * span
        place = away - shift if turns % 2 == 0 else span - away - shift
    return int(min(max(place, 0.0), size - 1.0))


@kernel
def _cubic(s: float, sign: float, inner: bool, order: int) -> float:
    """Return cubic convolution, or a derivative of it, at distance `s` from a tap; `sign` is that of the slope of `s`.

    `inner`: the distance is at most 1, and not between 1 and 2.
    """
    a = CUBIC_STEEPNESS
    if inner:
        if order == 0:
            return ((a + 2) * s - (a + 3)) * s * s + 1
        if order == 1:
            return sign * (3 * (a + 2) * s - 2 * (a + 3)) * s
        if order == 2:
            return 6 * (a + 2) * s - 2 * (a + 3)
        return sign * 6 * (a + 2)
    if order == 0:
        return ((a * s - 5 * a) * s + 8 * a) * s - 4 * a
    if order == 1:
        return sign * ((3 * a * s - 10 * a) * s + 8 * a)
    if order == 2:
        return 6 * a * s - 10 * a
    return sign * 6 * a


@kernel
def _taps(
    u: float, size: int, degree: int, order: int, border: int
) -> tuple[int, tuple[int, int, int, int], tuple[float, float, float, float]]:
    """Return how many elements a point reads along one axis, which, and their weights.

    An element outside of the array is -1. The number is -1 if the point is nowhere. Tuples, and no arrays to write
    to: they stay in registers, where passing arrays to a function costs more than all the arithmetic here.
    """
    none, nothing = (-1, -1, -1, -1), (0.0, 0.0, 0.0, 0.0)
    if np.isnan(u) or (np.isinf(u) and border >= 2):
        return -1, none, nothing
    if np.isinf(u) and border == 0:
        return 0, none, nothing
    u = min(max(u, -1e18), 1e18)  # at an infinite point all taps are the outermost element
    if degree == 0:
        # To the nearest, ties to even, as IEEE 754 rounds.
        return 1, (_inner_place(np.rint(u), size, border), -1, -1, -1), (1.0, 0.0, 0.0, 0.0)
    first = np.floor(u)
    if degree == 1:
        t = u - first
        low, high = (1 - t, t) if order == 0 else (-1.0, 1.0)
        return (
            2,
            (_inner_place(first, size, border), _inner_place(first + 1, size, border), -1, -1),
            (low, high, 0.0, 0.0),
        )
    if border < 2:
        # Far outside all four taps are the same element, or none; here the sum of the weights stays exact.
        u = min(max(u, -4.0), size + 4.0)
        first = np.floor(u)
    t = u - first
    places = (
        _inner_place(first - 1, size, border),
        _inner_place(first, size, border),
        _inner_place(first + 1, size, border),
        _inner_place(first + 2, size, border),
    )
    weights = (
        _cubic(t + 1, 1.0, False, order),
        _cubic(t, 1.0, True, order),
        _cubic(1 - t, -1.0, True, order),
        _cubic(2 - t, -1.0, False, order),
    )
    return 4, places, weights


@kernel
def _point_taps(
    points: Array, n: int, p: int, axis: int, size: int, axes: int, degree: int, orders: Orders, border: int
) -> tuple[int, tuple[int, int, int, int], tuple[float, float, float, float]]:
    """Return the taps of point `p` of image `n` along an axis; axes before the last `axes` have length one."""
    if axis < 3 - axes:
        return 1, (0, -1, -1, -1), (1.0, 0.0, 0.0, 0.0)
    return _taps(float(points[n, p, axis]), size, degree, orders[axis], border)


@kernel
def _sample_points(
    start: int, stop: int, x: Array, points: Array, y: Array, axes: int, degree: int, orders: Orders, border: int
) -> None:
    """Compute the points ``start <= row < stop`` of `y`, row ``n * P + p``; `y` is modified in place."""
    channels, count = x.shape[4], points.shape[1]
    for row in range(start, stop):
        n = row // count
        p = row - n * count
        taps_d, places_d, weights_d = _point_taps(points, n, p, 0, x.shape[1], axes, degree, orders, border)
        taps_h, places_h, weights_h = _point_taps(points, n, p, 1, x.shape[2], axes, degree, orders, border)
        taps_w, places_w, weights_w = _point_taps(points, n, p, 2, x.shape[3], axes, degree, orders, border)
        target = y[n, p]
        if taps_d < 0 or taps_h < 0 or taps_w < 0:
            for c in range(channels):
                target[c] = np.nan
            continue
        for c in range(channels):
            target[c] = 0
        for kd in range(taps_d):
            for kh in range(taps_h):
                for kw in range(taps_w):
                    d, h, w = places_d[kd], places_h[kh], places_w[kw]
                    if d < 0 or h < 0 or w < 0:
                        continue
                    factor = x.dtype.type(weights_d[kd] * weights_h[kh] * weights_w[kw])
                    source = x[n, d, h, w]
                    for c in range(channels):
                        target[c] += factor * source[c]


@kernel
def _splat_channels(
    start: int, stop: int, g: Array, points: Array, x: Array, axes: int, degree: int, orders: Orders, border: int,
    block: int,
) -> None:  # fmt: skip
    """Add up the blocks of channels ``start <= item < stop``, item ``n * blocks + b``; `x` is modified in place.

    Points may fall onto the same element, so an item goes over all of them, in order, for the channels it owns.
    """
    channels = x.shape[4]
    blocks = (channels + block - 1) // block
    for item in range(start, stop):
        n, low = item // blocks, item % blocks * block
        high = min(low + block, channels)
        x[n, :, :, :, low:high] = 0
        for p in range(points.shape[1]):
            taps_d, places_d, weights_d = _point_taps(points, n, p, 0, x.shape[1], axes, degree, orders, border)
            taps_h, places_h, weights_h = _point_taps(points, n, p, 1, x.shape[2], axes, degree, orders, border)
            taps_w, places_w, weights_w = _point_taps(points, n, p, 2, x.shape[3], axes, degree, orders, border)
            if taps_d < 0 or taps_h < 0 or taps_w < 0:
                continue
            source = g[n, p, low:high]
            for kd in range(taps_d):
                for kh in range(taps_h):
                    for kw in range(taps_w):
                        d, h, w = places_d[kd], places_h[kh], places_w[kw]
                        if d < 0 or h < 0 or w < 0:
                            continue
                        factor = x.dtype.type(weights_d[kd] * weights_h[kh] * weights_w[kw])
                        target = x[n, d, h, w, low:high]
                        for c in range(high - low):
                            target[c] += factor * source[c]


def _settings(
    function: str, points: Array, batch: int, count: int, axes: int, mode: str, orders: Orders, border: str
) -> tuple[int, int, bool]:
    """Check what `sample` and `splat` share; return degree, number of the border, and whether all weights vanish."""
    if points.shape != (batch, count, 3):
        raise ValueError(f"{function}: points must have shape ({batch}, {count}, 3), got {points.shape}")
    if mode not in DEGREES or border not in BORDERS:
        raise ValueError(
            f"{function}: mode must be one of {tuple(DEGREES)} and border one of {BORDERS}, got {mode!r} and {border!r}"
        )
    degree = DEGREES[mode]
    return degree, BORDERS.index(border), max(orders[3 - axes :]) > degree


def sample(x: Array, points: Array, axes: int, mode: str, border: str, orders: Orders = (0, 0, 0)) -> Array:
    """Return the values of `x` between its elements.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        float32 or float64, any strides, read-only or not. Spatial axes have at least one element.
    points : ndarray, shape (N, P, 3), dtype of `x`
        In units of elements; element k stands at k.
    axes : int
        Spatial axes; those before the last `axes` have length one, and nothing of `points` is read for them.
    mode : {"nearest", "linear", "cubic"}
    border : {"zeros", "border", "reflection", "reflection_edges"}
        What taps outside of `x` read.
    orders : tuple of three int
        Of the derivative with respect to the point, along each axis.

    Returns
    -------
    ndarray, shape (N, P, C), dtype of `x`
        NaN where a point is NaN, or infinite where the border mirrors.

    Raises
    ------
    TypeError
        If `x` and `points` are not both float32 or both float64.
    ValueError
        If shapes do not fit together, or `mode` or `border` is unknown.

    Notes
    -----
    Cost ``N * P * C`` times the number of taps: 1, 2 or 4 to the power of `axes`.
    """
    function = "sample"
    x, points = np.asarray(x), np.asarray(points)
    _check(function, x, points)
    count = points.shape[1] if points.ndim == 3 else 0
    degree, edge, vanishes = _settings(function, points, x.shape[0], count, axes, mode, orders, border)
    y = np.empty((x.shape[0], count, x.shape[4]), x.dtype.newbyteorder("="))
    if vanishes:
        y[...] = 0
    elif y.size:
        parallel_for(
            _sample_points, x.shape[0] * count, contiguous(x, y.dtype), contiguous(points, y.dtype), y, axes, degree,
            orders, edge,
            nanoseconds=(y.size + 20 * x.shape[0] * count) * (degree + 1) ** axes / PRODUCTS_PER_NANOSECOND,
        )  # fmt: skip
    return y


def splat(
    g: Array,
    points: Array,
    size: tuple[int, int, int],
    axes: int,
    mode: str,
    border: str,
    orders: Orders = (0, 0, 0),
) -> Array:
    """Return the transpose of :func:`sample`: what the elements of an array collect from values at points.

    Parameters
    ----------
    g : ndarray, shape (N, P, C)
        float32 or float64, any strides, read-only or not.
    points : ndarray, shape (N, P, 3), dtype of `g`
    size : tuple of three int
        The spatial shape of the result; at least 1 each.
    axes, mode, border, orders
        As in :func:`sample`.

    Returns
    -------
    ndarray, shape (N, D, H, W, C), dtype of `g`
        Points that are NaN, or infinite where the border mirrors, contribute nothing.

    Raises
    ------
    TypeError, ValueError
        As :func:`sample`.

    Notes
    -----
    Cost as that of :func:`sample`. Work is split by image and by blocks of channels, never by points, so that no
    two threads add to the same place.
    """
    function = "splat"
    g, points = np.asarray(g), np.asarray(points)
    _check(function, g, points)
    batch, count, channels = g.shape
    degree, edge, vanishes = _settings(function, points, batch, count, axes, mode, orders, border)
    x = np.empty((batch, *size, channels), g.dtype.newbyteorder("="))
    if vanishes:
        x[...] = 0
    elif x.size:
        parallel_for(
            _splat_channels, batch * -(-channels // SPLAT_CHANNELS), contiguous(g, x.dtype),
            contiguous(points, x.dtype), x, axes, degree, orders, edge, SPLAT_CHANNELS,
            nanoseconds=(x.size + (g.size + 20 * batch * count) * (degree + 1) ** axes) / PRODUCTS_PER_NANOSECOND,
        )  # fmt: skip
    return x


def _check(function: str, values: Array, points: Array) -> None:
    """Raise TypeError unless both arrays are of the same dtype, one that kernels compute in."""
    if values.dtype.kind != "f" or values.dtype.itemsize not in (4, 8) or points.dtype != values.dtype:
        raise TypeError(
            f"{function}: arrays and points must both be float32 or both float64, got {values.dtype} and {points.dtype}"
        )
