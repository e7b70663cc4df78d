"""Functions whose derivatives are members of their own family: sinc, and the modified Bessel function I0."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .conversion import asarray

__all__ = ["i0", "sinc"]


def _float(dtype: Any) -> Any:
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _i0_forward(x: Any, *, order: int) -> Any:
    """The derivative of I0 of a given order: the mean over the circle of exp(x cos t) cos(t)**order.

    The trapezoidal rule on a circle converges faster than any power. The error with n points is about I_n(x),
    negligible for n > 9 sqrt|x| + 40. Only derivatives take this way; cost: n exponentials an element.
    """
    if order == 0:
        return np.i0(x).astype(_float(x.dtype), copy=False)
    largest = float(np.max(np.abs(x), initial=0.0, where=np.isfinite(x)))
    n = 40 + order + int(9 * math.sqrt(largest))
    total = np.zeros(x.shape, _float(x.dtype))
    for t in (np.arange(n) + 0.5) * (2 * math.pi / n):
        total += np.exp(x * math.cos(t)) * (math.cos(t) ** order)
    return total / n


_i0 = primitive(_i0_forward, name="i0")
_i0.defvjp(x=lambda g, x, order: g * _i0(x, order=order + 1))


@implements(np.i0)
def i0(x: ArrayLike) -> Tensor:
    """Modified Bessel function of the first kind, of order 0."""
    result: Tensor = _i0(asarray(x), order=0)
    return result


@functools.cache
def _quadrature() -> list[tuple[float, float]]:
    """Gauss's points in (0, 1), with weights. On |x| < 1 the integrand below is a polynomial up to rounding: 32 do."""
    nodes, weights = np.polynomial.legendre.leggauss(32)
    return list(zip(((nodes + 1) / 2).tolist(), (weights / 2).tolist()))


def _sinc_forward(x: Any, *, order: int) -> Any:
    """The derivative of sinc of a given order.

    Near 0 by quadrature of sinc(x) = integral from 0 to 1 of cos(pi x t) dt, differentiated under the integral;
    elsewhere by x s_m = pi**(m-1) sin(pi x + m pi/2) - m s_(m-1), the m-th derivative of x sinc(x) = sin(pi x)/pi.
    """
    if order == 0:
        return np.sinc(x)
    small = np.abs(x) < 1
    away = np.where(small, 1, x)
    result = np.sinc(x)
    for m in range(1, order + 1):
        result = (math.pi ** (m - 1) * np.sin(math.pi * away + m * math.pi / 2) - m * result) / away
    near = np.zeros_like(result)
    inside = np.where(small, x, 0)
    for node, weight in _quadrature():
        near += weight * (math.pi * node) ** order * np.cos(math.pi * node * inside + order * math.pi / 2)
    return np.where(small, near, result)


_sinc = primitive(_sinc_forward, name="sinc")
_sinc.defvjp(x=lambda g, x, order: g * _sinc(x, order=order + 1))


@implements(np.sinc)
def sinc(x: ArrayLike) -> Tensor:
    """sin(pi x)/(pi x), and 1 at 0; derivatives of every order exist everywhere."""
    result: Tensor = _sinc(asarray(x), order=0)
    return result
