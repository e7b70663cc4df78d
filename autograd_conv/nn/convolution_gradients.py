"""The gradients of a convolution, each as a function of its own, with the parameters of ``torch.nn.grad``.

They are the primitives that the VJPs of `conv2d` are made of, so they can be differentiated themselves, to any order.
"""

from __future__ import annotations

import operator
from typing import Any

from ..kernels.geometry import Window
from ..tensor import ArrayLike, Tensor
from .convolution import Setup, check_channels, input_gradient, keep_weight, weight_gradient
from .layout import Layout
from .methods import choose_method
from .operands import apply, check_numeric, count, operand

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _shape(function: str, argument: str, value: Any) -> tuple[int, ...]:
    """A shape as a tuple of integers that are not negative."""
    try:
        shape = tuple([operator.index(extent) for extent in value])
    except TypeError:
        raise TypeError(f"{function}: argument {argument!r} is {value!r}; it must be a shape, of integers") from None
    if any(extent < 0 for extent in shape):
        raise ValueError(f"{function}: argument {argument!r} is {shape}; extents must not be negative")
    return shape


def _setup(
    function: str,
    axes: int,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    grad_output: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    layout: str,
    method: str,
) -> Setup:
    """Parse and check the settings of the convolution of these shapes whose output has the gradient `grad_output`."""
    parsed = Layout.of(function, axes, layout)
    groups = count(function, "groups", groups)
    check_channels(function, parsed, x_shape, w_shape, None, groups)
    last = parsed.channels_last
    window = Window.of(
        function, parsed.spatial(x_shape), w_shape[:-2] if last else w_shape[2:], stride, padding, dilation
    )
    outputs, spatial = w_shape[-1] if last else w_shape[0], window.spatial(axes)
    batch = x_shape[: len(x_shape) - axes - 1]
    expected = (*batch, *spatial, outputs) if last else (*batch, outputs, *spatial)
    if grad_output.shape != expected:
        raise ValueError(
            f"{function}: argument 'grad_output' has shape {grad_output.shape}; the convolution of an input of shape "
            f"{x_shape} with a weight of shape {w_shape} has shape {expected}, and they must be equal"
        )
    channels = parsed.channels(x_shape)
    method = choose_method(
        function, method, window, parsed.batch(x_shape), channels, outputs, groups, grad_output.dtype
    )
    return Setup(window, groups, parsed, method)


def _input(
    function: str,
    axes: int,
    input_size: Any,
    weight: ArrayLike,
    grad_output: ArrayLike,
    *settings: Any,
) -> Tensor:
    w, gy = operand(function, "weight", weight), operand(function, "grad_output", grad_output)
    check_numeric(function, weight=w, grad_output=gy)
    setup = _setup(function, axes, _shape(function, "input_size", input_size), w.shape, gy, *settings)
    keep_weight(w)
    result: Tensor = apply(input_gradient, gy, w, None, setup=setup)
    return result


def _weight(
    function: str,
    axes: int,
    input: ArrayLike,
    weight_size: Any,
    grad_output: ArrayLike,
    *settings: Any,
) -> Tensor:
    x, gy = operand(function, "input", input), operand(function, "grad_output", grad_output)
    check_numeric(function, input=x, grad_output=gy)
    setup = _setup(function, axes, x.shape, _shape(function, "weight_size", weight_size), gy, *settings)
    result: Tensor = apply(weight_gradient, x, gy, setup=setup)
    return result


def conv1d_input(
    input_size: Any,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCW",
    method: str = "auto",
) -> Tensor:
    """Gradient of `conv1d` with respect to its input: `conv2d_input` with one spatial axis.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, ``(N, C, W)`` or ``(C, W)``; as `layout` says.
    weight : array_like, shape (O, C // groups, KW); channels last with ``layout="NWC"``
    grad_output : array_like
        Gradient with respect to the output, of its shape.
    stride, padding, dilation, groups, layout, method
        As in `conv1d`.

    Returns
    -------
    Tensor, shape `input_size`

    Raises
    ------
    TypeError, ValueError
        As `conv2d_input`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.conv1d_input((1, 1, 6), [[[1.0, 2, 3]]], [[[1.0, 10]]], stride=2).data
    array([[[ 1.,  2., 13., 20., 30.,  0.]]])
    """
    settings = (stride, padding, dilation, groups, layout, method)
    return _input("conv1d_input", 1, input_size, weight, grad_output, *settings)


