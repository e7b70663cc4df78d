"""Convolution with kernels of one tap and stride 1: matrix products of channels, on arrays as they lie.

There are no neighbours to look up, so that each of the three functions is a plain matrix product (`matrix`)::

    y[n]  = x[n] @ w          gx[n] = gy[n] @ w.T          gw = sum over n of  x[n].T @ gy[n]

with x (N, P, C), w (C, O), y (N, P, O), P pixels. Operands may lie channels first or channels last: nothing is
converted. If what is read lies channels first, the result may lie either way: its vectors are then runs of pixels or
of channels, whichever leaves fewer lanes empty.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import matrix
from .arrays import empty_apart
from .emitter import lanes
from .geometry import Window

Array = NDArray[Any]


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


def _waste(count: int, itemsize: int) -> float:
    """What share of the lanes of a tile's vectors is computed in vain, for so many columns."""
    width = matrix.VECTORS * lanes(itemsize)
    return -(-count // width) * width / count


def product(x: Array, w: Array, bias: Array | None, spatial: tuple[int, ...], rectify: bool = False) -> Array:
    """Return ``x @ w + bias``: correlation; with the transposed kernel, the input gradient.

    Parameters
    ----------
    x : ndarray, shape (N, P, C) or (1, N * P, C)
        Of `pixels`.
    w : ndarray, shape (C, O), of the dtype of `x`
    bias : ndarray, shape (O,), or None
    spatial : tuple of int
        ``N, D, H, W``.
    rectify : bool
        Whether to put 0 in place of what is 0 or less.

    Returns
    -------
    ndarray, shape (N, D, H, W, O)
        Fresh; C-contiguous, or a view of such an array (N, O, D, H, W).
    """
    size, outputs = x.itemsize, w.shape[1]
    if size not in w.strides and 1 not in w.shape:
        w = np.ascontiguousarray(w)
    by_pixels = x.strides[2] != size and x.shape[1] > 1
    if by_pixels and _waste(x.shape[1], size) <= _waste(outputs, size):
        y = empty_apart((x.shape[0], outputs, *spatial[1:]), x.dtype, x)
        rows = y.reshape(x.shape[0], outputs, x.shape[1])
        matrix.multiply(w.T[None], x.transpose(0, 2, 1), rows, None, bias, rectify)
        return np.moveaxis(y, 1, 4)
    y = empty_apart((*spatial, outputs), x.dtype, x)
    matrix.multiply(x, w[None], y.reshape(*x.shape[:2], outputs), bias, None, rectify)
    return y


def weight_gradient(x: Array, gy: Array, outputs_first: bool) -> Array:
    """Return the sum over images of ``x[n].T @ gy[n]``.

    Parameters
    ----------
    x, gy : ndarray, shape (N, P, C) and (N, P, O)
        Of `pixels`. Either may be (1, N * P, ...).
    outputs_first : bool
        Whether the result is to lie in the order (O, C).

    Returns
    -------
    ndarray, shape (C, O)
    """
    many = max(x.shape[0], gy.shape[0])
    x, gy = (array.reshape(many, -1, array.shape[2]) for array in (x, gy))
    left, right = (gy, x) if outputs_first else (x, gy)
    gw = empty_apart((left.shape[2], right.shape[2]), x.dtype, left)
    matrix.multiply(left.transpose(0, 2, 1), right, gw[None])
    return gw.T if outputs_first else gw
