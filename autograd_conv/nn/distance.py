"""Lengths, distances and angles of vectors, and the bilinear form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..linalg import vector_norm
from ..ops import elementwise
from ..ops.einsum import einsum
from ..tensor import ArrayLike, Tensor, as_tensor
from .operands import check_flags, normalize_axis, number, operand
from .piecewise import real_tensor

__all__ = ["bilinear", "cosine_similarity", "normalize", "pairwise_distance", "pdist"]


def normalize(input: ArrayLike, p: float = 2.0, axis: int = 1, eps: float = 1e-12) -> Tensor:
    """Vectors along `axis`, divided by their p-norm, or by `eps` if that is smaller.

    Parameters
    ----------
    input : array_like
    p, eps : float
    axis : int

    Returns
    -------
    Tensor, same shape
    """
    x = real_tensor("normalize", input)
    place = normalize_axis("normalize", "axis", axis, x.ndim)
    length = vector_norm(x, axis=place, keepdims=True, ord=number("normalize", "p", p))
    return x / elementwise.maximum(length, np.asarray(number("normalize", "eps", eps), x.dtype))


def cosine_similarity(x1: ArrayLike, x2: ArrayLike, axis: int = 1, eps: float = 1e-8) -> Tensor:
    """Cosine of the angle between vectors along `axis`; lengths below `eps` count as `eps`.

    Parameters
    ----------
    x1, x2 : array_like
        Broadcast against each other.
    axis : int
    eps : float

    Returns
    -------
    Tensor
        Of the broadcast shape, without `axis`.
    """
    a, b = real_tensor("cosine_similarity", x1), real_tensor("cosine_similarity", x2)
    shape = np.broadcast_shapes(a.shape, b.shape)
    place = normalize_axis("cosine_similarity", "axis", axis, len(shape)) - len(shape)
    small = np.asarray(number("cosine_similarity", "eps", eps), np.result_type(a.dtype, b.dtype))
    a, b = (_along(value, place, shape) for value in (a, b))
    lengths = [elementwise.maximum(vector_norm(value, axis=place, keepdims=True), small) for value in (a, b)]
    result: Tensor = ((a / lengths[0]) * (b / lengths[1])).sum(axis=place)
    return result


def _along(x: Tensor, axis: int, shape: tuple[int, ...]) -> Tensor:
    """`x` with the full length along `axis`, so that its norm is that of the broadcast vector."""
    if x.ndim < -axis or x.shape[axis] != shape[axis]:
        return as_tensor(x + np.zeros(shape, x.dtype))
    return x


def pairwise_distance(x1: ArrayLike, x2: ArrayLike, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """p-norm of ``x1 - x2 + eps`` along the last axis.

    Parameters
    ----------
    x1, x2 : array_like, shape (..., D)
    p, eps : float
    keepdim : bool
        Whether the last axis stays, with length one.

    Returns
    -------
    Tensor, shape (...)
    """
    check_flags("pairwise_distance", keepdim=keepdim)
    a, b = real_tensor("pairwise_distance", x1), real_tensor("pairwise_distance", x2)
    difference = a - b + number("pairwise_distance", "eps", eps)
    return vector_norm(difference, axis=-1, keepdims=bool(keepdim), ord=number("pairwise_distance", "p", p))


def pdist(input: ArrayLike, p: float = 2.0) -> Tensor:
    """p-norms of the differences of all pairs of rows.

    Parameters
    ----------
    input : array_like, shape (N, D)
    p : float
        At least 0.

    Returns
    -------
    Tensor, shape (N * (N - 1) / 2,)
        Row 0 to rows 1, 2, ..., then row 1 to rows 2, ...

    Raises
    ------
    ValueError
        If `input` is no matrix, or `p` negative.
    """
    x = real_tensor("pdist", input)
    order = number("pdist", "p", p, 0.0)
    if x.ndim != 2:
        raise ValueError(f"pdist: argument 'input' has shape {x.shape}; it must have two axes")
    first, second = np.triu_indices(x.shape[0], 1)
    return vector_norm(x[first] - x[second], axis=-1, ord=order)


def bilinear(input1: ArrayLike, input2: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Tensor:
    """``sum over i, j of input1[..., i] * weight[o, i, j] * input2[..., j] + bias[o]``.

    Parameters
    ----------
    input1 : array_like, shape (..., I)
    input2 : array_like, shape (..., J)
    weight : array_like, shape (O, I, J)
    bias : array_like, shape (O,), optional

    Returns
    -------
    Tensor, shape (..., O)

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """
    a, b = real_tensor("bilinear", input1), real_tensor("bilinear", input2)
    w: Any = as_tensor(operand("bilinear", "weight", weight))
    if w.ndim != 3 or not a.ndim or not b.ndim or w.shape[1:] != (a.shape[-1], b.shape[-1]):
        raise ValueError(
            f"bilinear: argument 'weight' has shape {w.shape}, 'input1' {a.shape} and 'input2' {b.shape}; they must be "
            "(O, I, J), (..., I) and (..., J)"
        )
    if a.shape[:-1] != b.shape[:-1]:
        raise ValueError(
            f"bilinear: arguments 'input1' {a.shape} and 'input2' {b.shape} must be equal but for the last axis"
        )
    result: Tensor = einsum("...i,oij,...j->...o", a, w, b)
    if bias is None:
        return result
    offset = as_tensor(operand("bilinear", "bias", bias))
    if offset.shape != (w.shape[0],):
        raise ValueError(f"bilinear: argument 'bias' has shape {offset.shape}; it must be ({w.shape[0]},)")
    return result + offset
