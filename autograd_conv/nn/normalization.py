"""Batch normalization.

Three primitives: `_statistics` (mean and variance of each channel), `_factor` (what deviations from the mean are
multiplied by) and `_standardize` (which does it). That the statistics depend on the input is not hidden inside
one fused rule: it is recorded, so that derivatives of every order pass through them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, raw, wrap
from .channels import along, channel_sum
from .operands import apply, check_flags, check_floating, normalize_axis, number, operand

__all__ = ["batch_norm"]


@primitive(name="batch_statistics", multiple=True)
def _statistics(x: np.ndarray, *, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (biased) variance of each channel, in two passes, so that a large mean does no harm.

    The second pass also sums the deviations from the mean of the first, which would be 0 without rounding, and
    corrects both moments by them (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The
    American Statistician 37 (1983), equation 1.7).
    """
    count = x.dtype.type(x.size // max(x.shape[axis], 1))
    mean = channel_sum(x, axis=axis) / count
    centred = x - along(mean, x.ndim, axis)
    rest = channel_sum(centred, axis=axis) / count
    variance = channel_sum(np.square(centred, out=centred), axis=axis) / count - np.square(rest)
    return mean + rest, variance


def _statistics_vjp(g: Any, x: Any, ans: Any, axis: int) -> Any:
    """(g_mean + 2 * g_variance * (x - mean)) / n."""
    count = x.size // max(x.shape[axis], 1)
    g_mean, g_variance = g
    return _standardize(x, ans[0], g_variance * (2 / count), g_mean * (1 / count), axis=axis)


_statistics.defvjp(x=_statistics_vjp)


@primitive(name="batch_norm_factor")
def _factor(variance: np.ndarray, w: np.ndarray | None, *, eps: float) -> np.ndarray:
    """w / sqrt(variance + eps)."""
    return (1 if w is None else w) / np.sqrt(variance + eps)


_factor.defvjp(
    variance=lambda g, ans, variance, eps: -0.5 * g * ans / (variance + eps),
    w=lambda g, variance, eps: g / np.sqrt(variance + eps),
)


@primitive(name="batch_norm")
def _standardize(
    x: np.ndarray, mean: np.ndarray, factor: np.ndarray, shift: np.ndarray | None, *, axis: int
) -> np.ndarray:
    """(x - mean) * factor + shift, channel by channel."""
    arrays = (x, mean, factor) if shift is None else (x, mean, factor, shift)
    y = np.subtract(x, along(mean, x.ndim, axis), dtype=np.result_type(*arrays))
    y *= along(factor, x.ndim, axis)
    if shift is not None:
        y += along(shift, x.ndim, axis)
    return y


@primitive(name="batch_norm_dot")
def _centred_dot(g: np.ndarray, x: np.ndarray, mean: np.ndarray, *, axis: int) -> np.ndarray:
    """The sum of g * (x - mean) in each channel. Not a difference of two sums: large means would cancel."""
    products = x - along(mean, x.ndim, axis)
    return channel_sum(np.multiply(products, g, out=products if products.dtype == g.dtype else None), axis=axis)


def _standardize_vjp(
    g: Any, x: Any, mean: Any, factor: Any, axis: int, needs: tuple[bool, bool, bool, bool]
) -> tuple[Any, ...]:
    """Those of mean and shift share the sum of g."""
    total = channel_sum(g, axis=axis) if needs[1] or needs[3] else None
    return (
        g * along(factor, len(x.shape), axis) if needs[0] else None,
        -factor * total if needs[1] else None,
        _centred_dot(g, x, mean, axis=axis) if needs[2] else None,
        total,
    )


_standardize.defvjp(_standardize_vjp)
_centred_dot.defvjp(
    g=lambda v, x, mean, axis: _standardize(x, mean, v, None, axis=axis),
    x=lambda v, g, axis: g * along(v, len(g.shape), axis),
    mean=lambda v, g, axis: -v * channel_sum(g, axis=axis),
)


def batch_norm(
    input: ArrayLike,
    running_mean: np.ndarray | Tensor | None,
    running_var: np.ndarray | Tensor | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    axis: int = 1,
) -> Tensor:
    r"""Subtract its mean from each channel, divide by its standard deviation, scale and shift.

    Parameters
    ----------
    input : array_like, shape (N, C, ...)
        Floating-point; float16 is computed in float32.
    running_mean, running_var : ndarray or Tensor, shape (C,), or None
        Statistics to use if not `training`. If `training`, they are updated in place, without being recorded:
        ``running = (1 - momentum) * running + momentum * current``, with the unbiased variance, as in PyTorch.
    weight, bias : array_like, shape (C,), optional
        Scale and shift.
    training : bool
        Use the statistics of `input`, which are differentiated.
    momentum : float
    eps : float
        Added to the (biased) variance under the square root.
    axis : int
        The axis of the channels.

    Returns
    -------
    Tensor, same shape and dtype

    Raises
    ------
    TypeError
        If an array is not floating-point, or running statistics cannot be updated in place.
    ValueError
        If shapes do not fit together; if `training` with fewer than two values for each channel; if not, and
        running statistics are missing.
    IndexError
        If there is no such axis.

    Notes
    -----
    :math:`y = (x - \mu) / \sqrt{\sigma^2 + \epsilon} \cdot w + b`. Saved: `input` and vectors of length C.
    Derivatives of every order are right, those through the statistics included.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.batch_norm([[1.0], [3.0]], None, None, training=True, eps=0.0).data
    array([[-1.],
           [ 1.]])
    """
    function = "batch_norm"
    check_flags(function, training=training)
    momentum = number(function, "momentum", momentum)
    eps = number(function, "eps", eps, 0.0)
    x = operand(function, "input", input)
    check_floating(function, input=x)
    if x.ndim < 2:
        raise ValueError(f"{function}: argument 'input' has {x.ndim} axes (shape {x.shape}); it must have at least 2")
    axis = normalize_axis(function, "axis", axis, x.ndim)
    channels = x.shape[axis]
    vectors = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    operands = {
        argument: None if value is None else operand(function, argument, value) for argument, value in vectors.items()
    }
    check_floating(function, **operands)
    for argument, value in operands.items():
        if value is not None and value.shape != (channels,):
            raise ValueError(
                f"{function}: argument {argument!r} has shape {value.shape}, but argument 'input' (shape {x.shape}) "
                f"has {channels} channels; it must have shape ({channels},)"
            )
    w, b = operands["weight"], operands["bias"]
    dtype = np.result_type(x.dtype, *[vector.dtype for vector in (w, b) if vector is not None])
    if x.dtype == np.float16:
        x = x.astype(np.float32)
    if training:
        count = x.size // channels if channels else 2
        if count < 2:
            raise ValueError(
                f"{function}: argument 'input' (shape {x.shape}) has {count} values for each channel; training needs "
                "at least 2, to have a variance"
            )
        mean, variance = apply(_statistics, x, axis=axis)
        _update("running_mean", running_mean, mean._array, momentum)
        _update("running_var", running_var, variance._array * (count / (count - 1)), momentum)
    else:
        for argument in ("running_mean", "running_var"):
            if operands[argument] is None:
                raise ValueError(f"{function}: argument {argument!r} is None; it must be given if not training")
        # Copies, so that the running statistics may be updated while the record is alive.
        mean, variance = (wrap(np.array(raw(operands[k]), dtype=x.dtype)) for k in ("running_mean", "running_var"))
    result: Tensor = apply(_standardize, x, mean, apply(_factor, variance, w, eps=float(eps)), b, axis=axis)
    return result if result.dtype == dtype else result.astype(dtype)


def _update(argument: str, running: Any, current: np.ndarray, momentum: float) -> None:
    """Move a running statistic towards the current one, in place."""
    if running is None:
        return
    if not isinstance(running, (np.ndarray, Tensor)):
        raise TypeError(
            f"batch_norm: argument {argument!r} is a {type(running).__name__}, which cannot be updated in place; it "
            "must be an ndarray or a Tensor"
        )
    values = running.data if isinstance(running, Tensor) else running
    values *= 1 - momentum
    values += np.asarray(momentum * current, dtype=values.dtype)
