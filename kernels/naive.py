"""The textbook loops: what the sources derive, as a reader of them would write it down.

Nothing here is fast, and nothing is clever: plain loops over plain indices, one for each letter of the formula.
It is what the compiled kernels are compared with, in tests and in benchmarks. Everything is two-dimensional:
images are ``(N, C, H, W)`` and kernels ``(O, C // G, KH, KW)``.

"Source 001" is number 001 of the five documents that this project reproduces. Where one of them errs, the right
formula is here and the docstring says what was wrong.

Parameters that occur everywhere: `stride`, `padding`, `dilation` and `kernel` are what
:meth:`.geometry.Window.of` takes, one integer or one for each axis (padding also as pairs (before, after),
``"same"`` or ``"valid"``). Results have the dtype of the arrays. Errors are those of :mod:`.geometry`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry import Window, check_pool_padding, input_gradient_padding

Array = NDArray[Any]


def _inside(h: int, w: int, window: Window) -> bool:
    """Return whether (h, w) is in the input, and not in the padding."""
    return 0 <= h < window.size[1] and 0 <= w < window.size[2]


def _place(i: int, j: int, u: int, v: int, window: Window) -> tuple[int, int]:
    """Return the input element that output (i, j) reads with tap (u, v): ``i*S + u*D - P`` on each axis."""
    return (
        i * window.stride[1] + u * window.dilation[1] - window.before[1],
        j * window.stride[2] + v * window.dilation[2] - window.before[2],
    )


def _grid(extents: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield all indices of an array of this shape, row by row."""
    yield from np.ndindex(*extents)


# ---------------------------------------------------------------- correlation


