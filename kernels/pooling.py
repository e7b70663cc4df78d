"""Maximum and average pooling and their gradients, channels-last, over three spatial axes.

Maximum pooling is a matrix with a single 1 in each row: ``vec(y) = S vec(x)`` (sources 001 and 002). What is kept of
S is, for each output, the number of the tap that won, in the smallest unsigned integer type. With it

    max_pool_route   gx = S^T gy     each output gradient goes to the element that won; where windows overlap, add up
    max_pool_gather  y  = S x        the transpose of that, which the second derivative needs

Average pooling is linear as it stands: ``y = sum over taps in the input of x / divisor``.

Shapes::

    x, gx  (N, D, H, W, C)        y, gy, offset  (N, OD, OH, OW, C)

Taps are numbered row by row: tap ``(kd * KH + kh) * KW + kw``. All loops run along channels, which lie side by
side in memory. No loop here has a licence to assume that there are no NaN: in pooling they decide.
"""

import functools
from typing import Any

import numpy as np
from numba.core import config
from numpy.typing import NDArray

from . import maximum
from .arrays import by_memory, compute_dtype, contiguous, empty_apart
from .emitter import lanes
from .geometry import AXES, Window, check_windows_see
from .jit import kernel
from .places import channel_block
from .threads import parallel_for
from .transposition import channels_last

Array = NDArray[Any]

# Comparisons or additions that these loops do in a nanosecond on one core: only to tell small work from large.
ELEMENTS_PER_NANOSECOND = 2.0

# From such widths on, averages and their gradients are computed on planes, where channels come first in memory and are
# not few: rows that are shorter than some vectors cost more than bringing channels to the end.
PLANE_WIDTHS = (48, 512)


# ---------------------------------------------------------------- checks


def _check_shape(function: str, argument: str, array: Array, spatial: tuple[int, ...]) -> None:
    if array.ndim != 5 or array.shape[1:4] != spatial:
        raise ValueError(
            f"{function}: {argument} must have shape (N, {', '.join(map(str, spatial))}, C) for this window, "
            f"got {array.shape}"
        )


def _check_offset(function: str, offset: Array, shape: tuple[int, ...]) -> None:
    if offset.shape != shape:
        raise ValueError(f"{function}: offset must have shape {shape}, got {offset.shape}")
    if offset.dtype.kind != "u":
        raise TypeError(f"{function}: offset must be made of unsigned integers, got {offset.dtype}")


@functools.lru_cache(maxsize=256)
def offset_dtype(window: Window) -> np.dtype[Any]:
    """Return the smallest unsigned integer dtype that numbers the taps of `window`.

    Examples
    --------
    >>> offset_dtype(Window.of("pool", (16, 16), 16)), offset_dtype(Window.of("pool", (257,), 257))
    (dtype('uint8'), dtype('uint16'))
    """
    for candidate in (np.uint8, np.uint16, np.uint32):
        if window.taps - 1 <= np.iinfo(candidate).max:
            return np.dtype(candidate)
    raise ValueError(f"the window has {window.taps} taps, more than 2**32")


# ---------------------------------------------------------------- maximum pooling


@kernel
def _max_pool_rows(start: int, stop: int, x: Array, y: Array, offset: Array, window: Window, table: Array) -> None:
    """Compute the rows ``start <= row < stop`` of `y` and `offset`, row ``(n * OD + od) * OH + oh``, in place.

    Assumption: each window has at least one tap in the input.
    """
    depth, height, width = window.size
    stride_d, stride_h, stride_w = window.stride
    dilation_d, dilation_h, dilation_w = window.dilation
    before_d, before_h, before_w = window.before
    out_d, out_h, out_w = window.out
    channels = x.shape[4]
    for row in range(start, stop):
        oh = row % out_h
        od = row // out_h % out_d
        n = row // out_h // out_d
        for ow in range(out_w):
            largest = y[n, od, oh, ow]
            winner = offset[n, od, oh, ow]
            found = False
            for at in range(table.shape[0]):
                d = od * stride_d + table[at, 0] * dilation_d - before_d
                h = oh * stride_h + table[at, 1] * dilation_h - before_h
                w = ow * stride_w + table[at, 2] * dilation_w - before_w
                if d < 0 or d >= depth or h < 0 or h >= height or w < 0 or w >= width:
                    continue
                tap = table[at, 3]
                values = x[n, d, h, w]
                if not found:
                    found = True
                    for c in range(channels):
                        largest[c] = values[c]
                        winner[c] = tap
                    continue
                for c in range(channels):
                    value, old = values[c], largest[c]
                    # NaN wins, and of several the last one row by row; of equals, the first that was seen.
                    # Without branches and with both stores in any case, so that the loop becomes vector code.
                    wins = (value > old) | ((value != value) & ((old == old) | (tap > winner[c])))
                    largest[c] = value if wins else old
                    winner[c] = tap if wins else winner[c]


