"""Parts of complex numbers.

None of these is complex differentiable, so their rules speak of the cotangent ``dL/dRe + i dL/dIm`` itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dispatch import implements
from ..primitive import primitive
from ..tensor import ArrayLike, Tensor, as_tensor

__all__ = ["angle", "imag", "iscomplexobj", "isrealobj", "real"]

_real = primitive(np.real, name="real", arguments=("val",), holomorphic=False)
_real.defvjp(val=lambda g: g)

_imag = primitive(np.imag, name="imag", arguments=("val",), holomorphic=False)
_imag.defvjp(val=lambda g: 1j * g)

_angle = primitive(np.angle, name="angle", arguments=("z",), holomorphic=False)


def _angle_vjp(g: Any, z: Any) -> Any:
    """Across the direction of z, and the smaller the farther out; 0 for a real number, whose angle is 0 or pi."""
    if z.dtype.kind != "c":
        return None
    square = np.real(z) ** 2 + np.imag(z) ** 2
    return g * (1j * z) / np.where(square == 0, np.inf, square)


_angle.defvjp(z=_angle_vjp)


@implements(np.real)
def real(val: ArrayLike) -> Tensor:
    """Real part; of a real array, the array."""
    z = as_tensor(val)
    return _real(z)


@implements(np.imag)
def imag(val: ArrayLike) -> Tensor:
    """Imaginary part; of a real array, zeros."""
    z = as_tensor(val)
    return _imag(z) if z.dtype.kind == "c" else Tensor(np.zeros(z.shape, z.dtype))


@implements(np.angle)
def angle(z: ArrayLike, deg: bool = False) -> Tensor:
    """Angle of complex numbers to the positive real axis, counterclockwise, in radians (or degrees, with `deg`)."""
    result: Tensor = _angle(as_tensor(z))
    return result * (180 / math.pi) if deg else result


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """Whether the dtype of `x` is complex."""
    return bool(as_tensor(x).dtype.kind == "c")


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """Whether the dtype of `x` is not complex."""
    return not iscomplexobj(x)
