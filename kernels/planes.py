"""Convolution in small groups on planes: arrays (N, C, H, W) with channels first, as they lie.

Groups of few channels give vectors along channels little to do, and converting the layout costs as much as the
arithmetic. Here vectors run along the width. A plane is copied with its padding into scratch memory that stays in
the first-level cache, and is then a stencil: each vector of a row is loaded once for each tap of a kernel row, and
used for all output rows and output planes of a tile (`stencil.plane_tile`).

With a stride S along the width the copy puts the columns of each remainder modulo S side by side, so that the stencil
has stride 1 there.

An item of work is a group of one image (a group, for the weight gradient), so items own their outputs.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .emitter import lanes
from .geometry import Window
from .jit import kernel
from .products import FLOP_PER_NANOSECOND
from .stencil import plane_outer_tile, plane_tile, unzip_tile
from .threads import parallel_for

Array = NDArray[Any]

# Taps of a kernel, along each axis, that a tile unrolls.
MOST_TAPS = 7

# Channels of a group, inputs or outputs, up to which planes are the faster form.
MOST_CHANNELS = 8

# Rows, planes, and sums of a tile: sums leave registers for a vector of the source and some numbers of the kernel.
TILE_ROWS, TILE_OUTPUTS = 4, 4
OUTER_ROWS, OUTER_SUMS = 7, 16

# Numbers after the last row of a plane in scratch memory: what vectors reach beyond it, of any machine.
SPARE = 64


def serves(window: Window, inputs: int, outputs: int) -> bool:
    """Whether the functions here serve groups of so many input and output channels."""
    return (
        window.size[0] == window.kernel[0] == window.out[0] == 1
        and max(window.kernel) <= MOST_TAPS
        and max(inputs, outputs) <= MOST_CHANNELS
        and window.out[2] * 2 > lanes(8)  # narrower, and vectors would be nearly empty
    )


@functools.cache
def _make_copy(itemsize: int, step: int) -> Any:
    tile = unzip_tile(itemsize, step)

    @kernel
    def copy_plane(source: Array, target: Array, before_h: int, before_w: int, pitch: int, targets: Array) -> None:
        """Write ``target[f, (h + before_h) * pitch + i] = source[h, i*step + f - before_w]``, for all of `source`.

        Columns before the first and after the last, up to `pitch`, stay or become 0. If ``before_w < 0``, which crops,
        the step is 1. `targets` is scratch memory.
        """
        height, width = source.shape
        rows = (target.shape[1] - SPARE) // pitch
        first = max(0, -before_h)
        last = min(height, rows - before_h)
        left = max(0, -before_w)
        right = min(width, pitch * step - before_w)
        line = pitch * itemsize
        for e in range(step):
            f = (left + before_w + e) % step
            targets[e] = target[f].ctypes.data + (first + before_h) * line + (left + before_w + e) // step * itemsize
        if last > first and right > left:
            tile(
                source[first:, left:].ctypes.data, width * itemsize, targets.ctypes.data, line, last - first,
                right - left,
            )  # fmt: skip

    return copy_plane


@functools.cache
def _make(
    itemsize: int, rows: int, outputs: int, lines: int, taps: int, step: int, spacing: int, stride_w: int, single: bool
) -> Any:
    tile = plane_tile(itemsize, rows, outputs, lines, taps, step, spacing, single)
    copy_plane = _make_copy(itemsize, stride_w)
    length = lanes(itemsize)

    @kernel
    def planes(
        start: int, stop: int, source: Array, w: Array, bias: Array, target: Array, extents: Any, offsets: Array
    ) -> None:
        """Compute groups ``start <= item < stop`` of `target` (N, G, O', OH, OW); item ``n * G + group``.

        Assumptions: `source` (N, G, C', H, W), `w` (G, O' / B, C', M, K, B), `bias` (G, O'); `extents` are the padding
        before rows and columns, and height and width of a plane in scratch memory.
        """
        before_h, before_w, height, width = extents
        groups, inputs = source.shape[1], source.shape[2]
        group_outputs, out_h, out_w = target.shape[2], target.shape[3], target.shape[4]
        scratch = np.zeros((inputs, stride_w, height * width + SPARE), source.dtype)
        targets = np.empty(stride_w, np.int64)
        line = width * itemsize
        plane = scratch[0].size * itemsize
        blocks = out_h // rows
        for item in range(start, stop):
            n, group = item // groups, item % groups
            for c in range(inputs):
                copy_plane(source[n, group, c], scratch[c], before_h, before_w, width, targets)
            for o in range(0, group_outputs, outputs):
                matrix = w[group, o // outputs].ctypes.data
                begin = bias[group, o:].ctypes.data
                for left in range(0, out_w, length):
                    base = scratch.ctypes.data + left * itemsize
                    place = target[n, group, o].ctypes.data + left * itemsize
                    present = min(length, out_w - left)
                    tile(
                        base, line, plane, offsets.ctypes.data, matrix, inputs, begin, place, out_w * itemsize,
                        out_h * out_w * itemsize, blocks, present,
                    )  # fmt: skip
                    if blocks * rows < out_h:  # the last rows, some of which are computed again
                        last = out_h - rows
                        tile(
                            base + last * step * line, line, plane, offsets.ctypes.data, matrix, inputs, begin,
                            place + last * out_w * itemsize, out_w * itemsize, out_h * out_w * itemsize, 1, present,
                        )  # fmt: skip

    return planes


def _divisor(number: int, most: int) -> int:
    """The largest divisor that is not above `most`."""
    return max(k for k in range(1, most + 1) if number % k == 0)


def _scratch_plane(window: Window, itemsize: int) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """Height and width of a plane in scratch memory, and where in bytes the taps of a row read in it."""
    stride, dilation = window.stride, window.dilation
    reach = (window.kernel[2] - 1) * dilation[2]
    height = (window.out[1] - 1) * stride[1] + (window.kernel[1] - 1) * dilation[1] + 1
    width = window.out[2] + reach // stride[2] + 1
    taps = np.arange(window.kernel[2], dtype=np.int64) * dilation[2]
    return (height, width), (taps % stride[2] * (height * width + SPARE) + taps // stride[2]) * itemsize


def _correlate(x: Array, w: Array, bias: Array, y: Array, window: Window) -> None:
    """Compute `y` (N, G, O', OH, OW) from `x` (N, G, C', H, W), `w` (KH, KW, C', G, O') and `bias` (G, O')."""
    lines, taps, inputs, groups, outputs = w.shape
    planes = _divisor(outputs, TILE_OUTPUTS)
    rows = min(TILE_ROWS, window.out[1])
    # (KH, KW, C', G, O' / B, B) -> (G, O' / B, C', KH, KW, B)
    matrices = w.reshape(lines, taps, inputs, groups, outputs // planes, planes).transpose(3, 4, 2, 0, 1, 5)
    shape, offsets = _scratch_plane(window, x.itemsize)
    made = _make(
        x.itemsize, rows, planes, lines, taps, window.stride[1], window.dilation[1], window.stride[2], inputs == 1
    )
    parallel_for(
        made, x.shape[0] * groups, x, np.array(matrices, order="C"), bias, y,
        (window.before[1], window.before[2], *shape), offsets,
        nanoseconds=2 * y.size * inputs * lines * taps / FLOP_PER_NANOSECOND,
    )  # fmt: skip


def correlate(x: Array, w: Array, bias: Array | None, y: Array, window: Window, groups: int) -> bool:
    """Compute `y`, the correlation of `x` with `w`, in place, where `serves` holds.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), C-contiguous, float32 or float64
    w : ndarray, shape (1, KH, KW, C // G, O), any strides
    bias : ndarray, shape (O,), or None
    y : ndarray, shape (N, O, OH, OW), C-contiguous
    window : Window
    groups : int

    Returns
    -------
    bool
        False if nothing was computed: padding is zeros here, whose product with an infinite or NaN element of the
        kernel would not be 0.
    """
    if not np.isfinite(w).all():
        return False
    outputs = w.shape[4] // groups
    start = np.zeros((groups, outputs), x.dtype)
    if bias is not None:
        start[...] = bias.reshape(groups, outputs)
    _correlate(
        x.reshape(x.shape[0], groups, -1, *x.shape[2:]), w[0].reshape(*w.shape[1:4], groups, outputs), start,
        y.reshape(y.shape[0], groups, -1, *y.shape[2:]), window,
    )  # fmt: skip
    return True


def correlate_input_gradient(gy: Array, w: Array, gx: Array, window: Window, groups: int) -> bool:
    """Compute `gx`, the input gradient, in place, where `serves` holds and all strides are 1.

    It is the correlation of `gy` with the rotated, transposed kernel.

    Parameters
    ----------
    gy : ndarray, shape (N, O, OH, OW), C-contiguous, float32 or float64
    w : ndarray, shape (1, KH, KW, C // G, O), any strides
    gx : ndarray, shape (N, C, H, W), C-contiguous
    window : Window
    groups : int

    Returns
    -------
    bool
        As `correlate`.
    """
    if not np.isfinite(w).all():
        return False
    inputs, outputs = w.shape[3], w.shape[4] // groups
    rotated = w[0, ::-1, ::-1].reshape(*w.shape[1:4], groups, outputs).swapaxes(2, 4)
    before_h, before_w = ((window.kernel[k] - 1) * window.dilation[k] - window.before[k] for k in (1, 2))
    turned = window._replace(size=window.out, out=window.size, before=(0, before_h, before_w))
    _correlate(
        gy.reshape(gy.shape[0], groups, -1, *gy.shape[2:]), rotated, np.zeros((groups, inputs), gy.dtype),
        gx.reshape(gx.shape[0], groups, -1, *gx.shape[2:]), turned,
    )  # fmt: skip
    return True


@functools.cache
def _make_outer(
    itemsize: int, rows: int, outputs: int, lines: int, taps: int, step: int, spacing: int, stride_w: int
) -> Any:
    tile = plane_outer_tile(itemsize, rows, outputs, lines, taps, step, spacing)
    single = plane_outer_tile(itemsize, 1, outputs, lines, taps, step, spacing)
    copy_plane = _make_copy(itemsize, stride_w)
    length = lanes(itemsize)

    @kernel
    def plane_outers(
        start: int, stop: int, x: Array, gy: Array, gw: Array, extents: Any, offsets: Array, first: int, spare: int
    ) -> None:
        """Compute groups ``start <= group < stop`` of `gw` (KH, KW, C', G, O'), the rows from `first` on.

        Assumptions: `x` (N, G, C', H, W) and `gy` (N, G, O', OH, OW); `extents` as in `planes`. Of the M rows of a tile
        the first `spare` were computed before.
        """
        before_h, before_w, height, width = extents
        inputs = x.shape[2]
        group_outputs, out_h, out_w = gy.shape[2], gy.shape[3], gy.shape[4]
        scratch = np.zeros((stride_w, height * width + SPARE), x.dtype)
        targets = np.empty(stride_w, np.int64)
        sums = np.empty((inputs, group_outputs // outputs, lines, taps, outputs, length), x.dtype)
        line = width * itemsize
        steps = out_h // rows
        for group in range(start, stop):
            sums[...] = 0
            for n in range(x.shape[0]):
                for c in range(inputs):
                    copy_plane(x[n, group, c], scratch, before_h - first * spacing, before_w, width, targets)
                    for o in range(0, group_outputs, outputs):
                        total = sums[c, o // outputs].ctypes.data
                        for left in range(0, out_w, length):
                            base = scratch.ctypes.data + left * itemsize
                            b = gy[n, group, o].ctypes.data + left * itemsize
                            present = min(length, out_w - left)
                            tile(
                                base, line, offsets.ctypes.data, b, out_w * itemsize, out_h * out_w * itemsize, steps,
                                total, present,
                            )  # fmt: skip
                            if steps * rows < out_h:
                                done = steps * rows
                                single(
                                    base + done * step * line, line, offsets.ctypes.data, b + done * out_w * itemsize,
                                    out_w * itemsize, out_h * out_w * itemsize, out_h - done, total, present,
                                )  # fmt: skip
            for c in range(inputs):
                for o in range(group_outputs):
                    for m in range(spare, lines):
                        for u in range(taps):
                            total_of_lanes = sums[c, o // outputs, m, u, o % outputs, 0]
                            for lane in range(1, length):
                                total_of_lanes += sums[c, o // outputs, m, u, o % outputs, lane]
                            gw[first + m, u, c, group, o] = total_of_lanes

    return plane_outers


def correlate_weight_gradient(x: Array, gy: Array, gw: Array, window: Window, groups: int) -> bool:
    """Compute `gw`, the weight gradient, in place, where `serves` holds.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), C-contiguous, float32 or float64
    gy : ndarray, shape (N, O, OH, OW), C-contiguous
    gw : ndarray, shape (1, KH, KW, C // G, O), C-contiguous
    window : Window
    groups : int

    Returns
    -------
    bool
        False if `gw` must be computed in another way: padding is zeros here, and so are columns that fill up a
        vector, whose product with infinity or NaN would not be 0. Such a product would show in the sum of `gw`.
    """
    lines_all, taps, inputs, outputs = gw.shape[1:]
    outputs //= groups
    planes = _divisor(outputs, TILE_OUTPUTS)
    lines = min(lines_all, max(1, OUTER_SUMS // (taps * planes)))
    rows = _divisor(window.out[1], OUTER_ROWS)
    rows = max(1, min(rows, OUTER_ROWS // planes)) if rows > 1 else min(TILE_ROWS, window.out[1])
    made = _make_outer(x.itemsize, rows, planes, lines, taps, window.stride[1], window.dilation[1], window.stride[2])
    # The scratch plane holds the rows that `lines` rows of the kernel read.
    shape, offsets = _scratch_plane(window._replace(kernel=(1, lines, taps)), x.itemsize)
    done = 0
    while done < lines_all:
        first = min(done, lines_all - lines)
        parallel_for(
            made, groups, x.reshape(x.shape[0], groups, inputs, *x.shape[2:]),
            gy.reshape(gy.shape[0], groups, outputs, *gy.shape[2:]),
            gw[0].reshape(lines_all, taps, inputs, groups, outputs),
            (window.before[1], window.before[2], *shape), offsets, first, done - first,
            nanoseconds=2 * gy.size * inputs * lines * taps / FLOP_PER_NANOSECOND,
        )  # fmt: skip
        done += lines
    with np.errstate(all="ignore"):
        return bool(np.isfinite(gw.sum()))
