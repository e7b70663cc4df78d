"""Loss functions: stable, fused where the parts would overflow, with derivatives of every order."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..ops import elementwise
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, raw, wrap
from .activation import logistic, softplus_of
from .operands import apply, check_choice, check_floating, check_numeric, check_real, integer, is_usual, number, operand
from .rectifier import gate
from .softmax import has_long_rows, log_of, log_softmax_along, shifted, softmax_along

__all__ = ["binary_cross_entropy_with_logits", "cross_entropy", "mse_loss", "nll_loss"]

_REDUCTIONS = ("mean", "sum", "none")


def _reduce(losses: Any, reduction: str) -> Any:
    """The sum or the mean of losses, or all of them; the mean of none is NaN."""
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    return total / losses.size if losses.size else total + np.nan


def _beside(function: str, argument: str, x: Any, value: ArrayLike) -> Any:
    """An operand that stands beside `x`: a Python number takes the dtype of `x`, as in NumPy."""
    if isinstance(value, (bool, int, float)) and x.dtype.kind == "f":
        return np.asarray(value, x.dtype)
    beside = operand(function, argument, value)
    check_real(function, **{argument: beside})
    return beside


def _check_same_shape(function: str, x: Any, target: Any) -> None:
    if target.shape not in (x.shape, ()):
        raise ValueError(
            f"{function}: argument 'target' has shape {target.shape}, but argument 'input' has shape {x.shape}; they "
            "must be equal, or 'target' be a number"
        )


# --- classes as indices ------------------------------------------------------------------------------------


class _Classes:
    """Indices of classes, checked, and the weight of each in the sum of losses.

    Attributes
    ----------
    axis : int
        The axis of the classes in the input.
    index : ndarray of int
        With a class axis of length one; -1 where the target is ignored.
    weight : ndarray
        Of the shape of the target: that of its class, 0 where it is ignored.
    complete : bool
        Whether no target is ignored.
    """

    __slots__ = ("axis", "complete", "index", "weight")

    def __init__(self, function: str, x: Any, target: np.ndarray, weight: np.ndarray | None, ignore_index: int) -> None:
        self.axis = _class_axis(function, x)
        expected = x.shape[: self.axis] + x.shape[self.axis + 1 :]
        if target.shape != expected:
            raise ValueError(
                f"{function}: argument 'target' has shape {target.shape}, but argument 'input' has shape {x.shape}; "
                f"indices of classes must have its shape without the class axis, {expected}"
            )
        classes = x.shape[self.axis]
        ignored = target == ignore_index
        self.complete = not np.count_nonzero(ignored)
        index = target.astype(np.int64)
        if np.count_nonzero(index.view(np.uint64) >= classes):  # as an unsigned number, a negative one is large
            wrong = ~ignored & ((target < 0) | (target >= classes))
            if wrong.any():
                place = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise IndexError(
                    f"{function}: argument 'target' is {int(target[place])} at {place}, but argument 'input' (shape "
                    f"{x.shape}) has {classes} classes; it must lie between 0 and {classes - 1}, or be ignore_index, "
                    f"{ignore_index}"
                )
        if not self.complete:
            index = np.where(ignored, -1, index)
        if weight is None or not classes:
            self.weight = np.ones(target.shape, x.dtype) if self.complete else (~ignored).astype(x.dtype)
        else:
            self.weight = np.where(ignored, 0, weight[index]).astype(x.dtype)
        self.index = index.reshape(expected[: self.axis] + (1,) + expected[self.axis :])

    def chosen(self, x: np.ndarray) -> np.ndarray:
        """The elements of `x` at the indices; 0 where the target is ignored."""
        if not self.index.size:
            return np.zeros(self.weight.shape, x.dtype)
        if self.complete and x.ndim == 2:
            some: np.ndarray = x[np.arange(len(x)), self.index[:, 0]]
            return some
        if self.complete:
            chosen: np.ndarray = np.take_along_axis(x, self.index, self.axis).squeeze(self.axis)
            return chosen
        values = np.take_along_axis(x, np.maximum(self.index, 0), self.axis).squeeze(self.axis)
        return np.where(self.index.squeeze(self.axis) < 0, 0, values)

    def subtract_hits(self, probabilities: np.ndarray) -> None:
        """Subtract 1 from the probability of each target's class, in place; where it is ignored, write 0."""
        if probabilities.ndim == 2 and self.complete:
            probabilities[np.arange(len(probabilities)), self.index[:, 0]] -= 1
            return
        probabilities -= self.hits(probabilities.ndim, probabilities.shape[self.axis])
        if not self.complete:
            np.copyto(probabilities, 0, where=self.index < 0)

    def hits(self, ndim: int, count: int) -> np.ndarray:
        """Whether an element of the input is that of the target's class."""
        number = np.arange(count).reshape((-1,) + (1,) * (ndim - 1 - self.axis))
        return self.index == number

    def divisor(self) -> float:
        """What the sum of losses is divided by for their mean: PyTorch's rule, the sum of the weights."""
        return float(np.add.reduce(self.weight, None, np.float64))


