"""Real and imaginary part, angle.

Gradients follow PyTorch: that of z holds the derivatives by both parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor
from .constants import strip
from .conversion import asarray, astype
from .ordering import sort

__all__ = ["angle", "imag", "real", "real_if_close", "sort_complex"]

# None of these is complex differentiable, so their rules speak of the cotangent dL/dRe + i dL/dIm itself.
_real = primitive(np.real, name="real", arguments=("x",), holomorphic=False).defvjp(x=lambda g: g)
_imag = primitive(np.imag, name="imag", arguments=("x",), holomorphic=False).defvjp(
    x=lambda g, x_dtype: g * 1j if x_dtype.kind == "c" else None
)


def _angle_vjp(g: Any, x: Any) -> Any:
    """The angle grows at a right angle to z, by 1/|z|; that of a real number is a step."""
    if x.dtype.kind != "c":
        return None
    square = np.real(x) ** 2 + np.imag(x) ** 2
    return g * (1j * x) / np.where(square == 0, np.inf, square)


_angle = primitive(np.angle, name="angle", arguments=("x",), holomorphic=False).defvjp(x=_angle_vjp)


@implements(np.real)
def real(val: ArrayLike) -> Tensor:
    """Real part; `val` itself if it is real."""
    x = asarray(val)
    return _real(x) if x.dtype.kind == "c" else x


@implements(np.imag)
def imag(val: ArrayLike) -> Tensor:
    """Imaginary part; zeros if `val` is real."""
    result: Tensor = _imag(asarray(val))
    return result


@implements(np.angle)
def angle(z: ArrayLike, deg: bool = False) -> Tensor:
    """Angle of the complex number, in radians or degrees; 0 or pi for real numbers, with derivative 0."""
    result: Tensor = _angle(asarray(z))
    return result * (180 / np.pi) if deg else result


@implements(np.real_if_close)
def real_if_close(a: ArrayLike, tol: float = 100) -> Tensor:
    """The real part, if all imaginary parts are within `tol` (in units of the rounding error) of 0."""
    x = asarray(a)
    return x if np.iscomplexobj(np.real_if_close(strip(x), tol)) else real(x)


@implements(np.sort_complex)
def sort_complex(a: ArrayLike) -> Tensor:
    """Sort along the last axis, by the real and then the imaginary part; the result is complex."""
    x = asarray(a)
    return astype(sort(x), np.sort_complex(np.zeros(1, x.dtype)).dtype, copy=False)
