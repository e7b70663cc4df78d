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

import functools
from typing import Any, NamedTuple

import numpy as np
from numba.core import config
from numpy.typing import NDArray

from . import grouped, loops, outer, planes, pointwise, products, rectifier
from .arrays import compute_dtype, contiguous, empty_apart
from .geometry import Window
from .jit import SUM_FLAGS, kernel
from .keeping import Kept
from .threads import parallel_for
from .transposition import channels_last, channels_second

Array = NDArray[Any]
Shape = tuple[int, ...]

# Plans that are kept for each of the three functions; those used longest ago go first.
PLANS = 512

# A core reads so many bytes in a nanosecond: only to tell small work from large.
BYTES_PER_NANOSECOND = 4.0


# ---------------------------------------------------------------- checks


def _check_shape(function: str, argument: str, found: Shape, shape: Shape, rule: str) -> None:
    if found != shape:
        raise ValueError(f"{function}: {argument} must have shape {rule} = {shape}, got {found}")


def _check_groups(function: str, channels: int, outputs: int, groups: int) -> None:
    if groups < 1 or channels % groups or outputs % groups:
        raise ValueError(
            f"{function}: groups must be at least 1 and divide both channel counts, "
            f"got groups {groups}, C {channels}, O {outputs}"
        )


def _check_rank(function: str, **shapes: Shape) -> None:
    for argument, shape in shapes.items():
        if len(shape) != 5:
            raise ValueError(f"{function}: {argument} must have 5 axes, got shape {shape}")


# ---------------------------------------------------------------- plans


def _has_tiles(dtype: np.dtype[Any], inputs: int, outputs: int) -> bool:
    """Whether tiles serve arrays of `dtype`, with so many input and output channels in each group.

    Integers are exact in any loop, and rare.
    """
    return dtype.kind == "f" and inputs > 0 and outputs > 0 and not config.DISABLE_JIT


class _Plan(NamedTuple):
    """What follows from shapes and dtypes alone: worked out, and checked, when they come for the first time.

    Attributes
    ----------
    dtype, inner : dtype
        Of the result, and that which is computed in.
    shape : tuple of 5 int
        Of the result.
    planes, pointwise, grouped, tiles : bool
        Whether `planes` (if arrays are channels-first), `pointwise` (if it takes them as they lie), `grouped`, and
        `products` or `outer` serve.
    """

    dtype: np.dtype[Any]
    inner: np.dtype[Any]
    shape: Shape
    planes: bool
    pointwise: bool
    grouped: bool
    tiles: bool


def _plan(
    function: str, dtype: np.dtype[Any], shape: Shape, window: Window, inputs: int, outputs: int, groups: int
) -> _Plan:
    """The plan for a result of such dtype and shape, of groups with so many input and output channels each."""
    inner = compute_dtype(dtype, function)
    tiles = _has_tiles(inner, inputs, outputs)
    return _Plan(
        dtype.newbyteorder("="), inner, shape, tiles and groups > 1 and planes.serves(window, inputs, outputs),
        tiles and pointwise.serves(window, groups), tiles and grouped.serves(inner.itemsize, inputs, outputs, groups),
        tiles,
    )  # fmt: skip