def max_pool(x: Array, window: Window, ties: str = "row") -> tuple[Array, Array]:
    """Return the largest element of each window, and which one it was.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides, read-only or not; floating-point or integer.
    window : Window
        Every window must see at least one element of the input.
    ties : {"row", "column"}
        Which of equal elements wins: the first one row by row (as in PyTorch), or the one in the smallest
        column, then the smallest row, then the smallest depth (source 002).

    Returns
    -------
    y : ndarray, shape (N, OD, OH, OW, C), dtype of `x`
        A NaN in a window wins. Padding never does, not even against negative infinity.
    offset : ndarray, shape (N, OD, OH, OW, C), the smallest unsigned dtype
        The number of the tap that won; of several NaN, the last one row by row.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If the shape does not fit the window, a window lies wholly in padding, or `ties` is unknown.

    Notes
    -----
    Cost ``N * OD*OH*OW * C * KD*KH*KW`` comparisons.
    """
    function = "max_pool"
    x = np.asarray(x)
    _check_shape(function, "x", x, window.size)
    check_windows_see(function, window)
    if ties not in ("row", "column"):
        raise ValueError(f'{function}: ties must be "row" or "column", got {ties!r}')
    # int64 would not keep the order of large uint64
    inner = np.dtype(np.uint64) if x.dtype.kind == "u" and x.dtype.itemsize == 8 else compute_dtype(x.dtype, function)
    shape = (x.shape[0], *window.out, x.shape[4])
    source = channels_last(x, inner)
    y, offset = empty_apart(shape, inner, source), empty_apart(shape, offset_dtype(window), source)
    if y.size:
        nanoseconds = y.size * window.taps / ELEMENTS_PER_NANOSECOND
        if inner.kind == "f" and not config.DISABLE_JIT:
            maximum.max_pool(source, y, offset, window, ties, nanoseconds)
        else:
            rows = shape[0] * shape[1] * shape[2]
            table = maximum.tap_table(window, ties)
            parallel_for(_max_pool_rows, rows, source, y, offset, window, table, nanoseconds=nanoseconds)
    return y.astype(x.dtype.newbyteorder("="), copy=False), offset


@kernel
def _route_blocks(
    start: int, stop: int, gy: Array, offset: Array, gx: Array, window: Window, taps: Array, channels: int, block: int
) -> None:
    """Compute the channel blocks ``start <= item < stop`` of `gx`, item ``n * blocks + b``; `gx` is modified in place.

    `gy`, `offset` and `gx`, which begins with zeros, are flat. Rows of `taps` are (kd, kh, kw, number). Windows are
    taken from the last to the first one, so that what meets in an element is added up in the order of the taps, as
    `maximum.route` does it.
    """
    depth, height, width = window.size
    taps_d, taps_h, taps_w = window.kernel
    stride_d, stride_h, stride_w = window.stride
    dilation_d, dilation_h, dilation_w = window.dilation
    before_d, before_h, before_w = window.before
    out_d, out_h, out_w = window.out
    blocks = (channels + block - 1) // block
    count = taps.shape[0]
    distances = np.empty(count, np.int64)
    for k in range(count):
        d, h, w = taps[k, 0] * dilation_d, taps[k, 1] * dilation_h, taps[k, 2] * dilation_w
        distances[k] = ((d * height + h) * width + w) * channels
    for item in range(start, stop):
        n, first = item // blocks, item % blocks * block
        last = min(first + block, channels)
        for od in range(out_d - 1, -1, -1):
            d0 = od * stride_d - before_d
            for oh in range(out_h - 1, -1, -1):
                h0 = oh * stride_h - before_h
                inside = d0 >= 0 and d0 + (taps_d - 1) * dilation_d < depth
                inside = inside and h0 >= 0 and h0 + (taps_h - 1) * dilation_h < height
                row, target = ((n * out_d + od) * out_h + oh) * out_w, ((n * depth + d0) * height + h0) * width
                for ow in range(out_w - 1, -1, -1):
                    w0 = ow * stride_w - before_w
                    whole = inside and w0 >= 0 and w0 + (taps_w - 1) * dilation_w < width
                    at, to = (row + ow) * channels, (target + w0) * channels
                    for c in range(first, last):
                        tap = np.int64(offset[at + c])
                        if tap >= count:
                            continue
                        if not whole:
                            d, h, w = (
                                d0 + taps[tap, 0] * dilation_d,
                                h0 + taps[tap, 1] * dilation_h,
                                w0 + taps[tap, 2] * dilation_w,
                            )
                            if d < 0 or d >= depth or h < 0 or h >= height or w < 0 or w >= width:
                                continue
                        gx[to + distances[tap] + c] += gy[at + c]


