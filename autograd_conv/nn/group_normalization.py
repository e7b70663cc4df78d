"""Normalizations within an example: by layer, group of channels, instance, and root mean square."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import elementwise
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, as_tensor, raw
from .normalization import batch_norm
from .operands import check_flags, check_floating, count, integer, number, operand

__all__ = ["group_norm", "instance_norm", "layer_norm", "rms_norm"]


def _floating(function: str, input: ArrayLike) -> Tensor:
    x = operand(function, "input", input)
    check_floating(function, input=x)
    return as_tensor(x)


def _normalized_axes(function: str, x: Tensor, normalized_shape: Any) -> tuple[int, ...]:
    """The last axes, as many as `normalized_shape` names, whose lengths it must give."""
    shape = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    lengths = tuple(integer(function, "normalized_shape", length) for length in shape)
    if not lengths or x.shape[-len(lengths) :] != lengths:
        raise ValueError(
            f"{function}: argument 'normalized_shape' is {lengths}, but argument 'input' has shape {x.shape}; it must "
            "be the lengths of the last axes"
        )
    return tuple(range(-len(lengths), 0))


def _affine(function: str, y: Tensor, weight: Any, bias: Any, shape: tuple[int, ...], view: tuple[int, ...]) -> Tensor:
    """``y * weight + bias``, with parameters of `shape` seen as `view`."""
    for argument, value in (("weight", weight), ("bias", bias)):
        if value is None:
            continue
        parameter = as_tensor(operand(function, argument, value))
        if parameter.shape != shape:
            raise ValueError(f"{function}: argument {argument!r} has shape {parameter.shape}; it must be {shape}")
        parameter = parameter.reshape(view)
        y = y * parameter if argument == "weight" else y + parameter
    return y


@primitive(name="standardize", multiple=True)
def _standardized(x: np.ndarray, *, axes: tuple[int, ...], eps: float) -> tuple[np.ndarray, np.ndarray]:
    """z = (x - mean) s, and s = 1 / sqrt(variance + eps), with the n elements along `axes` for mean and variance."""
    inner = x.astype(np.float32) if x.dtype == np.float16 else x
    n = max(math.prod([x.shape[axis] for axis in axes]), 1)
    z = inner - np.add.reduce(inner, axes, keepdims=True) / n
    s = 1 / np.sqrt(np.add.reduce(z * z, axes, keepdims=True) / n + eps)
    z *= s
    return z.astype(x.dtype, copy=False), s


def _standardized_x(g: Any, ans: Any, axes: tuple[int, ...]) -> Any:
    """s (gz - mean(gz) - z mean(gz z)) - (s^2/n) z gs: in terms of the outputs, so that nothing else is saved."""
    gz, gs = g
    z, s = ans
    n = max(z.size // max(s.size, 1), 1)
    slope = (gz * z).sum(axis=axes, keepdims=True) / n
    gx = s * (gz - gz.sum(axis=axes, keepdims=True) / n - z * slope)
    if isinstance(gs, Tensor) or gs.any():  # only derivatives of higher order depend on s
        gx = gx - z * (gs * s * s / n)
    return gx


_standardized.defvjp(x=_standardized_x)


def _standardize(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """``(x - mean) / sqrt(var + eps)`` over `axes`."""
    z: Tensor = _standardized(x, axes=axes, eps=eps)[0]
    return z


def layer_norm(
    input: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Subtract the mean over the last axes and divide by the standard deviation there.

    Parameters
    ----------
    input : array_like, shape (..., *normalized_shape)
        Floating-point.
    normalized_shape : int or sequence of int
        Lengths of the axes to normalize over.
    weight, bias : array_like, shape `normalized_shape`, optional
        Factors and summands for each element.
    eps : float
        Added to the (biased) variance.

    Returns
    -------
    Tensor, same shape

    Raises
    ------
    ValueError
        If shapes do not fit together.

    References
    ----------
    J. Ba, J. Kiros and G. Hinton, Layer normalization, 2016.
    """
    x = _floating("layer_norm", input)
    axes = _normalized_axes("layer_norm", x, normalized_shape)
    shape = x.shape[-len(axes) :]
    y = _standardize(x, axes, number("layer_norm", "eps", eps))
    return _affine("layer_norm", y, weight, bias, shape, shape)


