"""Activation functions, softmax and dropout.

None of them overflows or gives NaN for finite input, and the gradients of saturated ones are small, not wrong.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..memory import SEALS, is_sole_view
from ..ops import elementwise
from ..primitive import ONES, ZEROS, Primitive, primitive
from ..tape import STATE, Record, State, is_sole_parent
from ..tensor import ArrayLike, Tensor, as_tensor, raw, wrap
from .operands import (
    apply,
    check_choice,
    check_flags,
    check_floating,
    check_numeric,
    is_usual,
    normalize_axis,
    number,
    operand,
)  # fmt: skip

__all__ = [
    "dropout", "elu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax", "softplus", "tanh",
]  # fmt: skip

_INTEGERS = {2: np.int16, 4: np.int32, 8: np.int64}


# Elements up to which a selection takes less time than what a loop over bits needs before it starts.
_SMALL = 256


def _selected(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    result = np.zeros(x.shape, x.dtype)
    np.copyto(result, x, where=mask)
    return result


@primitive
def gate(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`x` where `mask` holds, elsewhere 0: also where `x` is infinite or NaN.

    A product with the mask would turn those into NaN, and a selection by branches takes ten times as long on a
    random mask: this one clears bits. Its own transpose, so that it is closed under differentiation.
    """
    if x.size <= _SMALL:
        return _selected(x, mask)
    integer = _INTEGERS.get(x.dtype.itemsize)
    if x.dtype.kind != "f" or integer is None:
        return np.where(mask, x, x.dtype.type(0))
    all_bits = np.negative(mask.view(np.int8))  # True -> -1, whose bits are all ones
    return np.bitwise_and(x.view(integer), all_bits, dtype=integer).view(x.dtype)


gate.defvjp(x=lambda g, mask: gate(g, mask))


def _real(function: str, input: ArrayLike) -> Any:
    """The operand, with integers as float64, as NumPy's functions take them."""
    if is_usual(input):
        return input
    x = operand(function, "input", input)
    check_numeric(function, input=x)
    return x if x.dtype.kind == "f" else x.astype(np.float64)


# --- rectifiers --------------------------------------------------------------------------------------------


# Elements from which on a compiled loop on all cores is worth loading the compiler for.
LARGE = 1 << 16


class Gated:
    """A cotangent that is still to be gated by a rectifier, on its way to a primitive that does so in passing.

    Such a primitive has an attribute ``takes_gated``. It may find the gate itself, or ask for the gated array.

    Attributes
    ----------
    g : ndarray
    y : ndarray or None
        The output of the rectifier, if it is known already.
    over : bool
        Whether `g` may be written over.
    axis : int or None
        The axis of channels if sums over the others are wanted as well.
    total : ndarray or None
        These sums, if they came about in passing.
    """

    __slots__ = ("_done", "axis", "g", "over", "total", "y")

    def __init__(self, g: np.ndarray, y: np.ndarray | None, over: bool) -> None:
        self.g, self.y, self.over = g, y, over
        self.axis: int | None = None
        self.total: np.ndarray | None = None
        self._done = False

    def array(self, y: np.ndarray | None = None) -> np.ndarray:
        """The gated array; `y` is asked for once, if it is not known."""
        y = self.y if y is None else y
        if not self._done and y is not None:
            if self.over and self.axis is not None:
                self.total = kernels.channelwise.gate_over(self.g, y, self.axis)
            if self.total is None:
                self.g = kernels.rectifier.gate(self.g, y, over=True) if self.over else relu_gate(self.g, y)
            self.y, self._done = None, True
        return self.g


def gated(g: Any, y: Any = None) -> Any:
    """The cotangent `g` as a rule computes with it: gated by `y`, if there is one, or as it asks to be itself."""
    if type(g) is Gated:
        return g.array(y)
    return g if y is None else relu_gate(g, y)


class _Counting(Primitive):
    """Counts the references to a cotangent that nothing but the sweep holds."""

    counted = 0

    def pull_back(self, record: Record, g: Any, needed: set[int] | None, create_graph: bool) -> list[tuple[Any, Any]]:
        self.counted = sys.getrefcount(g)
        return super().pull_back(record, g, needed, create_graph)


