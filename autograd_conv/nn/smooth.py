"""Smooth activation functions, gates, and softmax with noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ops import elementwise
from ..ops.selection import where
from ..primitive import primitive
from ..special import log_expit, ndtr
from ..tensor import ArrayLike, Tensor, raw, wrap
from .activation import sigmoid, softplus
from .operands import apply, check_choice, check_flags, normalize_axis, number
from .piecewise import real_tensor
from .softmax import softmax

__all__ = ["gelu", "glu", "gumbel_softmax", "logsigmoid", "mish", "softmin"]


@primitive(name="gelu")
def _gelu(x: np.ndarray) -> np.ndarray:
    """x Phi(x); 0 at minus infinity, where the product would be NaN."""
    product: np.ndarray = np.where(x == -np.inf, x.dtype.type(0), x) * raw(ndtr(x))
    return product


def _gelu_vjp(g: Any, x: Any) -> Any:
    """Phi(x) + x phi(x), with the density phi of the normal distribution."""
    inside = np.where(np.isinf(x), 0, x)
    return g * (ndtr(x) + inside * np.exp(-0.5 * inside * inside) * (1 / math.sqrt(2 * math.pi)))


_gelu.defvjp(x=_gelu_vjp)


def gelu(input: ArrayLike, approximate: str = "none") -> Tensor:
    """``x`` times the distribution function of the standard normal distribution.

    Parameters
    ----------
    input : array_like
    approximate : {"none", "tanh"}
        "tanh": ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x**3)))``, which is off by up to 5e-4.

    Returns
    -------
    Tensor, same shape

    References
    ----------
    D. Hendrycks and K. Gimpel, Gaussian error linear units, 2016.
    """
    x = real_tensor("gelu", input)
    check_choice("gelu", "approximate", approximate, ("none", "tanh"))
    if approximate == "none":
        result: Tensor = apply(_gelu, x)
        return result
    inside = where(abs(x) < 100, x, 0)  # beyond, the hyperbolic tangent is 1 to the last digit
    share = 0.5 * (1 + elementwise.tanh(math.sqrt(2 / math.pi) * (inside + 0.044715 * inside**3)))
    return where(abs(x) < 100, inside * share, where(x < 0, 0 * inside, x))


def mish(input: ArrayLike) -> Tensor:
    """``x * tanh(log(1 + exp(x)))`` (D. Misra, Mish, 2019)."""
    x = real_tensor("mish", input)
    # Beyond, the hyperbolic tangent is 1, or x times it 0, to the last digit; infinity times 0 would be NaN.
    low, high = x < -800, x > 40
    inside = where(low | high, 0, x)
    return where(low, 0, where(high, x, inside * elementwise.tanh(softplus(inside))))


def logsigmoid(input: ArrayLike) -> Tensor:
    """``log(1 / (1 + exp(-x)))``, without overflow."""
    return log_expit(real_tensor("logsigmoid", input))


def glu(input: ArrayLike, axis: int = -1) -> Tensor:
    """The first half along `axis`, times the sigmoid of the second (Y. Dauphin et al., 2016).

    Raises
    ------
    ValueError
        If the length along `axis` is odd.
    """
    x = real_tensor("glu", input)
    place = normalize_axis("glu", "axis", axis, x.ndim)
    length = x.shape[place]
    if length % 2:
        raise ValueError(f"glu: argument 'input' has shape {x.shape}; its length along axis {axis} must be even")
    before = (slice(None),) * place
    return x[(*before, slice(length // 2))] * sigmoid(x[(*before, slice(length // 2, None))])


def softmin(input: ArrayLike, axis: int = -1) -> Tensor:
    """``softmax(-x)``."""
    return softmax(-real_tensor("softmin", input), axis)


def gumbel_softmax(
    logits: ArrayLike,
    tau: float = 1.0,
    hard: bool = False,
    eps: float = 1e-10,
    axis: int = -1,
    *,
    rng: np.random.Generator | int | None = None,
) -> Tensor:
    """A differentiable sample of a categorical distribution: the softmax of logits with Gumbel noise.

    Parameters
    ----------
    logits : array_like
        Logarithms of probabilities, up to a constant, along `axis`.
    tau : float
        Temperature, above 0; the lower, the closer to a one-hot vector.
    hard : bool
        Return the one-hot vector itself, with the gradient of the soft sample ("straight through").
    eps : float
        Not used, as in PyTorch.
    axis : int
    rng : numpy.random.Generator or int, optional
        Where random numbers come from.

    Returns
    -------
    Tensor, same shape

    References
    ----------
    E. Jang, S. Gu and B. Poole, Categorical reparameterization with Gumbel-softmax, 2016.
    """
    check_flags("gumbel_softmax", hard=hard)
    x = real_tensor("gumbel_softmax", logits)
    number("gumbel_softmax", "eps", eps)
    temperature = number("gumbel_softmax", "tau", tau)
    if temperature <= 0:
        raise ValueError(f"gumbel_softmax: argument 'tau' is {temperature:g}; it must be above 0")
    place = normalize_axis("gumbel_softmax", "axis", axis, x.ndim)
    noise = np.random.default_rng(rng).gumbel(size=x.shape).astype(x.dtype)
    soft = softmax((x + noise) / temperature, place)
    if not hard:
        return soft
    best = soft._array.argmax(axis=place, keepdims=True)
    chosen = np.zeros(x.shape, x.dtype)
    np.put_along_axis(chosen, best, 1, place)
    # The value of the one-hot vector, the derivative of the soft sample.
    return soft + wrap(chosen - soft._array)
