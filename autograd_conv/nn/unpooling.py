"""Max-unpooling: elements go back to where a maximum pool found them, among zeros."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.geometry import parse_padding, per_axis, unpooled_size
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, raw
from .layout import Layout
from .operands import apply, check_numeric, operand
from .places import gather, volume
from .pooling import pool_layout

__all__ = ["max_unpool1d", "max_unpool2d", "max_unpool3d"]


@primitive(name="max_unpool", residuals="place")
def _max_unpool(
    x: np.ndarray, indices: np.ndarray, *, layout: Layout, size: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    # What is overwritten goes nowhere; so nothing adds up, and its gradient, gathered from nowhere, is 0.
    place = kernels.places.last_writes(layout.canonical(indices), volume(layout, size))
    y = kernels.places.route(layout.canonical(x), place, volume(layout, size))
    return layout.restore(y, x.ndim), place


_max_unpool.defvjp(x=lambda g, place, layout: gather(g, place, layout=layout))


def _size(
    function: str, layout: Layout, shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> tuple[int, ...]:
    """The spatial shape of the result."""
    axes, sizes = layout.axes, layout.spatial(shape)
    kernel = per_axis(kernel_size, axes, function, "kernel size", minimum=1)
    strides = kernel if stride is None else per_axis(stride, axes, function, "stride", minimum=1)
    if isinstance(padding, str) and padding == "same":
        raise ValueError(f'{function}: padding "same" has no meaning for an unpool; give the pool\'s as integers')
    pairs = parse_padding(padding, sizes, kernel, strides, (1,) * axes, function)
    default = tuple([unpooled_size(n, k, s, *p) for n, k, s, p in zip(sizes, kernel, strides, pairs)])
    size = default
    if output_size is not None:
        if np.ndim(output_size) == 1 and len(output_size) == len(shape):
            output_size = layout.spatial(tuple(output_size))  # the shape of the whole result was given
        size = per_axis(output_size, axes, function, "output_size")
        for axis, (n, d, s) in enumerate(zip(size, default, strides)):
            if not d - s < n < d + s:
                raise ValueError(
                    f"{function}: argument 'output_size' is {output_size!r}; on spatial axis {axis} it must lie "
                    f"between {max(d - s + 1, 0)} and {d + s - 1}, less than the stride away from {d}"
                )
    if min(size) < 0:
        raise ValueError(
            f"{function}: the result would have shape {size}: input {sizes}, kernel {kernel}, stride {strides}, "
            f"padding {pairs}; it must not be negative"
        )
    return size


def _unpool(
    function: str,
    axes: int,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
    layout: str,
) -> Tensor:
    x, where = operand(function, "input", input), operand(function, "indices", indices)
    check_numeric(function, input=x)
    if where.dtype.kind not in "iu":
        raise TypeError(f"{function}: argument 'indices' has dtype {where.dtype}; it must be made of integers")
    parsed = pool_layout(function, axes, x.shape, layout)
    if where.shape != x.shape:
        raise ValueError(
            f"{function}: argument 'indices' has shape {where.shape}, but argument 'input' has shape {x.shape}; they "
            "must be the same"
        )
    size = _size(function, parsed, x.shape, kernel_size, stride, padding, output_size)
    places, values = math.prod(size), np.asarray(raw(where))
    if values.size and (values.min() < 0 or values.max() >= places):
        wrong = tuple(map(int, np.argwhere((values < 0) | (values >= places))[0]))
        raise IndexError(
            f"{function}: argument 'indices' is {values[wrong]} at {wrong}, but each plane of the result (spatial "
            f"shape {size}) has {places} elements; it must lie between 0 and {places - 1}"
        )
    result: Tensor = apply(_max_unpool, x, where, layout=parsed, size=size)
    return result


def max_unpool1d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    layout: str = "NCW",
) -> Tensor:
    """Put elements back along one axis: `max_unpool2d` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    indices : array_like of integers, same shape
    kernel_size, stride, padding, output_size
        As in `max_unpool2d`.
    layout : {"NCW", "NWC"}

    Returns
    -------
    Tensor, shape (N, C, OW)

    Raises
    ------
    TypeError, ValueError, IndexError
        As `max_unpool2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.max_unpool1d([[5.0, 7]], [[1, 2]], 2).data
    array([[0., 5., 7., 0.]])
    """
    return _unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size, layout)


def max_unpool2d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    layout: str = "NCHW",
) -> Tensor:
    """Put elements back to where `max_pool2d` found them; zeros elsewhere.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        Floating-point or integer; ``C`` at least 1.
    indices : array_like of integers, same shape
        Flat indices ``h * OW + w`` into each plane of the result: what `max_pool2d` with `return_indices` gives.
    kernel_size, stride, padding
        Those of the pool, of which nothing but the size of the result depends on them. `stride` is `kernel_size`
        by default; `padding` is an integer, a pair, a pair of pairs or "valid".
    output_size : int, pair of int, or the shape of the whole result, optional
        The size of the pool's input, as several sizes may be pooled to one; less than the stride away from the
        default, ``(H - 1) * stride + kernel_size - 2 * padding``.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    Tensor, shape (N, C, OH, OW), (N, OH, OW, C), or either without ``N``
        Of the dtype of `input`.

    Raises
    ------
    TypeError
        If a dtype is not supported, `indices` or a setting not made of integers.
    ValueError
        If shapes differ, the rank is wrong, there are no channels, or a setting is out of range.
    IndexError
        If an index lies outside of the plane.

    Notes
    -----
    Overlapping windows may have found the same element. Then the last one in row-major order of `input` is
    written, and the others have no influence: their gradient is 0. (All of them are usually equal; but PyTorch
    lets either be written, and gives each of them the gradient.) The gradient of all others is that of the
    element they were put to. Linear in `input`; `indices` are constants. Saved for the gradient: the indices, in the
    smallest integers that hold them.

    Cost: one addition for each element, and zeros for the result.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> y, indices = nn.max_pool2d([[[1.0, 2, 0], [4, 3, 1], [2, 1, 5]]], 2, return_indices=True)
    >>> nn.max_unpool2d(y, indices, 2, output_size=(3, 3)).data
    array([[[0., 0., 0.],
            [4., 0., 0.],
            [0., 0., 0.]]])
    """
    return _unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size, layout)


def max_unpool3d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    layout: str = "NCDHW",
) -> Tensor:
    """Put elements of a volume back: `max_unpool2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    indices : array_like of integers, same shape
        Flat indices ``(d * OH + h) * OW + w``.
    kernel_size, stride, padding, output_size
        As in `max_unpool2d`, with three entries where that has two.
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)

    Raises
    ------
    TypeError, ValueError, IndexError
        As `max_unpool2d`.
    """
    return _unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size, layout)
