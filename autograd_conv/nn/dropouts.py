"""Dropout of whole channels, and dropout that keeps mean and variance of self-normalizing networks."""

from __future__ import annotations

import math

import numpy as np

from ..tensor import ArrayLike, Tensor, as_tensor, wrap
from .operands import apply, check_flags, check_floating, number, operand
from .piecewise import SELU_ALPHA, SELU_SCALE
from .rectifier import gate

__all__ = ["alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]

Generator = np.random.Generator | int | None


def _start(function: str, input: ArrayLike, p: float, training: bool) -> tuple[Tensor, float]:
    check_flags(function, training=training)
    share = number(function, "p", p, 0.0, 1.0)
    x = operand(function, "input", input)
    check_floating(function, input=x)
    return as_tensor(x), share


def _kept(shape: tuple[int, ...], p: float, rng: Generator) -> np.ndarray:
    kept: np.ndarray = np.random.default_rng(rng).random(shape, np.float32) >= p
    return kept


def _channels(function: str, x: Tensor, rank: int | None) -> tuple[int, ...]:
    """Shape of a mask with one element for each channel of each example."""
    if rank is not None and x.ndim not in (rank + 1, rank + 2):
        raise ValueError(
            f"{function}: argument 'input' has shape {x.shape}; it must have {rank + 1} axes (C, ...) or {rank + 2} "
            "(N, C, ...)"
        )
    if rank is None and x.ndim < 2:
        raise ValueError(
            f"{function}: argument 'input' has shape {x.shape}; it must have at least two axes (N, C, ...)"
        )
    lead = 1 if rank is not None and x.ndim == rank + 1 else 2
    return x.shape[:lead] + (1,) * (x.ndim - lead)


def _drop_channels(function: str, rank: int, input: ArrayLike, p: float, training: bool, rng: Generator) -> Tensor:
    x, share = _start(function, input, p, training)
    shape = _channels(function, x, rank)
    if not training or share == 0:
        return x.reshape(x.shape)
    kept = np.ascontiguousarray(np.broadcast_to(_kept(shape, share, rng), x.shape))
    result: Tensor = apply(gate, x, wrap(kept))
    return result if share == 1 else result * (1 / (1 - share))


def dropout1d(input: ArrayLike, p: float = 0.5, training: bool = True, *, rng: Generator = None) -> Tensor:
    """Set each channel of an array of shape (N, C, L) or (C, L) to 0 with probability `p`; see `dropout`."""
    return _drop_channels("dropout1d", 1, input, p, training, rng)


def dropout2d(input: ArrayLike, p: float = 0.5, training: bool = True, *, rng: Generator = None) -> Tensor:
    """Set each channel of an array of shape (N, C, H, W) or (C, H, W) to 0 with probability `p`; see `dropout`."""
    return _drop_channels("dropout2d", 2, input, p, training, rng)


def dropout3d(input: ArrayLike, p: float = 0.5, training: bool = True, *, rng: Generator = None) -> Tensor:
    """Set each channel of an array of shape (N, C, D, H, W) or (C, D, H, W) to 0 with probability `p`."""
    return _drop_channels("dropout3d", 3, input, p, training, rng)


def _alpha(function: str, input: ArrayLike, p: float, training: bool, rng: Generator, channels: bool) -> Tensor:
    x, share = _start(function, input, p, training)
    shape = _channels(function, x, None) if channels else x.shape
    if not training or share == 0:
        return x.reshape(x.shape)
    if share == 1:
        return x * 0
    # What selu gives far below zero; a and b restore mean 0 and variance 1.
    low = -SELU_SCALE * SELU_ALPHA
    a = 1 / math.sqrt((1 - share) * (1 + share * low * low))
    b = -a * low * share
    kept = np.ascontiguousarray(np.broadcast_to(_kept(shape, share, rng), x.shape))
    result: Tensor = apply(gate, x, wrap(kept))
    return result * a + wrap(np.where(kept, b, a * low + b).astype(x.dtype))


def alpha_dropout(input: ArrayLike, p: float = 0.5, training: bool = False, *, rng: Generator = None) -> Tensor:
    """Dropout for selu: dropped elements take its lower limit, and mean 0 and variance 1 stay.

    Parameters
    ----------
    input : array_like
        Floating-point.
    p : float
        From 0 to 1.
    training : bool
        If False, the result is `input`.
    rng : numpy.random.Generator or int, optional

    Returns
    -------
    Tensor, same shape

    References
    ----------
    G. Klambauer et al., Self-normalizing neural networks, 2017, equations 19 to 21.
    """
    return _alpha("alpha_dropout", input, p, training, rng, False)


def feature_alpha_dropout(input: ArrayLike, p: float = 0.5, training: bool = False, *, rng: Generator = None) -> Tensor:
    """`alpha_dropout` of whole channels of an array of shape (N, C, ...)."""
    return _alpha("feature_alpha_dropout", input, p, training, rng, True)