@functools.lru_cache(maxsize=PLANS)
def _plan_correlate(
    x: Shape, w: Shape, bias: Shape | None, dtype: np.dtype[Any], window: Window, groups: int, activation: str | None
) -> _Plan:
    function = "correlate"
    if activation not in (None, "relu"):
        raise ValueError(f"{function}: activation must be None or 'relu', got {activation!r}")
    _check_rank(function, x=x, w=w)
    outputs = w[4]
    _check_groups(function, x[4], outputs, groups)
    _check_shape(function, "x", x, (x[0], *window.size, x[4]), "(N, D, H, W, C)")
    _check_shape(function, "w", w, (*window.kernel, x[4] // groups, outputs), "(KD, KH, KW, C // groups, O)")
    if bias is not None:
        _check_shape(function, "bias", bias, (outputs,), "(O,)")
    return _plan(function, dtype, (x[0], *window.out, outputs), window, w[3], outputs // groups, groups)


@functools.lru_cache(maxsize=PLANS)
def _plan_input_gradient(gy: Shape, w: Shape, dtype: np.dtype[Any], window: Window, groups: int) -> _Plan:
    function = "correlate_input_gradient"
    _check_rank(function, gy=gy, w=w)
    per_group, outputs = w[3:]
    _check_groups(function, per_group * groups, outputs, groups)
    _check_shape(function, "gy", gy, (gy[0], *window.out, outputs), "(N, OD, OH, OW, O)")
    _check_shape(function, "w", w, (*window.kernel, per_group, outputs), "(KD, KH, KW, C // groups, O)")
    shape = (gy[0], *window.size, per_group * groups)
    plan = _plan(function, dtype, shape, window, per_group, outputs // groups, groups)
    return plan._replace(planes=plan.planes and window.stride == (1, 1, 1))


@functools.lru_cache(maxsize=PLANS)
def _plan_weight_gradient(x: Shape, gy: Shape, dtype: np.dtype[Any], window: Window, groups: int) -> _Plan:
    function = "correlate_weight_gradient"
    _check_rank(function, x=x, gy=gy)
    batch, channels, outputs = x[0], x[4], gy[4]
    _check_groups(function, channels, outputs, groups)
    _check_shape(function, "x", x, (batch, *window.size, channels), "(N, D, H, W, C)")
    _check_shape(function, "gy", gy, (batch, *window.out, outputs), "(N, OD, OH, OW, O)")
    per_group = channels // groups
    return _plan(function, dtype, (*window.kernel, per_group, outputs), window, per_group, outputs // groups, groups)


# ---------------------------------------------------------------- planes


def _channels_first(dtype: np.dtype[Any], *arrays: Array) -> bool:
    """Whether arrays (N, 1, H, W, C) are of `dtype`, and views of C-contiguous arrays (N, C, H, W) with several C."""
    return all(
        array.size and array.dtype == dtype and array.shape[4] > 1 and array.shape[2] * array.shape[3] > 1
        and array.flags.aligned and channels_second(array).flags.c_contiguous
        for array in arrays
    )  # fmt: skip


def _as_planes(array: Array) -> Array:
    """The array (N, C, H, W) that ``array``, shape (N, 1, H, W, C), is a view of, to be read only."""
    return contiguous(channels_second(array)[:, :, 0], array.dtype)


def _new_planes(shape: Shape, source: Array) -> tuple[Array, Array]:
    """An uninitialised array (N, C, H, W), to be computed from `source`, and its view (N, 1, H, W, C) of `shape`."""
    batch, _, height, width, channels = shape
    array = empty_apart((batch, channels, height, width), source.dtype, source)
    return array, array.transpose(0, 2, 3, 1)[:, None]


# ---------------------------------------------------------------- correlation


def correlate(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int = 1, kept: Kept | None = None, *,
    activation: str | None = None,
) -> Array:  # fmt: skip
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
    kept : Kept, optional
        What was made of `w` in calls before.
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
    dtype = np.result_type(x, w) if bias is None else np.result_type(x, w, bias)
    plan = _plan_correlate(x.shape, w.shape, None if bias is None else bias.shape, dtype, window, groups, activation)
    y = _correlate(plan, x, w, bias, window, groups, activation == "relu", kept)
    return y if plan.inner == plan.dtype else y.astype(plan.dtype)


def _correlate(
    plan: _Plan, x: Array, w: Array, bias: Array | None, window: Window, groups: int, rectify: bool,
    kept: Kept | None,
) -> Array:  # fmt: skip
    """`correlate` in the dtype `plan.inner`, by the loops that serve."""
    inner = plan.inner
    w = w.astype(inner, copy=False)
    offsets = None if bias is None else contiguous(bias, inner)
    if plan.planes and _channels_first(inner, x):
        source = _as_planes(x)
        result, y = _new_planes(plan.shape, source)
        if planes.correlate(source, w, offsets, result, window, groups):
            return rectifier.rectify(y) if rectify else y
    if plan.pointwise:
        product = pointwise.correlate(x, w.reshape(w.shape[3:]), offsets, inner, rectify)
        if product is not None:
            return product
    y = empty_apart(plan.shape, inner, x)
    if not y.size:
        return y
    if plan.grouped:
        grouped.correlate(channels_last(x, inner), w, offsets, y, window)
    elif plan.tiles and products.correlate(x, w, offsets, y, window, groups, rectify, kept):
        return y
    else:
        loops.correlate(channels_last(x, inner), w, offsets, y, window, groups)
    return rectifier.rectify(y) if rectify else y


# ---------------------------------------------------------------- input gradient


def correlate_input_gradient(gy: Array, w: Array, window: Window, groups: int = 1, kept: Kept | None = None) -> Array:
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
    kept : Kept, optional
        What was made of `w` in calls before.

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
    plan = _plan_input_gradient(gy.shape, w.shape, np.result_type(gy, w), window, groups)
    gx = _correlate_input_gradient(plan, gy, w, window, groups, kept)
    return gx if plan.inner == plan.dtype else gx.astype(plan.dtype)


def _correlate_input_gradient(
    plan: _Plan, gy: Array, w: Array, window: Window, groups: int, kept: Kept | None
) -> Array:
    """`correlate_input_gradient` in the dtype `plan.inner`, by the loops that serve."""
    inner = plan.inner
    w = w.astype(inner, copy=False)
    if plan.planes and _channels_first(inner, gy):
        source = _as_planes(gy)
        result, gx = _new_planes(plan.shape, source)
        if planes.correlate_input_gradient(source, w, result, window, groups):
            return gx
    if plan.pointwise:
        product = pointwise.correlate(gy, w.reshape(w.shape[3:]).T, None, inner)
        if product is not None:
            return product
    gx = empty_apart(plan.shape, inner, gy)
    if gx.size:
        if plan.grouped:
            grouped.correlate_input_gradient(channels_last(gy, inner), w, gx, window)
        elif not (plan.tiles and products.correlate_input_gradient(gy, w, gx, window, groups, kept)):
            loops.correlate_input_gradient(channels_last(gy, inner), w, gx, window, groups)
    return gx


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
    plan = _plan_weight_gradient(x.shape, gy.shape, np.result_type(x, gy), window, groups)
    if not (plan.shape[3] and x.size and gy.size):
        return np.zeros(plan.shape, plan.dtype)
    gw = _correlate_weight_gradient(plan, x, gy, window, groups, outputs_first)
    return gw if plan.inner == plan.dtype else gw.astype(plan.dtype)


def _correlate_weight_gradient(
    plan: _Plan, x: Array, gy: Array, window: Window, groups: int, outputs_first: bool
) -> Array:
    """`correlate_weight_gradient` in the dtype `plan.inner`, by the loops that serve."""
    inner = plan.inner
    if plan.planes and _channels_first(inner, x, gy):
        gw = np.zeros(plan.shape, inner)
        if planes.correlate_weight_gradient(_as_planes(x), _as_planes(gy), gw, window, groups):
            return gw
    if plan.pointwise:
        product = pointwise.correlate_weight_gradient(x, gy, inner, outputs_first)
        if product is not None:
            return product.reshape(plan.shape)
    if plan.grouped:
        gw = np.zeros(plan.shape, inner)
        grouped.correlate_weight_gradient(channels_last(x, inner), channels_last(gy, inner), gw, window)
        return gw
    if plan.tiles:
        arrays = x.astype(inner, copy=False), gy.astype(inner, copy=False)
        found = outer.correlate_weight_gradient(*arrays, window, groups, outputs_first)
        if found is not None:
            return found
    gw = np.zeros(plan.shape, inner)
    loops.correlate_weight_gradient(channels_last(x, inner), channels_last(gy, inner), gw, window, groups)
    return gw


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
