r"""Convolution in one, two and three dimensions.

"Convolution" is cross-correlation, as in every deep-learning library (sources 000 to 004)::

    y[n,o,i,j] = b[o] + sum over c,u,v of  w[o,c,u,v] * xpad[n, c, i*S_h + u*D_h, j*S_w + v*D_w]

It is bilinear in `x` and `w`, so that three primitives are closed under differentiation: the VJPs of each are
the other two. Derivatives of every order follow, and the three have one kernel each:

===================  =======================  =======================  =======================
primitive            of                       VJP of the first         VJP of the second
===================  =======================  =======================  =======================
`_correlate`         (x, w), and a bias       input gradient           weight gradient
`input_gradient`     (gy, w), and a bias      correlate                weight gradient
`weight_gradient`    (x, gy)                  input gradient           correlate
===================  =======================  =======================  =======================

How each of the three is computed is the setting `method`, under which `kernels.formulations` finds a module with
these three functions. The VJPs hand it on, so that all derivatives of a convolution use the same formulation.

Transposed convolution (`transposed`) is `input_gradient` by another name; the functions that compute one gradient
of a convolution alone (`convolution_gradients`) are `input_gradient` and `weight_gradient`.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

import autograd_conv.kernels as kernels

from .. import memory
from ..kernels.geometry import Window
from ..memory import SEALS, is_sole_view
from ..primitive import Primitive, primitive
from ..tape import Record
from ..tensor import ArrayLike, Tensor
from .channels import channel_sum
from .layout import Layout
from .methods import choose_method, is_exact
from .operands import apply, check_numeric, count, is_plain, is_usual, operand
from .rectifier import LARGE, Gated, gated, own_references, rectifies

__all__ = [
    "Setup",
    "check_bias",
    "check_channels",
    "check_weight",
    "conv1d",
    "conv2d",
    "conv3d",
    "input_gradient",
    "keep_weight",
    "weight_gradient",
]


class Setup(NamedTuple):
    """The one setting of the three primitives: everything about a convolution but its arrays."""

    window: Window
    groups: int
    layout: Layout
    method: str = "direct"


class _Correlation(Primitive):
    """A correlation. Where a rectifier follows, its gate and the gradient of the bias are one pass in a plain sweep."""

    takes_gated = True

    def pull_back(self, record: Record, g: Any, needed: set[int] | None, create_graph: bool) -> list[tuple[Any, Any]]:
        bias = record.parents[2]
        if type(g) is Gated and bias is not None and (needed is None or bias.number in needed):
            g.axis = _channel_axis(g.g, record.settings["setup"])
        return super().pull_back(record, g, needed, create_graph)


class _RectifiedCorrelation(_Correlation):
    """A correlation and a rectifier in one."""

    def pull_back(self, record: Record, g: Any, needed: set[int] | None, create_graph: bool) -> list[tuple[Any, Any]]:
        if not (type(g) is Gated or create_graph or SEALS):
            over = g.size >= LARGE and sys.getrefcount(g) <= own_references() and is_sole_view(g)
            g = Gated(g, None, over)
        return super().pull_back(record, g, needed, create_graph)


def _forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, setup: Setup, rectify: bool) -> np.ndarray:
    window, groups, layout, method = setup
    arrays, kept = (layout.canonical(x), layout.canonical_kernel(w), bias), memory.kept(w)
    if rectify and method == "direct":
        y = kernels.correlation.correlate(*arrays, window, groups, kept, activation="relu")
    else:
        y = kernels.formulations.formulation(method).correlate(*arrays, window, groups, kept)
        y = kernels.rectifier.rectify(y, over=True) if rectify else y
    return layout.restore(y, x.ndim)


def _correlate_forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, *, setup: Setup) -> np.ndarray:
    return _forward(x, w, bias, setup, False)


def _rectified_forward(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, *, setup: Setup) -> np.ndarray:
    return _forward(x, w, bias, setup, True)


_correlate = _Correlation(_correlate_forward, name="correlate")
_correlate_rectified = _RectifiedCorrelation(_rectified_forward, name="correlate_relu")


@primitive(name="correlate_input_gradient")
def input_gradient(gy: np.ndarray, w: np.ndarray, bias: np.ndarray | None, *, setup: Setup) -> np.ndarray:
    """Gradient of `_correlate` with respect to `x`; `bias`, for transposed convolution, is added to its channels."""
    window, groups, layout, method = setup
    by = kernels.formulations.formulation(method)
    gx = by.correlate_input_gradient(layout.canonical(gy), layout.canonical_kernel(w), window, groups, memory.kept(w))
    if bias is not None:
        gx = gx + bias  # channels are the last axis
    return layout.restore(gx, gy.ndim)


@primitive(name="correlate_weight_gradient")
def weight_gradient(x: np.ndarray, gy: np.ndarray, *, setup: Setup) -> np.ndarray:
    """Gradient of `_correlate` with respect to `w`."""
    window, groups, layout, method = setup
    by = kernels.formulations.formulation(method)
    arrays = layout.canonical(x), layout.canonical(gy)
    gw = by.correlate_weight_gradient(*arrays, window, groups, not layout.channels_last)  # for its order in memory
    return layout.restore_kernel(gw)


def keep_weight(w: Any) -> None:
    """Let the kernels keep what they make of `w`, if it is a Tensor and for as long as it does not change."""
    if isinstance(w, Tensor):
        memory.keep(w, kernels.keeping.Kept)


def _channel_axis(g: Any, setup: Setup) -> int:
    ndim: int = g.ndim
    return ndim - 1 if setup.layout.channels_last else ndim - 1 - setup.layout.axes


def _bias_gradient(g: Any, setup: Setup, y: Any = None) -> Any:
    array = gated(g, y)
    if type(g) is Gated and g.total is not None:
        return g.total.astype(array.dtype)
    return channel_sum(array, axis=_channel_axis(array, setup))


_correlate.defvjp(
    x=lambda g, w, setup: input_gradient(gated(g), w, None, setup=setup),
    w=lambda g, x, setup: weight_gradient(x, gated(g), setup=setup),
    bias=lambda g, setup: _bias_gradient(g, setup),
)
_correlate_rectified.defvjp(
    x=lambda g, w, ans, setup: input_gradient(gated(g, ans), w, None, setup=setup),
    w=lambda g, x, ans, setup: weight_gradient(x, gated(g, ans), setup=setup),
    bias=lambda g, ans, setup: _bias_gradient(g, setup, ans),
)
input_gradient.defvjp(
    gy=lambda g, w, setup: _correlate(g, w, None, setup=setup),
    w=lambda g, gy, setup: weight_gradient(g, gy, setup=setup),
    bias=lambda g, setup: _bias_gradient(g, setup),
)
weight_gradient.defvjp(
    x=lambda g, gy, setup: input_gradient(gy, g, None, setup=setup),
    gy=lambda g, x, setup: _correlate(x, g, None, setup=setup),
)


def check_weight(function: str, layout: Layout, shape: tuple[int, ...], order: str, last: str) -> None:
    """Raise ValueError unless a kernel has its two axes for channels; `order` and `last` name all axes."""
    if len(shape) != layout.axes + 2:
        raise ValueError(
            f"{function}: argument 'weight' has {len(shape)} axes (shape {shape}); it must have "
            f"{layout.axes + 2} ({last if layout.channels_last else order})"
        )


def check_channels(
    function: str,
    layout: Layout,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    groups: int,
) -> None:
    """Raise ValueError unless ranks and channel counts fit together: the one place that says so."""
    layout.check_rank(function, "input", x_shape)
    check_weight(function, layout, w_shape, "O, C // groups, spatial axes", "spatial axes, C // groups, O")
    channels = layout.channels(x_shape)
    per_group, outputs = (w_shape[-2], w_shape[-1]) if layout.channels_last else (w_shape[1], w_shape[0])
    if outputs == 0:
        raise ValueError(
            f"{function}: argument 'weight' has 0 output channels (shape {w_shape}); it must have at least 1"
        )
    for argument, what, number in (("input", "input", channels), ("weight", "output", outputs)):
        if number % groups:
            raise ValueError(
                f"{function}: argument {argument!r} has {number} {what} channels, but argument 'groups' is {groups}, "
                "which must divide them"
            )
    if per_group != channels // groups:
        raise ValueError(
            f"{function}: argument 'weight' (shape {w_shape}) takes {per_group} input channels for each group, but "
            f"argument 'input' (shape {x_shape}) has {channels} channels in {groups} groups, {channels // groups} "
            "for each; they must be equal"
        )
    check_bias(function, bias_shape, outputs)


def check_bias(function: str, bias_shape: tuple[int, ...] | None, outputs: int) -> None:
    """Raise ValueError unless there is one element for each output channel."""
    if bias_shape is not None and bias_shape != (outputs,):
        raise ValueError(
            f"{function}: argument 'bias' has shape {bias_shape}, but argument 'weight' has {outputs} output "
            f"channels; it must have shape ({outputs},)"
        )


def _convolve(
    function: str,
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    layout: str,
    method: str,
    activation: str | None,
) -> Tensor:
    x, w = operand(function, "input", input), operand(function, "weight", weight)
    b = None if bias is None else operand(function, "bias", bias)
    if not (is_usual(x) and is_usual(w) and (b is None or is_usual(b))):
        check_numeric(function, input=x, weight=w, bias=b)
    setup = _remembered if is_plain(stride, padding, dilation, groups, layout, method) else _setup
    shapes = x.shape, w.shape, None if b is None else b.shape
    settings = stride, padding, dilation, groups, layout, method
    keep_weight(w)
    correlation = _correlate_rectified if rectifies(function, activation) else _correlate
    result: Tensor = apply(correlation, x, w, b, setup=setup(function, axes, *shapes, *settings, x.dtype, is_exact()))
    return result


def _setup(
    function: str,
    axes: int,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    method: Any,
    dtype: Any,
    exact: bool,  # what `choose_method` depends on, too
) -> Setup:
    """Check what a user gave, and say how to compute it."""
    parsed = Layout.of(function, axes, layout)
    groups = count(function, "groups", groups)
    check_channels(function, parsed, x_shape, w_shape, bias_shape, groups)
    taps = w_shape[:-2] if parsed.channels_last else w_shape[2:]
    window = Window.of(function, parsed.spatial(x_shape), taps, stride, padding, dilation)
    outputs = w_shape[-1] if parsed.channels_last else w_shape[0]
    batch, channels = parsed.batch(x_shape), parsed.channels(x_shape)
    return Setup(
        window, groups, parsed, choose_method(function, method, window, batch, channels, outputs, groups, dtype)
    )


# A program calls a layer with the same shapes and settings again and again.
_remembered = lru_cache(maxsize=1024)(_setup)


def conv1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCW",
    method: str = "auto",
    activation: str | None = None,
) -> Tensor:
    """Convolve along one axis: `conv2d` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    weight : array_like, shape (O, C // groups, KW); (KW, C // groups, O) with ``layout="NWC"``
    bias, stride, padding, dilation, groups
        As in `conv2d`; asymmetric padding is ``((before, after),)``.
    layout : {"NCW", "NWC"}
    method : {"auto", "direct", "winograd", "im2col", "padpad", "kronecker"}
    activation : {None, "relu"}
        As in `conv2d`.

    Returns
    -------
    Tensor, shape (N, O, OW), or as `layout` says

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.conv1d([[1.0, 2, 3, 4]], [[[1.0, 10]]], padding="same").data
    array([[21., 32., 43.,  4.]])
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups, layout, method, activation)


