"""Convolution and pooling in NumPy alone: the loops of the definition as matrix products and array operations.

For any number of spatial axes; shapes are written down for two of them.

This is the peer, so it is written as well as NumPy allows, and it takes nothing from the library that it is
compared with:

- windows are gathered so that the product comes out in NCHW, without a transposition after it;
- a gradient finds what a training loop would have kept from the forward computation: the columns, for the weight
  gradient (at KH * KW times the memory of the input), and the position of the maximum, for pooling;
- pooling and folding run over the few taps of a kernel, each as one operation on whole arrays; adaptive pooling
  runs over its regions, each as one reduction.

`stride` and `padding` have one entry for each spatial axis; arrays are NCHW, kernels ``(O, C // G, KH, KW)``.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Axes = tuple[int, ...]


def _interior(size: Axes, padding: Axes) -> tuple[Any, ...]:
    """Return the indices of an array with spatial shape `size` inside the padded one."""
    return (..., *(slice(p, p + n) for n, p in zip(size, padding)))


def _padded_size(size: Axes, padding: Axes) -> Axes:
    return tuple(n + 2 * p for n, p in zip(size, padding))


def _pad(x: Array, padding: Axes, value: float = 0.0) -> Array:
    """(N, C, H, W) -> (N, C, H + 2 * P_h, W + 2 * P_w); the array itself if there is nothing to pad."""
    if not any(padding):
        return x
    padded = np.full((*x.shape[:2], *_padded_size(x.shape[2:], padding)), value, x.dtype)
    padded[_interior(x.shape[2:], padding)] = x
    return padded


def _taps(padded: Array, kernel: Axes, stride: Axes, out: Axes) -> Iterator[Array]:
    """Yield, for each tap of the kernel, row by row, the view (N, C, OH, OW) of what all windows read with it."""
    for tap in itertools.product(*map(range, kernel)):
        reads: Any = (..., *(slice(u, u + (o - 1) * s + 1, s) for u, o, s in zip(tap, out, stride)))
        yield padded[reads]


# ---------------------------------------------------------------- convolution


def im2col(x: Array, kernel: Axes, stride: Axes, padding: Axes, groups: int) -> Array:
    """Return the windows of `x` as columns, shape (N, G, C // G * KH*KW, OH*OW)."""
    axes = len(kernel)
    windows = sliding_window_view(_pad(x, padding), kernel, axis=tuple(range(2, 2 + axes)))
    windows = windows[(slice(None), slice(None), *(slice(None, None, step) for step in stride))]
    batch, channels, *out = windows.shape[: 2 + axes]
    # (N, C, OH, OW, KH, KW) -> (N, C, KH, KW, OH, OW) -> (N, G, C//G * KH*KW, OH*OW)
    order = (0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    return windows.transpose(order).reshape(batch, groups, channels // groups * math.prod(kernel), math.prod(out))


def forward(x: Array, w: Array, stride: Axes, padding: Axes, groups: int) -> Array:
    """Return the convolution of `x` with `w`: ``y = w @ im2col(x)``, shape (N, O, OH, OW)."""
    kernel = w.shape[2:]
    out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[2:], padding, kernel, stride)]
    # (G, O//G, C//G * KH*KW) @ (N, G, C//G * KH*KW, OH*OW) -> (N, G, O//G, OH*OW)
    y = np.matmul(w.reshape(groups, w.shape[0] // groups, -1), im2col(x, kernel, stride, padding, groups))
    return y.reshape(x.shape[0], w.shape[0], *out)


def input_gradient(gy: Array, w: Array, size: Axes, stride: Axes, padding: Axes, groups: int) -> Array:
    """Return ``gx = col2im(w.T @ gy)``, shape (N, C, H, W)."""
    batch, outputs, *out = gy.shape
    channels, kernel = groups * w.shape[1], w.shape[2:]
    matrix = w.reshape(groups, outputs // groups, -1).transpose(0, 2, 1)
    # (G, C//G * KH*KW, O//G) @ (N, G, O//G, OH*OW) -> (N, G, C//G * KH*KW, OH*OW) -> (N, C, KH*KW, OH, OW)
    columns = np.matmul(matrix, gy.reshape(batch, groups, outputs // groups, -1))
    columns = columns.reshape(batch, channels, -1, *out)
    padded = np.zeros((batch, channels, *_padded_size(size, padding)), gy.dtype)
    for tap, target in enumerate(_taps(padded, kernel, stride, tuple(out))):
        target += columns[:, :, tap]
    return padded[_interior(size, padding)]


def weight_gradient(columns: Array, gy: Array, w_shape: Axes) -> Array:
    """Return ``gw = gy @ im2col(x).T``, summed over the batch, shape (O, C // G, KH, KW).

    Parameters
    ----------
    columns : ndarray, shape (N, G, C // G * KH*KW, OH*OW)
        :func:`im2col` of the input, as the forward computation had it.
    gy : ndarray, shape (N, O, OH, OW)
    w_shape : tuple of int
    """
    batch, groups = columns.shape[:2]
    # (N, G, O//G, OH*OW) @ (N, G, OH*OW, C//G * KH*KW) -> (N, G, O//G, C//G * KH*KW)
    products = np.matmul(gy.reshape(batch, groups, w_shape[0] // groups, -1), columns.swapaxes(2, 3))
    return products.sum(axis=0).reshape(w_shape)


# ---------------------------------------------------------------- pooling


def max_pool(x: Array, kernel: Axes, stride: Axes, padding: Axes, out: Axes) -> Array:
    """Return the largest element of each window, shape (N, C, OH, OW)."""
    first, *others = _taps(_pad(x, padding, -np.inf), kernel, stride, out)
    y = first.copy()
    for tap in others:
        np.maximum(y, tap, out=y)
    return y


def max_pool_winner(x: Array, kernel: Axes, stride: Axes, padding: Axes, out: Axes) -> Array:
    """Return the number of the first tap that holds the maximum, shape (N, C, OH, OW)."""
    taps = _taps(_pad(x, padding, -np.inf), kernel, stride, out)
    return np.argmax(np.stack(list(taps)), axis=0).astype(np.uint8)


def max_pool_gradient(gy: Array, winner: Array, size: Axes, kernel: Axes, stride: Axes, padding: Axes) -> Array:
    """Return the gradient of :func:`max_pool`, shape (N, C, H, W); `winner` is :func:`max_pool_winner`."""
    padded = np.zeros((*gy.shape[:2], *_padded_size(size, padding)), gy.dtype)
    for tap, target in enumerate(_taps(padded, kernel, stride, gy.shape[2:])):
        target += gy * (winner == tap)
    return padded[_interior(size, padding)]


def avg_pool(x: Array, kernel: Axes, stride: Axes, padding: Axes, out: Axes) -> Array:
    """Return the average of each window, padding included, shape (N, C, OH, OW)."""
    first, *others = _taps(_pad(x, padding), kernel, stride, out)
    y = first.copy()
    for tap in others:
        y += tap
    y *= y.dtype.type(1 / math.prod(kernel))
    return y


def avg_pool_gradient(gy: Array, size: Axes, kernel: Axes, stride: Axes, padding: Axes) -> Array:
    """Return the gradient of :func:`avg_pool`, shape (N, C, H, W)."""
    padded = np.zeros((*gy.shape[:2], *_padded_size(size, padding)), gy.dtype)
    share = gy * gy.dtype.type(1 / math.prod(kernel))
    for target in _taps(padded, kernel, stride, gy.shape[2:]):
        target += share
    return padded[_interior(size, padding)]


# ---------------------------------------------------------------- adaptive pooling


def _regions(size: Axes, out: Axes) -> Iterator[tuple[Any, Any]]:
    """Yield, for each output of adaptive pooling, the index of it and that of what it covers, in all planes."""
    for index in itertools.product(*map(range, out)):
        covered = (slice(i * n // o, -(-(i + 1) * n // o)) for i, n, o in zip(index, size, out))
        yield (..., *index), (..., *covered)


def adaptive_max_pool(x: Array, out: Axes) -> Array:
    """Return the largest element of each region, shape (N, C, OH, OW)."""
    y = np.empty((*x.shape[:2], *out), x.dtype)
    axes = tuple(range(2, x.ndim))
    for index, region in _regions(x.shape[2:], out):
        x[region].max(axis=axes, out=y[index])
    return y


def adaptive_max_pool_winner(x: Array, out: Axes) -> Array:
    """Return where the largest element of each region is, as flat indices into the plane, shape (N, C, OH, OW)."""
    winner = np.empty((*x.shape[:2], *out), np.int64)
    places = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
    for index, region in _regions(x.shape[2:], out):
        first = x[region].reshape(*x.shape[:2], -1).argmax(axis=2)
        winner[index] = places[region].ravel()[first]
    return winner


def adaptive_max_pool_gradient(gy: Array, winner: Array, size: Axes) -> Array:
    """Return the gradient of :func:`adaptive_max_pool`, shape (N, C, H, W)."""
    batch, channels = gy.shape[:2]
    gx = np.zeros((batch * channels, math.prod(size)), gy.dtype)
    planes = np.arange(batch * channels)
    for values, places in zip(gy.reshape(len(gx), -1).T, winner.reshape(len(gx), -1).T):
        gx[planes, places] += values
    return gx.reshape(batch, channels, *size)


def adaptive_avg_pool(x: Array, out: Axes) -> Array:
    """Return the average of each region, shape (N, C, OH, OW)."""
    y = np.empty((*x.shape[:2], *out), x.dtype)
    axes = tuple(range(2, x.ndim))
    for index, region in _regions(x.shape[2:], out):
        x[region].mean(axis=axes, out=y[index])
    return y


def adaptive_avg_pool_gradient(gy: Array, size: Axes) -> Array:
    """Return the gradient of :func:`adaptive_avg_pool`, shape (N, C, H, W)."""
    gx = np.zeros((*gy.shape[:2], *size), gy.dtype)
    for index, region in _regions(size, gy.shape[2:]):
        part = gx[region]
        share = gy[index] * gy.dtype.type(1 / math.prod(part.shape[2:]))
        part += share.reshape(*share.shape, *(1,) * len(size))
    return gx