def correlate2d(
    x: Array,
    w: Array,
    b: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Return ``y[n,o,i,j] = b[o] + sum over c,u,v of w[o,c,u,v] * xpad[n, c, i*S + u*D, j*S + v*D]``.

    The convolution of all five sources (deep learning's convolution is what mathematics calls correlation).

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    w : ndarray, shape (O, C // G, KH, KW)
    b : ndarray, shape (O,), or None

    Returns
    -------
    ndarray, shape (N, O, OH, OW)
        ``OH = floor((H + P_top + P_bottom - extent) / S) + 1``. (Source 001 has the kernel's height in the
        formula of the width, too.)
    """
    window = Window.of("correlate2d", x.shape[2:], w.shape[2:], stride, padding, dilation)
    outputs, channels, kh, kw = w.shape
    _, oh, ow = window.out
    y = np.zeros((x.shape[0], outputs, oh, ow), np.result_type(x, w))
    for n, o, i, j in _grid(y.shape):
        total = y.dtype.type(0 if b is None else b[o])
        first = o // (outputs // groups) * channels  # the first channel of o's group
        for c, u, v in _grid((channels, kh, kw)):
            h, k = _place(i, j, u, v, window)
            if _inside(h, k, window):
                total += w[o, c, u, v] * x[n, first + c, h, k]
        y[n, o, i, j] = total
    return y


def input_gradient(
    gy: Array,
    w: Array,
    sizes: tuple[int, int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Return the gradient with respect to `x`, in gather form.

    ``gx[n,c,h,k] = sum over o,u,v of w[o,c,u,v] * gy[n, o, (h + P - u*D) / S, (k + P - v*D) / S]``, over the taps
    for which both divisions leave no remainder and their results are outputs.

    Parameters
    ----------
    gy : ndarray, shape (N, O, OH, OW)
    w : ndarray, shape (O, C // G, KH, KW)
    sizes : (H, W)
        The input's, which `gy` alone does not determine if the stride leaves a remainder.

    Returns
    -------
    ndarray, shape (N, C, H, W)
    """
    window = Window.of("input_gradient", sizes, w.shape[2:], stride, padding, dilation)
    outputs, channels, kh, kw = w.shape
    _, oh, ow = window.out
    gx = np.zeros((gy.shape[0], channels * groups, *sizes), np.result_type(gy, w))
    for n, c, h, k in _grid(gx.shape):
        group = c // channels
        for o, u, v in _grid((outputs // groups, kh, kw)):
            i, left_i = divmod(h + window.before[1] - u * window.dilation[1], window.stride[1])
            j, left_j = divmod(k + window.before[2] - v * window.dilation[2], window.stride[2])
            if left_i == 0 and left_j == 0 and 0 <= i < oh and 0 <= j < ow:
                of_group = group * (outputs // groups) + o
                gx[n, c, h, k] += w[of_group, c % channels, u, v] * gy[n, of_group, i, j]
    return gx


def weight_gradient(
    x: Array,
    gy: Array,
    kernel: tuple[int, int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Return the gradient with respect to `w`: the input correlated with the gradient of the output.

    ``gw[o,c,u,v] = sum over n,i,j of xpad[n, c, i*S + u*D, j*S + v*D] * gy[n,o,i,j]`` (sources 000, 003, 004).

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    gy : ndarray, shape (N, O, OH, OW)
    kernel : (KH, KW)

    Returns
    -------
    ndarray, shape (O, C // G, KH, KW)
    """
    window = Window.of("weight_gradient", x.shape[2:], kernel, stride, padding, dilation)
    outputs, channels = gy.shape[1], x.shape[1] // groups
    gw = np.zeros((outputs, channels, *kernel), np.result_type(x, gy))
    for o, c, u, v in _grid(gw.shape):
        first = o // (outputs // groups) * channels
        for n, i, j in _grid((gy.shape[0], *window.out[1:])):
            h, k = _place(i, j, u, v, window)
            if _inside(h, k, window):
                gw[o, c, u, v] += x[n, first + c, h, k] * gy[n, o, i, j]
    return gw


def bias_gradient(gy: Array) -> Array:
    """Return ``gb[o] = sum over n,i,j of gy[n,o,i,j]``, shape (O,).

    Source 003 divides by the batch: that belongs to a loss which is a mean over it.
    """
    gb = np.zeros(gy.shape[1], gy.dtype)
    for n, o, i, j in _grid(gy.shape):
        gb[o] += gy[n, o, i, j]
    return gb


# ---------------------------------------------------------------- padpad: source 001


def _outer_padding(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the outer padding of the input gradient, ((top, bottom), (left, right))."""
    top, left = (
        input_gradient_padding(
            window.size[axis],
            window.kernel[axis],
            window.stride[axis],
            window.before[axis],
            window.after[axis],
            window.dilation[axis],
        )
        for axis in (1, 2)
    )
    return top, left


def padpad(gy: Array, stride: tuple[int, int], outer: tuple[tuple[int, int], tuple[int, int]]) -> Array:
    """Pad inside and outside: ``S - 1`` zeros between neighbours, `outer` zeros around them (source 001).

    Parameters
    ----------
    gy : ndarray, shape (N, O, OH, OW)
    stride : (S_h, S_w)
    outer : ((top, bottom), (left, right))
        Negative numbers crop.

    Returns
    -------
    ndarray, shape (N, O, (OH-1)*S_h + 1 + top + bottom, (OW-1)*S_w + 1 + left + right)

    Examples
    --------
    >>> padpad(np.array([[[[1, 2]]]]), (1, 2), ((0, 1), (1, -1)))[0, 0]
    array([[0, 1, 0],
           [0, 0, 0]])
    """
    (top, bottom), (left, right) = outer
    batch, outputs, oh, ow = gy.shape
    height = (oh - 1) * stride[0] + 1 + top + bottom
    width = (ow - 1) * stride[1] + 1 + left + right
    padded = np.zeros((batch, outputs, height, width), gy.dtype)
    for n, o, i, j in _grid(gy.shape):
        h, k = i * stride[0] + top, j * stride[1] + left
        if 0 <= h < height and 0 <= k < width:
            padded[n, o, h, k] = gy[n, o, i, j]
    return padded


def rot180(a: Array) -> Array:
    """Return `a` (..., H, W) turned by 180 degrees: both spatial axes reversed."""
    return a[..., ::-1, ::-1].copy()


def rot180_transposed(w: Array) -> Array:
    """Return `w` (O, C, KH, KW) turned by 180 degrees and with its first two axes exchanged: (C, O, KH, KW).

    The ``rot180 trans(W)`` of source 001: ``result[c,o,u,v] = w[o, c, KH-1-u, KW-1-v]``.

    Examples
    --------
    >>> rot180_transposed(np.array([[[[1, 2], [3, 4]]]]))[0, 0]
    array([[4, 3],
           [2, 1]])
    """
    outputs, channels, kh, kw = w.shape
    turned = np.zeros((channels, outputs, kh, kw), w.dtype)
    for c, o, u, v in _grid(turned.shape):
        turned[c, o, u, v] = w[o, c, kh - 1 - u, kw - 1 - v]
    return turned


def input_gradient_padpad(
    gy: Array, w: Array, sizes: tuple[int, int], stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> Array:
    """Return the gradient with respect to `x` as source 001 does: ``padpad(gy)`` correlated with ``rot180 trans(w)``.

    The same as :func:`input_gradient`, for one group.

    Parameters
    ----------
    gy : ndarray, shape (N, O, OH, OW)
    w : ndarray, shape (O, C, KH, KW)
    sizes : (H, W)
        The input's.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Notes
    -----
    Source 001 pads ``K - 1 - P`` on both sides. That leaves out the dilation, and the rows at the end which the
    stride does not reach: they have to be added after (:func:`.geometry.input_gradient_padding`), or the result is
    smaller than the input. Nor does ``P`` have to be at most ``K - 1``, as it says: the padding then crops.
    """
    window = Window.of("input_gradient_padpad", sizes, w.shape[2:], stride, padding, dilation)
    spread = padpad(gy, (window.stride[1], window.stride[2]), _outer_padding(window))
    return correlate2d(spread, rot180_transposed(w), dilation=window.dilation[1:])


def weight_gradient_padpad(
    x: Array, gy: Array, kernel: tuple[int, int], stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> Array:
    """Return the gradient with respect to `w` as source 001 means it: ``padpad(rot180(gy))`` with ``rot180 trans(x)``.

    The input takes the part of the kernel, and the batch that of the channels. The same as
    :func:`weight_gradient`, for one group.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    gy : ndarray, shape (N, O, OH, OW)
    kernel : (KH, KW)

    Returns
    -------
    ndarray, shape (O, C, KH, KW)

    Notes
    -----
    Source 001 prints ``padpad(gy)``, without the rotation: it sets out from ``rot180(a) = rot180(w) * rot180(l)``,
    where ``rot180(a) = w * l`` is right, so that its result is off by one rotation. As `gy` is rotated, the rows
    that the stride does not reach come first, so the outer padding is that of the input gradient with its two
    sides exchanged. Dilated taps are the outputs of a correlation with the dilation as stride.
    """
    window = Window.of("weight_gradient_padpad", x.shape[2:], kernel, stride, padding, dilation)
    (before_h, after_h), (before_w, after_w) = _outer_padding(window)
    turned = rot180(gy).swapaxes(0, 1)  # (N, O, OH, OW) -> (O, N, OH, OW)
    spread = padpad(turned, (window.stride[1], window.stride[2]), ((after_h, before_h), (after_w, before_w)))
    return correlate2d(spread, rot180_transposed(x), stride=window.dilation[1:])


# ---------------------------------------------------------------- im2col: sources 002, 003


def im2col(
    x: Array,
    kernel: tuple[int, int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    order: str = "row",
) -> Array:
    """Return the matrix whose rows are the windows of `x`, so that ``Y = im2col(X) @ W``.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    kernel : (KH, KW)
    order : {"row", "column"}
        Whether windows of an image, and taps of a channel, are counted row by row or, as in source 002 (and in
        MATLAB), column by column.

    Returns
    -------
    ndarray, shape (N * OH*OW, C * KH*KW)
        The ``phi(x)`` of source 002.

    Examples
    --------
    The example of source 002, whose columns are windows:

    >>> a = np.array([[1, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]])
    >>> im2col(a[None, None], (2, 2), order="column").T
    array([[1, 2, 3, 8, 1, 5],
           [2, 3, 8, 2, 5, 0],
           [3, 8, 1, 5, 4, 1],
           [8, 2, 5, 0, 1, 3]])
    """
    window = Window.of("im2col", x.shape[2:], kernel, stride, padding, dilation)
    batch, channels = x.shape[:2]
    columns = np.zeros((batch * window.out[1] * window.out[2], channels * window.taps), x.dtype)
    for n, c, row, column, h, w in _unfolded(batch, channels, window, order):
        columns[row, column] = x[n, c, h, w]
    return columns


def col2im(
    columns: Array,
    shape: tuple[int, int, int, int],
    kernel: tuple[int, int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    order: str = "row",
) -> Array:
    """Return the transpose of :func:`im2col`, so that ``gX = col2im(gY @ W.T)``: what folds onto one place adds up.

    Parameters
    ----------
    columns : ndarray, shape (N * OH*OW, C * KH*KW)
    shape : (N, C, H, W)
    kernel : (KH, KW)
    order : {"row", "column"}
        As in :func:`im2col`.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Examples
    --------
    >>> col2im(im2col(np.ones((1, 1, 3, 3), int), (2, 2)), (1, 1, 3, 3), (2, 2))[0, 0]
    array([[1, 2, 1],
           [2, 4, 2],
           [1, 2, 1]])
    """
    window = Window.of("col2im", shape[2:], kernel, stride, padding, dilation)
    x = np.zeros(shape, columns.dtype)
    for n, c, row, column, h, w in _unfolded(shape[0], shape[1], window, order):
        x[n, c, h, w] += columns[row, column]
    return x


def _unfolded(batch: int, channels: int, window: Window, order: str) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Yield (n, c, row, column, h, w): which element of the input goes to which of the matrix; without padding."""
    if order not in ("row", "column"):
        raise ValueError(f'im2col: order must be "row" or "column", got {order!r}')
    _, oh, ow = window.out
    _, kh, kw = window.kernel
    for n, i, j, c, u, v in _grid((batch, oh, ow, channels, kh, kw)):
        h, w = _place(i, j, u, v, window)
        if _inside(h, w, window):
            row = i * ow + j if order == "row" else j * oh + i
            column = u * kw + v if order == "row" else v * kh + u
            yield n, c, n * oh * ow + row, c * kh * kw + column, h, w


# ---------------------------------------------------------------- pooling


def max_pool2d(
    x: Array,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    ties: str = "row",
) -> tuple[Array, NDArray[np.int64]]:
    """Return the largest element of each window, and where it is.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    kernel : int or (KH, KW)
    stride : int or pair, optional
        The kernel's extents, if omitted.
    ties : {"row", "column"}
        Which of equal elements wins: the first row by row, or the first column by column (source 002, (4.2)).

    Returns
    -------
    y : ndarray, shape (N, C, OH, OW)
        A NaN wins; padding never does.
    index : ndarray of int64, shape (N, C, OH, OW)
        ``h * W + w``. Of several NaN, the last row by row.
    """
    window = Window.of(
        "max_pool2d", x.shape[2:], kernel, kernel if stride is None else stride, padding, dilation, ceil_mode
    )
    check_pool_padding("max_pool2d", window, padding)
    _, kh, kw = window.kernel
    if ties == "row":
        taps = [(u, v) for u in range(kh) for v in range(kw)]
    elif ties == "column":
        taps = [(u, v) for v in range(kw) for u in range(kh)]
    else:
        raise ValueError(f'max_pool2d: ties must be "row" or "column", got {ties!r}')
    y = np.zeros((*x.shape[:2], *window.out[1:]), x.dtype)
    index = np.zeros(y.shape, np.int64)
    for n, c, i, j in _grid(y.shape):
        best = None
        last_nan = -1
        for u, v in taps:
            h, w = _place(i, j, u, v, window)
            if not _inside(h, w, window):
                continue
            if best is None or x[n, c, h, w] > x[n, c, best[0], best[1]]:
                best = h, w
            if x[n, c, h, w] != x[n, c, h, w]:
                last_nan = max(last_nan, h * window.size[2] + w)
        assert best is not None  # check_pool_padding has seen to it
        if last_nan >= 0:
            best = divmod(last_nan, window.size[2])
        y[n, c, i, j] = x[n, c, best[0], best[1]]
        index[n, c, i, j] = best[0] * window.size[2] + best[1]
    return y, index


def max_pool2d_gradient(gy: Array, index: NDArray[np.int64], sizes: tuple[int, int]) -> Array:
    """Return the gradient of :func:`max_pool2d` with respect to `x`: ``vec(gx) = S^T vec(gy)`` (source 002, (4.5)).

    (Source 002 has the gradient of x on both sides of (4.6); the right side is that of the output.) The mask ``M`` of
    source 001 is `index` written as zeros and ones; where windows overlap, their gradients add up.

    Parameters
    ----------
    gy : ndarray, shape (N, C, OH, OW)
    index : ndarray of int64, shape (N, C, OH, OW)
        From :func:`max_pool2d`.
    sizes : (H, W)
        The input's.

    Returns
    -------
    ndarray, shape (N, C, H, W)
    """
    gx = np.zeros((*gy.shape[:2], *sizes), gy.dtype)
    for n, c, i, j in _grid(gy.shape):
        h, w = divmod(int(index[n, c, i, j]), sizes[1])
        gx[n, c, h, w] += gy[n, c, i, j]
    return gx


def _average_window(
    sizes: tuple[int, ...], kernel: Any, stride: Any, padding: Any, ceil_mode: bool, divisor: int | None
) -> Window:
    if divisor == 0:
        raise ValueError("avg_pool2d: divisor_override must not be 0")
    window = Window.of("avg_pool2d", sizes, kernel, kernel if stride is None else stride, padding, 1, ceil_mode)
    check_pool_padding("avg_pool2d", window, padding)
    return window


def _average_taps(
    i: int, j: int, window: Window, count_include_pad: bool, divisor_override: int | None
) -> tuple[list[tuple[int, int]], int]:
    """Return the input elements that output (i, j) reads, and what their sum is divided by."""
    inside, padded = [], 0
    for u, v in _grid(window.kernel[1:]):
        h, w = _place(i, j, u, v, window)
        if _inside(h, w, window):
            inside.append((h, w))
        if h < window.size[1] + window.after[1] and w < window.size[2] + window.after[2]:
            padded += 1
    if divisor_override is not None:
        return inside, divisor_override
    return inside, padded if count_include_pad else len(inside)


def avg_pool2d(
    x: Array,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Return the average of each window: the mask of source 001 holds ``1 / (KH * KW)``.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    kernel : int or (KH, KW)
    stride : int or pair, optional
        The kernel's extents, if omitted.
    count_include_pad : bool
        Divide by the size of the window clipped to the padded input, or by the number of elements in the input.
    divisor_override : int, optional
        Divide by this; not 0.

    Returns
    -------
    ndarray, shape (N, C, OH, OW)
    """
    window = _average_window(x.shape[2:], kernel, stride, padding, ceil_mode, divisor_override)
    y = np.zeros((*x.shape[:2], *window.out[1:]), x.dtype)
    for n, c, i, j in _grid(y.shape):
        inside, divisor = _average_taps(i, j, window, count_include_pad, divisor_override)
        for h, w in inside:
            y[n, c, i, j] += x[n, c, h, w]
        y[n, c, i, j] /= divisor
    return y


def avg_pool2d_gradient(
    gy: Array,
    sizes: tuple[int, int],
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Return the gradient of :func:`avg_pool2d` with respect to `x`: ``gx = M * upsample(gy)`` (source 001).

    Parameters
    ----------
    gy : ndarray, shape (N, C, OH, OW)
    sizes : (H, W)
        The input's.

    Returns
    -------
    ndarray, shape (N, C, H, W)
    """
    window = _average_window(sizes, kernel, stride, padding, ceil_mode, divisor_override)
    gx = np.zeros((*gy.shape[:2], *sizes), gy.dtype)
    for n, c, i, j in _grid(gy.shape):
        inside, divisor = _average_taps(i, j, window, count_include_pad, divisor_override)
        for h, w in inside:
            gx[n, c, h, w] += gy[n, c, i, j] / divisor
    return gx
