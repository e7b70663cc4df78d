"""Correlation and input gradient as sums of matrix products, computed in register tiles.

For a fixed tap, correlation is a matrix product: of the pixels that the tap reads (rows; columns are input
channels) and of the tap's matrix (input channels by output channels). Summing over taps only makes the rows
longer: ``y[pixel, :] = sum over (tap, c) of x[place(pixel, tap), c] * w[tap, c, :]``. So there is one product
with ``taps * C`` terms whose left operand is not stored anywhere, but looked up. The input gradient is the same with
other pixels: for each residue of the position modulo the stride, another few taps (`gather`).

A register tile keeps a block of the product in registers: one operand is loaded as vectors, whose lanes are columns,
the other number by number, broadcast to all lanes. What the columns are depends on the shape alone:

====================  ==================  =====================================================================
room                  columns             when
====================  ==================  =====================================================================
`pixels`              output channels     unless one of the next two serves
`shallow`             output channels     the source has few channels, or the result half a vector of them
`narrow`              pixels of a row     the result's channels would fill a quarter of a vector or less
====================  ==================  =====================================================================

All start with the bias, and can end with a rectifier, while sums are in registers.
Groups of a few channels, and depthwise convolution, have rooms of their own: `grouped` and `planes`.
"""

import functools
from typing import Any

from numpy.typing import NDArray

from . import narrow, pixels, shallow
from .gather import forward, phases
from .geometry import Window
from .keeping import Kept
from .pixels import FLOP_PER_NANOSECOND
from .transposition import channels_last

__all__ = [
    "FLOP_PER_NANOSECOND",
    "correlate",
    "correlate_input_gradient",
    "has_padding",
]

Array = NDArray[Any]


def correlate(
    x: Array, w: Array, bias: Array | None, y: Array, window: Window, groups: int, rectify: bool = False,
    kept: Kept | None = None,
) -> bool:  # fmt: skip
    """Compute `y`, the correlation of `x` with `w`, in place; see `correlation.correlate`.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides and real dtype.
    w : ndarray, shape (KD, KH, KW, C // G, O), any strides
    bias : ndarray, shape (O,), or None
    y : ndarray, shape (N, OD, OH, OW, O), C-contiguous, float32 or float64
    window : Window
    groups : int
    rectify : bool
        Whether to put 0 in place of what is 0 or less.
    kept : Kept, optional

    Returns
    -------
    bool
        False if `y` must be computed in another way: see `pixels.multiply`.
    """
    per_group, outputs = w.shape[3:]
    gather = forward(window)
    if narrow.serves(y.dtype, outputs, per_group, gather.taps, window.stride[2], groups):
        return narrow.multiply(x, [(gather, w)], bias, y, rectify)
    if shallow.serves(x, y.dtype, outputs, gather.taps, groups):
        return shallow.multiply(x, w, bias, y, gather, rectify)
    x, window = _as_read(x, window)
    gather = forward(window)
    x = channels_last(x, y.dtype)
    return pixels.multiply(x, w, bias, y, gather, groups, rectify, kept)


def _as_read(x: Array, window: Window) -> tuple[Array, Window]:
    """Leave out pixels that no window reads, if each reads one and `x` is to be converted: a view, and its window."""
    if window.kernel != (1, 1, 1) or window.stride == (1, 1, 1) or has_padding(window) or x.flags.c_contiguous:
        return x, window
    depth, height, width = (slice(0, (n - 1) * step + 1, step) for n, step in zip(window.out, window.stride))
    return x[:, depth, height, width], window._replace(size=window.out, stride=(1, 1, 1), after=(0, 0, 0))


def correlate_input_gradient(
    gy: Array, w: Array, gx: Array, window: Window, groups: int, kept: Kept | None = None
) -> bool:
    """Compute `gx`, the input gradient, in place, phase by phase; see `correlation.correlate_input_gradient`.

    Parameters
    ----------
    gy : ndarray, shape (N, OD, OH, OW, O)
        Any strides and real dtype.
    w : ndarray, shape (KD, KH, KW, C // G, O), any strides
    gx : ndarray, shape (N, D, H, W, C), C-contiguous, float32 or float64
    window : Window
    groups : int
    kept : Kept, optional

    Returns
    -------
    bool
        False if `gx` must be computed in another way: see `pixels.multiply`.
    """
    per_group, outputs = w.shape[3:]
    turned = w.swapaxes(3, 4)
    if groups > 1:  # (KD, KH, KW, C//G, G, O//G) -> (KD, KH, KW, O//G, G, C//G): each group's matrix transposed
        turned = w.reshape(*window.kernel, per_group, groups, outputs // groups).swapaxes(3, 5)
        turned = turned.reshape(*window.kernel, outputs // groups, groups * per_group)
    found, others = phases(window)
    if others:
        gx[...] = 0  # some pixels are read by no window
    parts = [(phase.gather, turned[phase.taps]) for phase in found]
    taps = max((gather.taps for gather, _ in parts), default=0)
    if narrow.serves(gx.dtype, per_group, outputs, taps, 1, groups):
        return narrow.multiply(gy, parts, None, gx)
    if shallow.serves(gy, gx.dtype, per_group, taps, groups):
        return all(shallow.multiply(gy, matrices, None, gx, gather) for gather, matrices in parts)
    gy = channels_last(gy, gx.dtype)
    return all(pixels.multiply(gy, matrices, None, gx, gather, groups, kept=kept) for gather, matrices in parts)


@functools.lru_cache(maxsize=256)
def has_padding(window: Window) -> bool:
    """Whether any window reaches beyond the input."""
    return any(
        before or (out - 1) * stride + (kernel_size - 1) * dilation >= size
        for size, kernel_size, stride, dilation, before, out in zip(
            window.size, window.kernel, window.stride, window.dilation, window.before, window.out
        )
    )
