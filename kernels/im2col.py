"""Correlation as one matrix product per group: im2col (sources 000, 002 and 003).

The rows of ``im2col(x)`` are the windows, its columns the taps and channels that a kernel has, so that

    Y = im2col(X) @ W        gW = im2col(X).T @ gY        gX = col2im(gY @ W.T)

where ``col2im`` adds what folds onto the same place. Each product is left to BLAS. The price is memory: the
matrix holds every element of the input once for each window that reads it.

Padding is zeros in the matrix, which are multiplied: an infinity or a NaN in the kernel (for the kernel's gradient:
in ``gy``) that meets padding turns into NaN, where :mod:`.correlation` has exactly 0.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from .formulations import correlate_operands, input_gradient_operands, weight_gradient_operands
from .geometry import Window
from .keeping import Kept

Array = NDArray[Any]


def _padded_extents(window: Window) -> list[int]:
    """The extents of the padded input; where windows hang over its end, of the input that they would need."""
    return [
        max(size + before + after, (out - 1) * stride + (kernel - 1) * dilation + 1)
        for size, kernel, stride, dilation, before, after, out in zip(*window)
    ]


def _interior(window: Window) -> tuple[slice, ...]:
    """Where the input lies in the padded input."""
    return tuple([slice(before, before + size) for before, size in zip(window.before, window.size)])


def im2col(x: Array, window: Window, groups: int = 1) -> Array:
    """Return for each group the matrix whose rows are the windows of `x`.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
    window : Window
    groups : int

    Returns
    -------
    ndarray, shape (G, N * OD*OH*OW, KD*KH*KW * C // G)
        Rows and taps are counted row by row, channels last: the order of a kernel (KD, KH, KW, C // G, O).

    Examples
    --------
    >>> x = np.arange(9).reshape(1, 1, 3, 3, 1)
    >>> im2col(x, Window.of("im2col", (3, 3), 2))[0]
    array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]])
    """
    batch, channels = x.shape[0], x.shape[4]
    padded = np.zeros((batch, *_padded_extents(window), channels), x.dtype)
    padded[(slice(None), *_interior(window))] = x
    steps = padded.strides
    # A view that repeats elements: (N, OD, OH, OW, KD, KH, KW, C)
    windows = as_strided(
        padded,
        (batch, *window.out, *window.kernel, channels),
        (
            steps[0],
            *[step * stride for step, stride in zip(steps[1:4], window.stride)],
            *[step * dilation for step, dilation in zip(steps[1:4], window.dilation)],
            steps[4],
        ),
        writeable=False,
    )
    # (N, OD, OH, OW, KD, KH, KW, G, C//G) -> (G, N, OD, OH, OW, KD, KH, KW, C//G)
    windows = np.moveaxis(windows.reshape(*windows.shape[:7], groups, channels // groups), 7, 0)
    rows = batch * window.out[0] * window.out[1] * window.out[2]
    return windows.reshape(groups, rows, window.taps * (channels // groups))


def col2im(columns: Array, batch: int, window: Window) -> Array:
    """Return the transpose of :func:`im2col`: what folds onto the same place adds up.

    Parameters
    ----------
    columns : ndarray, shape (G, N * OD*OH*OW, KD*KH*KW * C // G)
    batch : int
        ``N``.
    window : Window

    Returns
    -------
    ndarray, shape (N, D, H, W, C)

    Examples
    --------
    >>> window = Window.of("col2im", (3, 3), 2)
    >>> col2im(im2col(np.ones((1, 1, 3, 3, 1), int), window), 1, window)[0, 0, :, :, 0]
    array([[1, 2, 1],
           [2, 4, 2],
           [1, 2, 1]])
    """
    groups = columns.shape[0]
    per_group = columns.shape[2] // window.taps
    # (G, N*OD*OH*OW, KD*KH*KW*C//G) -> (N, OD, OH, OW, KD, KH, KW, G, C//G)
    windows = columns.reshape(groups, batch, *window.out, *window.kernel, per_group)
    windows = np.moveaxis(windows, 0, 7)
    folded = np.zeros((batch, *_padded_extents(window), groups, per_group), columns.dtype)
    for tap in np.ndindex(*window.kernel):
        reads = [
            slice(u * dilation, u * dilation + (out - 1) * stride + 1, stride)
            for u, dilation, stride, out in zip(tap, window.dilation, window.stride, window.out)
        ]
        folded[(slice(None), *reads)] += windows[(slice(None), slice(None), slice(None), slice(None), *tap)]
    inside = folded[(slice(None), *_interior(window))]
    return inside.reshape(batch, *window.size, groups * per_group)


def _by_group(matrix: Array, groups: int) -> Array:
    """(R, G * O//G) -> (G, R, O//G)"""
    return matrix.reshape(matrix.shape[0], groups, matrix.shape[1] // groups).swapaxes(0, 1)


def _joined(matrices: Array) -> Array:
    """(G, R, O//G) -> (R, G * O//G)"""
    return matrices.swapaxes(0, 1).reshape(matrices.shape[1], matrices.shape[0] * matrices.shape[2])


def _matrix(array: Array) -> Array:
    """(..., O) -> (R, O): the rows are pixels of outputs, or taps and channels of a kernel."""
    rows = 1
    for extent in array.shape[:-1]:
        rows *= extent
    return array.reshape(rows, array.shape[-1])


def correlate(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int = 1, kept: Kept | None = None
) -> Array:
    """Return ``Y = im2col(X) @ W`` and add `bias`: :func:`.correlation.correlate` by a matrix product.

    Parameters, results and errors are those of :func:`.correlation.correlate`.

    Notes
    -----
    Cost ``2 * N * OD*OH*OW * O * (C // G) * KD*KH*KW`` flop, and ``N * OD*OH*OW * C * KD*KH*KW`` elements of
    memory for the matrix.
    """
    dtype, (x, w, start) = correlate_operands(x, w, bias, window, groups)
    products = im2col(x, window, groups) @ _by_group(_matrix(w), groups)
    y = _joined(products).reshape(x.shape[0], *window.out, w.shape[4])
    if bias is not None:
        y = y + start
    return y.astype(dtype, copy=False)


def correlate_input_gradient(gy: Array, w: Array, window: Window, groups: int = 1, kept: Kept | None = None) -> Array:
    """Return ``gX = col2im(gY @ W.T)``: :func:`.correlation.correlate_input_gradient` by a matrix product.

    Parameters, results and errors are those of :func:`.correlation.correlate_input_gradient`. Nothing is inserted,
    so no zeros are multiplied.

    Notes
    -----
    Cost as :func:`correlate`.
    """
    dtype, (gy, w) = input_gradient_operands(gy, w, window, groups)
    columns = _by_group(_matrix(gy), groups) @ _by_group(_matrix(w), groups).swapaxes(1, 2)
    return col2im(columns, gy.shape[0], window).astype(dtype, copy=False)


def correlate_weight_gradient(
    x: Array, gy: Array, window: Window, groups: int = 1, outputs_first: bool = False
) -> Array:
    """Return ``gW = im2col(X).T @ gY``: :func:`.correlation.correlate_weight_gradient` by a matrix product.

    Parameters, results and errors are those of :func:`.correlation.correlate_weight_gradient`.

    Notes
    -----
    Cost as :func:`correlate`. (Sources 000 and 003 print ``gY . im2col(X)`` and ``gY . im2col(X).T``; with windows
    as rows it is the matrix of windows that is transposed, and it comes first.)
    """
    dtype, (x, gy) = weight_gradient_operands(x, gy, window, groups)
    products = im2col(x, window, groups).swapaxes(1, 2) @ _by_group(_matrix(gy), groups)
    gw = _joined(products).reshape(*window.kernel, x.shape[4] // groups, gy.shape[4])
    return gw.astype(dtype, copy=False)
