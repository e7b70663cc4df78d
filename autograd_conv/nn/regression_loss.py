"""Losses between numbers, distributions and probabilities; names and defaults as in ``torch.nn.functional``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops import elementwise
from ..ops.selection import where
from ..special import xlogy
from ..tensor import ArrayLike, Tensor, as_tensor
from .operands import check_choice, check_flags, check_real, number, operand
from .piecewise import real_tensor

__all__ = [
    "binary_cross_entropy", "gaussian_nll_loss", "huber_loss", "kl_div", "l1_loss", "poisson_nll_loss",
    "smooth_l1_loss",
]  # fmt: skip

_REDUCTIONS = ("mean", "sum", "none")


def reduced(function: str, losses: Tensor, reduction: str) -> Tensor:
    """The mean (NaN of none), the sum, or all losses."""
    check_choice(function, "reduction", reduction, _REDUCTIONS)
    if reduction == "none":
        return losses
    total: Tensor = losses.sum()
    if reduction == "sum":
        return total
    return total / losses.size if losses.size else total + np.nan


def pair(
    function: str, input: ArrayLike, target: ArrayLike, names: tuple[str, str] = ("input", "target")
) -> list[Tensor]:
    """Two arrays that must be broadcastable, as Tensors; a Python number takes the dtype of the other one."""
    x = real_tensor(function, input)
    value: Any = target
    if isinstance(value, (bool, int, float)):
        value = np.asarray(value, x.dtype)
    y = as_tensor(operand(function, names[1], value))
    check_real(function, **{names[1]: y})
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise ValueError(
            f"{function}: argument {names[0]!r} has shape {x.shape}, {names[1]!r} {y.shape}; they must be equal, or "
            "broadcast"
        ) from None
    if y.dtype.kind != "f":
        y = y.astype(x.dtype)
    return [x, y]


def weighted(function: str, losses: Tensor, weight: ArrayLike | None) -> Tensor:
    """`losses` times `weight`, if there is one."""
    if weight is None:
        return losses
    factor = as_tensor(operand(function, "weight", weight))
    try:
        np.broadcast_shapes(losses.shape, factor.shape)
    except ValueError:
        raise ValueError(
            f"{function}: argument 'weight' has shape {factor.shape}; it must broadcast with the losses, {losses.shape}"
        ) from None
    return losses * factor


def l1_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean", weight: ArrayLike | None = None) -> Tensor:
    """``|input - target|``; the derivative where they are equal is 0.

    Parameters
    ----------
    input, target : array_like
        Broadcast against each other.
    reduction : {"mean", "sum", "none"}
    weight : array_like, optional
        Factors of the losses.

    Returns
    -------
    Tensor
    """
    x, y = pair("l1_loss", input, target)
    return reduced("l1_loss", weighted("l1_loss", abs(x - y), weight), reduction)


def _quadratic_near_zero(difference: Tensor, width: float) -> Tensor:
    """``d**2 / 2`` for ``|d| < width``, and the tangent ``width * (|d| - width / 2)`` beyond."""
    size = abs(difference)
    near = size < width
    inside = where(near, difference, 0)
    return where(near, 0.5 * inside * inside, width * (size - 0.5 * width))


def huber_loss(
    input: ArrayLike, target: ArrayLike, reduction: str = "mean", delta: float = 1.0, weight: ArrayLike | None = None
) -> Tensor:
    """Half the square of a difference below `delta`, a straight line beyond.

    Raises
    ------
    ValueError
        If `delta` is not positive.
    """
    width = number("huber_loss", "delta", delta)
    if width <= 0:
        raise ValueError(f"huber_loss: argument 'delta' is {width:g}; it must be above 0")
    x, y = pair("huber_loss", input, target)
    return reduced("huber_loss", weighted("huber_loss", _quadratic_near_zero(x - y, width), weight), reduction)


def smooth_l1_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """`huber_loss` with ``delta=beta``, divided by `beta`; `l1_loss` for 0.

    Raises
    ------
    ValueError
        If `beta` is negative.
    """
    width = number("smooth_l1_loss", "beta", beta, 0.0)
    x, y = pair("smooth_l1_loss", input, target)
    losses = abs(x - y) if width == 0 else _quadratic_near_zero(x - y, width) / width
    return reduced("smooth_l1_loss", losses, reduction)


def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Negative logarithm of a Poisson likelihood, ``rate - target * log(rate)``.

    Parameters
    ----------
    input : array_like
        The rate, or its logarithm.
    target : array_like
        Counts.
    log_input : bool
        Whether `input` is the logarithm.
    full : bool
        Add Stirling's approximation of ``log(target!)``, for targets above 1.
    eps : float
        Added to a rate before its logarithm is taken.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    Tensor
    """
    function = "poisson_nll_loss"
    check_flags(function, log_input=log_input, full=full)
    x, y = pair(function, input, target)
    small = number(function, "eps", eps)
    losses = elementwise.exp(x) - y * x if log_input else x - y * elementwise.log(x + small)
    if full:
        many = y > 1
        safe = where(many, y, 1)
        stirling = safe * elementwise.log(safe) - safe + 0.5 * elementwise.log(2 * math.pi * safe)
        losses = losses + where(many, stirling, 0)
    return reduced(function, losses, reduction)


