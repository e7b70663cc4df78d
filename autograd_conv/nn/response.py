"""Normalization by the response of neighbouring channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.tables import window_map
from ..ops.conversion import asarray, astype
from ..tensor import ArrayLike, Tensor
from .operands import check_floating, count, number, operand
from .rank import channel_axis
from .resampling import resample

__all__ = ["local_response_norm"]


def local_response_norm(
    input: ArrayLike,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    layout: Any = "NCHW",
) -> Tensor:
    r"""Divide each element by what it and its neighbours in other channels amount to (Krizhevsky et al. 2012).

    Parameters
    ----------
    input : array_like, shape (N, C, ...); (N, ..., C) with channels last
        Floating-point; any number of spatial axes, at least one. float16 is computed in float32.
    size : int
        How many channels count: ``size // 2`` before and ``(size - 1) // 2`` after. At least 1.
    alpha, beta, k : float
    layout : {"NCHW", "NHWC"}
        Where channels stand, for any number of spatial axes; ``"NCW"``, ``"NCDHW"`` and their likes too.

    Returns
    -------
    Tensor, same shape and dtype

    Raises
    ------
    TypeError
        If `input` is not floating-point, or `size` not an integer.
    ValueError
        If `size` is less than 1, or the rank is wrong.

    Notes
    -----
    .. math:: y_c = x_c \Big(k + \frac{\alpha}{n} \sum_{c'} x_{c'}^2\Big)^{-\beta}

    with :math:`n` the size, also at the first and last channels, where fewer are added. The sum is a linear map along
    one axis, the rest NumPy's functions, all of which are recorded: derivatives of every order exist. With ``k = 0``,
    elements whose neighbours are all zero give NaN.

    Examples
    --------
    >>> from autograd_conv import nn
    >>> nn.local_response_norm([[[1.0], [2.0], [3.0]]], 3, alpha=3.0, beta=1.0).data.ravel()
    array([0.16666667, 0.13333333, 0.21428571])
    """
    x = asarray(operand("local_response_norm", "input", input))
    check_floating("local_response_norm", input=x)
    n = count("local_response_norm", "size", size)
    alpha, beta, k = (
        number("local_response_norm", argument, value)
        for argument, value in (("alpha", alpha), ("beta", beta), ("k", k))
    )
    axis = channel_axis("local_response_norm", layout, x.shape)
    dtype = x.dtype
    if dtype == np.float16:
        x = astype(x, np.float32)
    neighbours = window_map(x.shape[axis], n // 2, (n - 1) // 2)
    total = resample(x * x, steps=((axis, neighbours),))
    y: Tensor = x / (total * (alpha / n) + k) ** beta
    return y if y.dtype == dtype else astype(y, dtype)
