"""Activation functions in pieces: straight ones, shrinking ones, and rectifiers with a slope to learn or to draw.

At a kink the derivative is that of PyTorch: a piece's own end belongs to the side named in each docstring.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import elementwise
from ..ops.selection import where
from ..tensor import ArrayLike, Tensor, as_tensor, wrap
from .operands import check_flags, check_floating, check_numeric, number, operand

__all__ = [
    "celu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "prelu", "relu6", "rrelu", "selu", "softshrink",
    "softsign", "tanhshrink", "threshold",
]  # fmt: skip

# The fixed point of G. Klambauer et al., Self-normalizing neural networks, 2017: mean 0 and variance 1 stay.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def real_tensor(function: str, input: ArrayLike) -> Tensor:
    """The operand as a floating-point Tensor; integers become float64, as NumPy's functions take them."""
    x = operand(function, "input", input)
    check_numeric(function, input=x)
    return as_tensor(x if x.dtype.kind == "f" else x.astype(np.float64))


def threshold(input: ArrayLike, threshold: float, value: float) -> Tensor:
    """``x`` where ``x > threshold``, elsewhere `value`, with derivative 0.

    Parameters
    ----------
    input : array_like
    threshold, value : float

    Returns
    -------
    Tensor, same shape
        NaN stays NaN.
    """
    x = real_tensor("threshold", input)
    limit, other = number("threshold", "threshold", threshold), number("threshold", "value", value)
    return where(x <= limit, np.asarray(other, x.dtype), x)


def hardtanh(input: ArrayLike, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``x``, limited to the interval from `min_val` to `max_val`; the derivative at the limits is 0."""
    x = real_tensor("hardtanh", input)
    low, high = number("hardtanh", "min_val", min_val), number("hardtanh", "max_val", max_val)
    if low > high:
        raise ValueError(f"hardtanh: argument 'min_val' is {low:g}, 'max_val' {high:g}; it must not be larger")
    return where(x <= low, np.asarray(low, x.dtype), where(x >= high, np.asarray(high, x.dtype), x))


def relu6(input: ArrayLike) -> Tensor:
    """``min(max(x, 0), 6)``; the derivative at 0 and 6 is 0."""
    return hardtanh(real_tensor("relu6", input), 0.0, 6.0)


def hardsigmoid(input: ArrayLike) -> Tensor:
    """``relu6(x + 3) / 6``: a sigmoid of straight pieces."""
    return hardtanh(real_tensor("hardsigmoid", input) + 3, 0.0, 6.0) / 6


def hardswish(input: ArrayLike) -> Tensor:
    """``x * relu6(x + 3) / 6`` (A. Howard et al., Searching for MobileNetV3, 2019, section 5.2)."""
    x = real_tensor("hardswish", input)
    # In pieces: a product with an infinite x, where the factor is 0, would be NaN.
    inside = where((x > -3) & (x < 3), x, 0)
    return where(x <= -3, 0 * inside, where(x >= 3, x, inside * (inside + 3) / 6))


def softsign(input: ArrayLike) -> Tensor:
    """``x / (1 + |x|)``."""
    x = real_tensor("softsign", input)
    return x / (1 + abs(x))


def tanhshrink(input: ArrayLike) -> Tensor:
    """``x - tanh(x)``."""
    x = real_tensor("tanhshrink", input)
    return x - elementwise.tanh(x)


def hardshrink(input: ArrayLike, lambd: float = 0.5) -> Tensor:
    """``x`` where ``|x| > lambd``, elsewhere 0."""
    x = real_tensor("hardshrink", input)
    return where(abs(x) <= number("hardshrink", "lambd", lambd), 0, x)


def softshrink(input: ArrayLike, lambd: float = 0.5) -> Tensor:
    """``x - lambd`` above `lambd`, ``x + lambd`` below ``-lambd``, between them 0.

    Raises
    ------
    ValueError
        If `lambd` is negative.
    """
    x = real_tensor("softshrink", input)
    limit = number("softshrink", "lambd", lambd, 0.0)
    return where((x >= -limit) & (x <= limit), 0, x - limit * elementwise.sign(x))


def _exponential(x: Tensor, alpha: float) -> Tensor:
    """``alpha * (exp(x) - 1)`` for x below 0, 0 above; nothing overflows."""
    return alpha * elementwise.expm1(where(x > 0, 0, x))


def selu(input: ArrayLike) -> Tensor:
    """``scale * (max(x, 0) + min(0, alpha * (exp(x) - 1)))`` with the constants of self-normalizing networks."""
    x = real_tensor("selu", input)
    return SELU_SCALE * where(x > 0, x, _exponential(x, SELU_ALPHA))


def celu(input: ArrayLike, alpha: float = 1.0) -> Tensor:
    """``max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))``: an elu with a continuous derivative.

    Raises
    ------
    ValueError
        If `alpha` is 0.
    """
    x = real_tensor("celu", input)
    size = number("celu", "alpha", alpha)
    if size == 0:
        raise ValueError("celu: argument 'alpha' is 0; it must not be")
    return where(x > 0, x, _exponential(x / size if size > 0 else x / size * (x <= 0), size))


def prelu(input: ArrayLike, weight: ArrayLike) -> Tensor:
    """``x`` above 0, ``weight * x`` below, with a weight to learn for each channel.

    Parameters
    ----------
    input : array_like, shape (N, C, ...) or any
    weight : array_like, shape (C,) or one element
        Channels are axis 1 (of an array with one axis, there is one channel).

    Returns
    -------
    Tensor, same shape

    Raises
    ------
    ValueError
        If there are neither one nor C weights.
    """
    x = real_tensor("prelu", input)
    slope = as_tensor(operand("prelu", "weight", weight))
    check_floating("prelu", weight=slope)
    channels = x.shape[1] if x.ndim > 1 else 1
    if slope.ndim > 1 or (slope.size != 1 and slope.shape != (channels,)):
        raise ValueError(
            f"prelu: argument 'weight' has shape {slope.shape}, but argument 'input' (shape {x.shape}) has {channels} "
            "channels; it must have one element, or one for each channel"
        )
    if slope.size != 1:
        slope = slope.reshape(-1, *(1,) * (x.ndim - 2))
    elif slope.ndim:
        slope = slope.reshape(())
    return where(x > 0, x, slope * where(x > 0, 0, x))


def rrelu(
    input: ArrayLike,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    *,
    rng: np.random.Generator | int | None = None,
) -> Tensor:
    """``x`` above 0; below, times a slope drawn between `lower` and `upper`, or their mean when not training.

    Raises
    ------
    ValueError
        If `lower` is larger than `upper`.
    """
    check_flags("rrelu", training=training)
    x = real_tensor("rrelu", input)
    low, high = number("rrelu", "lower", lower), number("rrelu", "upper", upper)
    if low > high:
        raise ValueError(f"rrelu: argument 'lower' is {low:g}, 'upper' {high:g}; it must not be larger")
    slope: Any = np.asarray((low + high) / 2, x.dtype)
    if training:
        slope = wrap(np.random.default_rng(rng).uniform(low, high, x.shape).astype(x.dtype))
    return where(x > 0, x, slope * where(x > 0, 0, x))
