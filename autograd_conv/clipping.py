"""Limits for gradients, between ``backward()`` and the optimizer's step.

References
----------
R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks, 2013.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .tensor import Tensor

__all__ = ["clip_grad_norm", "clip_grad_value"]


def _gradients(function: str, parameters: Any) -> list[Tensor]:
    """The parameters that have a gradient."""
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for k, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{function}: parameters[{k}] is a {type(tensor).__name__}; it must be a Tensor")
    return [tensor for tensor in tensors if tensor.grad is not None]


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale the gradients of parameters down so that the norm of all of them together is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are left out.
    max_norm : float
        Not negative.
    norm_type : float
        Above 0; ``math.inf`` for the largest element.
    error_if_nonfinite : bool
        Whether to raise an error, and change nothing, if the norm is infinite or NaN.

    Returns
    -------
    float
        The norm before, summed up in double precision.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these, or, with `error_if_nonfinite`, the norm is not finite.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> w = ac.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> ac.optim.clip_grad_norm([w], 1.0)
    10.0
    >>> w.grad
    array([0.6, 0.8])
    """
    name = "clip_grad_norm"
    if not max_norm >= 0:
        raise ValueError(f"{name}: argument 'max_norm' is {max_norm!r}; it must not be negative")
    if not norm_type > 0:
        raise ValueError(f"{name}: argument 'norm_type' is {norm_type!r}; it must be above 0")
    chosen = _gradients(name, parameters)
    sizes = [np.abs(np.asarray(tensor.grad)).astype(np.float64) for tensor in chosen]
    if norm_type == math.inf:
        total = max((float(size.max(initial=0.0)) for size in sizes), default=0.0)
    else:
        total = float(sum(float(np.sum(size**norm_type)) for size in sizes)) ** (1 / norm_type)
    if error_if_nonfinite and not math.isfinite(total):
        raise ValueError(f"{name}: the norm of the gradients is {total}; nothing was changed")
    if not total <= max_norm:
        factor = max_norm / total  # NaN, or 0, where the norm is: an infinite gradient has no direction
        for tensor in chosen:
            tensor.grad = np.multiply(np.asarray(tensor.grad), factor).astype(tensor.dtype)
    return total


def clip_grad_value(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit each element of the gradients of parameters to between ``-clip_value`` and ``clip_value``.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are left out; gradients must be real.
    clip_value : float
        Not negative.
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value: argument 'clip_value' is {clip_value!r}; it must not be negative")
    for tensor in _gradients("clip_grad_value", parameters):
        tensor.grad = np.clip(np.asarray(tensor.grad), -clip_value, clip_value)
