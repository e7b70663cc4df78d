"""The definitions as plain Python loops, for what ``autograd_conv.kernels.naive`` has no loops for.

Convolution with any number of spatial axes (there it has two), and adaptive pooling. As plain as there: one loop for
each letter of the formula. Arrays are NCHW, with as many spatial axes as there are.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Axes = tuple[int, ...]


def _grid(extents: Axes) -> Iterator[Axes]:
    """Yield all indices of an array of this shape, row by row."""
    yield from itertools.product(*map(range, extents))


# ---------------------------------------------------------------- convolution


def _meetings(size: Axes, kernel: Axes, out: Axes, stride: Axes, padding: Axes) -> Iterator[tuple[Axes, Axes, Axes]]:
    """Yield output, tap, and the input element that they meet in, unless it is padding."""
    for i in _grid(out):
        for u in _grid(kernel):
            h = tuple(a * s + b - p for a, b, s, p in zip(i, u, stride, padding))
            if all(0 <= a < n for a, n in zip(h, size)):
                yield i, u, h


def _channels(w: Array, groups: int) -> Iterator[tuple[int, int, int]]:
    """Yield output channel, channel of the kernel, and the channel of the input that it is for."""
    outputs, per_group = w.shape[:2]
    for o in range(outputs):
        for c in range(per_group):
            yield o, c, o // (outputs // groups) * per_group + c


def correlate(x: Array, w: Array, out: Axes, stride: Axes, padding: Axes, groups: int) -> Array:
    """Return ``y[n,o,i] = sum over c,u of w[o,c,u] * xpad[n, c, i*S + u]``, shape (N, O, *out)."""
    y = np.zeros((x.shape[0], w.shape[0], *out), x.dtype)
    for i, u, h in _meetings(x.shape[2:], w.shape[2:], out, stride, padding):
        for o, c, k in _channels(w, groups):
            for n in range(x.shape[0]):
                y[n, o, *i] += w[o, c, *u] * x[n, k, *h]
    return y


def input_gradient(gy: Array, w: Array, size: Axes, stride: Axes, padding: Axes, groups: int) -> Array:
    """Return the gradient of :func:`correlate` with respect to x, shape (N, C, *size)."""
    gx = np.zeros((gy.shape[0], w.shape[1] * groups, *size), gy.dtype)
    for i, u, h in _meetings(size, w.shape[2:], gy.shape[2:], stride, padding):
        for o, c, k in _channels(w, groups):
            for n in range(gy.shape[0]):
                gx[n, k, *h] += w[o, c, *u] * gy[n, o, *i]
    return gx


def weight_gradient(x: Array, gy: Array, w_shape: Axes, stride: Axes, padding: Axes, groups: int) -> Array:
    """Return the gradient of :func:`correlate` with respect to w, shape `w_shape`."""
    gw = np.zeros(w_shape, x.dtype)
    for i, u, h in _meetings(x.shape[2:], w_shape[2:], gy.shape[2:], stride, padding):
        for o, c, k in _channels(gw, groups):
            for n in range(x.shape[0]):
                gw[o, c, *u] += x[n, k, *h] * gy[n, o, *i]
    return gw


# ---------------------------------------------------------------- adaptive pooling


def _region(i: Axes, size: Axes, out: Axes) -> list[Axes]:
    """Return the elements that output `i` covers: from ``floor(i * n / o)`` to ``ceil((i + 1) * n / o)``."""
    runs = [range(a * n // o, math.ceil((a + 1) * n / o)) for a, n, o in zip(i, size, out)]
    return list(itertools.product(*runs))


def adaptive_max_pool(x: Array, out: Axes) -> tuple[Array, dict[Axes, Axes]]:
    """Return the largest element of each region, and where it is: for each output the index of an input."""
    y = np.empty((*x.shape[:2], *out), x.dtype)
    winner = {}
    for n, c, *i in _grid(y.shape):
        places = [(n, c, *h) for h in _region(tuple(i), x.shape[2:], out)]
        best = places[0]
        for place in places:
            if x[place] > x[best]:
                best = place
        y[n, c, *i] = x[best]
        winner[n, c, *i] = best
    return y, winner


def adaptive_max_pool_gradient(gy: Array, winner: dict[Axes, Axes], size: Axes) -> Array:
    """Return the gradient of :func:`adaptive_max_pool`, shape (N, C, *size)."""
    gx = np.zeros((*gy.shape[:2], *size), gy.dtype)
    for output, place in winner.items():
        gx[place] += gy[output]
    return gx


def adaptive_avg_pool(x: Array, out: Axes) -> Array:
    """Return the average of each region, shape (N, C, *out)."""
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    for n, c, *i in _grid(y.shape):
        places = _region(tuple(i), x.shape[2:], out)
        for h in places:
            y[n, c, *i] += x[n, c, *h]
        y[n, c, *i] /= len(places)
    return y


def adaptive_avg_pool_gradient(gy: Array, size: Axes) -> Array:
    """Return the gradient of :func:`adaptive_avg_pool`, shape (N, C, *size)."""
    gx = np.zeros((*gy.shape[:2], *size), gy.dtype)
    for n, c, *i in _grid(gy.shape):
        places = _region(tuple(i), size, gy.shape[2:])
        for h in places:
            gx[n, c, *h] += gy[n, c, *i] / len(places)
    return gx