def conv2d_input(
    input_size: Any,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
    method: str = "auto",
) -> Tensor:
    r"""Gradient of `conv2d` with respect to its input.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, ``(N, C, H, W)`` or ``(C, H, W)``; as `layout` says. (If a stride leaves a remainder, the
        other arguments do not determine it.)
    weight : array_like, shape (O, C // groups, KH, KW); (KH, KW, C // groups, O) with ``layout="NHWC"``
    grad_output : array_like, shape (N, O, OH, OW), or as `layout` says
        Gradient with respect to the output.
    stride, padding, dilation, groups, layout, method
        As in `conv2d`.

    Returns
    -------
    Tensor, shape `input_size`
        Exactly 0 where no window reads.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; and if `grad_output` does not have the shape of the output.

    Notes
    -----
    Cost :math:`2 N O (C/G) \, OH \, OW \, KH \, KW` flop. ``gx = col2im(gy . W.T)`` (source 000),
    ``padpad(gy) * rot180 trans(w)`` (source 001), as a sum over the taps that reach an element.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.conv2d_input((1, 1, 3, 3), [[[[1.0, 2], [3, 4]]]], [[[[1.0, 10], [100, 100]]]]).data[0, 0]
    array([[  1.,  12.,  20.],
           [103., 334., 240.],
           [300., 700., 400.]])
    """
    settings = (stride, padding, dilation, groups, layout, method)
    return _input("conv2d_input", 2, input_size, weight, grad_output, *settings)


def conv3d_input(
    input_size: Any,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCDHW",
    method: str = "auto",
) -> Tensor:
    """Gradient of `conv3d` with respect to its input: `conv2d_input` with three spatial axes.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, ``(N, C, D, H, W)`` or ``(C, D, H, W)``; as `layout` says.
    weight : array_like, shape (O, C // groups, KD, KH, KW); channels last with ``layout="NDHWC"``
    grad_output : array_like
        Gradient with respect to the output, of its shape.
    stride, padding, dilation, groups, layout, method
        As in `conv3d`.

    Returns
    -------
    Tensor, shape `input_size`

    Raises
    ------
    TypeError, ValueError
        As `conv2d_input`.
    """
    settings = (stride, padding, dilation, groups, layout, method)
    return _input("conv3d_input", 3, input_size, weight, grad_output, *settings)


def conv1d_weight(
    input: ArrayLike,
    weight_size: Any,
    grad_output: ArrayLike,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCW",
    method: str = "auto",
) -> Tensor:
    """Gradient of `conv1d` with respect to its weight: `conv2d_weight` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); channels last with ``layout="NWC"``
    weight_size : sequence of int
        Shape of the weight, ``(O, C // groups, KW)``; as `layout` says.
    grad_output : array_like
        Gradient with respect to the output, of its shape.
    stride, padding, dilation, groups, layout, method
        As in `conv1d`.

    Returns
    -------
    Tensor, shape `weight_size`

    Raises
    ------
    TypeError, ValueError
        As `conv2d_weight`.
    """
    return _weight(
        "conv1d_weight", 1, input, weight_size, grad_output, stride, padding, dilation, groups, layout, method
    )


def conv2d_weight(
    input: ArrayLike,
    weight_size: Any,
    grad_output: ArrayLike,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
    method: str = "auto",
) -> Tensor:
    r"""Gradient of `conv2d` with respect to its weight.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); channels last with ``layout="NHWC"``
    weight_size : sequence of int
        Shape of the weight, ``(O, C // groups, KH, KW)``; ``(KH, KW, C // groups, O)`` with ``layout="NHWC"``.
    grad_output : array_like, shape (N, O, OH, OW), or as `layout` says
        Gradient with respect to the output.
    stride, padding, dilation, groups, layout, method
        As in `conv2d`.

    Returns
    -------
    Tensor, shape `weight_size`

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; and if `grad_output` does not have the shape of the output.

    Notes
    -----
    Cost :math:`2 N O (C/G) \, OH \, OW \, KH \, KW` flop. The input correlated with the gradient of the output
    (sources 000, 003, 004).

    Examples
    --------
    >>> from autograd_conv import nn
    >>> image = [[[1.0, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]]]
    >>> nn.conv2d_weight(image, (1, 1, 2, 2), [[[1.0, 1, 1], [1, 1, 1]]]).data[0, 0]
    array([[20., 22.],
           [20., 19.]])
    """
    return _weight(
        "conv2d_weight", 2, input, weight_size, grad_output, stride, padding, dilation, groups, layout, method
    )


def conv3d_weight(
    input: ArrayLike,
    weight_size: Any,
    grad_output: ArrayLike,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCDHW",
    method: str = "auto",
) -> Tensor:
    """Gradient of `conv3d` with respect to its weight: `conv2d_weight` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); channels last with ``layout="NDHWC"``
    weight_size : sequence of int
        Shape of the weight, ``(O, C // groups, KD, KH, KW)``; as `layout` says.
    grad_output : array_like
        Gradient with respect to the output, of its shape.
    stride, padding, dilation, groups, layout, method
        As in `conv3d`.

    Returns
    -------
    Tensor, shape `weight_size`

    Raises
    ------
    TypeError, ValueError
        As `conv2d_weight`.
    """
    return _weight(
        "conv3d_weight", 3, input, weight_size, grad_output, stride, padding, dilation, groups, layout, method
    )
