"""The weight gradient as sums of outer products, computed in register tiles.

``gw[tap, c, :] = sum over pixels of x[place(pixel, tap), c] * gy[pixel, :]``: for each tap a matrix product whose
terms are pixels. A tile (`tile.outer_tile`) keeps R input channels by V vectors of output channels in registers
while it goes through a block of pixels; where each pixel's row of `x` lies is looked up in a table, so that
stride, dilation, the ends of rows, and padding (a row of zeros) make no difference.

Blocking, from the inside outwards:

1. a tile: R rows of `gw` by V vectors;
2. a block of pixels, whose rows of `x` and `gy` stay in the second-level cache while all tiles of the item go over
   them. Sums of a block begin with zero and are added to `gw`: many short sums round less than one long one;
3. an item of work: R rows of `gw`, all output channels. Items own their outputs.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .emitter import Shape, tile_shape
from .geometry import Window
from .jit import kernel
from .products import FLOP_PER_NANOSECOND, MERGE_BELOW_BYTES, has_padding, pad_width
from .threads import parallel_for
from .tile import outer_tile

Array = NDArray[Any]

# Rows of x and gy of a block of pixels: half of a second-level cache of 1 MiB.
BLOCK_BYTES = 512 * 1024

# At least so many pixels, so that loading and storing a tile is a small part; and at most so many: rounding errors
# grow with the length of a block plus the number of blocks.
LEAST_BLOCK_PIXELS, MOST_BLOCK_PIXELS = 64, 1024


@functools.cache
def _make(shape: Shape) -> Any:
    whole, ragged = outer_tile(shape, False), outer_tile(shape, True)
    rows, columns, itemsize = shape.rows, shape.columns, shape.itemsize

    @kernel
    def outers(
        start: int, stop: int, x: Array, gy: Array, gw: Array, nothing: Array, window: Any,
        shift_w: Array, run: int, groups: int, block: int,
    ) -> None:  # fmt: skip
        """Compute items ``start <= item < stop``: up to R rows of `gw` that belong to one tap and group.

        Assumptions: `x` (N, D, H, W', C') and `gy` (N, OD, OH, OW, O) are C-contiguous, `gw` is
        ``(KD, KH, taps along W, run, O)``, C-contiguous; `nothing` is a pixel of zeros. Taps along the width
        read ``ow * stride + shift_w[tap]``, where `stride` counts pixels of `x` as it is here.
        """
        depth, height, width = window[0]
        taps_h = gw.shape[1]
        taps_w = gw.shape[2]
        stride_d, stride_h, stride_w = window[2]
        dilation_d, dilation_h = window[3][0], window[3][1]
        before_d, before_h = window[4][0], window[4][1]
        out_d, out_h, out_w = window[6]
        outputs = gy.shape[4]
        group_columns = outputs // groups
        group_source = x.shape[4] // groups
        row_blocks = (run + rows - 1) // rows
        pixels = x.shape[0] * out_d * out_h * out_w
        x_base, gy_base, gw_base = x.ctypes.data, gy.ctypes.data, gw.ctypes.data
        zeros = nothing.ctypes.data
        step_w = x.shape[4] * itemsize
        step_h = x.shape[3] * step_w
        step_d = x.shape[2] * step_h
        step_n = x.shape[1] * step_d
        table = np.empty(block, np.int64)
        scratch = np.empty((rows, columns), gw.dtype)
        for first in range(0, pixels, block):
            count = min(block, pixels - first)
            fresh = 1 if first == 0 else 0
            tap_before = -1
            for item in range(start, stop):
                low = item % row_blocks * rows
                group = item // row_blocks % groups
                tap = item // row_blocks // groups
                if tap != tap_before:
                    tap_before = tap
                    kw = tap % taps_w
                    kh = tap // taps_w % taps_h
                    kd = tap // taps_w // taps_h
                    w_at = first % out_w
                    rest = first // out_w
                    h_at = rest % out_h
                    rest = rest // out_h
                    d_at = rest % out_d
                    n = rest // out_d
                    for k in range(count):
                        d = d_at * stride_d + kd * dilation_d - before_d
                        h = h_at * stride_h + kh * dilation_h - before_h
                        w = w_at * stride_w + shift_w[kw]
                        if d >= 0 and d < depth and h >= 0 and h < height and w >= 0 and w < width:
                            table[k] = x_base + n * step_n + d * step_d + h * step_h + w * step_w
                        else:
                            table[k] = zeros
                        w_at += 1
                        if w_at == out_w:
                            w_at = 0
                            h_at += 1
                            if h_at == out_h:
                                h_at = 0
                                d_at += 1
                                if d_at == out_d:
                                    d_at = 0
                                    n += 1
                skip = group * group_source + low
                short = low + rows > run
                if short:  # the last rows of a run: the tile begins earlier, and only what is new is kept
                    skip = group * group_source + max(run - rows, 0)
                for left in range(0, group_columns, columns):
                    present = min(columns, group_columns - left)
                    column = group * group_columns + left
                    b = gy_base + (first * outputs + column) * itemsize
                    if short:
                        target, stride, new = scratch.ctypes.data, columns, 1
                    else:
                        target = gw_base + ((tap * run + low) * outputs + column) * itemsize
                        stride, new = outputs, fresh
                    if present == columns:
                        whole(table.ctypes.data, count, skip, b, outputs, target, stride, present, new)
                    else:
                        ragged(table.ctypes.data, count, skip, b, outputs, target, stride, present, new)
                    if short:
                        drop = low - max(run - rows, 0)
                        row = gw.reshape(-1, outputs)
                        for r in range(low, run):
                            for o in range(present):
                                if fresh == 1:
                                    row[tap * run + r, column + o] = scratch[r - low + drop, o]
                                else:
                                    row[tap * run + r, column + o] += scratch[r - low + drop, o]

    return outers


def _rows_for(shape: Shape, run: int) -> Shape:
    """`shape` with fewer rows where the run has fewer."""
    rows = shape.rows
    while rows > run:
        rows = max(1, rows // 2)
    return shape._replace(rows=rows)


def correlate_weight_gradient(x: Array, gy: Array, gw: Array, window: Window, groups: int) -> bool:
    """Compute `gw`, the weight gradient, in place; see `correlation.correlate_weight_gradient`.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C), C-contiguous, float32 or float64
    gy : ndarray, shape (N, OD, OH, OW, O), C-contiguous
    gw : ndarray, shape (KD, KH, KW, C // G, O), C-contiguous
    window : Window
    groups : int

    Returns
    -------
    bool
        False if `gw` must be computed in another way: padding is a pixel of zeros here, whose product with an
        infinite or NaN element of `gy` would not be 0. Such a product would show in the sum of `gw`.
    """
    padded = has_padding(window)
    taps_d, taps_h, taps_w, per_group, outputs = gw.shape
    run, taps = per_group, window.taps
    shift_w = np.array([tap * window.dilation[2] - window.before[2] for tap in range(taps_w)], np.int64)
    if groups == 1 and taps_w > 1 and window.dilation[2] == 1 and per_group * x.itemsize < MERGE_BELOW_BYTES:
        last = (window.out[2] - 1) * window.stride[2] + taps_w
        if window.before[2] or last > window.size[2]:
            x = pad_width(x, window.before[2], max(0, last - window.before[2] - window.size[2]))
        # (N, D, H, W, C) -> (N, D, H, W*C, 1), and the taps of a kernel row are one run of KW*C rows of gw
        run, taps, shift_w = taps_w * per_group, taps_d * taps_h, np.zeros(1, np.int64)
        x = x.reshape(*x.shape[:3], x.shape[3] * per_group, 1)
        window = window._replace(
            size=(*window.size[:2], x.shape[3]), stride=(*window.stride[:2], window.stride[2] * per_group)
        )
    shape = _rows_for(tile_shape(x.itemsize, outputs // groups), run)
    pixels = gy.shape[0] * gy.shape[1] * gy.shape[2] * gy.shape[3]
    block = max(LEAST_BLOCK_PIXELS, min(MOST_BLOCK_PIXELS, BLOCK_BYTES // ((x.shape[4] + outputs) * x.itemsize)))
    items = taps * groups * -(-run // shape.rows)
    parallel_for(
        _make(shape), items, x, gy, gw.reshape(taps_d, taps_h, -1, run, outputs),
        np.zeros(max(run, x.shape[4]), x.dtype), tuple(window), shift_w, run, groups, min(block, pixels),
        nanoseconds=2 * pixels * taps * run * outputs / FLOP_PER_NANOSECOND,
    )  # fmt: skip
    return _is_trustworthy(gw, padded)


def _is_trustworthy(gw: Array, padded: bool) -> bool:
    """Whether no product of padding with infinity or NaN can have got into `gw`."""
    with np.errstate(all="ignore"):
        return not padded or bool(np.isfinite(gw.sum()))
