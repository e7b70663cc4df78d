"""Activation functions and dropout.

None of them overflows or gives NaN for finite input, and the gradients of saturated ones are small, not wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import elementwise
from ..primitive import primitive
from ..scalars import ONES, ZEROS
from ..tensor import ArrayLike, Tensor, as_tensor, raw, wrap
from .operands import apply, check_flags, check_floating, is_usual, number, operand, real_operand
from .rectifier import gate

__all__ = ["dropout", "elu", "leaky_relu", "sigmoid", "silu", "softplus", "tanh"]


# --- relatives of the rectifier ----------------------------------------------------------------------------


@primitive(name="leaky_relu", residuals="positive")
def _leaky_relu(x: np.ndarray, *, negative_slope: float) -> tuple[np.ndarray, np.ndarray]:
    zero = ZEROS[x.dtype]
    return np.maximum(x, zero) + negative_slope * np.minimum(x, zero), np.greater(x, zero)


def _leaky_relu_vjp(g: Any, positive: Any, negative_slope: float) -> Any:
    return gate(g, positive) + negative_slope * gate(g, np.logical_not(positive))


_leaky_relu.defvjp(x=_leaky_relu_vjp)


def leaky_relu(input: ArrayLike, negative_slope: float = 0.01) -> Tensor:
    """`x` where it is positive, elsewhere ``negative_slope * x``; the derivative at 0 is `negative_slope`.

    Parameters
    ----------
    input : array_like
        Of any shape and floating-point dtype.
    negative_slope : float

    Returns
    -------
    Tensor, same shape and dtype

    Raises
    ------
    TypeError
        If `input` is not floating-point.

    Notes
    -----
    Saves one byte for each element: whether it is positive.
    """
    settings = {"negative_slope": number("leaky_relu", "negative_slope", negative_slope)}
    if is_usual(input):
        return _leaky_relu.unary(input, settings)
    x = operand("leaky_relu", "input", input)
    check_floating("leaky_relu", input=x)
    result: Tensor = apply(_leaky_relu, x, **settings)
    return result


@primitive(name="elu")
def _elu(x: np.ndarray, *, alpha: float) -> np.ndarray:
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))


def _elu_vjp(g: Any, x: Any, alpha: float) -> Any:
    positive = np.greater(x, 0)
    negative = np.logical_not(positive)
    return gate(g, positive) + alpha * gate(g, negative) * np.exp(gate(x, negative))


_elu.defvjp(x=_elu_vjp)


def elu(input: ArrayLike, alpha: float = 1.0) -> Tensor:
    """`x` where it is positive, elsewhere ``alpha * (e**x - 1)``; the derivative at 0 is `alpha`.

    Parameters
    ----------
    input : array_like
        Of any shape and floating-point dtype.
    alpha : float

    Returns
    -------
    Tensor, same shape and dtype

    Raises
    ------
    TypeError
        If `input` is not floating-point.
    """
    x = operand("elu", "input", input)
    check_floating("elu", input=x)
    result: Tensor = apply(_elu, x, alpha=number("elu", "alpha", alpha))
    return result


# --- logistic family ---------------------------------------------------------------------------------------


@primitive(name="sigmoid")
def logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e**-x), with full relative precision in both tails."""
    # No exponent is positive, so that nothing overflows: 1 / (1 + e**-x) for x > 0, e**x / (1 + e**x) for x < 0.
    return np.exp(np.minimum(x, ZEROS[x.dtype])) / (ONES[x.dtype] + np.exp(-np.abs(x)))


@primitive
def sigmoid_slope(x: np.ndarray) -> np.ndarray:
    """The derivative of the sigmoid, ``e**-|x| / (1 + e**-|x|)**2``."""
    small = np.exp(-np.abs(x))
    return small / np.square(ONES[x.dtype] + small)


# In terms of x, not of the output s: s * (1 - s) rounds to 0 as soon as s rounds to 1, at x = 17 in float32.
logistic.defvjp(x=lambda g, x: g * sigmoid_slope.unary(x))
sigmoid_slope.defvjp(x=lambda g, x: -g * sigmoid_slope(x) * np.tanh(0.5 * x))


