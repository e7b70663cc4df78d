"""The plain loops of correlation and its gradients: what is computed, without the register tile.

They serve where tiles do not (integers, depthwise convolution, processors without compiled code), and tests hold
the tiles to them. Shapes and formulas are those of `correlation`.

Correlation and input gradient share their innermost part, :func:`_add_row_products`: the product of a row of
pixels and the matrix of one tap, added to another row of pixels; they differ only in which row steps by the
stride, and in whether the matrix is transposed. Innermost loops run along channels, which lie side by side in
memory, and take four products at a time to every load and store of what they add to.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import contiguous
from .geometry import Window
from .jit import SUM_FLAGS, kernel
from .threads import parallel_for

Array = NDArray[Any]

# What these loops do in a nanosecond on one core: only to tell small work from large.
FLOP_PER_NANOSECOND = 8.0
BYTES_PER_NANOSECOND = 4.0

# Up to so many channels of the result, the input gradient is made of dot products along the output's channels:
# loops along 4 float32 fill a quarter of a 512-bit vector, half of a 256-bit one.
DOT_CHANNELS = 4

# A block of the weight gradient stays in the first-level cache (32 KiB) together with the rows it is made of.
WEIGHT_BLOCK_BYTES = 16 * 1024
# ... and has at most so many rows, so that small kernels still make enough blocks for all cores.
WEIGHT_BLOCK_ROWS = 16

# Channels of a block of the depthwise weight gradient: one or two cache lines of float32.
DEPTHWISE_BLOCK_CHANNELS = 32


# ---------------------------------------------------------------- shared by correlation and input gradient


@kernel
def _pixels(kw: int, stride: int, dilation: int, before: int, size: int, out: int) -> tuple[int, int]:
    """Return the range of outputs of one axis whose tap `kw` lies in the input: 0 <= ow*S + kw*D - P < size."""
    shift = kw * dilation - before
    first = 0
    if shift < 0:
        first = (-shift + stride - 1) // stride
    last = out
    if size - shift <= 0:
        last = 0
    elif (size - shift - 1) // stride + 1 < out:
        last = (size - shift - 1) // stride + 1
    return first, last


@kernel(fastmath=SUM_FLAGS)
def _add_row_products(
    target: Array, target_first: int, target_step: int,
    source: Array, source_first: int, source_step: int,
    count: int, matrix: Array, groups: int,
) -> None:  # fmt: skip
    """Add, pixel by pixel, the product of a row of `source` and the matrix of one tap to a row of `target`.

    Parameters
    ----------
    target : ndarray, shape (pixels, T)
        Pixels ``target_first + p * target_step`` for ``0 <= p < count`` are modified in place.
    source : ndarray, shape (pixels, Q)
        Pixels ``source_first + p * source_step``.
    matrix : ndarray, shape (Q // G, T)
        Column ``t`` belongs to group ``t // (T // G)``.
    """
    per_source, width = matrix.shape
    per_target = width // groups
    if per_source == 1 and per_target == 1:  # depthwise: the matrix of every group is a number
        for p in range(count):
            t, s = target_first + p * target_step, source_first + p * source_step
            for i in range(width):
                target[t, i] += source[s, i] * matrix[0, i]
        return
    for p in range(count):
        t, s = target_first + p * target_step, source_first + p * source_step
        for group in range(groups):
            left, base = group * per_target, group * per_source
            accumulator = target[t, left : left + per_target]
            done = per_source - per_source % 4
            for q in range(0, done, 4):
                a, b = source[s, base + q], source[s, base + q + 1]
                c, d = source[s, base + q + 2], source[s, base + q + 3]
                row_a, row_b = matrix[q, left : left + per_target], matrix[q + 1, left : left + per_target]
                row_c, row_d = (
                    matrix[q + 2, left : left + per_target],
                    matrix[q + 3, left : left + per_target],
                )
                for i in range(per_target):
                    accumulator[i] += a * row_a[i] + b * row_b[i] + c * row_c[i] + d * row_d[i]
            for q in range(done, per_source):
                a = source[s, base + q]
                row_a = matrix[q, left : left + per_target]
                for i in range(per_target):
                    accumulator[i] += a * row_a[i]


@kernel(fastmath=SUM_FLAGS)
def _add_row_dots(
    target: Array, target_first: int, target_step: int,
    source: Array, source_first: int, source_step: int,
    count: int, matrix: Array, groups: int,
) -> None:  # fmt: skip
    """Do what :func:`_add_row_products` does, with the matrix transposed: (T // G, Q), group by group of columns.

    Each element of the target is a dot product along the source's channels: for targets of so few channels that
    loops along them would not fill a vector, such as the gradient of an image.
    """
    per_target, width = matrix.shape
    per_source = width // groups
    for p in range(count):
        t, s = target_first + p * target_step, source_first + p * source_step
        for group in range(groups):
            left = group * per_source
            values = source[s, left : left + per_source]
            for i in range(per_target):
                row = matrix[i, left : left + per_source]
                total = matrix.dtype.type(0)
                for q in range(per_source):
                    total += values[q] * row[q]
                target[t, group * per_target + i] += total


# ---------------------------------------------------------------- correlation


@kernel(fastmath=SUM_FLAGS)
def _correlate_rows(
    start: int, stop: int, x: Array, w: Array, bias: Array, y: Array, window: Window, groups: int
) -> None:
    """Compute the rows ``start <= row < stop`` of `y`, row ``(n * OD + od) * OH + oh``; `y` is modified in place."""
    depth, height, width = window.size
    taps_d, taps_h, taps_w = window.kernel
    stride_d, stride_h, stride_w = window.stride
    dilation_d, dilation_h, dilation_w = window.dilation
    before_d, before_h, before_w = window.before
    out_d, out_h, out_w = window.out
    for row in range(start, stop):
        oh = row % out_h
        od = row // out_h % out_d
        n = row // out_h // out_d
        y_row = y[n, od, oh]
        for ow in range(out_w):
            for o in range(bias.size):
                y_row[ow, o] = bias[o]
        for kd in range(taps_d):
            d = od * stride_d + kd * dilation_d - before_d
            if d < 0 or d >= depth:
                continue
            for kh in range(taps_h):
                h = oh * stride_h + kh * dilation_h - before_h
                if h < 0 or h >= height:
                    continue
                x_row = x[n, d, h]
                for kw in range(taps_w):
                    first, last = _pixels(kw, stride_w, dilation_w, before_w, width, out_w)
                    iw = first * stride_w + kw * dilation_w - before_w
                    _add_row_products(y_row, first, 1, x_row, iw, stride_w, last - first, w[kd, kh, kw], groups)


def correlate(x: Array, w: Array, bias: Array | None, y: Array, window: Window, groups: int) -> None:
    """Compute `y` in place; `x` and `y` are C-contiguous, all are of one dtype."""
    start = np.zeros(y.shape[4], y.dtype) if bias is None else contiguous(bias, y.dtype)
    rows = x.shape[0] * window.out[0] * window.out[1]
    parallel_for(
        _correlate_rows, rows, x, contiguous(w, y.dtype), start, y, window, groups,
        nanoseconds=2 * y.size * w.shape[3] * window.taps / FLOP_PER_NANOSECOND,
    )  # fmt: skip


# ---------------------------------------------------------------- input gradient


@kernel(fastmath=SUM_FLAGS)
def _input_gradient_rows(
    start: int, stop: int, gy: Array, matrices: Array, gx: Array, window: Window, groups: int, dots: bool
) -> None:
    """Compute the rows ``start <= row < stop`` of `gx`, row ``(n * D + d) * H + h``; `gx` is modified in place.

    Gather form: a row takes only the taps ``u`` for which ``h + P - u*D`` is a multiple of the stride, so
    that the zeros which `padpad` would insert are never multiplied. `matrices` are those of the taps: as they are,
    if `dots`, else those of each group transposed.
    """
    depth, height, width = window.size
    taps_d, taps_h, taps_w = window.kernel
    stride_d, stride_h, stride_w = window.stride
    dilation_d, dilation_h, dilation_w = window.dilation
    before_d, before_h, before_w = window.before
    out_d, out_h, out_w = window.out
    for row in range(start, stop):
        h = row % height
        d = row // height % depth
        n = row // height // depth
        gx_row = gx[n, d, h]
        gx_row[:, :] = 0
        for kd in range(taps_d):
            steps_d = d + before_d - kd * dilation_d
            if steps_d < 0 or steps_d % stride_d != 0 or steps_d // stride_d >= out_d:
                continue
            for kh in range(taps_h):
                steps_h = h + before_h - kh * dilation_h
                if steps_h < 0 or steps_h % stride_h != 0 or steps_h // stride_h >= out_h:
                    continue
                gy_row = gy[n, steps_d // stride_d, steps_h // stride_h]
                for kw in range(taps_w):
                    first, last = _pixels(kw, stride_w, dilation_w, before_w, width, out_w)
                    iw = first * stride_w + kw * dilation_w - before_w
                    count = last - first
                    matrix = matrices[kd, kh, kw]
                    if dots:
                        _add_row_dots(gx_row, iw, stride_w, gy_row, first, 1, count, matrix, groups)
                    else:
                        _add_row_products(gx_row, iw, stride_w, gy_row, first, 1, count, matrix, groups)


def correlate_input_gradient(gy: Array, w: Array, gx: Array, window: Window, groups: int) -> None:
    """Compute `gx` in place; `gy` and `gx` are C-contiguous, all are of one dtype."""
    per_group, outputs = w.shape[3:]
    per_output = outputs // groups
    dots = per_group <= DOT_CHANNELS < per_output
    matrices = contiguous(w, gx.dtype)
    if not dots:
        # (KD, KH, KW, C//G, G, O//G) -> (KD, KH, KW, O//G, G, C//G): each group's matrix transposed
        matrices = matrices.reshape(*window.kernel, per_group, groups, per_output).swapaxes(3, 5)
        matrices = contiguous(matrices, gx.dtype).reshape(*window.kernel, per_output, gx.shape[4])
    rows = gy.shape[0] * window.size[0] * window.size[1]
    nanoseconds = 2 * gy.size * per_group * window.taps / FLOP_PER_NANOSECOND
    parallel_for(
        _input_gradient_rows, rows, gy, matrices, gx, window, groups, dots,
        nanoseconds=nanoseconds + gx.nbytes / BYTES_PER_NANOSECOND,
    )  # fmt: skip


# ---------------------------------------------------------------- weight gradient


@kernel(fastmath=SUM_FLAGS)
def _weight_gradient_blocks(
    start: int, stop: int, x: Array, gy: Array, gw: Array, window: Window, groups: int, run: int, block: int
) -> None:
    """Compute the blocks ``start <= item < stop`` of `gw`, which is modified in place.

    Assumptions: `x` is ``(N, D, H, W * C)`` and `gw` is ``(KD, KH, KW * (C//G), O)``, all C-contiguous.

    The rows of `gw` that belong to one ``(kd, kh)`` come in runs of `run` rows that read values of `x` side by
    side: the channels of a group at one tap, or, without dilation and groups, those of the whole kernel row,
    ``KW * C``. That is what makes few channels bearable. An item is a `block` of rows of a run.
    """
    depth, height, width = window.size
    taps_h = window.kernel[1]
    stride_d, stride_h, stride_w = window.stride
    dilation_d, dilation_h, dilation_w = window.dilation
    before_d, before_h, before_w = window.before
    out_d, out_h, out_w = window.out
    batch = x.shape[0]
    pixel = x.shape[3] // width  # C, the distance between neighbouring pixels
    columns = gw.shape[3] // groups
    runs = gw.shape[2] // run * groups
    blocks = (run + block - 1) // block
    partial = np.empty((block, columns), gw.dtype)
    for item in range(start, stop):
        low = item % blocks * block  # the rows low <= r < high of the run
        high = min(low + block, run)
        rows = high - low
        which = item // blocks % runs
        group, tap = which % groups, which // groups
        kh = item // blocks // runs % taps_h
        kd = item // blocks // runs // taps_h
        left = group * columns
        # Row `low + r` of the run is x[..., ow * step + shift + r], if 0 <= ow * step + shift + r < W * C.
        step = stride_w * pixel
        shift = (tap * dilation_w - before_w) * pixel + group * run + low
        edge = x.shape[3]
        # Whole pixels: those for which all of the block's rows are in the input.
        first = 0
        if shift < 0:
            first = min((-shift + step - 1) // step, out_w)
        last = 0
        if edge - rows - shift >= 0:
            last = min((edge - rows - shift) // step + 1, out_w)
        last = max(first, last)
        whole = last - (last - first) % 4
        total = gw[kd, kh, tap * run + low : tap * run + high, left : left + columns]
        total[:, :] = 0
        for n in range(batch):
            # A sum for each image, and then their sum: rounding errors grow with the square root of both counts.
            partial[:, :] = 0
            for od in range(out_d):
                d = od * stride_d + kd * dilation_d - before_d
                if d < 0 or d >= depth:
                    continue
                for oh in range(out_h):
                    h = oh * stride_h + kh * dilation_h - before_h
                    if h < 0 or h >= height:
                        continue
                    x_row = x[n, d, h]
                    gy_row = gy[n, od, oh]
                    for ow in range(first, whole, 4):
                        at = ow * step + shift
                        gy_a = gy_row[ow, left : left + columns]
                        gy_b = gy_row[ow + 1, left : left + columns]
                        gy_c = gy_row[ow + 2, left : left + columns]
                        gy_d = gy_row[ow + 3, left : left + columns]
                        for r in range(rows):
                            a, b = x_row[at + r], x_row[at + step + r]
                            c, e = x_row[at + 2 * step + r], x_row[at + 3 * step + r]
                            for o in range(columns):
                                partial[r, o] += a * gy_a[o] + b * gy_b[o] + c * gy_c[o] + e * gy_d[o]
                    for ow in range(out_w):
                        if first <= ow < whole:
                            continue
                        at = ow * step + shift
                        gy_a = gy_row[ow, left : left + columns]
                        for r in range(max(0, -at), min(rows, edge - at)):
                            a = x_row[at + r]
                            for o in range(columns):
                                partial[r, o] += a * gy_a[o]
            for r in range(rows):
                for o in range(columns):
                    total[r, o] += partial[r, o]


@kernel(fastmath=SUM_FLAGS)
def _depthwise_weight_gradient_blocks(
    start: int, stop: int, x: Array, gy: Array, gw: Array, window: Window, block: int
) -> None:
    """Compute the blocks ``start <= item < stop`` of `gw`, one output channel for each input channel.

    An item is the row ``(kd, kh)`` of taps for a `block` of channels; `gw` (KD, KH, KW, 1, O) is modified in place.
    """
    depth, height, width = window.size
    taps_h, taps_w = window.kernel[1:]
    stride_d, stride_h, stride_w = window.stride
    dilation_d, dilation_h, dilation_w = window.dilation
    before_d, before_h, before_w = window.before
    out_d, out_h, out_w = window.out
    channels = gy.shape[4]
    blocks = (channels + block - 1) // block
    partial = np.empty(block, gw.dtype)
    for item in range(start, stop):
        low = item % blocks * block
        high = min(low + block, channels)
        kh = item // blocks % taps_h
        kd = item // blocks // taps_h
        gw[kd, kh, :, 0, low:high] = 0
        for n in range(x.shape[0]):
            for od in range(out_d):
                d = od * stride_d + kd * dilation_d - before_d
                if d < 0 or d >= depth:
                    continue
                for oh in range(out_h):
                    h = oh * stride_h + kh * dilation_h - before_h
                    if h < 0 or h >= height:
                        continue
                    for kw in range(taps_w):
                        first, last = _pixels(kw, stride_w, dilation_w, before_w, width, out_w)
                        shift = kw * dilation_w - before_w
                        # A sum for each row, and then their sum, as above.
                        partial[:] = 0
                        for ow in range(first, last):
                            x_pixel = x[n, d, h, ow * stride_w + shift, low:high]
                            gy_pixel = gy[n, od, oh, ow, low:high]
                            for c in range(high - low):
                                partial[c] += x_pixel[c] * gy_pixel[c]
                        for c in range(high - low):
                            gw[kd, kh, kw, 0, low + c] += partial[c]


def correlate_weight_gradient(x: Array, gy: Array, gw: Array, window: Window, groups: int) -> None:
    """Compute `gw` in place; all arrays are C-contiguous and of one dtype."""
    channels, outputs = x.shape[4], gy.shape[4]
    per_group = channels // groups
    taps_d, taps_h, taps_w = window.kernel
    nanoseconds = 2 * gy.size * per_group * window.taps / FLOP_PER_NANOSECOND
    if per_group == 1 and outputs == channels:
        block = DEPTHWISE_BLOCK_CHANNELS
        items = taps_d * taps_h * -(-channels // block)
        parallel_for(_depthwise_weight_gradient_blocks, items, x, gy, gw, window, block, nanoseconds=nanoseconds)
        return
    merged = groups == 1 and window.dilation[2] == 1
    run = taps_w * channels if merged else per_group
    columns = outputs // groups
    block = max(1, min(run, WEIGHT_BLOCK_ROWS, WEIGHT_BLOCK_BYTES // (columns * gw.itemsize)))
    items = taps_d * taps_h * (taps_w * per_group // run) * groups * -(-run // block)
    # (N, D, H, W, C) -> (N, D, H, W*C) and (KD, KH, KW, C//G, O) -> (KD, KH, KW*(C//G), O)
    parallel_for(
        _weight_gradient_blocks, items, x.reshape(*x.shape[:3], -1), gy,
        gw.reshape(taps_d, taps_h, -1, outputs), window, groups, run, block,
        nanoseconds=nanoseconds,
    )  # fmt: skip
