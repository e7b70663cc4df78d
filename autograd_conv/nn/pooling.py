"""Maximum and average pooling in one, two and three dimensions.

Both are linear once it is settled which element of each window is the largest: ``vec(y) = S vec(x)`` with a
single 1 in each row of S (sources 001 and 002), and for averages with ``1/(KH*KW)``. So the derivatives of every
order are S and its transpose in turn: `_gather` and `_route` for maxima, `_avg_pool` and its transpose for averages.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.geometry import Window, check_pool_padding
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .layout import Layout
from .operands import apply, check_choice, check_flags, check_floating, check_numeric, is_plain, is_usual, operand

__all__ = ["avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d"]


class _Setup(NamedTuple):
    """What all primitives here need to know."""

    window: Window
    layout: Layout


def pool_layout(function: str, axes: int, shape: tuple[int, ...], layout: str) -> Layout:
    """Parse `layout`, and check the rank and the channels of the input of a pool.

    Raises
    ------
    ValueError
        If the layout is unknown, the rank wrong, or there are no channels.
    """
    parsed = Layout.of(function, axes, layout)
    parsed.check_rank(function, "input", shape)
    if parsed.channels(shape) == 0:
        raise ValueError(f"{function}: argument 'input' (shape {shape}) has 0 channels; it must have at least 1")
    return parsed


def _parse(
    function: str,
    axes: int,
    x_shape: tuple[int, ...],
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    layout: str,
) -> _Setup:
    """Check what a user gave, and say how to compute it."""
    parsed = pool_layout(function, axes, x_shape, layout)
    window = Window.of(
        function,
        parsed.spatial(x_shape),
        kernel_size,
        kernel_size if stride is None else stride,
        padding,
        dilation,
        bool(ceil_mode),
    )
    check_pool_padding(function, window, padding)
    return _Setup(window, parsed)


# A program calls a layer with the same shapes and settings again and again.
_remembered = lru_cache(maxsize=1024)(_parse)


def _setup(function: str, axes: int, x_shape: tuple[int, ...], kernel_size: Any, stride: Any, *others: Any) -> _Setup:
    """`_parse`, remembered for the settings with which that is safe. Flags are checked before."""
    plain = is_plain(kernel_size, kernel_size if stride is None else stride, *others)
    return (_remembered if plain else _parse)(function, axes, x_shape, kernel_size, stride, *others)


# --- maxima ------------------------------------------------------------------------------------------------


@primitive(name="max_pool", residuals="offset")
def _max_pool(x: np.ndarray, *, setup: _Setup, ties: str) -> tuple[np.ndarray, np.ndarray]:
    window, layout = setup
    y, offset = kernels.pooling.max_pool(layout.canonical(x), window, ties)
    return layout.restore(y, x.ndim), offset


@primitive(name="max_pool", residuals="offset", multiple=True)
def _max_pool_and_indices(x: np.ndarray, *, setup: _Setup, ties: str) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    window, layout = setup
    y, offset = kernels.pooling.max_pool(layout.canonical(x), window, ties)
    indices = kernels.pooling.max_pool_indices(offset, window)
    return (layout.restore(y, x.ndim), layout.restore(indices, x.ndim)), offset


@primitive(name="max_pool_route")
def _route(gy: np.ndarray, offset: np.ndarray, *, setup: _Setup) -> np.ndarray:
    window, layout = setup
    return layout.restore(kernels.pooling.max_pool_route(layout.canonical(gy), offset, window), gy.ndim)


@primitive(name="max_pool_gather")
def _gather(x: np.ndarray, offset: np.ndarray, *, setup: _Setup) -> np.ndarray:
    window, layout = setup
    return layout.restore(kernels.pooling.max_pool_gather(layout.canonical(x), offset, window), x.ndim)


_max_pool.defvjp(x=lambda g, offset, setup: _route(g, offset, setup=setup))
_max_pool_and_indices.defvjp(x=lambda g, offset, setup: _route(g[0], offset, setup=setup))
_route.defvjp(gy=lambda g, offset, setup: _gather(g, offset, setup=setup))
_gather.defvjp(x=lambda g, offset, setup: _route(g, offset, setup=setup))


def _maximum(
    function: str,
    axes: int,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
    ties: str,
    layout: str,
) -> Any:
    check_flags(function, ceil_mode=ceil_mode, return_indices=return_indices)
    x = operand(function, "input", input)
    if not is_usual(x):
        check_numeric(function, input=x)
    check_choice(function, "ties", ties, ("row", "column"))
    setup = _setup(function, axes, x.shape, kernel_size, stride, padding, dilation, int(ceil_mode), layout)
    if is_usual(x) and not return_indices:
        return _max_pool.unary(x, {"setup": setup, "ties": ties})
    return apply(_max_pool_and_indices if return_indices else _max_pool, x, setup=setup, ties=ties)


def max_pool1d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    ties: str = "row",
    layout: str = "NCW",
) -> Any:
    """Largest element of each window along one axis: `max_pool2d` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, ties
        As in `max_pool2d`.
    layout : {"NCW", "NWC"}

    Returns
    -------
    Tensor, shape (N, C, OW), or with `return_indices` two of them

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.max_pool1d([[1.0, 2, 4, 3, 0]], 2, ceil_mode=True).data
    array([[2., 4., 0.]])
    """
    return _maximum(
        "max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, ties, layout
    )


def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    ties: str = "row",
    layout: str = "NCHW",
) -> Any:
    r"""Largest element of each window.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        Floating-point or integer; ``C`` at least 1.
    kernel_size : int or pair of int
    stride : int or pair of int, optional
        By default `kernel_size`.
    padding : int, pair, pair of pairs, "same" or "valid"
        As in `conv2d`, but of elements that never win. Integers for both sides may be at most half of the
        effective kernel; in every form, no window may lie wholly in padding.
    dilation : int or pair of int
        Steps between neighbouring elements of a window.
    ceil_mode : bool
        Keep a last window that hangs over the end of the padded input, unless it starts there.
    return_indices : bool
        Return also where the largest elements are.
    ties : {"row", "column"}
        Which of equal elements wins: the first one row by row, as in PyTorch, or column by column, as in source
        002. -0.0 and 0.0 are equal.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    y : Tensor, shape (N, C, OH, OW), (N, OH, OW, C), or either without ``N``
    indices : Tensor of int64, same shape
        Only with `return_indices`: flat indices ``h * W + w`` into the plane of each image and channel.

    Raises
    ------
    TypeError
        If a dtype is not supported, or a setting not made of integers.
    ValueError
        If the rank is wrong, there are no channels, a setting is out of range, or the window does not fit.

    Notes
    -----
    Cost :math:`N C \, OH \, OW \, KH \, KW` comparisons. Saved for the gradient: one small integer for each
    output, which tells where in its window the largest element is; neither input nor output. The gradient goes
    to that element alone, and adds up where windows overlap (``gx = S^T gy``, sources 001 and 002). Higher
    derivatives are routed the same way.

    NaN wins over everything; of several, the last one row by row. A window of negative infinities gives
    negative infinity, and its first element wins.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> import autograd_conv as ac
    >>> x = ac.tensor([[[1.0, 2, 0], [4, 3, 1], [2, 1, 5]]], requires_grad=True)
    >>> y, indices = nn.max_pool2d(x, 2, stride=1, return_indices=True)
    >>> y.data, indices.data
    (array([[[4., 3.],
            [4., 5.]]]), array([[[3, 4],
            [3, 8]]]))
    >>> y.backward([[[1, 10], [100, 1000]]])
    >>> x.grad
    array([[[   0.,    0.,    0.],
            [ 101.,   10.,    0.],
            [   0.,    0., 1000.]]])
    """
    return _maximum(
        "max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, ties, layout
    )


def max_pool3d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    ties: str = "row",
    layout: str = "NCDHW",
) -> Any:
    """Largest element of each window of a volume: `max_pool2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, ties
        As in `max_pool2d`, with three entries where that has two. ``ties="column"``: smallest column, then
        smallest row, then smallest depth.
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW), or with `return_indices` two of them

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.
    """
    return _maximum(
        "max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, ties, layout
    )


# --- averages ----------------------------------------------------------------------------------------------


class _Divisor(NamedTuple):
    """What sums are divided by."""

    count_include_pad: bool
    override: int | None


@primitive(name="avg_pool")
def _avg_pool(x: np.ndarray, *, setup: _Setup, divisor: _Divisor) -> np.ndarray:
    window, layout = setup
    return layout.restore(kernels.pooling.avg_pool(layout.canonical(x), window, *divisor), x.ndim)


@primitive(name="avg_pool_input_gradient")
def _avg_pool_input_gradient(gy: np.ndarray, *, setup: _Setup, divisor: _Divisor) -> np.ndarray:
    window, layout = setup
    return layout.restore(kernels.pooling.avg_pool_input_gradient(layout.canonical(gy), window, *divisor), gy.ndim)


_avg_pool.defvjp(x=lambda g, setup, divisor: _avg_pool_input_gradient(g, setup=setup, divisor=divisor))
_avg_pool_input_gradient.defvjp(gy=lambda g, setup, divisor: _avg_pool(g, setup=setup, divisor=divisor))


def _average(
    function: str,
    axes: int,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    layout: str,
) -> Tensor:
    check_flags(function, ceil_mode=ceil_mode, count_include_pad=count_include_pad)
    x = operand(function, "input", input)
    if not is_usual(x):
        check_floating(function, input=x)
    if divisor_override is not None:
        if isinstance(divisor_override, bool) or not isinstance(divisor_override, (int, np.integer)):
            raise TypeError(
                f"{function}: argument 'divisor_override' is {divisor_override!r}; it must be an integer or None"
            )
        if divisor_override == 0:
            raise ValueError(f"{function}: argument 'divisor_override' is 0; it must not be")
    setup = _setup(function, axes, x.shape, kernel_size, stride, padding, 1, int(ceil_mode), layout)
    result: Tensor = apply(_avg_pool, x, setup=setup, divisor=_Divisor(bool(count_include_pad), divisor_override))
    return result


def avg_pool1d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCW",
) -> Tensor:
    """Average of each window along one axis: `avg_pool2d` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As in `avg_pool2d`.
    layout : {"NCW", "NWC"}

    Returns
    -------
    Tensor, shape (N, C, OW)

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.avg_pool1d([[1.0, 2, 3, 4, 5, 6, 7]], 2, stride=3, ceil_mode=True).data
    array([[1.5, 4.5, 7. ]])
    """
    return _average(
        "avg_pool1d",
        1,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        layout,
    )


def avg_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
) -> Tensor:
    r"""Average of each window.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        Floating-point; ``C`` at least 1.
    kernel_size : int or pair of int
    stride : int or pair of int, optional
        By default `kernel_size`.
    padding : int, pair, pair of pairs, "same" or "valid"
        Zeros around the input, as in `max_pool2d`.
    ceil_mode : bool
        Keep a last window that hangs over the end of the padded input, unless it starts there.
    count_include_pad : bool
        Divide by the number of elements of the window in the padded input; if False, in the input.
    divisor_override : int, optional
        Divide by this instead; not 0.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    Tensor, shape (N, C, OH, OW), (N, OH, OW, C), or either without ``N``
        Of the dtype of `input`; float16 is summed in float32.

    Raises
    ------
    TypeError
        If `input` is not floating-point, or a setting not made of integers.
    ValueError
        If the rank is wrong, there are no channels, a setting is out of range, or the window does not fit.

    Notes
    -----
    Cost :math:`N C \, OH \, OW \, KH \, KW` additions. Nothing is saved for the gradient, which goes in equal
    parts to the elements of each window (``gx = M * upsample(gy)``, source 001). Linear: the second derivative
    is zero.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.avg_pool2d([[[1.0, 2, 0], [4, 3, 1], [2, 1, 5]]], 2, stride=1).data
    array([[[2.5, 1.5],
            [2.5, 2.5]]])
    """
    return _average(
        "avg_pool2d",
        2,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        layout,
    )


def avg_pool3d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCDHW",
) -> Tensor:
    """Average of each window of a volume: `avg_pool2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As in `avg_pool2d`, with three entries where that has two.
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`.
    """
    return _average(
        "avg_pool3d",
        3,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        layout,
    )