def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
    method: str = "auto",
    activation: str | None = None,
) -> Tensor:
    r"""Convolve images: correlate `input` with `weight`, and add `bias`.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        ``N`` and ``C`` may be 0, as may ``H`` and ``W`` where padding leaves room for the kernel.
    weight : array_like, shape (O, C // groups, KH, KW); (KH, KW, C // groups, O) with ``layout="NHWC"``
        ``O`` at least 1.
    bias : array_like, shape (O,), optional
    stride : int or pair of int
        Steps between neighbouring windows.
    padding : int, pair, pair of pairs, "same" or "valid"
        Zeros around the input: on all sides; (rows, columns) on both sides; ``((top, bottom), (left, right))``;
        what gives ``ceil(H / stride)`` outputs, an odd one at the end; none. Of any size.
    dilation : int or pair of int
        Steps between neighbouring taps of the kernel; 1 means none.
    groups : int
        Channels are split into so many groups, in order, that do not see each other. It divides ``C`` and ``O``.
    layout : {"NCHW", "NHWC"}
        Order of the axes of `input` and of the result.
    method : {"auto", "direct", "winograd", "im2col", "padpad", "kronecker"}
        How it is computed, derivatives of every order included; all agree up to rounding. ``"auto"`` takes the
        fastest. ``"direct"``: loops over taps. ``"im2col"``: one matrix product for each group (sources 000, 003).
        ``"padpad"``: gradients as correlations with stride 1 of what was padded inside and outside (source 001).
        ``"kronecker"``: ``vec(y) = (I kron phi(x)) vec(C)`` with explicit matrices, for small inputs (source 002).
        ``"winograd"``: minimal filtering, for 3x3 kernels with stride 1 or 2 and 5x5 kernels with stride 1; ``"auto"``
        takes it for float32 and many channels, unless `set_exact` rules it out, because it rounds two to six times
        more.
    activation : {None, "relu"}
        What is applied to the result: ``"relu"`` is `relu`, without passes over memory of its own where sums are
        rectified as they are stored (``"direct"``), and in the memory of the result elsewhere.

    Returns
    -------
    Tensor, shape (N, O, OH, OW), (N, OH, OW, O), or either without ``N``
        ``OH = (H + top + bottom - (dilation * (KH - 1) + 1)) // stride + 1``. Of the dtype to which NumPy
        promotes the arguments; float16 is computed in float32. In memory its channels lie last, unless it was computed
        plane by plane: small groups, or kernels of one tap, of an `input` whose channels lie first.

    Raises
    ------
    TypeError
        If a dtype is not supported, or a setting not made of integers.
    ValueError
        If ranks or channel counts do not fit together, a setting is out of range, there is no such `activation`, the
        kernel is larger than the padded input, or `method` cannot be honoured: matrices of more than
        ``kernels.kronecker.MAX_ELEMENTS`` elements for ``"kronecker"``; other kernels
        than 3x3 with stride 1 or 2 and 5x5 with stride 1, or groups, for ``"winograd"``.

    Notes
    -----
    Cost :math:`2 N O (C/G) \, OH \, OW \, KH \, KW` flop, and the same again for each of the gradients of
    `input` and of `weight`, of which only those that are asked for are computed. Saved for them: `weight` and
    `input`, nothing else; with an activation also the result.

    The gradient of `input` is the correlation of the padded and spread gradient of the output with the rotated
    and transposed kernel (source 001: ``padpad(gy)``, ``rot180 trans(w)``; source 000: ``col2im(gy . K)``), in a
    form that multiplies no inserted zero; rows that no window reads get exactly 0. That of `weight` is the
    correlation of `input` with the gradient of the output (source 000: ``gy . im2col(x)``), that of `bias` its
    sum. Derivatives of every order exist.

    Padding contributes exactly 0, next to infinities and NaN too; zeros of the arrays themselves are never
    skipped, so that infinities and NaN get through. That holds for ``"auto"`` and ``"direct"``. The other methods
    multiply zeros that stand for padding (``"im2col"`` and ``"kronecker"``), that are put between the elements of the
    output's gradient (``"padpad"``), or that fill routing matrices (``"kronecker"``): with them an infinity or a
    NaN that meets such a zero turns into NaN, by their nature.

    Integers are convolved as they are (sums wrap), and have no gradient.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> image = [[[1.0, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]]]
    >>> nn.conv2d(image, [[[[1.0, 0], [-1, 1]]]]).data
    array([[[ 7.,  0., -3.],
            [ 1.,  6.,  8.]]])
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups, layout, method, activation)


def conv3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    layout: str = "NCDHW",
    method: str = "auto",
    activation: str | None = None,
) -> Tensor:
    """Convolve volumes: `conv2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    weight : array_like, shape (O, C // groups, KD, KH, KW); (KD, KH, KW, C // groups, O) with ``layout="NDHWC"``
    bias, stride, padding, dilation, groups
        As in `conv2d`, with three entries where that has two.
    layout : {"NCDHW", "NDHWC"}
    method : {"auto", "direct", "winograd", "im2col", "padpad", "kronecker"}
    activation : {None, "relu"}
        As in `conv2d`.

    Returns
    -------
    Tensor, shape (N, O, OD, OH, OW), or as `layout` says

    Raises
    ------
    TypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> import numpy as np
    >>> nn.conv3d(np.ones((1, 1, 4, 4, 4)), np.ones((2, 1, 3, 2, 1))).shape
    (1, 2, 2, 3, 4)
    """
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups, layout, method, activation)
