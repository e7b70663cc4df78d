"""Correlation and its gradients as three correlations with stride 1: padpad (source 001), mended.

    gx = padpad(gy) * rot180 trans(w)                 with the dilation of the forward
    gw = padpad(rot180(gy)) * rot180 trans(x)         with the dilation of the forward as its stride

`padpad` puts ``stride - 1`` zeros between neighbours and, around them, ``extent - 1 - P_before`` zeros before and
``extent - 1 - P_after + remainder`` after; negative numbers crop. In the second line the input takes the part of
the kernel, and the batch that of the channels. Source 001 prints ``padpad(gy)`` there (it starts from ``rot180(y) =
rot180(w) * rot180(x)``, where ``rot180(y) = w * x`` holds), leaves the remainder out (with 8 rows, 3 taps, stride 2 it
returns 7 rows for 8), allows no padding beyond ``K - 1``, and knows no dilation.

The zeros are there, and are multiplied: an infinity or a NaN in the kernel or the input that meets one turns into
NaN, where :mod:`.correlation`, which does the same without the zeros, has the sum of what is there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import correlation
from .formulations import input_gradient_operands, outer_padding, spread, weight_gradient_operands
from .geometry import AXES, Window
from .keeping import Kept

Array = NDArray[Any]

_ONE, _NONE = (1,) * AXES, (0,) * AXES


def padpad(gy: Array, stride: tuple[int, ...], outer: tuple[tuple[int, int], ...]) -> Array:
    """Pad inside and outside: ``stride - 1`` zeros between neighbours, `outer` zeros around them (source 001).

    Parameters
    ----------
    gy : ndarray, shape (N, OD, OH, OW, O)
    stride : tuple of 3 int
    outer : tuple of 3 pairs (before, after)
        Negative numbers crop.

    Returns
    -------
    ndarray, shape (N, ..., O)
        ``(OH - 1) * stride + 1 + before + after`` elements along each spatial axis.

    Examples
    --------
    >>> padpad(np.array([[1, 2], [3, 4]]).reshape(1, 1, 2, 2, 1), (1, 2, 1), ((0, 0), (0, 0), (1, -1)))[0, 0, :, :, 0]
    array([[0, 1],
           [0, 0],
           [0, 3]])
    """
    length = tuple(
        [(out - 1) * step + 1 + before + after for out, step, (before, after) in zip(gy.shape[1:4], stride, outer)]
    )
    return spread(gy, stride, tuple([before for before, _ in outer]), length)


def rot180_transposed(w: Array, groups: int = 1) -> Array:
    """Return `w` with its spatial axes reversed and its channels exchanged, group by group: ``rot180 trans(W)``.

    Parameters
    ----------
    w : ndarray, shape (KD, KH, KW, C // G, O)
    groups : int

    Returns
    -------
    ndarray, shape (KD, KH, KW, O // G, C)

    Examples
    --------
    >>> rot180_transposed(np.array([[1, 2], [3, 4]]).reshape(1, 2, 2, 1, 1))[0, :, :, 0, 0]
    array([[4, 3],
           [2, 1]])
    """
    per_group, outputs = w.shape[3:]
    turned = w[::-1, ::-1, ::-1].reshape(*w.shape[:3], per_group, groups, outputs // groups)
    # (..., C//G, G, O//G) -> (..., O//G, G, C//G)
    return turned.swapaxes(3, 5).reshape(*w.shape[:3], outputs // groups, groups * per_group)


def rot180(a: Array) -> Array:
    """Return a view of `a` (N, D, H, W, C) with its spatial axes reversed."""
    return a[:, ::-1, ::-1, ::-1]


def _valid(size: tuple[int, ...], kernel: tuple[int, ...], stride: Any, dilation: Any, out: Any) -> Window:
    """The window of a correlation without padding."""
    return Window(size, kernel, stride, dilation, _NONE, _NONE, out)  # type: ignore[arg-type]


def correlate(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int = 1, kept: Kept | None = None
) -> Array:
    """Return :func:`.correlation.correlate` of the same arguments: source 001 changes the gradients only."""
    return correlation.correlate(x, w, bias, window, groups, kept)


def correlate_input_gradient(gy: Array, w: Array, window: Window, groups: int = 1, kept: Kept | None = None) -> Array:
    """Return ``gx = padpad(gy) * rot180 trans(w)``: a correlation with stride 1.

    Parameters, results and errors are those of :func:`.correlation.correlate_input_gradient`.

    Notes
    -----
    Cost ``2 * N * D*H*W * C * (O // G) * KD*KH*KW`` flop: that of the gather form times the product of the strides,
    for the inserted zeros.
    """
    dtype, (gy, w) = input_gradient_operands(gy, w, window, groups)
    padded = padpad(gy, window.stride, outer_padding(window))
    inner = _valid(padded.shape[1:4], window.kernel, _ONE, window.dilation, window.size)
    return correlation.correlate(padded, rot180_transposed(w, groups), None, inner, groups).astype(dtype, copy=False)


def correlate_weight_gradient(
    x: Array, gy: Array, window: Window, groups: int = 1, outputs_first: bool = False
) -> Array:
    """Return ``gw = padpad(rot180(gy)) * rot180 trans(x)``: a correlation whose kernel is the input.

    Parameters, results and errors are those of :func:`.correlation.correlate_weight_gradient`.

    Notes
    -----
    As `gy` is rotated, what the stride leaves over comes first: the outer padding is that of the input gradient with
    its two sides exchanged. Taps that are dilated are outputs of a correlation with the dilation as stride.

    Cost ``2 * N * D*H*W * O * (C // G) * KD*KH*KW`` flop: that of the direct form times the product of the strides.
    """
    dtype, (x, gy) = weight_gradient_operands(x, gy, window, groups)
    batch, channels, outputs = x.shape[0], x.shape[4], gy.shape[4]
    per_group = channels // groups
    if x.size == 0:
        return np.zeros((*window.kernel, per_group, outputs), dtype)
    # (N, OD, OH, OW, G, O//G) -> (O//G, OD, OH, OW, G, N): what were channels are images, what were images channels
    images = rot180(gy).reshape(batch, *window.out, groups, outputs // groups).swapaxes(0, 5)
    images = images.reshape(outputs // groups, *window.out, groups * batch)
    padded = padpad(images, window.stride, tuple([(after, before) for before, after in outer_padding(window)]))
    turned = np.moveaxis(rot180(x), 0, 3)  # (N, D, H, W, C) -> (D, H, W, N, C)
    inner = _valid(padded.shape[1:4], window.size, window.dilation, _ONE, window.kernel)
    products = correlation.correlate(padded, turned, None, inner, groups)
    # (O//G, KD, KH, KW, G, C//G) -> (KD, KH, KW, C//G, G, O//G)
    products = products.reshape(outputs // groups, *window.kernel, groups, per_group)
    gw = np.moveaxis(products, (0, 5), (5, 3)).reshape(*window.kernel, per_group, outputs)
    return gw.astype(dtype, copy=False)