def rms_norm(
    input: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide by the root mean square over the last axes.

    Parameters
    ----------
    input : array_like, shape (..., *normalized_shape)
        Floating-point.
    normalized_shape : int or sequence of int
    weight : array_like, shape `normalized_shape`, optional
    eps : float, optional
        Added to the mean square; by default the machine's epsilon of the dtype.

    Returns
    -------
    Tensor, same shape

    References
    ----------
    B. Zhang and R. Sennrich, Root mean square layer normalization, 2019.
    """
    x = _floating("rms_norm", input)
    axes = _normalized_axes("rms_norm", x, normalized_shape)
    small = float(np.finfo(x.dtype).eps) if eps is None else number("rms_norm", "eps", eps)
    y = x / elementwise.sqrt((x * x).mean(axis=axes, keepdims=True) + small)
    shape = x.shape[-len(axes) :]
    return _affine("rms_norm", y, weight, None, shape, shape)


def group_norm(
    input: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize groups of channels of each example.

    Parameters
    ----------
    input : array_like, shape (N, C, ...)
        Floating-point.
    num_groups : int
        Divides C.
    weight, bias : array_like, shape (C,), optional
    eps : float

    Returns
    -------
    Tensor, same shape

    Raises
    ------
    ValueError
        If `num_groups` does not divide C, or shapes do not fit together.

    References
    ----------
    Y. Wu and K. He, Group normalization, 2018.
    """
    x = _floating("group_norm", input)
    groups = count("group_norm", "num_groups", num_groups)
    if x.ndim < 2 or x.shape[1] % groups:
        raise ValueError(
            f"group_norm: argument 'num_groups' is {groups}, but argument 'input' has shape {x.shape}; it must divide "
            "the number of channels (axis 1)"
        )
    channels = x.shape[1]
    rows = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    y = _standardize(rows, (-1,), number("group_norm", "eps", eps)).reshape(x.shape)
    return _affine("group_norm", y, weight, bias, (channels,), (channels, *(1,) * (x.ndim - 2)))


def instance_norm(
    input: ArrayLike,
    running_mean: np.ndarray | Tensor | None = None,
    running_var: np.ndarray | Tensor | None = None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each example.

    Parameters
    ----------
    input : array_like, shape (N, C, ...)
        Floating-point.
    running_mean, running_var : ndarray or Tensor, shape (C,), optional
        Updated in place by ``momentum`` times the mean over examples, with `use_input_stats`; else what is used.
    weight, bias : array_like, shape (C,), optional
    use_input_stats : bool
    momentum, eps : float

    Returns
    -------
    Tensor, same shape

    Raises
    ------
    ValueError
        If shapes do not fit together, or there is no element, or but one, to take the variance of.

    References
    ----------
    D. Ulyanov, A. Vedaldi and V. Lempitsky, Instance normalization, 2016.
    """
    function = "instance_norm"
    check_flags(function, use_input_stats=use_input_stats)
    x = _floating(function, input)
    if x.ndim < 3:
        raise ValueError(
            f"{function}: argument 'input' has shape {x.shape}; it must have at least three axes (N, C, ...)"
        )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(f"{function}: with use_input_stats=False, 'running_mean' and 'running_var' must be given")
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    batch, channels = x.shape[:2]
    size = math.prod(x.shape[2:])
    if size < 2:
        raise ValueError(f"{function}: argument 'input' has shape {x.shape}; a variance needs more than one element")
    axes = tuple(range(2, x.ndim))
    y = _standardize(x, axes, number(function, "eps", eps))
    share = number(function, "momentum", momentum)
    values = x._array
    for argument, running, ddof in (("running_mean", running_mean, None), ("running_var", running_var, 1)):
        if running is None:
            continue
        target = running.data if isinstance(running, Tensor) else running
        if not isinstance(target, np.ndarray) or target.shape != (channels,):
            raise ValueError(
                f"{function}: argument {argument!r} has shape {np.shape(raw(running))}; it must be ({channels},)"
            )
        found = values.mean(axis=axes) if ddof is None else values.var(axis=axes, ddof=ddof)
        if batch:
            target += share * (found.mean(axis=0) - target)
    return _affine(function, y, weight, bias, (channels,), (channels, *(1,) * (x.ndim - 2)))