def sigmoid(input: ArrayLike) -> Tensor:
    """1 / (1 + e**-x), element by element.

    Parameters
    ----------
    input : array_like
        Of any shape; integers are taken as float64.

    Returns
    -------
    Tensor, same shape
        Between 0 and 1; no overflow, and full relative precision for negative `input` too.

    Notes
    -----
    The derivative is at most 1/4, at 0 (source 002), and as small as it should be, not 0, where the function
    is saturated; it is computed from `input`, which is what is saved.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.sigmoid([-1000.0, 0, 1000]).data
    array([0. , 0.5, 1. ])
    """
    if is_usual(input):
        return logistic.unary(input)
    result: Tensor = apply(logistic, real_operand("sigmoid", input))
    return result


def tanh(input: ArrayLike) -> Tensor:
    """Hyperbolic tangent, element by element: `autograd_conv.tanh` under PyTorch's name of the parameter.

    Parameters
    ----------
    input : array_like
        Of any shape.

    Returns
    -------
    Tensor, same shape

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.tanh([-1000.0, 0.0, 1000.0]).data
    array([-1.,  0.,  1.])
    """
    result: Tensor = elementwise.tanh(operand("tanh", "input", input))
    return result


def silu(input: ArrayLike) -> Tensor:
    """``x * sigmoid(x)``, element by element.

    Parameters
    ----------
    input : array_like
        Of any shape; integers are taken as float64.

    Returns
    -------
    Tensor, same shape
    """
    x = real_operand("silu", input)
    return elementwise.multiply(x, logistic.unary(x) if is_usual(x) else apply(logistic, x))


def softplus_of(x: np.ndarray) -> np.ndarray:
    """log(1 + e**x), with full relative precision in both tails."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@primitive(name="softplus")
def _softplus(x: np.ndarray, *, beta: float, threshold: float) -> np.ndarray:
    scaled = beta * x
    linear = scaled > threshold
    return gate(x, linear) + gate(softplus_of(scaled) / beta, ~linear)


def _softplus_vjp(g: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = beta * x
    linear = np.greater(scaled, threshold)
    return gate(g, linear) + gate(g, np.logical_not(linear)) * logistic(scaled)


_softplus.defvjp(x=_softplus_vjp)


def softplus(input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + e**(beta * x)) / beta``, a smooth `relu`.

    Parameters
    ----------
    input : array_like
        Of any shape; integers are taken as float64.
    beta : float
        How sharp the bend is; not 0.
    threshold : float
        Where ``beta * x`` is larger, the result is `x` and the derivative 1.

    Returns
    -------
    Tensor, same shape

    Raises
    ------
    ValueError
        If `beta` is 0.
    """
    beta, threshold = number("softplus", "beta", beta), number("softplus", "threshold", threshold)
    if beta == 0:
        raise ValueError("softplus: argument 'beta' is 0; it must not be")
    result: Tensor = apply(_softplus, real_operand("softplus", input), beta=beta, threshold=threshold)
    return result


# --- dropout -----------------------------------------------------------------------------------------------


def dropout(
    input: ArrayLike,
    p: float = 0.5,
    training: bool = True,
    *,
    rng: np.random.Generator | int | None = None,
) -> Tensor:
    """Set each element to 0 with probability `p`, and divide the others by ``1 - p``.

    Parameters
    ----------
    input : array_like
        Of any shape and floating-point dtype.
    p : float
        From 0 to 1; 1 gives zeros.
    training : bool
        If False, the result is `input`.
    rng : numpy.random.Generator or int, optional
        Where random numbers come from: a generator, or a seed for one. By default a new one each time.

    Returns
    -------
    Tensor, same shape and dtype
        The same elements are dropped for every memory order of `input`.

    Raises
    ------
    TypeError
        If `input` is not floating-point.
    ValueError
        If `p` does not lie between 0 and 1.

    Notes
    -----
    Saves one byte for each element: whether it was kept. Dropped infinities and NaN are 0 too.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.dropout([1.0, 2, 3, 4, 5, 6], 0.5, rng=1).data
    array([0., 4., 6., 8., 0., 0.])
    """
    check_flags("dropout", training=training)
    p = number("dropout", "p", p, 0.0, 1.0)
    x = operand("dropout", "input", input)
    check_floating("dropout", input=x)
    if not training or p == 0:
        return as_tensor(x).reshape(x.shape)
    # float32 is fine enough for a threshold, and half the work. The mask lies in memory as the input does, and so will
    # the result.
    chance = np.random.default_rng(rng).random(x.shape, np.float32)
    kept = np.greater_equal(chance, p, out=np.empty_like(raw(x), dtype=bool))
    result: Tensor = apply(gate, x, wrap(kept))
    return result if p == 1 else result * (1 / (1 - p))