def _class_axis(function: str, x: Any) -> int:
    if x.ndim == 0:
        raise ValueError(f"{function}: argument 'input' has no axes (shape ()); it must have that of the classes")
    return min(1, x.ndim - 1)


def _class_weight(function: str, weight: ArrayLike | None, x: Any) -> np.ndarray | None:
    if weight is None:
        return None
    array = np.asarray(raw(operand(function, "weight", weight)))
    check_numeric(function, weight=array)
    classes = x.shape[_class_axis(function, x)]
    if array.shape != (classes,):
        raise ValueError(
            f"{function}: argument 'weight' has shape {array.shape}, but argument 'input' (shape {x.shape}) has "
            f"{classes} classes; it must have shape ({classes},)"
        )
    return array.astype(x.dtype)


def _weighted_mean(losses: Any, divisor: float, reduction: str) -> Any:
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    # Nothing to take the mean of: NaN, with gradient 0.
    return total / divisor if divisor else total + np.nan


@primitive(name="cross_entropy", residuals=("top", "total"))
def _index_cross_entropy(x: np.ndarray, *, classes: _Classes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """weight * (log(sum(exp(x))) - x[target]); with the maxima, and the sums of exponentials below them."""
    axis = classes.axis
    if has_long_rows(x, axis):
        top, total = kernels.softmax.sums(x)
        with np.errstate(invalid="ignore", over="ignore"):
            losses = np.log(total).squeeze(axis) - (classes.chosen(x) - top.squeeze(axis))
    else:
        exponents, top = shifted(x, axis)
        total = np.add.reduce(np.exp(exponents), axis, keepdims=True)
        losses = log_of(total, x.shape[axis]).squeeze(axis) - classes.chosen(exponents)
    losses *= classes.weight
    if not classes.complete:
        losses = np.where(classes.index.squeeze(axis) >= 0, losses, 0)
    return losses.astype(x.dtype, copy=False), top, total


@primitive(name="cross_entropy_gradient")
def _index_cross_entropy_gradient(
    g: np.ndarray, x: np.ndarray, top: np.ndarray, total: np.ndarray, *, classes: _Classes
) -> np.ndarray:
    """g * weight * (softmax(x) - onehot(target)), and 0 where the target is ignored whatever x is.

    `top` and `total` are those of `x`: the rule with respect to `x` accounts for how they depend on it.
    """
    if has_long_rows(x, classes.axis):
        return kernels.softmax.entropy_backward(x, top, total, classes.index, g * classes.weight)
    with np.errstate(invalid="ignore", over="ignore"):
        gradient = np.exp(x - top)
        gradient /= total
    classes.subtract_hits(gradient)
    gradient *= (g * classes.weight).reshape(classes.index.shape)
    return gradient.astype(x.dtype, copy=False)


def _kept(array: Any, classes: _Classes) -> Any:
    """`array`, of the shape of the input, with 0 where the target is ignored."""
    return array if classes.complete else gate(array, np.broadcast_to(classes.index >= 0, array.shape))


def _gradient_vjp_g(v: Any, x: Any, classes: _Classes) -> Any:
    """weight * sum(v * (softmax(x) - onehot(target)))."""
    difference = _kept(softmax_along(x, axis=classes.axis) - classes.hits(len(x.shape), x.shape[classes.axis]), classes)
    return np.sum(v * difference, axis=classes.axis) * classes.weight


def _gradient_vjp_x(v: Any, g: Any, x: Any, classes: _Classes) -> Any:
    """The softmax's own: p * (u - sum(u * p)) for u = v * g * weight."""
    axis = classes.axis
    p = _kept(softmax_along(x, axis=axis), classes)
    u = v * np.expand_dims(g * classes.weight, axis)
    return p * (u - np.sum(u * p, axis=axis, keepdims=True))


_index_cross_entropy.defvjp(
    x=lambda g, x, top, total, classes: _index_cross_entropy_gradient(g, x, top, total, classes=classes)
)
_index_cross_entropy_gradient.defvjp(g=_gradient_vjp_g, x=_gradient_vjp_x)


@primitive(name="cross_entropy")
def _soft_cross_entropy(x: np.ndarray, q: np.ndarray, *, axis: int) -> np.ndarray:
    """-sum(q * log_softmax(x)); a class with q = 0 contributes 0, also if its logit is -inf."""
    with np.errstate(invalid="ignore"):
        terms = q * log_softmax_along(x, axis=axis)
    return -np.where(q == 0, 0, terms).sum(axis=axis)


_soft_cross_entropy.defvjp(
    x=lambda g, x, q, axis: (
        np.expand_dims(g, axis) * (softmax_along(x, axis=axis) * np.sum(q, axis=axis, keepdims=True) - q)
    ),
    q=lambda g, x, axis: -np.expand_dims(g, axis) * log_softmax_along(x, axis=axis),
)


def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of logits and classes: ``-log_softmax(input)[target]``.

    Parameters
    ----------
    input : array_like, shape (N, C, ...) or (C,)
        Logits, floating-point.
    target : array_like
        Either integers, the indices of the classes, of the shape of `input` without the axis of the classes; or
        floating-point, their probabilities, of the shape of `input`.
    weight : array_like, shape (C,), optional
        A weight for each class; it has no gradient.
    ignore_index : int
        Targets of this value contribute neither to the loss nor to the gradient. Only for indices.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the weights of the targets that are not ignored (for
        probabilities: by their number).
    label_smoothing : float
        Mix the target with so much of the uniform distribution, from 0 to 1.

    Returns
    -------
    Tensor, shape (), or that of the indices with ``reduction="none"``
        The mean of nothing is NaN, the sum 0.

    Raises
    ------
    TypeError
        If `input` is not floating-point, or `target` neither that nor integer.
    ValueError
        If shapes do not fit together or a setting is out of range.
    IndexError
        If an index is neither that of a class nor `ignore_index`.

    Notes
    -----
    Softmax and logarithm are one, so that large logits neither overflow nor give log(0). The gradient is
    ``softmax(input) - onehot(target)``. Saves `input`; cost: two exponentials for each logit, one forward, one
    backward.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.cross_entropy([[0.0, 0.0], [1000.0, 0.0]], [0, 1], reduction="none").data
    array([6.93147181e-01, 1.00000000e+03])
    """
    function = "cross_entropy"
    x, t = operand(function, "input", input), operand(function, "target", target)
    if not is_usual(x):
        check_floating(function, input=x)
    check_choice(function, "reduction", reduction, _REDUCTIONS)
    label_smoothing = number(function, "label_smoothing", label_smoothing, 0.0, 1.0)
    ignore_index = integer(function, "ignore_index", ignore_index)
    class_weight = _class_weight(function, weight, x)
    axis = _class_axis(function, x)
    if t.dtype.kind == "f":
        return _probability_cross_entropy(x, t, class_weight, axis, reduction, label_smoothing)
    if t.dtype.kind not in "iu":
        raise TypeError(
            f"{function}: argument 'target' has dtype {t.dtype}; it must be integer (indices of classes) or "
            "floating-point (probabilities)"
        )
    classes = _Classes(function, x, raw(t), class_weight, ignore_index)
    if label_smoothing:
        hits = classes.hits(x.ndim, x.shape[axis])
        uniform = np.ones(x.shape[axis], x.dtype) if class_weight is None else class_weight
        uniform = uniform.reshape((-1,) + (1,) * (x.ndim - 1 - axis)) * (label_smoothing / x.shape[axis])
        mixed = (1 - label_smoothing) * hits * np.expand_dims(classes.weight, axis) + uniform * (classes.index >= 0)
        losses = apply(_soft_cross_entropy, x, wrap(mixed.astype(x.dtype)), axis=axis)
    else:
        losses = apply(_index_cross_entropy, x, classes=classes)
    result: Tensor = _weighted_mean(losses, classes.divisor(), reduction)
    return result


def _probability_cross_entropy(
    x: Any, target: Any, weight: np.ndarray | None, axis: int, reduction: str, label_smoothing: float
) -> Tensor:
    if target.shape != x.shape:
        raise ValueError(
            f"cross_entropy: argument 'target' has shape {target.shape}, but argument 'input' has shape {x.shape}; "
            "probabilities of classes must have its shape"
        )
    q = target
    if label_smoothing:
        q = q * (1 - label_smoothing) + label_smoothing / x.shape[axis]
    if weight is not None:
        q = q * weight.reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    losses = apply(_soft_cross_entropy, x, q, axis=axis)
    result: Tensor = _weighted_mean(losses, losses.size, reduction)
    return result


@primitive(name="nll_loss")
def _nll(x: np.ndarray, *, classes: _Classes) -> np.ndarray:
    chosen = classes.chosen(x)
    return np.where(classes.index.squeeze(classes.axis) < 0, 0, -chosen * classes.weight).astype(x.dtype, copy=False)


def _nll_vjp(g: Any, x_shape: tuple[int, ...], classes: _Classes) -> Any:
    share = np.expand_dims(g * classes.weight, classes.axis)
    return -share * classes.hits(len(x_shape), x_shape[classes.axis])


_nll.defvjp(x=_nll_vjp)


def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood: ``-input[target]`` for log-probabilities `input`.

    Parameters
    ----------
    input : array_like, shape (N, C, ...) or (C,)
        Logarithms of probabilities, as from `log_softmax`.
    target : array_like of int
        Indices of classes, of the shape of `input` without the axis of the classes.
    weight, ignore_index, reduction
        As in `cross_entropy`.

    Returns
    -------
    Tensor, shape (), or that of `target` with ``reduction="none"``

    Raises
    ------
    TypeError, ValueError, IndexError
        As `cross_entropy`.

    Notes
    -----
    Linear in `input`, so that nothing but the indices is saved.
    """
    function = "nll_loss"
    x, t = operand(function, "input", input), operand(function, "target", target)
    check_floating(function, input=x)
    check_choice(function, "reduction", reduction, _REDUCTIONS)
    if t.dtype.kind not in "iu":
        raise TypeError(f"{function}: argument 'target' has dtype {t.dtype}; it must be integer (indices of classes)")
    ignore_index = integer(function, "ignore_index", ignore_index)
    classes = _Classes(function, x, raw(t), _class_weight(function, weight, x), ignore_index)
    result: Tensor = _weighted_mean(apply(_nll, x, classes=classes), classes.divisor(), reduction)
    return result


# --- regression --------------------------------------------------------------------------------------------


def mse_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean", weight: ArrayLike | None = None) -> Tensor:
    """Squared difference of `input` and `target`.

    Parameters
    ----------
    input, target : array_like
        Of equal shapes (no broadcasting, which would hide a forgotten axis), or `target` a number.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the weights.
    weight : array_like, optional
        Multiplies the squares; of the shape of `input`.

    Returns
    -------
    Tensor, shape (), or that of `input` with ``reduction="none"``
        The mean of nothing is NaN, the sum 0.

    Raises
    ------
    TypeError
        If an argument is complex.
    ValueError
        If the shapes differ, or `reduction` is unknown.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.mse_loss([1.0, 2.0], [3.0, 2.0]).item()
    2.0
    """
    function = "mse_loss"
    check_choice(function, "reduction", reduction, _REDUCTIONS)
    x = operand(function, "input", input)
    check_real(function, input=x)
    t = _beside(function, "target", x, target)
    _check_same_shape(function, x, t)
    squares = elementwise.square(elementwise.subtract(x, t))
    if weight is None:
        plain: Tensor = _reduce(squares, reduction)
        return plain
    w = _beside(function, "weight", x, weight)
    if w.shape != x.shape:
        raise ValueError(
            f"{function}: argument 'weight' has shape {w.shape}, but argument 'input' has shape {x.shape}; "
            "they must be equal"
        )
    total: Tensor = _reduce(squares * w, "none" if reduction == "none" else "sum")
    return total / np.sum(w) if reduction == "mean" else total


# --- classes that do not exclude each other ------------------------------------------------------------------


@primitive
def log1p_exp(x: np.ndarray) -> np.ndarray:
    """log(1 + e**x), without overflow."""
    return softplus_of(x)


log1p_exp.defvjp(x=lambda g, x: g * logistic(x))


@primitive(name="binary_cross_entropy_with_logits", broadcasts=True)
def _binary_cross_entropy(x: np.ndarray, y: np.ndarray, positive: np.ndarray | None) -> np.ndarray:
    """(1 - y) * log(1 + e**x) + positive * y * log(1 + e**-x): no term is negative, nothing cancels."""
    small = np.log1p(np.exp(-np.abs(x)))
    hits = y if positive is None else y * positive
    return (1 - y) * (np.maximum(x, 0) + small) + hits * (np.maximum(-x, 0) + small)


def _binary_cross_entropy_x(g: Any, x: Any, y: Any, positive: Any) -> Any:
    hits = y if positive is None else y * positive
    return g * ((1 - y) * logistic(x) - hits * logistic(-x))


def _binary_cross_entropy_y(g: Any, x: Any, positive: Any) -> Any:
    if positive is None:
        return -g * x
    return g * (positive * log1p_exp(-x) - log1p_exp(x))


_binary_cross_entropy.defvjp(
    x=_binary_cross_entropy_x,
    y=_binary_cross_entropy_y,
    positive=lambda g, x, y: g * y * log1p_exp(-x),
)


def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    pos_weight: ArrayLike | None = None,
) -> Tensor:
    """Cross entropy of logits and of classes that do not exclude each other.

    ``-target * log(sigmoid(input)) - (1 - target) * log(1 - sigmoid(input))``

    Parameters
    ----------
    input : array_like
        Logits, floating-point.
    target : array_like
        Probabilities, of the shape of `input`, or a number.
    weight : array_like, optional
        Multiplies the losses; broadcasts.
    reduction : {"mean", "sum", "none"}
    pos_weight : array_like, optional
        Multiplies the first term; broadcasts.

    Returns
    -------
    Tensor, shape (), or that of `input` with ``reduction="none"``
        The mean of nothing is NaN, the sum 0.

    Raises
    ------
    TypeError
        If `input` is not floating-point.
    ValueError
        If shapes do not fit together, or `reduction` is unknown.

    Notes
    -----
    Logarithm and sigmoid are one: finite for all finite logits, and the gradient keeps its full relative
    precision where the sigmoid is saturated. Saves `input` and `target`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.binary_cross_entropy_with_logits([0.0, 1000.0], [1.0, 0.0], reduction="none").data
    array([6.93147181e-01, 1.00000000e+03])
    """
    function = "binary_cross_entropy_with_logits"
    check_choice(function, "reduction", reduction, _REDUCTIONS)
    x = operand(function, "input", input)
    check_floating(function, input=x)
    y = _beside(function, "target", x, target)
    _check_same_shape(function, x, y)
    if y.dtype.kind != "f":
        y = y.astype(x.dtype)
    factors = []
    for argument, factor in (("weight", weight), ("pos_weight", pos_weight)):
        array = None if factor is None else _beside(function, argument, x, factor)
        if array is not None and _broadcast(array.shape, x.shape) != x.shape:
            raise ValueError(
                f"{function}: argument {argument!r} has shape {array.shape}, but argument 'input' has shape {x.shape}; "
                "it must broadcast to that"
            )
        factors.append(array)
    losses = apply(_binary_cross_entropy, x, y, factors[1])
    if factors[0] is not None:
        losses = losses * factors[0]
    result: Tensor = _reduce(losses, reduction)
    return result


def _broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(first, second)
    except ValueError:
        return None