@functools.cache
def own_references() -> int:
    """What ``sys.getrefcount`` says in a pull-back of a cotangent that nothing but the sweep holds."""
    counting = _Counting(lambda x: x + 1.0, name="counting").defvjp(x=lambda g: g + 1.0)
    token = STATE.set(State(True, ()))
    try:
        # The last one counts, whose cotangent is the fresh result of a rule. Nobody can watch this primitive.
        counting(counting(Tensor(1.0, requires_grad=True))).backward()
    finally:
        STATE.reset(token)
    return counting.counted  # type: ignore[attr-defined]


class _Rectifier(Primitive):
    """`relu`. In a plain sweep, its rule is carried out by what was rectified, or in the memory of the cotangent."""

    def pull_back(self, record: Record, g: Any, needed: set[int] | None, create_graph: bool) -> list[tuple[Any, Any]]:
        if not create_graph and not SEALS:
            over = g.size >= LARGE and sys.getrefcount(g) <= own_references() and is_sole_view(g)
            alone = is_sole_parent(record, 0)
            parent: Any = record.parents[0]
            (y,) = record.saved  # type: ignore[misc]
            if alone:
                primitive = parent.plan.primitive
                # Who watches a primitive is to see its cotangents.
                if getattr(primitive, "takes_gated", False) and "pull_back" not in primitive.__dict__:
                    return [(parent, Gated(g, y, over))]
            if over:
                return [(parent, kernels.rectifier.gate(g, y, over=True))]
        return super().pull_back(record, g, needed, create_graph)


def _rectified(x: np.ndarray) -> np.ndarray:
    return kernels.rectifier.rectify(x) if x.size >= LARGE else np.maximum(x, ZEROS[x.dtype])


_relu = _Rectifier(_rectified, name="relu")


@primitive(name="relu_gate")
def relu_gate(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`g` where the output `y` of `relu` is not 0, elsewhere 0."""
    if g.size <= _SMALL:
        return _selected(g, np.not_equal(y, ZEROS[y.dtype]))
    return kernels.rectifier.gate(g, y) if g.size >= LARGE else gate(g, np.not_equal(y, 0))


# The output is what the next layer saves anyway, so keeping it is free. It is never negative: "not 0" is
# "positive or NaN", and a NaN lets the cotangent through. How the gate depends on it has no derivative.
_relu.defvjp(x=lambda g, ans: relu_gate.binary(g, ans))
relu_gate.defvjp(g=lambda g, y: relu_gate.binary(g, y), y=lambda g: None)


def rectifies(function: str, activation: Any) -> bool:
    """Whether the parameter `activation` of a function is "relu"; ValueError if it is anything else but None."""
    if activation is not None:
        check_choice(function, "activation", activation, ("relu",))
    return activation is not None


def relu(input: ArrayLike) -> Tensor:
    """max(x, 0), element by element; the derivative at 0 is 0 (source 002).

    Parameters
    ----------
    input : array_like
        Of any shape and real dtype.

    Returns
    -------
    Tensor, same shape and dtype
        NaN stays NaN.

    Notes
    -----
    Saves the output, which the following layer mostly saves as well. One pass forward, one backward.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.relu([-1.0, 0, 2]).data
    array([0., 0., 2.])
    """
    if is_usual(input):
        return _relu.unary(input)
    x = operand("relu", "input", input)
    check_numeric("relu", input=x)
    result: Tensor = apply(_relu, x)
    return result


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
    result: Tensor = apply(logistic, _real("sigmoid", input))
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
    x = _real("silu", input)
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
    result: Tensor = apply(_softplus, _real("softplus", input), beta=beta, threshold=threshold)
    return result


# --- softmax -----------------------------------------------------------------------------------------------


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
    x = _real("softmax", input)
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
    x = _real("log_softmax", input)
    result: Tensor = apply(log_softmax_along, x, axis=normalize_axis("log_softmax", "axis", axis, x.ndim))
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
