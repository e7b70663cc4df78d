"""Adaptive pooling: to a given size, whatever the size of the input; and global pooling, to a single element.

Along an axis of n elements, output i of o covers those from ``floor(i * n / o)`` to ``ceil((i + 1) * n / o)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.geometry import per_axis
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .layout import Layout
from .operands import apply, check_flags, check_floating, check_numeric, operand
from .places import region_maximum, volume
from .pooling import pool_layout

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_avg_pool3d",
    "global_max_pool1d",
    "global_max_pool2d",
    "global_max_pool3d",
]


def _output_size(function: str, sizes: tuple[int, ...], output_size: Any) -> tuple[int, ...]:
    """Parse `output_size`: integers of at least 0, or None for an axis that keeps its size."""
    if type(output_size) is int and output_size >= 0 and 0 not in sizes:
        return (output_size,) * len(sizes)
    several = isinstance(output_size, (tuple, list)) or np.ndim(output_size) == 1
    entries = tuple(output_size) if several else (output_size,)
    if len(entries) == 1:
        entries *= len(sizes)
    # With 0 for what is kept, the entries are checked as any other setting is.
    out = per_axis([0 if o is None else o for o in entries], len(sizes), function, "output_size", minimum=0)
    out = tuple([n if given is None else o for n, o, given in zip(sizes, out, entries)])
    for axis, (n, o) in enumerate(zip(sizes, out)):
        if n == 0 and o > 0:
            raise ValueError(
                f"{function}: argument 'input' has size 0 on spatial axis {axis}, where argument 'output_size' asks "
                f"for {o}; an axis without elements can only be pooled to 0"
            )
    return out


# --- averages ----------------------------------------------------------------------------------------------


@primitive(name="adaptive_avg_pool")
def _adaptive_average(x: np.ndarray, *, layout: Layout, out: tuple[int, ...]) -> np.ndarray:
    return layout.restore(kernels.regions.adaptive_average(layout.canonical(x), volume(layout, out)), x.ndim)


@primitive(name="adaptive_avg_pool_input_gradient")
def _adaptive_average_input_gradient(gy: np.ndarray, *, layout: Layout, size: tuple[int, ...]) -> np.ndarray:
    gx = kernels.regions.adaptive_average_input_gradient(layout.canonical(gy), volume(layout, size))
    return layout.restore(gx, gy.ndim)


_adaptive_average.defvjp(
    x=lambda g, x_shape, layout: _adaptive_average_input_gradient(g, layout=layout, size=layout.spatial(x_shape))
)
_adaptive_average_input_gradient.defvjp(
    gy=lambda g, gy_shape, layout: _adaptive_average(g, layout=layout, out=layout.spatial(gy_shape))
)


def _average(function: str, axes: int, input: ArrayLike, output_size: Any, layout: str) -> Tensor:
    x = operand(function, "input", input)
    check_floating(function, input=x)
    parsed = pool_layout(function, axes, x.shape, layout)
    out = _output_size(function, parsed.spatial(x.shape), output_size)
    result: Tensor = apply(_adaptive_average, x, layout=parsed, out=out)
    return result


def adaptive_avg_pool1d(input: ArrayLike, output_size: Any, *, layout: str = "NCW") -> Tensor:
    """Average over `output_size` regions of an axis: `adaptive_avg_pool2d` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    output_size : int or None, or a tuple of one
    layout : {"NCW", "NWC"}

    Returns
    -------
    Tensor, shape (N, C, output_size)

    Raises
    ------
    TypeError, ValueError
        As `adaptive_avg_pool2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.adaptive_avg_pool1d([[1.0, 2, 3, 4, 5]], 3).data
    array([[1.5, 3. , 4.5]])
    """
    return _average("adaptive_avg_pool1d", 1, input, output_size, layout)


def adaptive_avg_pool2d(input: ArrayLike, output_size: Any, *, layout: str = "NCHW") -> Tensor:
    r"""Average over regions, as many as asked for, that cover images of any size.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        Floating-point; ``C`` at least 1.
    output_size : int or pair of int, or None
        ``OH`` and ``OW``; None, for both or for one of them: as many as `input` has. It may be larger than the
        input, and 0.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    Tensor, shape (N, C, OH, OW), (N, OH, OW, C), or either without ``N``
        Of the dtype of `input`; float16 is summed in float32.

    Raises
    ------
    TypeError
        If `input` is not floating-point, or `output_size` not made of integers.
    ValueError
        If the rank is wrong, there are no channels, `output_size` is negative or of a wrong length, or asks for
        averages over an axis without elements.

    Notes
    -----
    Row i of the result averages the rows from :math:`\lfloor i H / OH \rfloor` to
    :math:`\lceil (i + 1) H / OH \rceil`, and likewise for columns, so regions may overlap by one row or
    differ in size by one. Nothing is saved for the gradient but the shape: each region's gradient goes in equal
    parts to its elements. Linear: the second derivative is zero.

    Cost about one addition for each element of the input: sums are taken along one axis after the other.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.adaptive_avg_pool2d([[[1.0, 2, 0], [4, 3, 1], [2, 1, 5]]], (2, None)).data
    array([[[2.5, 2.5, 0.5],
            [3. , 2. , 3. ]]])
    """
    return _average("adaptive_avg_pool2d", 2, input, output_size, layout)


def adaptive_avg_pool3d(input: ArrayLike, output_size: Any, *, layout: str = "NCDHW") -> Tensor:
    """Average over regions that cover volumes of any size: `adaptive_avg_pool2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    output_size : int or three int, or None
        As in `adaptive_avg_pool2d`.
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)

    Raises
    ------
    TypeError, ValueError
        As `adaptive_avg_pool2d`.
    """
    return _average("adaptive_avg_pool3d", 3, input, output_size, layout)


# --- maxima ------------------------------------------------------------------------------------------------


def _tables(x: np.ndarray, out: tuple[int, int, int]) -> Any:
    return kernels.regions.adaptive_tables((x.shape[1], x.shape[2], x.shape[3]), out)


_adaptive_max, _adaptive_max_and_indices = region_maximum("adaptive_max_pool", _tables)


def _maximum(function: str, axes: int, input: ArrayLike, output_size: Any, return_indices: bool, layout: str) -> Any:
    check_flags(function, return_indices=return_indices)
    x = operand(function, "input", input)
    check_numeric(function, input=x)
    parsed = pool_layout(function, axes, x.shape, layout)
    out = _output_size(function, parsed.spatial(x.shape), output_size)
    chosen = _adaptive_max_and_indices if return_indices else _adaptive_max
    return apply(chosen, x, layout=parsed, regions=volume(parsed, out))


def adaptive_max_pool1d(
    input: ArrayLike, output_size: Any, return_indices: bool = False, *, layout: str = "NCW"
) -> Any:
    """Largest element of each of `output_size` regions of an axis: `adaptive_max_pool2d` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    output_size : int or None, or a tuple of one
    return_indices : bool
    layout : {"NCW", "NWC"}

    Returns
    -------
    Tensor, shape (N, C, output_size), or with `return_indices` two of them

    Raises
    ------
    TypeError, ValueError
        As `adaptive_max_pool2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.adaptive_max_pool1d([[1.0, 5, 3, 4, 2]], 3).data
    array([[5., 5., 4.]])
    """
    return _maximum("adaptive_max_pool1d", 1, input, output_size, return_indices, layout)


def adaptive_max_pool2d(
    input: ArrayLike, output_size: Any, return_indices: bool = False, *, layout: str = "NCHW"
) -> Any:
    """Largest element of each of as many regions as asked for, which cover images of any size.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        Floating-point or integer; ``C`` at least 1.
    output_size : int or pair of int, or None
        As in `adaptive_avg_pool2d`, with the same regions.
    return_indices : bool
        Return also where the largest elements are.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    y : Tensor, shape (N, C, OH, OW), (N, OH, OW, C), or either without ``N``
    indices : Tensor of int64, same shape
        Only with `return_indices`: flat indices ``h * W + w`` into the plane of each image and channel.

    Raises
    ------
    TypeError
        If a dtype is not supported, or `output_size` not made of integers.
    ValueError
        As `adaptive_avg_pool2d`.

    Notes
    -----
    Ties, NaN and negative infinity as in `max_pool2d`: the first of equal elements row by row takes the whole
    gradient, NaN wins over everything, and of several the last one. Gradients add up where regions overlap.
    Saved for the gradient: the index of each winner, in the smallest integers that hold it.

    Cost: one comparison for each element of each region.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> y, indices = nn.adaptive_max_pool2d([[[1.0, 2, 0], [4, 3, 1], [2, 1, 5]]], 2, return_indices=True)
    >>> y.data, indices.data
    (array([[[4., 3.],
            [4., 5.]]]), array([[[3, 4],
            [3, 8]]]))
    """
    return _maximum("adaptive_max_pool2d", 2, input, output_size, return_indices, layout)


def adaptive_max_pool3d(
    input: ArrayLike, output_size: Any, return_indices: bool = False, *, layout: str = "NCDHW"
) -> Any:
    """Largest element of each region of a volume of any size: `adaptive_max_pool2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    output_size : int or three int, or None
        As in `adaptive_max_pool2d`.
    return_indices : bool
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW), or with `return_indices` two of them

    Raises
    ------
    TypeError, ValueError
        As `adaptive_max_pool2d`.
    """
    return _maximum("adaptive_max_pool3d", 3, input, output_size, return_indices, layout)


# --- one region --------------------------------------------------------------------------------------------


def _without_spatial(y: Tensor, axes: int, layout: str, keepdims: bool) -> Tensor:
    """`y`, whose spatial axes have length one, without them."""
    if keepdims:
        return y
    parsed = Layout.of("global pool", axes, layout)
    return y.reshape((*y.shape[: y.ndim - axes - 1], parsed.channels(y.shape)))


def global_avg_pool1d(input: ArrayLike, keepdims: bool = False, *, layout: str = "NCW") -> Tensor:
    """Average of each channel over its one spatial axis: `global_avg_pool2d` with one.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    keepdims : bool
    layout : {"NCW", "NWC"}

    Returns
    -------
    Tensor, shape (N, C) or (C,); (N, C, 1), (N, 1, C), or either without ``N`` with `keepdims`

    Raises
    ------
    TypeError, ValueError
        As `global_avg_pool2d`.
    """
    return _without_spatial(_average("global_avg_pool1d", 1, input, 1, layout), 1, layout, keepdims)


def global_avg_pool2d(input: ArrayLike, keepdims: bool = False, *, layout: str = "NCHW") -> Tensor:
    """Average of each channel over the whole image: what many networks put before their last layer.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        Floating-point; no axis but that of the batch empty.
    keepdims : bool
        Keep the spatial axes, with length 1: then it is ``adaptive_avg_pool2d(input, 1)``.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    Tensor, shape (N, C) or (C,); (N, C, 1, 1), (N, 1, 1, C), or either without ``N`` with `keepdims`
        Of the dtype of `input`; float16 is summed in float32.

    Raises
    ------
    TypeError
        If `input` is not floating-point.
    ValueError
        If the rank is wrong, or there are no channels or no elements.

    Notes
    -----
    PyTorch has no function of this name. Cost, gradient and memory as of `adaptive_avg_pool2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.global_avg_pool2d([[[[1.0, 2], [3, 4]], [[0, 0], [0, 2]]]]).data
    array([[2.5, 0.5]])
    """
    return _without_spatial(_average("global_avg_pool2d", 2, input, 1, layout), 2, layout, keepdims)


def global_avg_pool3d(input: ArrayLike, keepdims: bool = False, *, layout: str = "NCDHW") -> Tensor:
    """Average of each channel over the whole volume: `global_avg_pool2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    keepdims : bool
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C) or (C,); with `keepdims` as `input`, with spatial axes of length 1

    Raises
    ------
    TypeError, ValueError
        As `global_avg_pool2d`.
    """
    return _without_spatial(_average("global_avg_pool3d", 3, input, 1, layout), 3, layout, keepdims)


def global_max_pool1d(input: ArrayLike, keepdims: bool = False, *, layout: str = "NCW") -> Tensor:
    """Largest element of each channel: `global_max_pool2d` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    keepdims : bool
    layout : {"NCW", "NWC"}

    Returns
    -------
    Tensor, shape (N, C) or (C,); (N, C, 1), (N, 1, C), or either without ``N`` with `keepdims`

    Raises
    ------
    TypeError, ValueError
        As `global_max_pool2d`.
    """
    return _without_spatial(_maximum("global_max_pool1d", 1, input, 1, False, layout), 1, layout, keepdims)


def global_max_pool2d(input: ArrayLike, keepdims: bool = False, *, layout: str = "NCHW") -> Tensor:
    """Largest element of each channel of the whole image.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        Floating-point or integer; no axis but that of the batch empty.
    keepdims : bool
        Keep the spatial axes, with length 1: then it is ``adaptive_max_pool2d(input, 1)``, which has the
        indices too.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    Tensor, shape (N, C) or (C,); (N, C, 1, 1), (N, 1, 1, C), or either without ``N`` with `keepdims`

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If the rank is wrong, or there are no channels or no elements.

    Notes
    -----
    Ties and NaN as in `max_pool2d`; the gradient goes to one element of each channel (`amax` splits it between
    equal ones).

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.global_max_pool2d([[[[1.0, 2], [3, 4]], [[0, 0], [0, 2]]]]).data
    array([[4., 2.]])
    """
    return _without_spatial(_maximum("global_max_pool2d", 2, input, 1, False, layout), 2, layout, keepdims)


def global_max_pool3d(input: ArrayLike, keepdims: bool = False, *, layout: str = "NCDHW") -> Tensor:
    """Largest element of each channel of the whole volume: `global_max_pool2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    keepdims : bool
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C) or (C,); with `keepdims` as `input`, with spatial axes of length 1

    Raises
    ------
    TypeError, ValueError
        As `global_max_pool2d`.
    """
    return _without_spatial(_maximum("global_max_pool3d", 3, input, 1, False, layout), 3, layout, keepdims)