def max_pool_route(gy: Array, offset: Array, window: Window) -> Array:
    """Return the gradient of :func:`max_pool` with respect to `x`: ``gx = S^T gy``.

    Each element of `gy` goes to the element of `x` that won its window; where windows overlap they add up.

    Parameters
    ----------
    gy : ndarray, shape (N, OD, OH, OW, C)
        Any strides, read-only or not; floating-point or integer.
    offset : ndarray of unsigned integers, shape (N, OD, OH, OW, C)
        From :func:`max_pool` with the same window.
    window : Window

    Returns
    -------
    ndarray, shape (N, D, H, W, C), dtype of `gy`

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If shapes and window do not fit together.

    Notes
    -----
    Cost ``N * OD*OH*OW * C * KD*KH*KW`` comparisons, or, with few channels or many taps, one addition for each
    element of `gy`. Sums are taken tap by tap, and no two threads add to the same place.
    """
    function = "max_pool_route"
    gy, offset = np.asarray(gy), np.asarray(offset)
    _check_shape(function, "gy", gy, window.out)
    _check_offset(function, offset, gy.shape)
    inner = compute_dtype(gy.dtype, function)
    source = channels_last(gy, inner)
    gx = empty_apart((gy.shape[0], *window.size, gy.shape[4]), inner, source)
    if gx.size:
        winner, nanoseconds = (
            contiguous(offset, offset.dtype),
            (gy.size * window.taps + gx.size) / ELEMENTS_PER_NANOSECOND,
        )
        if maximum.serves_route(inner, offset.itemsize, window, gx.shape[4]):
            maximum.route(source, winner, gx, window, nanoseconds)
        else:
            block = channel_block(gx.shape[0], gx.shape[4])
            gx.fill(0)
            parallel_for(
                _route_blocks, gx.shape[0] * -(-gx.shape[4] // block), source.reshape(-1), winner.reshape(-1),
                gx.reshape(-1), window, maximum.tap_table(window, "row"), gx.shape[4], block, nanoseconds=nanoseconds,
            )  # fmt: skip
    return gx.astype(gy.dtype.newbyteorder("="), copy=False)


@kernel
def _gather_rows(start: int, stop: int, x: Array, offset: Array, y: Array, window: Window) -> None:
    """Compute the rows ``start <= row < stop`` of `y`, row ``(n * OD + od) * OH + oh``; `y` is modified in place.

    Looks at every tap in the input instead of computing the address of the one: that is vector code, and
    no value of `offset` can lead outside of `x`.
    """
    depth, height, width = window.size
    taps_d, taps_h, taps_w = window.kernel
    stride_d, stride_h, stride_w = window.stride
    dilation_d, dilation_h, dilation_w = window.dilation
    before_d, before_h, before_w = window.before
    out_d, out_h, out_w = window.out
    channels = x.shape[4]
    for row in range(start, stop):
        oh = row % out_h
        od = row // out_h % out_d
        n = row // out_h // out_d
        y[n, od, oh, :, :] = 0
        for kd in range(taps_d):
            d = od * stride_d + kd * dilation_d - before_d
            if d < 0 or d >= depth:
                continue
            for kh in range(taps_h):
                h = oh * stride_h + kh * dilation_h - before_h
                if h < 0 or h >= height:
                    continue
                for kw in range(taps_w):
                    tap = (kd * taps_h + kh) * taps_w + kw
                    for ow in range(out_w):
                        w = ow * stride_w + kw * dilation_w - before_w
                        if w < 0 or w >= width:
                            continue
                        target, source, winner = y[n, od, oh, ow], x[n, d, h, w], offset[n, od, oh, ow]
                        for c in range(channels):
                            # Both are loaded in any case, so that the choice is a blend of two vectors.
                            value, old = source[c], target[c]
                            target[c] = value if winner[c] == tap else old


def max_pool_gather(x: Array, offset: Array, window: Window) -> Array:
    """Return, for each window, the element of `x` that `offset` names: ``y = S x``, the transpose of the routing.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides, read-only or not; floating-point or integer.
    offset : ndarray of unsigned integers, shape (N, OD, OH, OW, C)
        From :func:`max_pool` with the same window.
    window : Window

    Returns
    -------
    ndarray, shape (N, OD, OH, OW, C), dtype of `x`

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If shapes and window do not fit together.
    """
    function = "max_pool_gather"
    x, offset = np.asarray(x), np.asarray(offset)
    _check_shape(function, "x", x, window.size)
    _check_offset(function, offset, (x.shape[0], *window.out, x.shape[4]))
    inner = compute_dtype(x.dtype, function)
    source = channels_last(x, inner)
    y = empty_apart(offset.shape, inner, source)
    if y.size:
        parallel_for(
            _gather_rows, y.shape[0] * y.shape[1] * y.shape[2], source,
            contiguous(offset, offset.dtype), y, window,
            nanoseconds=y.size * window.taps / ELEMENTS_PER_NANOSECOND,
        )  # fmt: skip
    return y.astype(x.dtype.newbyteorder("="), copy=False)


def max_pool_indices(offset: Array, window: Window) -> NDArray[np.int64]:
    """Return where each winner is: its flat index in the unpadded (D, H, W) plane of its image and channel.

    Parameters
    ----------
    offset : ndarray of unsigned integers, shape (N, OD, OH, OW, C)
        From :func:`max_pool` with the same window.
    window : Window

    Returns
    -------
    ndarray of int64, shape (N, OD, OH, OW, C)
        ``(d * H + h) * W + w``, as PyTorch's ``return_indices``.
    """
    offset = np.asarray(offset)
    _check_shape("max_pool_indices", "offset", offset, window.out)
    _check_offset("max_pool_indices", offset, offset.shape)
    _, height, width = window.size
    strides = (height * width, width, 1)
    taps = np.unravel_index(np.arange(window.taps, dtype=np.int64), window.kernel)
    of_tap = np.zeros(window.taps, np.int64)
    for axis in range(AXES):
        of_tap += taps[axis] * window.dilation[axis] * strides[axis]
    indices = of_tap[offset]
    for axis in range(AXES):
        starts = np.arange(window.out[axis], dtype=np.int64) * window.stride[axis] - window.before[axis]
        indices += (starts * strides[axis]).reshape(-1, *(1,) * (AXES - axis))
    return indices


# ---------------------------------------------------------------- average pooling


def check_divisor(divisor_override: Any) -> None:
    """Raise unless `divisor_override` is None or an integer that is not 0."""
    if divisor_override is not None:
        if isinstance(divisor_override, bool) or not isinstance(divisor_override, (int, np.integer)):
            raise TypeError(f"avg_pool: divisor_override must be an integer or None, got {divisor_override!r}")
        if divisor_override == 0:
            raise ValueError("avg_pool: divisor_override must not be 0")


def average_divisor(
    window: Window, count_include_pad: bool = True, divisor_override: int | None = None
) -> NDArray[np.float64]:
    """Return what the sum over each window is divided by.

    Parameters
    ----------
    window : Window
    count_include_pad : bool
        Count the taps in the padded input (those of a `ceil_mode` window that hang over its end do not count),
        or only those in the input.
    divisor_override : int, optional
        The divisor of every window.

    Returns
    -------
    ndarray of float64, shape (OD, OH, OW, 1)

    Raises
    ------
    TypeError
        If `divisor_override` is not an integer.
    ValueError
        If it is 0.

    Examples
    --------
    >>> window = Window.of("avg_pool1d", (7,), 2, 3, ceil_mode=True)
    >>> average_divisor(window).ravel()
    array([2., 2., 1.])
    >>> window = Window.of("avg_pool1d", (9,), 4, 4, 2, ceil_mode=True)
    >>> average_divisor(window).ravel(), average_divisor(window, count_include_pad=False).ravel()
    (array([4., 4., 4.]), array([2., 4., 3.]))
    """
    check_divisor(divisor_override)
    if divisor_override is not None:
        return np.full((*window.out, 1), float(divisor_override))
    counts = []
    for axis in range(AXES):
        starts = np.arange(window.out[axis]) * window.stride[axis] - window.before[axis]
        places = starts[:, None] + np.arange(window.kernel[axis]) * window.dilation[axis]  # (out, K)
        low, high = 0, window.size[axis]
        if count_include_pad:
            low, high = -window.before[axis], high + window.after[axis]
        counts.append(((places >= low) & (places < high)).sum(axis=1).astype(np.float64))
    depth, height, width = counts
    return depth[:, None, None, None] * height[:, None, None] * width[:, None]


@kernel
def _average_rows(
    start: int, stop: int, x: Array, y: Array, divisor: Array, starts: Array, places: Array, spans: Array,
    extents: Any, spread: bool,
) -> None:  # fmt: skip
    """Compute the rows ``start <= item < stop`` of `y`, row ``p * rows + r``; `y` is modified in place.

    `x`, `y` and `divisor` are flat. Row r is made of the rows ``places[starts[r]:starts[r + 1]]`` of `x`, which are
    added up first, whatever Q, as vectors of neighbours in memory. Then, for each tap ``(shift, low, high)`` of
    `spans` along the row, the windows from `low` to `high` take their element at ``ow * stride + shift`` of the sum;
    or, if `spread`, for the gradient, each adds its element there. `divisor` has an entry for each window.
    """
    rows, x_rows, width, x_width, stride, q = extents
    line = np.empty(x_width * q, x.dtype)
    p = start // rows
    r = start - p * rows
    for item in range(start, stop):
        total = y[item * width * q : (item + 1) * width * q]
        for i in range(total.size):
            total[i] = 0
        for i in range(line.size):
            line[i] = 0
        for k in range(starts[r], starts[r + 1]):
            first = (p * x_rows + places[k]) * x_width
            values = x[first * q : (first + x_width) * q]
            if not spread:
                for i in range(line.size):
                    line[i] += values[i]
                continue
            for ow in range(x_width):
                by = divisor[places[k] * x_width + ow]
                one, sums = values[ow * q : (ow + 1) * q], line[ow * q : (ow + 1) * q]
                for c in range(q):
                    sums[c] += one[c] / by
        for k in range(spans.shape[0]):
            shift, low, high = spans[k, 0], spans[k, 1], spans[k, 2]
            if q > 1:
                for ow in range(low, high):
                    here, there = ow * q, (ow * stride + shift) * q
                    if spread:
                        here, there = there, here
                    one, sums = line[there : there + q], total[here : here + q]
                    for c in range(q):
                        sums[c] += one[c]
            elif spread:
                source, target = line[low:high], total[low * stride + shift :]
                for i in range(source.size):
                    target[i * stride] += source[i]
            else:
                source, target = line[low * stride + shift :], total[low:high]
                for i in range(target.size):
                    target[i] += source[i * stride]
        if not spread:
            for ow in range(width):
                by, sums = divisor[r * width + ow], total[ow * q : (ow + 1) * q]
                for c in range(q):
                    sums[c] /= by
        r += 1
        if r == rows:
            p, r = p + 1, 0


@functools.lru_cache(maxsize=256)
def _average_tables(window: Window, spread: bool) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """`starts`, `places` and `spans` of `_average_rows`; never to be written."""
    inside = []
    for axis in range(AXES):
        starts = np.arange(window.out[axis]) * window.stride[axis] - window.before[axis]
        reads = starts[:, None] + np.arange(window.kernel[axis]) * window.dilation[axis]  # (out, K)
        inside.append((reads, (reads >= 0) & (reads < window.size[axis])))
    (reads_d, inside_d), (reads_h, inside_h), (reads_w, inside_w) = inside
    # Pairs of a row of windows and a row that it reads, over both axes.
    od, kd, oh, kh = np.nonzero(inside_d[:, :, None, None] & inside_h)
    windows, read = od * window.out[1] + oh, reads_d[od, kd] * window.size[1] + reads_h[oh, kh]
    to, places, rows = (read, windows, window.size) if spread else (windows, read, window.out)
    order = np.argsort(to, kind="stable")
    starts = np.searchsorted(to[order], np.arange(rows[0] * rows[1] + 1))
    spans = [
        (column[0], np.argmax(seen), np.argmax(seen) + seen.sum()) if seen.any() else (0, 0, 0)
        for column, seen in zip(reads_w.T, inside_w.T)
    ]
    return starts.astype(np.int64), places[order].astype(np.int64), np.array(spans, np.int64).reshape(-1, 3)


@functools.lru_cache(maxsize=256)
def _divisor(window: Window, count_include_pad: bool, divisor_override: int | None, dtype: np.dtype[Any]) -> Array:
    """`average_divisor` as the loops take it: flat, never to be written."""
    return average_divisor(window, count_include_pad, divisor_override).astype(dtype).ravel()


def _average(function: str, array: Array, window: Window, spread: bool, settings: tuple[bool, int | None]) -> Array:
    """Averages of `array`, or their gradient if `spread`, as it lies in memory: channels last or first."""
    inner = compute_dtype(array.dtype, function, integers=False)
    size, to = (window.out, window.size) if spread else (window.size, window.out)
    batch, channels = array.shape[0], array.shape[4]
    laid, first = by_memory(array)
    if first == 2 and channels >= lanes(inner.itemsize) and window.size[2] < PLANE_WIDTHS[spread]:
        laid, first = channels_last(array, inner), 1
    source = contiguous(laid, inner)
    result = empty_apart((batch, *to, channels) if first == 1 else (batch, channels, *to), inner, source)
    if result.size:
        planes, q = (batch, channels) if first == 1 else (batch * channels, 1)
        extents = (to[0] * to[1], size[0] * size[1], to[2], size[2], window.stride[2], q)
        parallel_for(
            _average_rows, planes * extents[0], source.reshape(-1), result.reshape(-1),
            _divisor(window, *settings, inner), *_average_tables(window, spread), extents, spread,
            nanoseconds=(source.size + result.size) / ELEMENTS_PER_NANOSECOND,
        )  # fmt: skip
    result = result.astype(array.dtype.newbyteorder("="), copy=False)
    return result if first == 1 else np.moveaxis(result, 1, 4)


def avg_pool(x: Array, window: Window, count_include_pad: bool = True, divisor_override: int | None = None) -> Array:
    """Return the average of each window.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides, read-only or not; floating-point.
    window : Window
        Every window must see at least one element of the input.
    count_include_pad, divisor_override
        As in :func:`average_divisor`.

    Returns
    -------
    ndarray, shape (N, OD, OH, OW, C), dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not floating-point, or `divisor_override` not an integer.
    ValueError
        If the shape does not fit the window, a window lies wholly in padding, or `divisor_override` is 0.

    Notes
    -----
    Cost ``N * OD*OH*OW * C * KD*KH*KW`` additions.
    """
    function = "avg_pool"
    x = np.asarray(x)
    _check_shape(function, "x", x, window.size)
    check_windows_see(function, window)
    check_divisor(divisor_override)
    settings = (bool(count_include_pad), divisor_override)
    return _average(function, x, window, False, settings)


def avg_pool_input_gradient(
    gy: Array, window: Window, count_include_pad: bool = True, divisor_override: int | None = None
) -> Array:
    """Return the gradient of :func:`avg_pool` with respect to `x`: ``gx = M * upsample(gy)`` (source 001).

    Each element of `gy`, divided by the divisor of its window, goes to all elements of the window.

    Parameters
    ----------
    gy : ndarray, shape (N, OD, OH, OW, C)
        Any strides, read-only or not; floating-point.
    window : Window
    count_include_pad, divisor_override
        As in :func:`average_divisor`.

    Returns
    -------
    ndarray, shape (N, D, H, W, C), dtype of `gy`

    Raises
    ------
    TypeError
        If `gy` is not floating-point, or `divisor_override` not an integer.
    ValueError
        If the shape does not fit the window, or `divisor_override` is 0.

    Notes
    -----
    Cost ``N * OD*OH*OW * C * KD*KH*KW`` additions. Every element of the result collects its own sum, tap by tap.
    """
    function = "avg_pool_input_gradient"
    gy = np.asarray(gy)
    _check_shape(function, "gy", gy, window.out)
    check_divisor(divisor_override)
    settings = (bool(count_include_pad), divisor_override)
    return _average(function, gy, window, True, settings)
