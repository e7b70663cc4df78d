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

The functions here check and allocate. The arithmetic is done by `products` and `outer`, in register tiles; for
small groups by `grouped` (channels last) and `planes` (channels first); for kernels of one tap by `pointwise`, if that
saves converting arrays; or by the plain loops of `loops`.
"""

from typing import Any

import numpy as np
from numba.core import config
from numpy.typing import NDArray

from . import grouped, loops, outer, planes, pointwise, products, rectifier
from .arrays import compute_dtype, contiguous, empty_apart
from .geometry import Window
from .jit import SUM_FLAGS, kernel
from .threads import parallel_for
from .transposition import channels_last

Array = NDArray[Any]

# A core reads so many bytes in a nanosecond: only to tell small work from large.
BYTES_PER_NANOSECOND = 4.0


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


# ---------------------------------------------------------------- which loops


def _has_tiles(dtype: np.dtype[Any], inputs: int, outputs: int) -> bool:
    """Whether tiles serve arrays of `dtype`, with so many input and output channels in each group.

    Integers are exact in any loop, and rare.
    """
    return dtype.kind == "f" and inputs > 0 and outputs > 0 and not config.DISABLE_JIT


def _channels_first(dtype: np.dtype[Any], *arrays: Array) -> bool:
    """Whether arrays (N, 1, H, W, C) are of `dtype`, and views of C-contiguous arrays (N, C, H, W) with several C."""
    return all(
        array.size and array.dtype == dtype and array.shape[4] > 1 and array.shape[2] * array.shape[3] > 1
        and array.flags.aligned and np.moveaxis(array, 4, 1).flags.c_contiguous
        for array in arrays
    )  # fmt: skip


def _as_planes(array: Array) -> Array:
    """The array (N, C, H, W) that ``array``, shape (N, 1, H, W, C), is a view of, to be read only."""
    first = np.moveaxis(array, 4, 1)
    return contiguous(first.reshape(*first.shape[:2], *first.shape[3:]), array.dtype)


def _new_planes(batch: int, channels: int, spatial: tuple[int, ...], source: Array) -> tuple[Array, Array]:
    """An uninitialised array (N, C, H, W), to be computed from `source`, and its view (N, 1, H, W, C)."""
    array = empty_apart((batch, channels, *spatial[1:]), source.dtype, source)
    return array, np.moveaxis(array[:, :, None], 1, 4)


# ---------------------------------------------------------------- correlation


def correlate(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int = 1, *, activation: str | None = None
) -> Array:
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
    activation : {None, "relu"}
        ``"relu"``: 0 takes the place of every result that is 0 or less, -0.0 too; NaN stays NaN. What
        `rectifier.rectify` makes of the result, without another pass over memory.

    Returns
    -------
    ndarray, shape (N, OD, OH, OW, O)
        Fresh, of the dtype that NumPy promotes the arguments to. C-contiguous; but with small groups, or kernels of one
        tap, if `x` is the view of a C-contiguous array (N, C, H, W), then the result may be such a view, too.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If shapes, window and groups do not fit together, or there is no such `activation`.

    Notes
    -----
    Cost ``2 * N * OD*OH*OW * O * (C // G) * KD*KH*KW`` flop.
    """
    function = "correlate"
    if activation not in (None, "relu"):
        raise ValueError(f"{function}: activation must be None or 'relu', got {activation!r}")
    rectify = activation == "relu"
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
    return _correlate(x, w, bias, window, groups, inner, rectify).astype(dtype, copy=False)