def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Negative logarithm of a Gaussian likelihood, ``(log(var) + (input - target)**2 / var) / 2``.

    Parameters
    ----------
    input, target : array_like
        Mean, and observation.
    var : array_like
        Variance, of the shape of `input`, or with a last axis of length one, or without it.
    full : bool
        Add ``log(2 pi) / 2``.
    eps : float
        Smaller variances count as this; their gradient is as if they were it.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        If a variance is negative, or shapes do not fit together.
    """
    function = "gaussian_nll_loss"
    check_flags(function, full=full)
    x, y = pair(function, input, target)
    small = number(function, "eps", eps)
    if small <= 0:
        raise ValueError(f"{function}: argument 'eps' is {small:g}; it must be above 0")
    variance = as_tensor(np.asarray(var, x.dtype) if isinstance(var, (int, float)) else operand(function, "var", var))
    if variance.shape != x.shape and variance.shape == x.shape[:-1]:
        variance = variance[..., None]
    if variance.ndim and variance.shape not in (x.shape, (*x.shape[:-1], 1)):
        raise ValueError(
            f"{function}: argument 'var' has shape {variance.shape}, 'input' {x.shape}; they must be equal"
        )
    if (variance._array < 0).any():
        raise ValueError(f"{function}: argument 'var' has negative elements, the least {variance._array.min():g}")
    # As PyTorch: the value is limited from below, the gradient is not cut off.
    lifted = variance + np.maximum(small - variance._array, 0).astype(variance.dtype)
    losses = 0.5 * (elementwise.log(lifted) + (x - y) ** 2 / lifted)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(function, losses, reduction)


def kl_div(input: ArrayLike, target: ArrayLike, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Kullback-Leibler divergence, ``target * (log(target) - input)``.

    Parameters
    ----------
    input : array_like
        Logarithms of probabilities.
    target : array_like
        Probabilities, or their logarithms.
    reduction : {"mean", "batchmean", "sum", "none"}
        "batchmean": the sum, divided by the length of the first axis; what mathematics calls the divergence.
    log_target : bool
        Whether `target` holds logarithms.

    Returns
    -------
    Tensor
    """
    check_flags("kl_div", log_target=log_target)
    check_choice("kl_div", "reduction", reduction, (*_REDUCTIONS, "batchmean"))
    x, y = pair("kl_div", input, target)
    losses = elementwise.exp(y) * (y - x) if log_target else xlogy(y, y) - y * x
    if reduction == "batchmean":
        return losses.sum() / (losses.shape[0] if losses.ndim else 1)
    return reduced("kl_div", losses, reduction)


def binary_cross_entropy(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean"
) -> Tensor:
    """``-(target * log(input) + (1 - target) * log(1 - input))`` of probabilities; logarithms count at least -100.

    Parameters
    ----------
    input : array_like
        Probabilities. (For logits, `binary_cross_entropy_with_logits` is more accurate.)
    target : array_like, same shape
    weight : array_like, optional
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        If shapes differ, or `input` does not lie between 0 and 1.
    """
    function = "binary_cross_entropy"
    x, y = pair(function, input, target)
    if x.shape != y.shape:
        raise ValueError(f"{function}: argument 'target' has shape {y.shape}, 'input' {x.shape}; they must be equal")
    values = x._array
    if ((values < 0) | (values > 1)).any():
        raise ValueError(
            f"{function}: argument 'input' must lie between 0 and 1, got {values.min():g} to {values.max():g}"
        )
    losses = -(y * _log_from_below(x) + (1 - y) * _log_from_below(1 - x))
    return reduced(function, weighted(function, losses, weight), reduction)


def _log_from_below(p: Tensor) -> Tensor:
    """``max(log(p), -100)``; where that limits, the derivative is 0."""
    low = p._array < math.exp(-100)
    return where(low, np.asarray(-100, p.dtype), elementwise.log(where(low, 1, p)))
