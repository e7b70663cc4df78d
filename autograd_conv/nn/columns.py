r"""im2col and col2im (source 000), with PyTorch's names: `unfold` and `fold`.

Both are linear and each is the transpose of the other, so each is the other's VJP, at every order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import autograd_conv.kernels as kernels

from ..kernels.geometry import Window, per_axis
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .layout import Layout
from .operands import apply, check_numeric, operand

__all__ = ["fold", "unfold"]

_AXES = {"NCW": 1, "NWC": 1, "NCHW": 2, "NHWC": 2, "NCDHW": 3, "NDHWC": 3}


class _Setup(NamedTuple):
    """The one setting of both primitives."""

    window: Window
    layout: Layout


@primitive(name="unfold")
def _unfold(x: np.ndarray, *, setup: _Setup) -> np.ndarray:
    window, layout = setup
    batch = x.shape[: x.ndim - layout.axes - 1]
    if layout.channels_last:
        cols = kernels.columns.unfold_windows(layout.canonical(x), window, False)
        return cols.reshape(*batch, cols.shape[1], cols.shape[2] * cols.shape[3])
    # Channels first: every channel is a plane of its own, and the result has its final order at once.
    channels = layout.channels(x.shape)
    planes = x.reshape(math.prod(batch) * channels, *window.size, 1)
    cols = kernels.columns.unfold_windows(planes, window, True)
    return cols.reshape(*batch, channels * cols.shape[1], cols.shape[2])


@primitive(name="fold")
def _fold(cols: np.ndarray, *, setup: _Setup) -> np.ndarray:
    window, layout = setup
    batch = cols.shape[:-2]
    sizes = window.size[3 - layout.axes :]
    windows = math.prod(window.out)
    if layout.channels_last:
        channels = cols.shape[-1] // window.taps
        entries = cols.reshape(math.prod(batch), windows, window.taps, channels)
        return kernels.columns.fold_windows(entries, window, False).reshape(*batch, *sizes, channels)
    channels = cols.shape[-2] // window.taps
    planes = cols.reshape(math.prod(batch) * channels, window.taps, windows, 1)
    return kernels.columns.fold_windows(planes, window, True).reshape(*batch, channels, *sizes)


_unfold.defvjp(x=lambda g, setup: _fold(g, setup=setup))
_fold.defvjp(cols=lambda g, setup: _unfold(g, setup=setup))


def _layout(function: str, layout: Any) -> Layout:
    if not isinstance(layout, str) or layout not in _AXES:
        names = ", ".join(repr(name) for name in _AXES)
        raise ValueError(f"{function}: argument 'layout' is {layout!r}; it must be one of {names}")
    return Layout.of(function, _AXES[layout], layout)


def unfold(
    input: ArrayLike,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
    *,
    layout: str = "NCHW",
) -> Tensor:
    r"""Lay out each window as a column: im2col.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W), or as `layout` says
        Floating-point or integer. ``N`` and ``C`` may be 0.
    kernel_size : int or pair of int
        For other layouts: as many integers as there are spatial axes, here and below.
    dilation : int or pair of int
        Steps between neighbouring taps of a window; 1 means none.
    padding : int, pair, pair of pairs, "same" or "valid"
        Zeros around the input, as in `conv2d`.
    stride : int or pair of int
        Steps between neighbouring windows.
    layout : {"NCHW", "NHWC", "NCW", "NWC", "NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C * KH * KW, L); with channels last (N, L, KH * KW * C); or either without ``N``
        ``L = OH * OW`` windows, row by row, of the size that `conv2d` says. Rows are numbered in the order of the
        kernels of the same layout: ``(c * KH + u) * KW + v``, or ``(u * KW + v) * C + c``.

    Raises
    ------
    TypeError
        If the dtype is not supported, or a setting not made of integers.
    ValueError
        If the rank is wrong, a setting is out of range, or the window is larger than the padded input.

    See Also
    --------
    fold : the transpose.

    Notes
    -----
    Cost: one copy for each element of the result, which with stride 1 is :math:`KH \, KW` times as large as the
    input. Nothing is saved for the gradient, which is `fold`. A convolution is a product with the columns
    (source 000: ``Y = im2col(X) @ W``): ``weight.reshape(O, -1) @ unfold(x, ...)``, or with channels last
    ``unfold(x, ..., layout="NHWC") @ weight.reshape(-1, O)``.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.unfold([[[1.0, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]]], 2).data
    array([[1., 3., 1., 2., 8., 5.],
           [3., 1., 4., 8., 5., 1.],
           [2., 8., 5., 3., 2., 0.],
           [8., 5., 1., 2., 0., 3.]])
    """
    x = operand("unfold", "input", input)
    check_numeric("unfold", input=x)
    parsed = _layout("unfold", layout)
    parsed.check_rank("unfold", "input", x.shape)
    window = Window.of("unfold", parsed.spatial(x.shape), kernel_size, stride, padding, dilation)
    result: Tensor = apply(_unfold, x, setup=_Setup(window, parsed))
    return result


def fold(
    input: ArrayLike,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
    *,
    layout: str = "NCHW",
) -> Tensor:
    r"""Put columns back where their windows lie, and add up where these overlap: col2im.

    Parameters
    ----------
    input : array_like, shape (N, C * KH * KW, L) or (C * KH * KW, L); with channels last (N, L, KH * KW * C)
        As `unfold` returns it. Floating-point or integer.
    output_size : int or pair of int
        The spatial shape ``(H, W)`` of the result.
    kernel_size, dilation, padding, stride, layout
        As in `unfold`. What would lie in the padding is dropped.

    Returns
    -------
    Tensor, shape (N, C, H, W), or as `layout` says

    Raises
    ------
    TypeError
        If the dtype is not supported, or a setting not made of integers.
    ValueError
        If the rank is wrong, a setting is out of range, the window is larger than the padded result, or `input` has
        not ``L`` columns of a multiple of ``KH * KW`` entries.

    See Also
    --------
    unfold : the transpose.

    Notes
    -----
    Cost: one addition for each element of `input`. Every element of the result collects its own sum, tap by tap.
    Nothing is saved for the gradient, which is `unfold`. `fold` after `unfold` multiplies each element by the number
    of windows it lies in. float16 is summed in float32; places in no window are exactly 0.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> import numpy as np
    >>> nn.fold(nn.unfold(np.ones((1, 3, 3)), 2), 3, 2).data
    array([[[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]]])
    """
    cols = operand("fold", "input", input)
    check_numeric("fold", input=cols)
    parsed = _layout("fold", layout)
    order = "L, taps * C" if parsed.channels_last else "C * taps, L"
    if cols.ndim not in (2, 3):
        raise ValueError(
            f"fold: argument 'input' has {cols.ndim} axes (shape {cols.shape}); it must have 3 axes (N, {order}), or 2 "
            "without the batch axis"
        )
    sizes = per_axis(output_size, parsed.axes, "fold", "output_size", minimum=0)
    window = Window.of("fold", sizes, kernel_size, stride, padding, dilation)
    entries, windows = cols.shape[-2:][:: -1 if parsed.channels_last else 1]
    if entries % window.taps:
        raise ValueError(
            f"fold: argument 'input' (shape {cols.shape}, axes ({order})) has {entries} entries in each column, but "
            f"argument 'kernel_size' is {kernel_size!r}, {window.taps} taps, which must divide them"
        )
    if windows != math.prod(window.out):
        raise ValueError(
            f"fold: argument 'input' (shape {cols.shape}, axes ({order})) has {windows} columns, but there are "
            f"{' * '.join(map(str, window.spatial(parsed.axes)))} = {math.prod(window.out)} windows for output_size "
            f"{sizes}, kernel_size {kernel_size!r}, dilation {dilation!r}, padding {padding!r}, stride {stride!r}; "
            "they must be equal"
        )
    result: Tensor = apply(_fold, cols, setup=_Setup(window, parsed))
    return result
