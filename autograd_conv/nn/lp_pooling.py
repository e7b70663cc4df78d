"""Power-average pooling: the p-norm of each window, made of `avg_pool2d` and its like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels.geometry import per_axis
from ..ops.elementwise import absolute, negative, square
from ..ops.selection import where
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, as_tensor, raw
from .operands import check_flags, check_floating, operand
from .pooling import _average, _maximum

__all__ = ["lp_pool1d", "lp_pool2d", "lp_pool3d"]


def _power(x: Tensor, exponent: float) -> Tensor:
    """``x ** exponent``, flat at 0 where it has no finite derivative there."""
    if exponent == 2:
        return square(x)  # many times as fast as a power
    if exponent > 0 and exponent == int(exponent):
        return x ** int(exponent)
    # Where x is 0 a constant takes its place, so that no derivative of any order passes through.
    zero = np.equal(raw(x), 0)
    at_zero = 0.0 if exponent > 0 else math.inf
    return where(zero, np.asarray(at_zero, x.dtype), where(zero, np.ones((), x.dtype), x) ** exponent)


@primitive(name="root")
def _root(total: np.ndarray, *, p: float) -> np.ndarray:
    """``total ** (1 / p)``, flat at 0."""
    if p == 2:
        return np.sqrt(total)
    with np.errstate(divide="ignore"):  # 0 to a negative power is infinity
        return np.asarray(np.power(total, 1.0 / p))


# The derivative is root / (p * total), in which a total of 0 is replaced: the root there is 0.
_root.defvjp(total=lambda g, total, ans, p: g * ans / (p * np.where(np.equal(total, 0), 1, total)))


def _lp_pool(
    function: str,
    axes: int,
    input: ArrayLike,
    norm_type: float,
    kernel_size: Any,
    stride: Any,
    ceil_mode: bool,
    layout: str,
) -> Tensor:
    check_flags(function, ceil_mode=ceil_mode)
    x = operand(function, "input", input)
    check_floating(function, input=x)
    if isinstance(norm_type, bool) or not isinstance(norm_type, (int, float, np.integer, np.floating)):
        raise TypeError(f"{function}: argument 'norm_type' is {norm_type!r}; it must be a number")
    p = float(norm_type)
    if p == 0 or math.isnan(p):
        raise ValueError(f"{function}: argument 'norm_type' is {norm_type!r}; it must be a number other than 0")
    x = as_tensor(x)
    if math.isinf(p):
        size = absolute(x) if p > 0 else negative(absolute(x))
        extreme: Tensor = _maximum(function, axes, size, kernel_size, stride, 0, 1, ceil_mode, False, "row", layout)
        return extreme if p > 0 else negative(extreme)
    dtype = x.dtype
    if dtype.itemsize < 4:
        x = x.astype(np.float32)
    if ceil_mode:  # means of what windows at the end have, times what a full one has
        mean = _average(function, axes, _power(x, p), kernel_size, stride, 0, True, True, None, layout)
        total = mean * math.prod(per_axis(kernel_size, axes, function, "kernel size", minimum=1))
    else:
        total = _average(function, axes, _power(x, p), kernel_size, stride, 0, False, True, 1, layout)
    result: Tensor = total if p == 1 else _root(total, p=p)
    return result.astype(dtype)


def lp_pool1d(
    input: ArrayLike,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    *,
    layout: str = "NCW",
) -> Tensor:
    """Power-average of each window along one axis: `lp_pool2d` with one spatial axis.

    Parameters
    ----------
    input : array_like, shape (N, C, W) or (C, W); (N, W, C) or (W, C) with ``layout="NWC"``
    norm_type, kernel_size, stride, ceil_mode
        As in `lp_pool2d`.
    layout : {"NCW", "NWC"}

    Returns
    -------
    Tensor, shape (N, C, OW)

    Raises
    ------
    TypeError, ValueError
        As `lp_pool2d`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.lp_pool1d([[3.0, -4, 0, 2]], 2, 2).data
    array([[5., 2.]])
    """
    return _lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode, layout)


def lp_pool2d(
    input: ArrayLike,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Tensor:
    r"""Power-average of each window: :math:`(\sum x^p)^{1/p}`.

    Parameters
    ----------
    input : array_like, shape (N, C, H, W) or (C, H, W); (N, H, W, C) or (H, W, C) with ``layout="NHWC"``
        Floating-point; ``C`` at least 1.
    norm_type : float
        The power p, not 0. 1: sums; 2: Euclidean lengths; infinity: the largest absolute values; its negative:
        the smallest.
    kernel_size : int or pair of int
    stride : int or pair of int, optional
        By default `kernel_size`.
    ceil_mode : bool
        Keep a last window that hangs over the end of the input. Its sum is scaled up to the full
        number of elements, as PyTorch's is.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    Tensor, shape (N, C, OH, OW), (N, OH, OW, C), or either without ``N``
        Of the dtype of `input`; float16 is computed in float32.

    Raises
    ------
    TypeError
        If `input` is not floating-point, `norm_type` not a number, or a setting not made of integers.
    ValueError
        If `norm_type` is 0 or NaN, the rank is wrong, there are no channels, a setting is out of range, or the
        window does not fit.

    Notes
    -----
    As in PyTorch it is :math:`x^p` that is summed, not :math:`|x|^p`: with odd p, elements of different sign
    cancel, and a negative sum has no root (NaN, with NumPy's warning; with p = 1 it is its own root). With a p
    that is no integer, negative elements give NaN. Use `abs` of the input for norms with such p.

    Where the sum is 0 the gradient is set to 0, and derivatives of higher order too: what PyTorch does for the first
    order. With p = 1, where nothing is singular, it stays 1 (PyTorch: 0). An element that is exactly 0 gets
    gradient 0 for p below 1 (PyTorch: infinity, or NaN in a window of zeros).

    Saved for the gradient: `input`, the sums, and masks. Cost: that of `avg_pool2d` and two powers.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> import autograd_conv as ac
    >>> x = ac.tensor([[[3.0, 4.0, 0.0, 0.0]]], requires_grad=True)
    >>> y = nn.lp_pool2d(x, 2, (1, 2))
    >>> y.data
    array([[[5., 0.]]])
    >>> y.sum().backward()
    >>> x.grad
    array([[[0.6, 0.8, 0. , 0. ]]])
    """
    return _lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode, layout)


def lp_pool3d(
    input: ArrayLike,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    *,
    layout: str = "NCDHW",
) -> Tensor:
    """Power-average of each window of a volume: `lp_pool2d` with three spatial axes.

    Parameters
    ----------
    input : array_like, shape (N, C, D, H, W) or (C, D, H, W); with ``layout="NDHWC"`` channels last
    norm_type, kernel_size, stride, ceil_mode
        As in `lp_pool2d`, with three entries where that has two.
    layout : {"NCDHW", "NDHWC"}

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)

    Raises
    ------
    TypeError, ValueError
        As `lp_pool2d`.
    """
    return _lp_pool("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode, layout)
