r"""Batch normalization.

In training, mean and deviation are functions of the input, and every derivative passes through them. With the
standardized input :math:`z = (x - \mu) s`, where :math:`s = 1 / \sqrt{\sigma^2 + \epsilon}`, with sums over the n
elements of a channel, and with

    P(g, x) = s (g - mean(g) - z mean(g z))

P( . , x) is the Jacobian of z, and its own transpose. It is all that derivatives of every order are made of:

==================  ====================================================================================
of                  is
==================  ====================================================================================
z                   P(g, x)
P(g, x), by g       P(v, x)
P(g, x), by x       -(s/n) (sum(v P(g, x)) z + sum(g z) P(v, x) + sum(v z) P(g, x))
s                   -(s^2/n) z, summed with its cotangent
==================  ====================================================================================

The statistics are computed once, outside of the record, and handed to the primitives as constants; the rules with
respect to x account for how they depend on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, raw, wrap
from .channels import along, channel_sum
from .operands import apply, check_flags, check_floating, normalize_axis, number, operand
from .rectifier import Gated, rectifies, relu, relu_gate

__all__ = ["batch_norm"]


# --- with the statistics of the input ------------------------------------------------------------------------


def _map(
    w: np.ndarray | None, b: np.ndarray | None, mean: np.ndarray, inverse: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of the affine map that takes x - mean to the result."""
    return inverse if w is None else inverse * w, np.zeros_like(mean) if b is None else b


@primitive(name="batch_norm")
def _normalize(
    x: np.ndarray,
    w: np.ndarray | None,
    b: np.ndarray | None,
    mean: np.ndarray,
    inverse: np.ndarray,
    *,
    axis: int,
    rectify: bool = False,
) -> np.ndarray:
    """z * w + b, or 0 where that is less and `rectify`. `mean` and `inverse`, which is s, are those of `x`."""
    scale, shift = _map(w, b, mean, inverse)
    return kernels.channelwise.affine(_promoted(x, w, b), mean, scale, shift, axis, rectify)


def _promoted(x: np.ndarray, *vectors: np.ndarray | None) -> np.ndarray:
    return x.astype(np.result_type(x, *[vector for vector in vectors if vector is not None]), copy=False)


def _normalize_vjp(
    g: Any, x: Any, w: Any, b: Any, mean: Any, inverse: Any, axis: int, rectify: bool, needs: tuple[bool, ...]
) -> tuple[Any, ...]:
    if isinstance(g, Tensor):
        if rectify:
            g = relu_gate(g, _normalize(x, w, b, mean, inverse, axis=axis, rectify=True))
        gx, gw, gb = _gradients(g, x, w, mean, inverse, axis=axis)
    elif rectify or type(g) is Gated:
        # The gate is where the result is positive: it takes less time to compute that once more than to read it.
        g = g.g if type(g) is Gated else g
        gx, gw, gb = _pull(g, _promoted(x, w, b), w, mean, inverse, axis, _map(w, b, mean, inverse))
    else:
        gx, gw, gb = _pull(g, x, w, mean, inverse, axis)
    return gx, gw if needs[1] else None, gb if needs[2] else None, None, None


_normalize.defvjp(_normalize_vjp)
_normalize.takes_gated = True


