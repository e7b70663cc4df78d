"""Transposed convolution in one, two and three dimensions.

A convolution is a matrix applied to ``vec(x)``; a transposed convolution applies the transpose of that matrix. That
is what the gradient of a convolution with respect to its input does, so this is `input_gradient` by another name:
same primitive, same kernels, same kernel array. Seen from the convolution, `input` is a gradient of an output, and the
result that of an input.
"""

from __future__ import annotations

from typing import Any

from ..kernels.geometry import Window
from ..tensor import ArrayLike, Tensor
from .convolution import Setup, check_bias, check_weight, input_gradient, keep_weight
from .layout import Layout
from .methods import choose_method
from .operands import apply, check_numeric, count, operand

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


def _check_channels(
    function: str,
    layout: Layout,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    groups: int,
) -> int:
    """Raise ValueError unless ranks and channel counts fit together; return the number of output channels."""
    layout.check_rank(function, "input", x_shape)
    check_weight(function, layout, w_shape, "C, O // groups, spatial axes", "spatial axes, O // groups, C")
    channels = layout.channels(x_shape)
    per_group, inputs = (w_shape[-2], w_shape[-1]) if layout.channels_last else (w_shape[1], w_shape[0])
    if per_group == 0:
        raise ValueError(
            f"{function}: argument 'weight' has 0 output channels (shape {w_shape}); it must have at least 1"
        )
    if channels % groups:
        raise ValueError(
            f"{function}: argument 'input' has {channels} input channels, but argument 'groups' is {groups}, "
            "which must divide them"
        )
    if inputs != channels:
        raise ValueError(
            f"{function}: argument 'weight' (shape {w_shape}) takes {inputs} input channels, but argument 'input' "
            f"(shape {x_shape}) has {channels}; they must be equal"
        )
    check_bias(function, bias_shape, per_group * groups)
    return per_group * groups


def _transpose(
    function: str,
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    layout: str,
    method: str,
) -> Tensor:
    x, w = operand(function, "input", input), operand(function, "weight", weight)
    b = None if bias is None else operand(function, "bias", bias)
    parsed = Layout.of(function, axes, layout)
    check_numeric(function, input=x, weight=w, bias=b)
    groups = count(function, "groups", groups)
    outputs = _check_channels(function, parsed, x.shape, w.shape, None if b is None else b.shape, groups)
    taps = w.shape[:-2] if parsed.channels_last else w.shape[2:]
    window = Window.transposed(function, parsed.spatial(x.shape), taps, stride, padding, output_padding, dilation)
    # The convolution goes from what is output here to what is input here.
    batch = parsed.batch(x.shape)
    method = choose_method(function, method, window, batch, outputs, parsed.channels(x.shape), groups, x.dtype)
    keep_weight(w)
    result: Tensor = apply(input_gradient, x, w, b, setup=Setup(window, groups, parsed, method))
    return result


def conv_transpose1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str = "NCW",
    method: str = "auto",
) -> Tensor:
    """Transposed convolution along one axis: `conv_transpose2d` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    weight : array_like, shape (C, O // groups, KW); (KW, O // groups, C) with ``layout="NWC"``
    bias, stride, padding, output_padding, groups, dilation, method
        As in `conv_transpose2d`; asymmetric padding is ``((before, after),)``.
    layout : {"NCW", "NWC"}

    Returns
    -------
    Tensor, shape (N, O, OW), or as `layout` says

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.conv_transpose1d([[[1.0, 2, 3]]], [[[1.0, 10]]], stride=2).data
    array([[[ 1., 10.,  2., 20.,  3., 30.]]])
    """
    return _transpose(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation, layout, method
    )


def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str = "NCHW",
    method: str = "auto",
) -> Tensor:
    r"""Transposed convolution of images: the transpose of what `conv2d` with the same settings does, plus `bias`.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        ``N`` and ``C`` may be 0, ``H`` and ``W`` not.
    weight : array_like, shape (C, O // groups, KH, KW); (KH, KW, O // groups, C) with ``layout="NHWC"``
        The very array that takes `conv2d` from ``O`` to ``C`` channels, in the order of its layout.
    bias : array_like, shape (O,), optional
    stride : int or pair of int
        Steps in the result between the windows of neighbouring inputs.
    padding : int, pair, pair of pairs, "same" or "valid"
        Taken away from the result, as `conv2d` would have added it: on all sides; (rows, columns) on both sides;
        ``((top, bottom), (left, right))``; what gives ``H * stride`` outputs (the transpose of a ``"same"``
        convolution of so many); none.
    output_padding : int or pair of int
        Rows and columns added to the end of the result, which the convolution would have left over: less than the
        stride or the dilation. They hold `bias`, or what `padding` took away there.
    groups : int
        Channels are split into so many groups, in order, that do not see each other. It divides ``C`` and ``O``.
    dilation : int or pair of int
        Steps between neighbouring taps of the kernel; 1 means none.
    layout : {"NCHW", "NHWC"}
        Order of the axes of `input` and of the result.
    method : {"auto", "direct", "winograd", "im2col", "padpad", "kronecker"}
        As in `conv2d`.

    Returns
    -------
    Tensor, shape (N, O, OH, OW), (N, OH, OW, O), or either without ``N``
        ``OH = (H - 1) * stride - top - bottom + dilation * (KH - 1) + output_padding + 1``. Of the dtype to which
        NumPy promotes the arguments. In memory its channels always lie last.

    Raises
    ------
    TypeError
        If a dtype is not supported, or a setting not made of integers.
    ValueError
        If ranks or channel counts do not fit together, a setting is out of range, the result would have no elements,
        or `method` cannot be honoured.

    Notes
    -----
    Cost :math:`2 N C (O/G) \, H \, W \, KH \, KW` flop, and the same again for each of the gradients of `input` (a
    convolution) and of `weight`. Saved for them: `weight` and `input`.

    ``<conv2d(x, w), y> == <x, conv_transpose2d(y, w)>`` for all ``x`` and ``y``. In the words of source 001 it is the
    correlation of ``padpad(input)`` with ``rot180 trans(weight)``, computed without the inserted zeros.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.conv_transpose2d([[[1.0, 10], [100, 100]]], [[[[1.0, 2], [3, 4]]]]).data
    array([[[  1.,  12.,  20.],
            [103., 334., 240.],
            [300., 700., 400.]]])
    """
    return _transpose(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation, layout, method
    )


def conv_transpose3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    layout: str = "NCDHW",
    method: str = "auto",
) -> Tensor:
    """Transposed convolution of volumes: `conv_transpose2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    weight : array_like, shape (C, O // groups, KD, KH, KW); (KD, KH, KW, O // groups, C) with ``layout="NDHWC"``
    bias, stride, padding, output_padding, groups, dilation, method
        As in `conv_transpose2d`, with three entries where that has two.
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, O, OD, OH, OW), or as `layout` says

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> import numpy as np
    >>> nn.conv_transpose3d(np.ones((1, 2, 2, 3, 4)), np.ones((2, 1, 3, 2, 1)), stride=(2, 1, 1)).shape
    (1, 1, 5, 4, 4)
    """
    return _transpose(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation, layout, method
    )
