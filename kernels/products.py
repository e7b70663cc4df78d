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
`pixels`              output channels     unless the next one serves
`narrow`              pixels of a row     the result's channels would fill half a vector or less
====================  ==================  =====================================================================

If there are few input channels, the taps of a kernel row are merged into one (see `correlate`): their pixels lie side
by side. Both start with the bias, and can end with a rectifier, while sums are in registers.
Groups of a few channels, and depthwise convolution, have rooms of their own: `grouped` and `planes`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import narrow, pixels
from .gather import forward, phases
from .geometry import Window
from .keeping import Kept
from .pixels import FLOP_PER_NANOSECOND
from .transposition import channels_last

__all__ = [
    "FLOP_PER_NANOSECOND",
    "MERGE_BELOW_BYTES",
    "correlate",
    "correlate_input_gradient",
    "has_padding",
    "pad_width",
]

Array = NDArray[Any]

# With fewer bytes of channels than this, looking up addresses costs more than it gives, and the taps of a
# kernel row are merged into one run of KW * C numbers.
MERGE_BELOW_BYTES = 64


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
    taps_d, taps_h, taps_w, per_group, outputs = w.shape
    gather = forward(window)
    if narrow.serves(y.dtype, outputs, groups):
        return narrow.multiply(x, [(gather, w)], bias, y, rectify)
    x, window = _as_read(x, window)
    gather = forward(window)
    x = channels_last(x, y.dtype)
    if groups == 1 and taps_w > 1 and window.dilation[2] == 1 and per_group * x.itemsize < MERGE_BELOW_BYTES:
        # A kernel row reads KW pixels side by side: one run, if none of them is padding.
        before, size = window.before[2], window.size
        last = (window.out[2] - 1) * window.stride[2] + taps_w
        if before or last > size[2]:
            x = pad_width(x, before, max(0, last - before - size[2]))
        # (N, D, H, W, C) -> (N, D, H, W*C, 1): positions along W are C*S_w numbers apart
        x = x.reshape(*x.shape[:3], x.shape[3] * x.shape[4], 1)
        gather = gather._replace(
            step=(*window.stride[:2], window.stride[2] * per_group), shifts=(*gather.shifts[:2], (0,)),
            size=(*size[:2], x.shape[3] - taps_w * per_group + 1),
        )  # fmt: skip
        w = w.reshape(taps_d, taps_h, 1, taps_w * per_group, outputs)
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
    if narrow.serves(gx.dtype, per_group, groups):
        return narrow.multiply(gy, parts, None, gx)
    gy = channels_last(gy, gx.dtype)
    return all(pixels.multiply(gy, matrices, None, gx, gather, groups, kept=kept) for gather, matrices in parts)


def has_padding(window: Window) -> bool:
    """Whether any window reaches beyond the input."""
    return any(
        before or (out - 1) * stride + (kernel_size - 1) * dilation >= size
        for size, kernel_size, stride, dilation, before, out in zip(
            window.size, window.kernel, window.stride, window.dilation, window.before, window.out
        )
    )


def pad_width(x: Array, before: int, after: int) -> Array:
    """Return `x`, shape (N, D, H, W, C), with zeros before and after its width."""
    shape = list(x.shape)
    shape[3] += before + after
    padded = np.zeros(shape, x.dtype)
    padded[:, :, :, before : before + x.shape[3]] = x
    return padded
