"""Convolution with kernels of one tap and stride 1: matrix products of channels, on arrays as they lie.

There are no neighbours to look up, so that each of the three functions is a plain matrix product (`matrix`)::

    y[n]  = x[n] @ w          gx[n] = gy[n] @ w.T          gw = sum over n of  x[n].T @ gy[n]

with x (N, P, C), w (C, O), y (N, P, O), P pixels. Operands may lie channels first or channels last: nothing is
converted. If x lies channels first, y may lie either way: vectors are then runs of pixels or of channels, whichever
leave fewer lanes empty.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import matrix
from .arrays import empty_apart
from .emitter import lanes
from .geometry import Window

Array = NDArray[Any]

# Images of fewer pixels leave too much of the last tile empty.
LEAST_PIXELS = 96

# Products of two numbers up to which arrays that lie channels last are computed here: with more of them `pixels`, which
# takes longer to begin, writes its results faster.
MOST_PRODUCTS_LAST = 10_000_000

# Of two ways to share out rows and columns, the first is taken if it computes at most so many times as much.
CLOSE = 1.03


def serves(window: Window, groups: int) -> bool:
    """Whether a convolution has one tap, stride 1 and no padding."""
    return (
        groups == 1 and window.kernel == (1, 1, 1) and window.stride == (1, 1, 1) and window.size == window.out
        and window.before == (0, 0, 0)
    )  # fmt: skip


def pixels(array: Array, dtype: np.dtype[Any]) -> Array | None:
    """The view (N, P, C), or (1, N * P, C), of an array (N, D, H, W, C) of `dtype`; None if there is none."""
    if array.dtype != dtype or not array.flags.aligned or not array.size:
        return None
    channels = array.shape[4]
    if array.flags.c_contiguous:
        return array.reshape(1, -1, channels)
    first = np.moveaxis(array, 4, 1)
    if not first.flags.c_contiguous:
        return None
    return first.reshape(array.shape[0], channels, -1).transpose(0, 2, 1)


def _excess(rows: int, columns: int, itemsize: int) -> float:
    """How much more than so many rows and columns tiles compute, as a factor."""
    height, length = matrix.least_rows(), lanes(itemsize)
    return -(-rows // height) * height / rows * (-(-columns // length) * length / columns)


def correlate(x: Array, w: Array, bias: Array | None, dtype: np.dtype[Any], rectify: bool = False) -> Array | None:
    """Return ``x @ w + bias``: correlation; with the transposed kernel, the input gradient.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides and real dtype.
    w : ndarray, shape (C, O), of `dtype`
    bias : ndarray, shape (O,), or None
    dtype : dtype
        In which to compute, float32 or float64.
    rectify : bool
        Whether to put 0 in place of what is 0 or less.

    Returns
    -------
    ndarray, shape (N, D, H, W, O)
        Fresh; C-contiguous, or a view of such an array (N, O, D, H, W). None if `products` does it faster: much that
        lies channels last, and small images, which are converted in no time.
    """
    lying = pixels(x, dtype)
    outputs = w.shape[1]
    if lying is None or lying.shape[1] < LEAST_PIXELS:
        return None
    last = lying.strides[2] == x.itemsize
    if last and x.size * outputs > MOST_PRODUCTS_LAST:
        return None
    images, count, _ = lying.shape
    if x.itemsize not in w.strides and 1 not in w.shape:
        w = np.ascontiguousarray(w)
    if not last and _excess(outputs, count, x.itemsize) <= CLOSE * _excess(count, outputs, x.itemsize):
        y = empty_apart((images, outputs, *x.shape[1:4]), dtype, x)
        planes = y.reshape(images, outputs, count)
        matrix.multiply(w.T[None], lying.transpose(0, 2, 1), planes, None, bias, rectify)
        return np.moveaxis(y, 1, 4)
    y = empty_apart((*x.shape[:4], outputs), dtype, x)
    matrix.multiply(lying, w[None], y.reshape(images, count, outputs), bias, None, rectify)
    return y


def correlate_weight_gradient(x: Array, gy: Array, dtype: np.dtype[Any], outputs_first: bool) -> Array | None:
    """Return the sum over images of ``x[n].T @ gy[n]``.

    Parameters
    ----------
    x, gy : ndarray, shape (N, D, H, W, C) and (N, D, H, W, O)
        Any strides and real dtypes.
    dtype : dtype
        In which to compute, float32 or float64.
    outputs_first : bool
        Whether the result is to lie in the order (O, C).

    Returns
    -------
    ndarray, shape (C, O)
        Or None if pixels do not lie one after the other.
    """
    read, sent = pixels(x, dtype), pixels(gy, dtype)
    if read is None or sent is None:
        return None
    images = max(read.shape[0], sent.shape[0])
    left, right = (
        array.reshape(images, -1, array.shape[2]) for array in ((sent, read) if outputs_first else (read, sent))
    )
    rows, columns = left.shape[2], right.shape[2]
    swapped = CLOSE * _excess(columns, rows, x.itemsize) < _excess(rows, columns, x.itemsize)
    if swapped:
        left, right, rows, columns = right, left, columns, rows
    gw = empty_apart((1, rows, columns), dtype, x)
    matrix.multiply(left.transpose(0, 2, 1), right, gw)
    result = np.ascontiguousarray(gw[0].T) if swapped else gw[0]
    return result.T if outputs_first else result
