"""Sums over all axes but that of the channels: gradients of biases, statistics of batches."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd_conv.kernels as kernels

from ..primitive import primitive

__all__ = ["along", "channel_sum"]

# Elements from which on a compiled loop on all cores is worth loading the compiler for.
_LARGE = 1 << 14


def along(vector: Any, ndim: int, axis: int) -> Any:
    """`vector` with axes of length one around it, so that it broadcasts along `axis` of `ndim`."""
    return vector.reshape((1,) * axis + (-1,) + (1,) * (ndim - 1 - axis))


@primitive
def channel_sum(x: np.ndarray, *, axis: int) -> np.ndarray:
    """Sum over all axes but one.

    Parameters
    ----------
    x : ndarray
        float16 is summed in float32.
    axis : int
        The axis that stays, not negative.

    Returns
    -------
    ndarray, shape (x.shape[axis],), dtype of `x`

    Notes
    -----
    Large arrays are added up in blocks, which are joined in double precision, so that rounding does not grow with
    the batch.
    """
    inner = x.astype(np.float32) if x.dtype == np.float16 else x
    if x.size >= _LARGE and inner.dtype in (np.float32, np.float64):
        total = kernels.channelwise.totals(inner, axis)
    else:
        total = inner.sum(axis=tuple([k for k in range(x.ndim) if k != axis]))
    return total.astype(x.dtype, copy=False)


channel_sum.defvjp(x=lambda g, x_shape, axis: np.broadcast_to(along(g, len(x_shape), axis), x_shape))
