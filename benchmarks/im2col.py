"""Convolution and pooling in NumPy alone: the loops of the definition as matrix products and array operations.

This is the peer, so it is written as well as NumPy allows, and it takes nothing from the library that it is
compared with:

- windows are gathered so that the product comes out in NCHW, without a transposition after it;
- a gradient finds what a training loop would have kept from the forward computation: the columns, for the weight
  gradient (at KH * KW times the memory of the input), and the position of the maximum, for pooling;
- pooling and folding run over the few taps of a kernel, each as one operation on whole arrays.

`stride` and `padding` are pairs (height, width); arrays are NCHW, kernels ``(O, C // G, KH, KW)``.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, ...]


def _pad(x: Array, padding: Pair, value: float = 0.0) -> Array:
    """(N, C, H, W) -> (N, C, H + 2 * P_h, W + 2 * P_w); the array itself if there is nothing to pad."""
    if not any(padding):
        return x
    (rows, columns), (height, width) = padding, x.shape[2:]
    padded = np.full((*x.shape[:2], height + 2 * rows, width + 2 * columns), value, x.dtype)
    padded[:, :, rows : rows + height, columns : columns + width] = x
    return padded


def _taps(padded: Array, kernel: Pair, stride: Pair, out: Pair) -> list[Array]:
    """Return, for each tap of the kernel, row by row, the view (N, C, OH, OW) of what all windows read with it."""
    return [
        padded[:, :, u : u + (out[0] - 1) * stride[0] + 1 : stride[0], v : v + (out[1] - 1) * stride[1] + 1 : stride[1]]
        for u in range(kernel[0])
        for v in range(kernel[1])
    ]


def _crop(padded: Array, padding: Pair) -> Array:
    (rows, columns), (height, width) = padding, padded.shape[2:]
    return padded[:, :, rows : height - rows, columns : width - columns]


# ---------------------------------------------------------------- convolution


def im2col(x: Array, kernel: Pair, stride: Pair, padding: Pair, groups: int) -> Array:
    """Return the windows of `x` as columns, shape (N, G, C // G * KH*KW, OH*OW)."""
    windows = sliding_window_view(_pad(x, padding), kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    batch, channels, height, width = windows.shape[:4]
    # (N, C, OH, OW, KH, KW) -> (N, C, KH, KW, OH, OW) -> (N, G, C//G * KH*KW, OH*OW)
    rows = channels // groups * kernel[0] * kernel[1]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(batch, groups, rows, height * width)


def forward(x: Array, w: Array, stride: Pair, padding: Pair, groups: int) -> Array:
    """Return the convolution of `x` with `w`: ``y = w @ im2col(x)``, shape (N, O, OH, OW)."""
    kernel = w.shape[2:]
    out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[2:], padding, kernel, stride)]
    # (G, O//G, C//G * KH*KW) @ (N, G, C//G * KH*KW, OH*OW) -> (N, G, O//G, OH*OW)
    y = np.matmul(w.reshape(groups, w.shape[0] // groups, -1), im2col(x, kernel, stride, padding, groups))
    return y.reshape(x.shape[0], w.shape[0], *out)


def input_gradient(gy: Array, w: Array, size: Pair, stride: Pair, padding: Pair, groups: int) -> Array:
    """Return ``gx = col2im(w.T @ gy)``, shape (N, C, H, W)."""
    batch, outputs, *out = gy.shape
    per_group, *kernel = w.shape[1:]
    matrix = w.reshape(groups, outputs // groups, -1).transpose(0, 2, 1)
    # (G, C//G * KH*KW, O//G) @ (N, G, O//G, OH*OW) -> (N, G, C//G * KH*KW, OH*OW) -> (N, C, KH*KW, OH, OW)
    columns = np.matmul(matrix, gy.reshape(batch, groups, outputs // groups, -1))
    columns = columns.reshape(batch, groups * per_group, -1, *out)
    padded = np.zeros((batch, groups * per_group, size[0] + 2 * padding[0], size[1] + 2 * padding[1]), gy.dtype)
    for tap, target in enumerate(_taps(padded, tuple(kernel), stride, tuple(out))):
        target += columns[:, :, tap]
    return _crop(padded, padding)


def weight_gradient(columns: Array, gy: Array, w_shape: Pair) -> Array:
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


def max_pool(x: Array, kernel: Pair, stride: Pair, padding: Pair, out: Pair) -> Array:
    """Return the largest element of each window, shape (N, C, OH, OW)."""
    first, *others = _taps(_pad(x, padding, -np.inf), kernel, stride, out)
    y = first.copy()
    for tap in others:
        np.maximum(y, tap, out=y)
    return y


def max_pool_winner(x: Array, kernel: Pair, stride: Pair, padding: Pair, out: Pair) -> Array:
    """Return the number of the first tap that holds the maximum, shape (N, C, OH, OW)."""
    taps = _taps(_pad(x, padding, -np.inf), kernel, stride, out)
    return np.argmax(np.stack(taps), axis=0).astype(np.uint8)


def max_pool_gradient(gy: Array, winner: Array, size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """Return the gradient of :func:`max_pool`, shape (N, C, H, W); `winner` is :func:`max_pool_winner`."""
    batch, channels, *out = gy.shape
    padded = np.zeros((batch, channels, size[0] + 2 * padding[0], size[1] + 2 * padding[1]), gy.dtype)
    for tap, target in enumerate(_taps(padded, kernel, stride, tuple(out))):
        target += gy * (winner == tap)
    return _crop(padded, padding)


def avg_pool(x: Array, kernel: Pair, stride: Pair, padding: Pair, out: Pair) -> Array:
    """Return the average of each window, padding included, shape (N, C, OH, OW)."""
    first, *others = _taps(_pad(x, padding), kernel, stride, out)
    y = first.copy()
    for tap in others:
        y += tap
    y *= y.dtype.type(1 / (kernel[0] * kernel[1]))
    return y


def avg_pool_gradient(gy: Array, size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """Return the gradient of :func:`avg_pool`, shape (N, C, H, W)."""
    batch, channels, *out = gy.shape
    padded = np.zeros((batch, channels, size[0] + 2 * padding[0], size[1] + 2 * padding[1]), gy.dtype)
    share = gy * gy.dtype.type(1 / (kernel[0] * kernel[1]))
    for target in _taps(padded, kernel, stride, tuple(out)):
        target += share
    return _crop(padded, padding)
