"""Correlation and its two gradients, channels-last, over three spatial axes.

The three functions are bilinear, and the derivatives of each are the other two: with them convolution, transposed
convolution and their derivatives of every order are complete.

    y[n,i,o]   =  b[o] + sum over u, c of  x[n, i*S + u*D - P, c] * w[u,c,o]
    gx[n,h,c]  =  sum over u, o with h = i*S + u*D - P of  gy[n,i,o] * w[u,c,o]
    gw[u,c,o]  =  sum over n, i of  x[n, i*S + u*D - P, c] * gy[n,i,o]

where ``i``, ``u``, ``h`` have three components each (depth, height, width), and elements of ``x`` outside the
array are padding, which contributes exactly 0: it is never read and never multiplied. With groups, ``c`` counts
the ``C // G`` channels of the group that the output channel belongs to, which is ``o // (O // G)``.

Shapes::

    x, gx  (N, D, H, W, C)        w, gw  (KD, KH, KW, C // G, O)
    y, gy  (N, OD, OH, OW, O)     bias   (O,)

Each public function has a serial loop over independent outputs: rows of ``y``, rows of ``gx``, and blocks of
``gw``. Correlation and input gradient share their innermost part, :func:`_add_row_products`: the product of a
row of pixels and the matrix of one tap, added to another row of pixels; they differ only in which row steps by
the stride, and in whether the matrix is transposed. Innermost loops run along channels, which lie side by side
in memory, and take four products at a time to every load and store of what they add to.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import compute_dtype, contiguous
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


# ---------------------------------------------------------------- checks


def _check_shape(function: str, argument: str, array: Array, shape: tuple[int, ...], rule: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{function}: {argument} must have shape {rule} = {shape}, got {array.shape}")


def _check_groups(function: str, channels: int, outputs: int, groups: int) -> None:
    if groups < 1 or channels % groups or outputs % groups:
        raise ValueError(
            f"{function}: groups must be at least 1 and divide both channel counts, "
            f"got groups {groups}, C {channels}, O {outputs}"
        )


def _check_rank(function: str, **arrays: Array) -> None:
    for argument, array in arrays.items():
        if array.ndim != 5:
            raise ValueError(f"{function}: {argument} must have 5 axes, got shape {array.shape}")


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


def correlate(x: Array, w: Array, bias: Array | None, window: Window, groups: int = 1) -> Array:
    """Correlate `x` with `w`: what deep-learning libraries call a convolution.

    ``y[n,i,o] = bias[o] + sum over u, c of xpad[n, i*S + u*D, c] * w[u,c,o]``

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides, read-only or not; floating-point or integer.
    w : ndarray, shape (KD, KH, KW, C // G, O)
    bias : ndarray, shape (O,), or None
    window : Window
    groups : int
        ``G``, which divides ``C`` and ``O``.

    Returns
    -------
    ndarray, shape (N, OD, OH, OW, O)
        Fresh, C-contiguous, of the dtype that NumPy promotes the arguments to.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If shapes, window and groups do not fit together.

    Notes
    -----
    Cost ``2 * N * OD*OH*OW * O * (C // G) * KD*KH*KW`` flop.
    """
    function = "correlate"
    _check_rank(function, x=x, w=w)
    outputs = w.shape[4]
    _check_groups(function, x.shape[4], outputs, groups)
    _check_shape(function, "x", x, (x.shape[0], *window.size, x.shape[4]), "(N, D, H, W, C)")
    _check_shape(function, "w", w, (*window.kernel, x.shape[4] // groups, outputs), "(KD, KH, KW, C // groups, O)")
    dtype = np.result_type(x, w)
    if bias is not None:
        _check_shape(function, "bias", bias, (outputs,), "(O,)")
        dtype = np.result_type(dtype, bias)
    inner = compute_dtype(dtype, function)
    y = np.empty((x.shape[0], *window.out, outputs), inner)
    if y.size:
        start = np.zeros(outputs, inner) if bias is None else contiguous(bias, inner)
        rows = x.shape[0] * window.out[0] * window.out[1]
        nanoseconds = 2 * y.size * w.shape[3] * window.taps / FLOP_PER_NANOSECOND
        parallel_for(
            _correlate_rows, rows, contiguous(x, inner), contiguous(w, inner), start, y, window, groups,
            nanoseconds=nanoseconds,
        )  # fmt: skip
    return y.astype(dtype, copy=False)


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


def correlate_input_gradient(gy: Array, w: Array, window: Window, groups: int = 1) -> Array:
    """Return the gradient of ``correlate(x, w)`` with respect to `x`: also, transposed convolution.

    ``gx[n,h,c] = sum over u, o of gy[n,i,o] * w[u,c,o]`` with ``i = (h + P - u*D) / S``, where that is whole and
    in range: ``padpad(gy)`` correlated with the rotated, transposed kernel (source 001), without its zeros.

    Parameters
    ----------
    gy : ndarray, shape (N, OD, OH, OW, O)
        Any strides, read-only or not; floating-point or integer.
    w : ndarray, shape (KD, KH, KW, C // G, O)
    window : Window
    groups : int
        ``G``, which divides ``O``; there are ``G * w.shape[3]`` input channels.

    Returns
    -------
    ndarray, shape (N, D, H, W, C)
        Fresh, C-contiguous; exactly 0 where no window reads.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If shapes, window and groups do not fit together.

    Notes
    -----
    Cost ``2 * N * OD*OH*OW * O * (C // G) * KD*KH*KW`` flop, less what falls into the padding.
    """
    function = "correlate_input_gradient"
    _check_rank(function, gy=gy, w=w)
    per_group, outputs = w.shape[3:]
    _check_groups(function, per_group * groups, outputs, groups)
    _check_shape(function, "gy", gy, (gy.shape[0], *window.out, outputs), "(N, OD, OH, OW, O)")
    _check_shape(function, "w", w, (*window.kernel, per_group, outputs), "(KD, KH, KW, C // groups, O)")
    dtype = np.result_type(gy, w)
    inner = compute_dtype(dtype, function)
    channels = per_group * groups
    gx = np.empty((gy.shape[0], *window.size, channels), inner)
    if gx.size:
        per_output = outputs // groups
        dots = per_group <= DOT_CHANNELS and per_output > DOT_CHANNELS
        matrices = contiguous(w, inner)
        if not dots:
            # (KD, KH, KW, C//G, G, O//G) -> (KD, KH, KW, O//G, G, C//G): each group's matrix transposed
            matrices = matrices.reshape(*window.kernel, per_group, groups, per_output).swapaxes(3, 5)
            matrices = contiguous(matrices, inner).reshape(*window.kernel, per_output, channels)
        rows = gy.shape[0] * window.size[0] * window.size[1]
        nanoseconds = 2 * gy.size * per_group * window.taps / FLOP_PER_NANOSECOND
        parallel_for(
            _input_gradient_rows, rows, contiguous(gy, inner), matrices, gx, window, groups, dots,
            nanoseconds=nanoseconds + gx.nbytes / BYTES_PER_NANOSECOND,
        )  # fmt: skip
    return gx.astype(dtype, copy=False)


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


def correlate_weight_gradient(x: Array, gy: Array, window: Window, groups: int = 1) -> Array:
    """Return the gradient of ``correlate(x, w)`` with respect to `w`: the input correlated with the output gradient.

    ``gw[u,c,o] = sum over n, i of xpad[n, i*S + u*D, c] * gy[n,i,o]``

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides, read-only or not; floating-point or integer.
    gy : ndarray, shape (N, OD, OH, OW, O)
    window : Window
    groups : int
        ``G``, which divides ``C`` and ``O``.

    Returns
    -------
    ndarray, shape (KD, KH, KW, C // G, O)
        Fresh, C-contiguous.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If shapes, window and groups do not fit together.

    Notes
    -----
    Cost ``2 * N * OD*OH*OW * O * (C // G) * KD*KH*KW`` flop. Work is split by elements of the result, never by
    the batch, so that no two threads add to the same place.
    """
    function = "correlate_weight_gradient"
    _check_rank(function, x=x, gy=gy)
    batch, channels, outputs = x.shape[0], x.shape[4], gy.shape[4]
    _check_groups(function, channels, outputs, groups)
    _check_shape(function, "x", x, (batch, *window.size, channels), "(N, D, H, W, C)")
    _check_shape(function, "gy", gy, (batch, *window.out, outputs), "(N, OD, OH, OW, O)")
    dtype = np.result_type(x, gy)
    inner = compute_dtype(dtype, function)
    per_group = channels // groups
    gw = np.zeros((*window.kernel, per_group, outputs), inner)
    if gw.size and x.size and gy.size:
        taps_d, taps_h, taps_w = window.kernel
        nanoseconds = 2 * gy.size * per_group * window.taps / FLOP_PER_NANOSECOND
        x, gy = contiguous(x, inner), contiguous(gy, inner)
        if per_group == 1 and outputs == channels:
            block = DEPTHWISE_BLOCK_CHANNELS
            items = taps_d * taps_h * -(-channels // block)
            parallel_for(_depthwise_weight_gradient_blocks, items, x, gy, gw, window, block, nanoseconds=nanoseconds)
        else:
            merged = groups == 1 and window.dilation[2] == 1
            run = taps_w * channels if merged else per_group
            columns = outputs // groups
            block = max(1, min(run, WEIGHT_BLOCK_ROWS, WEIGHT_BLOCK_BYTES // (columns * inner.itemsize)))
            items = taps_d * taps_h * (taps_w * per_group // run) * groups * -(-run // block)
            # (N, D, H, W, C) -> (N, D, H, W*C) and (KD, KH, KW, C//G, O) -> (KD, KH, KW*(C//G), O)
            parallel_for(
                _weight_gradient_blocks, items, x.reshape(*x.shape[:3], -1), gy,
                gw.reshape(taps_d, taps_h, -1, outputs), window, groups, run, block,
                nanoseconds=nanoseconds,
            )  # fmt: skip
    return gw.astype(dtype, copy=False)


# ---------------------------------------------------------------- bias gradient


@kernel(fastmath=SUM_FLAGS)
def _column_sums(start: int, stop: int, rows: Array, total: Array, block: int) -> None:
    """Add up the columns ``start <= o < stop`` of `rows` (R, O) into `total` (O,), `block` rows at a time."""
    count = rows.shape[0]
    partial = np.empty(stop - start, total.dtype)
    total[start:stop] = 0
    for first in range(0, count, block):
        partial[:] = 0
        for row in range(first, min(first + block, count)):
            values = rows[row, start:stop]
            for o in range(stop - start):
                partial[o] += values[o]
        for o in range(stop - start):
            total[start + o] += partial[o]


def bias_gradient(gy: Array) -> Array:
    """Return the gradient of ``correlate(x, w, bias)`` with respect to `bias`: the sum of `gy` but for channels.

    Source 003 divides it by the batch size: that belongs to a loss which is a mean, not here.

    Parameters
    ----------
    gy : ndarray, shape (..., O)
        Any strides, read-only or not; floating-point or integer.

    Returns
    -------
    ndarray, shape (O,)

    Notes
    -----
    Rows are added in blocks of about the square root of their count, in an order that depends on the shape
    only: the rounding error of n terms grows with the square root of n, not with n.
    """
    dtype = np.asarray(gy).dtype.newbyteorder("=")
    inner = compute_dtype(dtype, "bias_gradient")
    outputs = gy.shape[-1]
    total = np.zeros(outputs, inner)
    if gy.size:
        rows = contiguous(gy, inner).reshape(-1, outputs)  # (..., O) -> (R, O)
        block = max(16, int(rows.shape[0] ** 0.5))
        parallel_for(_column_sums, outputs, rows, total, block, nanoseconds=rows.nbytes / BYTES_PER_NANOSECOND)
    return total.astype(dtype, copy=False)
