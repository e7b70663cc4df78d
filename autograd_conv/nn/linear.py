"""Fully connected layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..ops.linalg import array_product, product
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, as_tensor, raw
from .operands import apply, check_numeric, is_usual, normalize_axis, operand
from .rectifier import LARGE

__all__ = ["flatten", "linear"]


@primitive(name="linear")
def _linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    return array_product(x, w.T, bias)


def _rows(array: Any) -> Any:
    """`array` with all axes but the last made one."""
    if array.ndim == 2:
        return array
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


_linear.defvjp(
    x=lambda g, w: product(g, w),
    w=lambda g, x: product(_rows(g).T, _rows(x)),
    bias=lambda g: _rows(g).sum(axis=0),
)


def linear(input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Tensor:
    """``input @ weight.T + bias``.

    Parameters
    ----------
    input : array_like, shape (..., I)
    weight : array_like, shape (O, I)
    bias : array_like, shape (O,), optional

    Returns
    -------
    Tensor, shape (..., O)

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If the shapes do not fit together.

    Notes
    -----
    Cost :math:`2 N I O` flop for ``N`` rows, and the same again for each of the gradients of `input` and
    `weight`, of which only those that are asked for are computed. Source 001: a fully connected layer; it is
    also a convolution whose kernel has the size of the map.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.linear([1.0, 2], [[1.0, 1], [0, 1], [1, 0]], [0.5, 0, 0]).data
    array([3.5, 2. , 1. ])
    """
    x, w = operand("linear", "input", input), operand("linear", "weight", weight)
    b = None if bias is None else operand("linear", "bias", bias)
    if not (is_usual(x) and is_usual(w) and (b is None or is_usual(b))):
        check_numeric("linear", input=x, weight=w, bias=b)
    x_shape, w_shape, b_shape = x.shape, w.shape, None if b is None else b.shape
    fits = x_shape and len(w_shape) == 2 and x_shape[-1] == w_shape[1]
    if not fits or (b is not None and b_shape != w_shape[:1]):
        _refuse(x, w, b)
    result: Tensor = apply(_linear, x, w, b)
    return result


def _refuse(x: Any, w: Any, b: Any) -> None:
    """Say which shapes do not fit together."""
    if x.ndim < 1:
        raise ValueError("linear: argument 'input' has no axes (shape ()); it must have at least 1")
    if w.ndim != 2:
        raise ValueError(f"linear: argument 'weight' has {w.ndim} axes (shape {w.shape}); it must have 2 (O, I)")
    if x.shape[-1] != w.shape[1]:
        raise ValueError(
            f"linear: argument 'weight' (shape {w.shape}) takes {w.shape[1]} features, but the last axis of argument "
            f"'input' (shape {x.shape}) has {x.shape[-1]}; they must be equal"
        )
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(
            f"linear: argument 'bias' has shape {b.shape}, but argument 'weight' has {w.shape[0]} output features; it "
            f"must have shape ({w.shape[0]},)"
        )


@primitive(name="flatten")
def _flatten(x: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray:
    return kernels.transposition.channels_first(x).reshape(shape)


_flatten.defvjp(x=lambda g, x_shape: g.reshape(x_shape))


def flatten(input: ArrayLike, start_axis: int = 1, end_axis: int = -1) -> Tensor:
    """Make one axis of several, in row-major order.

    Parameters
    ----------
    input : array_like
    start_axis, end_axis : int
        The first and the last of the axes. The defaults keep the batch axis, as ``torch.nn.Flatten`` does
        between a convolution and a fully connected layer (``torch.flatten`` starts at 0).

    Returns
    -------
    Tensor

    Raises
    ------
    IndexError
        If there is no such axis.
    ValueError
        If `start_axis` stands behind `end_axis`.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> import numpy as np
    >>> nn.flatten(np.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """
    x = as_tensor(operand("flatten", "input", input))
    start = normalize_axis("flatten", "start_axis", start_axis, x.ndim)
    end = normalize_axis("flatten", "end_axis", end_axis, x.ndim)
    if start > end:
        raise ValueError(
            f"flatten: argument 'start_axis' is {start_axis}, but argument 'end_axis' is {end_axis} of "
            f"{x.ndim} axes; it must not stand behind"
        )
    shape = (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])
    if x.size < LARGE or raw(x).flags.c_contiguous:
        return x.reshape(shape)
    result: Tensor = _flatten(x, shape=shape)  # transposed in blocks
    return result
