"""Softmax and its logarithm, which neither overflow nor take the logarithm of 0."""

from __future__ import annotations

import numpy as np

import autograd_conv.kernels as kernels

from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .operands import apply, normalize_axis, real_operand
from .rectifier import LARGE

__all__ = ["has_long_rows", "log_of", "log_softmax", "log_softmax_along", "shifted", "softmax", "softmax_along"]


def shifted(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """`x` less its maximum along `axis`, in at least float32, and that maximum; NaN if all are -inf, or one is inf."""
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    top = np.maximum.reduce(x, axis, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        return x - top, top


def log_of(total: np.ndarray, classes: int) -> np.ndarray:
    """Logarithm of a sum of so many exponentials, of which the largest is 1, unless there is none: -inf."""
    return np.log(total) if classes else np.full_like(total, -np.inf)


def has_long_rows(x: np.ndarray, axis: int) -> bool:
    """Whether `kernels.softmax` serves `x`, and there is enough of it to be worth loading the compiler for."""
    return x.size >= LARGE and kernels.softmax.serves(x, axis)


@primitive(name="softmax")
def softmax_along(x: np.ndarray, *, axis: int) -> np.ndarray:
    if has_long_rows(x, axis):
        return kernels.softmax.forward(x, False)
    exponentials, _ = shifted(x, axis)
    np.exp(exponentials, out=exponentials)
    exponentials /= np.add.reduce(exponentials, axis, keepdims=True)
    return exponentials.astype(x.dtype, copy=False)


@primitive(name="log_softmax")
def log_softmax_along(x: np.ndarray, *, axis: int) -> np.ndarray:
    if has_long_rows(x, axis):
        return kernels.softmax.forward(x, True)
    exponents, _ = shifted(x, axis)
    exponents -= log_of(np.add.reduce(np.exp(exponents), axis, keepdims=True), x.shape[axis])
    return exponents.astype(x.dtype, copy=False)


@primitive(name="softmax_gradient")
def _softmax_gradient(g: np.ndarray, y: np.ndarray, *, axis: int) -> np.ndarray:
    """y * (g - sum(g * y)), for the output y of softmax."""
    if has_long_rows(y, axis) and g.dtype == y.dtype:
        return kernels.softmax.backward(g, y, False)
    result: np.ndarray = y * (g - np.add.reduce(g * y, axis, keepdims=True))
    return result


@primitive(name="log_softmax_gradient")
def _log_softmax_gradient(g: np.ndarray, y: np.ndarray, *, axis: int) -> np.ndarray:
    """g - exp(y) * sum(g), for the output y of log_softmax."""
    if has_long_rows(y, axis) and g.dtype == y.dtype:
        return kernels.softmax.backward(g, y, True)
    result: np.ndarray = g - np.exp(y) * np.add.reduce(g, axis, keepdims=True)
    return result


softmax_along.defvjp(x=lambda g, ans, axis: _softmax_gradient(g, ans, axis=axis))
log_softmax_along.defvjp(x=lambda g, ans, axis: _log_softmax_gradient(g, ans, axis=axis))
_softmax_gradient.defvjp(
    g=lambda v, y, axis: _softmax_gradient(v, y, axis=axis),
    y=lambda v, g, y, axis: (
        v * (g - np.sum(g * y, axis=axis, keepdims=True)) - g * np.sum(v * y, axis=axis, keepdims=True)
    ),
)
_log_softmax_gradient.defvjp(
    g=lambda v, y, axis: v - np.sum(v * np.exp(y), axis=axis, keepdims=True),
    y=lambda v, g, y, axis: -v * np.exp(y) * np.sum(g, axis=axis, keepdims=True),
)


def softmax(input: ArrayLike, axis: int = -1) -> Tensor:
    """Exponentials divided by their sum along `axis`.

    Parameters
    ----------
    input : array_like
        Logits, of any shape; integers are taken as float64.
    axis : int

    Returns
    -------
    Tensor, same shape
        Positive, with sum 1 along `axis`. Of any finite logits; -inf gives 0, but NaN where all are -inf.

    Raises
    ------
    IndexError
        If there is no such axis.

    Notes
    -----
    The maximum is subtracted first, so that nothing overflows. Saves the output.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.softmax([1000.0, 1000.0, float("-inf")]).data
    array([0.5, 0.5, 0. ])
    """
    x = real_operand("softmax", input)
    result: Tensor = apply(softmax_along, x, axis=normalize_axis("softmax", "axis", axis, x.ndim))
    return result


def log_softmax(input: ArrayLike, axis: int = -1) -> Tensor:
    """Logarithm of `softmax`, which neither overflows nor takes the logarithm of 0.

    Parameters
    ----------
    input : array_like
        Logits, of any shape; integers are taken as float64.
    axis : int

    Returns
    -------
    Tensor, same shape
        Of any finite logits; -inf stays -inf, but NaN where all are -inf.

    Raises
    ------
    IndexError
        If there is no such axis.

    Notes
    -----
    ``x - max - log(sum(exp(x - max)))``. Saves the output.
    """
    x = real_operand("log_softmax", input)
    result: Tensor = apply(log_softmax_along, x, axis=normalize_axis("log_softmax", "axis", axis, x.ndim))
    return result
