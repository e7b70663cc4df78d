"""im2col and col2im: windows as columns of a matrix, and the sum of what folds onto the same place (source 000).

    unfold_windows   cols[l, u]  =  xpad[l * S + u * D - P]
    fold_windows     x[h]        =  sum over l, u with h = l * S + u * D - P of  cols[l, u]

where window ``l``, tap ``u`` and place ``h`` have three components each. The two are each other's transpose. Both
gather: every element of the result collects what belongs to it, tap by tap.

Arrays are (P, D, H, W, Q) and their columns either (P, taps, windows, Q) or (P, windows, taps, Q). Channels-first data
has planes ``P = N * C`` and ``Q = 1``, channels-last data ``P = N`` and ``Q = C``. The loops see flat memory and two
steps, from tap to tap and from window to window, so that one pair of them serves both.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import compute_dtype, contiguous
from .geometry import Window
from .jit import kernel
from .threads import parallel_for

Array = NDArray[Any]

# Elements that these loops move in a nanosecond on one core: only to tell small work from large.
ELEMENTS_PER_NANOSECOND = 1.0


@kernel
def _overlap(kw: int, stride: int, dilation: int, before: int, size: int, out: int) -> tuple[int, int]:
    """Return the range of windows along one axis whose tap `kw` lies in the input: 0 <= ow*S + kw*D - P < size."""
    shift = kw * dilation - before
    first = 0
    if shift < 0:
        first = min((-shift + stride - 1) // stride, out)
    last = 0
    if size > shift:
        last = min((size - shift - 1) // stride + 1, out)
    return first, max(first, last)


@kernel
def _unfold_rows(
    start: int, stop: int, x: Array, cols: Array, window: Window, depth_of_place: int, tap_step: int, window_step: int
) -> None:
    """Fill the windows of the rows ``start <= row < stop``, row ``(p * OD + od) * OH + oh``; `cols` is modified.

    `x` and `cols` are flat; ``depth_of_place`` is Q.
    """
    depth, height, width = window.size
    taps_d, taps_h, taps_w = window.kernel
    stride_d, stride_h, stride_w = window.stride
    dilation_d, dilation_h, dilation_w = window.dilation
    before_d, before_h, before_w = window.before
    out_d, out_h, out_w = window.out
    q = depth_of_place
    plane = taps_d * taps_h * taps_w * out_d * out_h * out_w * q
    for row in range(start, stop):
        oh = row % out_h
        od = row // out_h % out_d
        p = row // out_h // out_d
        base = p * plane + (od * out_h + oh) * out_w * window_step
        for kd in range(taps_d):
            d = od * stride_d + kd * dilation_d - before_d
            for kh in range(taps_h):
                h = oh * stride_h + kh * dilation_h - before_h
                inside = d >= 0 and d < depth and h >= 0 and h < height
                source = ((p * depth + d) * height + h) * width * q
                for kw in range(taps_w):
                    to = base + ((kd * taps_h + kh) * taps_w + kw) * tap_step
                    first, last = 0, 0
                    if inside:
                        first, last = _overlap(kw, stride_w, dilation_w, before_w, width, out_w)
                    at = source + (kw * dilation_w - before_w) * q
                    if q == 1:
                        for ow in range(first):
                            cols[to + ow * window_step] = 0
                        if stride_w == 1 and window_step == 1:  # both side by side: a copy
                            for ow in range(first, last):
                                cols[to + ow] = x[at + ow]
                        else:
                            for ow in range(first, last):
                                cols[to + ow * window_step] = x[at + ow * stride_w]
                        for ow in range(last, out_w):
                            cols[to + ow * window_step] = 0
                    else:
                        for ow in range(out_w):
                            there = to + ow * window_step
                            if ow < first or ow >= last:
                                for c in range(q):
                                    cols[there + c] = 0
                            else:
                                here = at + ow * stride_w * q
                                for c in range(q):
                                    cols[there + c] = x[here + c]


@kernel
def _fold_rows(
    start: int, stop: int, cols: Array, x: Array, window: Window, depth_of_place: int, tap_step: int, window_step: int
) -> None:
    """Sum up the rows ``start <= row < stop``, row ``(p * D + d) * H + h``; `x` is modified in place.

    `x` and `cols` are flat; ``depth_of_place`` is Q.
    """
    depth, height, width = window.size
    taps_d, taps_h, taps_w = window.kernel
    stride_d, stride_h, stride_w = window.stride
    dilation_d, dilation_h, dilation_w = window.dilation
    before_d, before_h, before_w = window.before
    out_d, out_h, out_w = window.out
    q = depth_of_place
    plane = taps_d * taps_h * taps_w * out_d * out_h * out_w * q
    for row in range(start, stop):
        h = row % height
        d = row // height % depth
        p = row // height // depth
        target = row * width * q
        for w in range(width * q):
            x[target + w] = 0
        for kd in range(taps_d):
            steps_d = d + before_d - kd * dilation_d
            od = steps_d // stride_d
            if steps_d < 0 or steps_d % stride_d != 0 or od >= out_d:
                continue
            for kh in range(taps_h):
                steps_h = h + before_h - kh * dilation_h
                oh = steps_h // stride_h
                if steps_h < 0 or steps_h % stride_h != 0 or oh >= out_h:
                    continue
                base = p * plane + (od * out_h + oh) * out_w * window_step
                for kw in range(taps_w):
                    source = base + ((kd * taps_h + kh) * taps_w + kw) * tap_step
                    first, last = _overlap(kw, stride_w, dilation_w, before_w, width, out_w)
                    at = target + (kw * dilation_w - before_w) * q
                    if q == 1 and stride_w == 1 and window_step == 1:
                        for ow in range(first, last):
                            x[at + ow] += cols[source + ow]
                    else:
                        for ow in range(first, last):
                            here, there = source + ow * window_step, at + ow * stride_w * q
                            for c in range(q):
                                x[there + c] += cols[here + c]


def _steps(window: Window, q: int, taps_first: bool) -> tuple[int, int]:
    """Return the steps, in flat columns, from tap to tap and from window to window."""
    windows = window.out[0] * window.out[1] * window.out[2]
    return (windows * q, q) if taps_first else (q, window.taps * q)


def unfold_windows(x: Array, window: Window, taps_first: bool) -> Array:
    """Return the elements of each window, zeros where it reads padding.

    Parameters
    ----------
    x : ndarray, shape (P, D, H, W, Q)
        Any strides, read-only or not; floating-point or integer.
    window : Window
    taps_first : bool
        The order of the axes of the result.

    Returns
    -------
    ndarray, shape (P, taps, OD * OH * OW, Q) or (P, OD * OH * OW, taps, Q), dtype of `x`

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If the shape does not fit the window.

    Notes
    -----
    Cost: one copy for each element of the result, which is ``taps`` times as large as the input with stride 1.
    """
    function = "unfold_windows"
    x = np.asarray(x)
    if x.ndim != 5 or x.shape[1:4] != window.size:
        raise ValueError(f"{function}: x must have shape (P, {', '.join(map(str, window.size))}, Q), got {x.shape}")
    inner = compute_dtype(x.dtype, function)
    planes, q = x.shape[0], x.shape[4]
    windows = window.out[0] * window.out[1] * window.out[2]
    middle = (window.taps, windows) if taps_first else (windows, window.taps)
    cols = np.empty((planes, *middle, q), inner)
    if cols.size:
        parallel_for(
            _unfold_rows, planes * window.out[0] * window.out[1], contiguous(x, inner).reshape(-1), cols.reshape(-1),
            window, q, *_steps(window, q, taps_first),
            nanoseconds=cols.size / ELEMENTS_PER_NANOSECOND,
        )  # fmt: skip
    return cols.astype(x.dtype.newbyteorder("="), copy=False)


def fold_windows(cols: Array, window: Window, taps_first: bool) -> Array:
    """Return the sum, at each place of the input, of the elements of all windows that lie there.

    Parameters
    ----------
    cols : ndarray, shape (P, taps, OD * OH * OW, Q) or, without `taps_first`, (P, OD * OH * OW, taps, Q)
        Any strides, read-only or not; floating-point or integer.
    window : Window
    taps_first : bool
        The order of the axes of `cols`.

    Returns
    -------
    ndarray, shape (P, D, H, W, Q), dtype of `cols`
        Exactly 0 where no window lies.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If the shape does not fit the window.

    Notes
    -----
    Cost: one addition for each element of `cols`.
    """
    function = "fold_windows"
    cols = np.asarray(cols)
    windows = window.out[0] * window.out[1] * window.out[2]
    middle = (window.taps, windows) if taps_first else (windows, window.taps)
    if cols.ndim != 4 or cols.shape[1:3] != middle:
        raise ValueError(f"{function}: cols must have shape (P, {middle[0]}, {middle[1]}, Q), got {cols.shape}")
    inner = compute_dtype(cols.dtype, function)
    planes, q = cols.shape[0], cols.shape[3]
    x = np.empty((planes, *window.size, q), inner)
    if x.size:
        parallel_for(
            _fold_rows, planes * window.size[0] * window.size[1], contiguous(cols, inner).reshape(-1), x.reshape(-1),
            window, q, *_steps(window, q, taps_first),
            nanoseconds=(cols.size + x.size) / ELEMENTS_PER_NANOSECOND,
        )  # fmt: skip
    return x.astype(cols.dtype.newbyteorder("="), copy=False)
