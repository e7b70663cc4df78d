"""Losses with a margin: rankings, hinges, triplets; names and defaults as in ``torch.nn.functional``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops import elementwise
from ..ops.indexing import take_along_axis
from ..ops.selection import where
from ..special import log_expit
from ..tensor import ArrayLike, Tensor, as_tensor, raw
from .distance import pairwise_distance
from .operands import check_flags, check_real, integer, number, operand
from .piecewise import real_tensor
from .rectifier import relu
from .regression_loss import pair, reduced, weighted

__all__ = [
    "cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "soft_margin_loss", "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip


def hinge_embedding_loss(input: ArrayLike, target: ArrayLike, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """``x`` where the target is 1, ``max(0, margin - x)`` where it is -1."""
    x, y = pair("hinge_embedding_loss", input, target)
    limit = number("hinge_embedding_loss", "margin", margin)
    losses = where(y == 1, x, 0) + where(y == -1, relu(limit - x), 0)
    return reduced("hinge_embedding_loss", losses, reduction)


def margin_ranking_loss(
    input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``max(0, -target * (input1 - input2) + margin)``: the first ranks higher for 1, lower for -1."""
    function = "margin_ranking_loss"
    a, b = pair(function, input1, input2, ("input1", "input2"))
    _, y = pair(function, a - b, target)
    losses = relu(-y * (a - b) + number(function, "margin", margin))
    return reduced(function, losses, reduction)


def soft_margin_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Tensor:
    """``log(1 + exp(-target * input))`` for targets 1 and -1, without overflow."""
    x, y = pair("soft_margin_loss", input, target)
    return reduced("soft_margin_loss", -log_expit(y * x), reduction)


def cosine_embedding_loss(
    input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """``1 - cos`` of two vectors where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Parameters
    ----------
    input1, input2 : array_like, shape (N, D) or (D,)
    target : array_like, shape (N,) or ()
    margin : float
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    As in PyTorch, 1e-12 is added to the squares of the lengths.
    """
    function = "cosine_embedding_loss"
    a, b = pair(function, input1, input2, ("input1", "input2"))
    y = as_tensor(operand(function, "target", target))
    check_real(function, target=y)
    if a.shape != b.shape or a.ndim not in (1, 2) or y.shape != a.shape[:-1]:
        raise ValueError(
            f"{function}: arguments 'input1' {a.shape}, 'input2' {b.shape} and 'target' {y.shape} must have shapes "
            "(N, D), (N, D) and (N,), or (D,), (D,) and ()"
        )
    product = (a * b).sum(axis=-1)
    squares = ((a * a).sum(axis=-1) + 1e-12) * ((b * b).sum(axis=-1) + 1e-12)
    cosine = product / elementwise.sqrt(squares)
    limit = number(function, "margin", margin)
    losses = where(y == 1, 1 - cosine, 0) + where(y == -1, relu(cosine - limit), 0)
    return reduced(function, losses, reduction)


def _classes(function: str, input: ArrayLike, target: ArrayLike, several: bool) -> tuple[Tensor, np.ndarray]:
    """Scores of shape (N, C) or (C,), and integers of the shape that goes with them."""
    x = real_tensor(function, input)
    y = np.asarray(raw(operand(function, "target", target)))
    if y.dtype.kind not in "iu":
        raise TypeError(f"{function}: argument 'target' has dtype {y.dtype}; it must be integer")
    expected = x.shape if several else x.shape[:-1]
    if x.ndim not in (1, 2) or y.shape != expected:
        raise ValueError(
            f"{function}: argument 'input' has shape {x.shape} and 'target' {y.shape}; they must be (N, C) or (C,), "
            "and " + ("equal" if several else "the same without C")
        )
    low = -1 if several else 0
    if ((y < low) | (y >= x.shape[-1])).any():
        raise IndexError(
            f"{function}: argument 'target' must lie between {low} and {x.shape[-1] - 1}, got {y.min()} to {y.max()}"
        )
    return x, y.astype(np.int64)


def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``sum over c != target of max(0, margin - x[target] + x[c])**p / C``.

    Parameters
    ----------
    input : array_like, shape (N, C) or (C,)
    target : array_like of int, shape (N,) or ()
    p : {1, 2}
    margin : float
    weight : array_like, shape (C,), optional
        A factor for each target.
    reduction : {"mean", "sum", "none"}
    """
    function = "multi_margin_loss"
    x, y = _classes(function, input, target, False)
    power = integer(function, "p", p)
    if power not in (1, 2):
        raise ValueError(f"{function}: argument 'p' is {power}; it must be 1 or 2")
    index = y[..., None]
    excess = relu(number(function, "margin", margin) - take_along_axis(x, index, -1) + x)
    if power == 2:
        excess = excess * excess
    if weight is not None:
        factor = as_tensor(operand(function, "weight", weight))
        if factor.shape != (x.shape[-1],):
            raise ValueError(f"{function}: argument 'weight' has shape {factor.shape}; it must be ({x.shape[-1]},)")
        excess = excess * factor[y][..., None]
    others = np.arange(x.shape[-1]) != index
    losses = where(others, excess, 0).sum(axis=-1) / x.shape[-1]
    return reduced(function, losses, reduction)


def multilabel_margin_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Tensor:
    """``sum over targets t and other classes c of max(0, 1 - (x[t] - x[c])) / C``.

    Parameters
    ----------
    input : array_like, shape (N, C) or (C,)
    target : array_like of int, same shape
        Classes, up to the first -1.
    reduction : {"mean", "sum", "none"}
    """
    function = "multilabel_margin_loss"
    x, y = _classes(function, input, target, True)
    present = np.cumprod(y >= 0, axis=-1).astype(bool)
    index = np.where(present, y, 0)
    classes = x.shape[-1]
    is_target = ((index[..., :, None] == np.arange(classes)) & present[..., :, None]).any(axis=-2)
    chosen = take_along_axis(x, index, -1)
    excess = relu(1 - (chosen[..., :, None] - x[..., None, :]))
    counted = present[..., :, None] & ~is_target[..., None, :]
    losses = where(counted, excess, 0).sum(axis=(-2, -1)) / classes
    return reduced(function, losses, reduction)


def multilabel_soft_margin_loss(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean"
) -> Tensor:
    """Mean over classes of the binary cross entropy of logits."""
    function = "multilabel_soft_margin_loss"
    x, y = pair(function, input, target)
    losses = -(y * log_expit(x) + (1 - y) * log_expit(-x))
    return reduced(function, weighted(function, losses, weight).mean(axis=-1), reduction)


def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` with `pairwise_distance`.

    Parameters
    ----------
    anchor, positive, negative : array_like, shape (N, D) or (D,)
    margin, p, eps : float
    swap : bool
        Take the distance from positive to negative where that is smaller.
    reduction : {"mean", "sum", "none"}

    References
    ----------
    V. Balntas et al., Learning shallow convolutional feature descriptors with triplet losses, 2016.
    """

    def distance(a: Any, b: Any) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=reduction
    )


def triplet_margin_with_distance_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    distance_function: Callable[[Any, Any], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with a distance of one's own (by default, `pairwise_distance`)."""
    function = "triplet_margin_loss"
    check_flags(function, swap=swap)
    distance = pairwise_distance if distance_function is None else distance_function
    limit = number(function, "margin", margin)
    far = distance(anchor, negative)
    if swap:
        far = elementwise.minimum(far, distance(positive, negative))
    return reduced(function, relu(limit + distance(anchor, positive) - far), reduction)