def _pull(
    g: np.ndarray,
    x: np.ndarray,
    w: np.ndarray | None,
    mean: np.ndarray,
    inverse: np.ndarray,
    axis: int,
    gate: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w P(g, x), sum(g z) and sum(g), with `g` 0 where ``(x - mean) * scale + shift`` is, by a gate (scale, shift)."""
    count = x.size // max(x.shape[axis], 1)
    total, dot = kernels.channelwise.sums(g, x, mean, axis, gate)
    dot = dot * inverse
    scale = inverse if w is None else inverse * w
    share = scale * (-1 / count) if count else scale
    gx = kernels.channelwise.blend(g, x, mean, scale, share * inverse * dot, share * total, axis, gate)
    return gx, dot.astype(gx.dtype), total.astype(gx.dtype)


@primitive(name="batch_norm_gradients", multiple=True)
def _gradients(
    g: np.ndarray, x: np.ndarray, w: np.ndarray | None, mean: np.ndarray, inverse: np.ndarray, *, axis: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w P(g, x), sum(g z) and sum(g): the gradients of `_normalize` with respect to `x`, `w` and `b`."""
    return _pull(g, x, w, mean, inverse, axis)


def _gradients_vjp(
    cotangents: Any, g: Any, x: Any, w: Any, mean: Any, inverse: Any, axis: int, needs: tuple[bool, ...]
) -> tuple[Any, ...]:
    """See the table at the top; `v`, `p` and `q` are the cotangents of w P(g, x), of sum(g z) and of sum(g)."""
    v, p, q = cotangents
    constants, count = (mean, inverse), x.size // max(x.shape[axis], 1)
    pv, dot_v, _ = _gradients(v, x, w, *constants, axis=axis)
    by_g = pv + _normalize(x, p, q, *constants, axis=axis) if needs[0] else None
    if not (needs[1] or needs[2]):
        return by_g, None, None, None, None
    pg, dot_g, _ = _gradients(g, x, None, *constants, axis=axis)
    by_w = channel_sum(v * pg, axis=axis)
    by_x = None
    if needs[1]:
        factor = _inverse_deviation(x, *constants, axis=axis) * (-1 / count)
        dot_vg, dot_v = (by_w, dot_v) if w is None else (w * by_w, w * dot_v)
        ndim = len(x.shape)
        by_x = (
            _normalize(x, factor * dot_vg, None, *constants, axis=axis)
            + pv * along(factor * dot_g, ndim, axis)
            + pg * along(factor * dot_v + p, ndim, axis)
        )
    return by_g, by_x, by_w if needs[2] else None, None, None


_gradients.defvjp(_gradients_vjp)


@primitive(name="batch_norm_deviation")
def _inverse_deviation(x: np.ndarray, mean: np.ndarray, inverse: np.ndarray, *, axis: int) -> np.ndarray:
    """s, as a function of `x`."""
    return inverse.astype(x.dtype)


def _inverse_deviation_vjp(g: Any, x: Any, ans: Any, mean: Any, inverse: Any, axis: int) -> Any:
    return _normalize(x, g * ans * ans * (-x.shape[axis] / max(x.size, 1)), None, mean, inverse, axis=axis)


_inverse_deviation.defvjp(x=_inverse_deviation_vjp)


# --- with given statistics -----------------------------------------------------------------------------------


@primitive(name="batch_norm_given")
def _standardize(
    x: np.ndarray, mean: np.ndarray, factor: np.ndarray, shift: np.ndarray | None, *, axis: int
) -> np.ndarray:
    """(x - mean) * factor + shift, channel by channel; `mean` is a constant."""
    arrays = (x, factor) if shift is None else (x, factor, shift)
    shift = np.zeros_like(mean) if shift is None else shift
    return kernels.channelwise.affine(x.astype(np.result_type(*arrays), copy=False), mean, factor, shift, axis)


@primitive(name="batch_norm_dot")
def _centred_dot(g: np.ndarray, x: np.ndarray, mean: np.ndarray, *, axis: int) -> np.ndarray:
    """The sum of g * (x - mean) in each channel. Not a difference of two sums: large means would cancel."""
    return kernels.channelwise.sums(g, x, mean, axis)[1].astype(np.result_type(g, x))


_standardize.defvjp(
    x=lambda g, x_shape, factor, axis: g * along(factor, len(x_shape), axis),
    factor=lambda g, x, mean, axis: _centred_dot(g, x, mean, axis=axis),
    shift=lambda g, axis: channel_sum(g, axis=axis),
)
_centred_dot.defvjp(
    g=lambda v, x, mean, axis: _standardize(x, mean, v, None, axis=axis),
    x=lambda v, g, axis: g * along(v, len(g.shape), axis),
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
    activation: str | None = None,
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
    activation : {None, "relu"}
        What is applied to the result: ``"relu"`` is `relu`, without passes over memory of its own.

    Returns
    -------
    Tensor, same shape and dtype

    Raises
    ------
    TypeError
        If an array is not floating-point, or running statistics cannot be updated in place.
    ValueError
        If shapes do not fit together; if `training` with fewer than two values for each channel; if not, and
        running statistics are missing; if there is no such `activation`.
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
    rectify = rectifies(function, activation)
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
        mean, variance = kernels.channelwise.moments(raw(x), axis)
        _update("running_mean", running_mean, mean, momentum)
        _update("running_var", running_var, variance * (count / (count - 1)), momentum)
        inverse = wrap(1 / np.sqrt(variance + eps))
        result: Tensor = apply(_normalize, x, w, b, wrap(mean), inverse, axis=axis, rectify=rectify)
    else:
        for argument in ("running_mean", "running_var"):
            if operands[argument] is None:
                raise ValueError(f"{function}: argument {argument!r} is None; it must be given if not training")
        # Copies, so that the running statistics may be updated while the record is alive.
        mean, variance = (np.array(raw(operands[k]), dtype=x.dtype) for k in ("running_mean", "running_var"))
        inverse = 1 / np.sqrt(variance + x.dtype.type(eps))
        factor = wrap(inverse) if w is None else w * inverse
        result = apply(_standardize, x, wrap(mean), factor, b, axis=axis)
        result = relu(result) if rectify else result
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