def _correlate(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int, inner: np.dtype[Any], rectify: bool
) -> Array:
    """`correlate` of checked operands, in the dtype `inner`, by the loops that serve these shapes."""
    per_group, outputs = w.shape[3], w.shape[4]
    tiles = _has_tiles(inner, per_group, outputs // groups)
    w = w.astype(inner, copy=False)
    offsets = None if bias is None else contiguous(bias, inner)
    if tiles and groups > 1 and planes.serves(window, per_group, outputs // groups) and _channels_first(inner, x):
        source = _as_planes(x)
        result, y = _new_planes(x.shape[0], outputs, window.out, source)
        if planes.correlate(source, w, offsets, result, window, groups):
            return rectifier.rectify(y) if rectify else y
    if tiles and pointwise.serves(window, groups):
        product = pointwise.correlate(x, w.reshape(per_group, outputs), offsets, inner, rectify)
        if product is not None:
            return product
    y = empty_apart((x.shape[0], *window.out, outputs), inner, x)
    if not y.size:
        return y
    if tiles and grouped.serves(inner.itemsize, per_group, outputs // groups, groups):
        grouped.correlate(channels_last(x, inner), w, offsets, y, window)
    elif tiles and products.correlate(x, w, offsets, y, window, groups, rectify):
        return y
    else:
        loops.correlate(channels_last(x, inner), w, offsets, y, window, groups)
    return rectifier.rectify(y) if rectify else y


# ---------------------------------------------------------------- input gradient


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
        Fresh; exactly 0 where no window reads. In memory as the result of `correlate`.

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
    tiles = _has_tiles(inner, per_group, outputs // groups)
    if (
        tiles and groups > 1 and window.stride == (1, 1, 1) and planes.serves(window, per_group, outputs // groups)
        and _channels_first(inner, gy)
    ):  # fmt: skip
        source = _as_planes(gy)
        result, gx = _new_planes(gy.shape[0], channels, window.size, source)
        if planes.correlate_input_gradient(source, w.astype(inner, copy=False), result, window, groups):
            return gx.astype(dtype, copy=False)
    if tiles and pointwise.serves(window, groups):
        matrix = w.astype(inner, copy=False).reshape(per_group, outputs)
        product = pointwise.correlate(gy, matrix.T, None, inner)
        if product is not None:
            return product.astype(dtype, copy=False)
    gx = empty_apart((gy.shape[0], *window.size, channels), inner, gy)
    if gx.size:
        w = w.astype(inner, copy=False)
        if tiles and grouped.serves(inner.itemsize, per_group, outputs // groups, groups):
            grouped.correlate_input_gradient(channels_last(gy, inner), w, gx, window)
        elif not (tiles and products.correlate_input_gradient(gy, w, gx, window, groups)):
            loops.correlate_input_gradient(channels_last(gy, inner), w, gx, window, groups)
    return gx.astype(dtype, copy=False)


# ---------------------------------------------------------------- weight gradient


def correlate_weight_gradient(
    x: Array, gy: Array, window: Window, groups: int = 1, outputs_first: bool = False
) -> Array:
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
    outputs_first : bool
        The result may be a view of an array (O, C // G, KD, KH, KW): who asks for it wants it in that order.

    Returns
    -------
    ndarray, shape (KD, KH, KW, C // G, O)
        Fresh; C-contiguous without `outputs_first`.

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
    shape = (*window.kernel, per_group, outputs)
    if not (per_group and x.size and gy.size):
        return np.zeros(shape, dtype)
    gw = None
    tiles = _has_tiles(inner, per_group, outputs // groups)
    if (
        tiles and groups > 1 and planes.serves(window, per_group, outputs // groups)
        and _channels_first(inner, x, gy)
    ):  # fmt: skip
        gw = np.zeros(shape, inner)
        if planes.correlate_weight_gradient(_as_planes(x), _as_planes(gy), gw, window, groups):
            return gw.astype(dtype, copy=False)
        gw = None
    if tiles and pointwise.serves(window, groups):
        gw = pointwise.correlate_weight_gradient(x, gy, inner, outputs_first)
        if gw is not None:
            return gw.reshape(shape).astype(dtype, copy=False)
    if tiles and grouped.serves(inner.itemsize, per_group, outputs // groups, groups):
        gw = np.zeros(shape, inner)
        grouped.correlate_weight_gradient(channels_last(x, inner), channels_last(gy, inner), gw, window)
    elif tiles:
        arrays = x.astype(inner, copy=False), gy.astype(inner, copy=False)
        gw = outer.correlate_weight_gradient(*arrays, window, groups, outputs_first)
    if gw is None:
        gw = np.zeros(shape, inner)
        loops.correlate_weight_gradient(channels_last(x, inner), channels_last(gy, inner), gw, window, groups)
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
