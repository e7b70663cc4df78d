"""New arrays from shapes, buffers and other data; NumPy's constants and types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dispatch import CONSTANT, implements, register_numpy
from ..tensor import ArrayLike, Tensor, wrap
from .constants import dress, strip
from .conversion import asarray
from .shape import broadcast_to, reshape

__all__ = [
    "bool", "bool_", "complex128", "complex64", "e", "empty", "empty_like", "euler_gamma", "eye", "finfo",
    "float16", "float32", "float64", "from_dlpack", "frombuffer", "fromiter", "fromstring", "identity", "iinfo",
    "inf", "int16", "int32", "int64", "int8", "isdtype", "meshgrid", "mgrid", "nan", "newaxis", "ogrid", "ones",
    "ones_like", "pi", "tri", "uint16", "uint32", "uint64", "uint8", "zeros", "zeros_like",
]  # fmt: skip

pi, e, euler_gamma, inf, nan, newaxis = np.pi, np.e, np.euler_gamma, np.inf, np.nan, np.newaxis
bool = bool_ = np.bool_
int8, int16, int32, int64 = np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float16, float32, float64 = np.float16, np.float32, np.float64
complex64, complex128 = np.complex64, np.complex128
finfo, iinfo, isdtype = np.finfo, np.iinfo, np.isdtype

Shape = int | Sequence[int]
Function = Callable[..., Tensor]


def _creator(function: Callable[..., Any], summary: str) -> Function:
    """A function of NumPy's that makes an array, as one that makes a Tensor."""
    name = function.__name__

    def create(*args: Any, requires_grad: Any = False, **kwargs: Any) -> Tensor:
        # A copy, for the memory may be that of a buffer.
        result = wrap(np.array(function(*strip(args), **strip(kwargs)), order="C"))
        if requires_grad:
            result.requires_grad = True
        return result

    CONSTANT.add(function)
    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"""{summary}

    Parameters
    ----------
    *args, **kwargs
        As for ``numpy.{name}``.
    requires_grad : bool
        Whether gradients with respect to the result are wanted.

    Returns
    -------
    Tensor
        A constant: nothing is recorded.
    """
    return create


zeros = _creator(np.zeros, "A Tensor of zeros.")
ones = _creator(np.ones, "A Tensor of ones.")
empty = _creator(np.empty, "A Tensor whose elements have yet to be assigned.")
eye = _creator(np.eye, "A matrix with ones on one diagonal and zeros elsewhere.")
identity = _creator(np.identity, "The square identity matrix.")
tri = _creator(np.tri, "A matrix of ones on and below a diagonal, zeros above.")

from_dlpack = _creator(np.from_dlpack, "The numbers of an array of another library, copied.")
frombuffer = _creator(np.frombuffer, "Numbers from the bytes of an object.")
fromiter = _creator(np.fromiter, "Numbers from an iterable, of a given dtype.")
fromstring = _creator(np.fromstring, "Numbers from a text.")

zeros_like = _creator(np.zeros_like, "Zeros, of the shape and dtype of another array.")
ones_like = _creator(np.ones_like, "Ones, of the shape and dtype of another array.")
empty_like = _creator(np.empty_like, "Elements yet to be assigned, of the shape and dtype of another array.")
register_numpy(np.zeros_like, zeros_like)
register_numpy(np.ones_like, ones_like)
register_numpy(np.empty_like, empty_like)


class _Grid:
    """``mgrid`` and ``ogrid``: coordinates of the points of a grid, from slices, as Tensors."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getitem__(self, key: Any) -> Any:
        return dress(self._original[strip(key)])


mgrid, ogrid = _Grid(np.mgrid), _Grid(np.ogrid)
CONSTANT.update({np.mgrid, np.ogrid})


@implements(np.meshgrid)
def meshgrid(*xi: ArrayLike, copy: Any = True, sparse: Any = False, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinates of the points of a grid; gradients reach the arguments.

    Parameters
    ----------
    *xi : array_like, shape (n_k,)
        Coordinates along each axis.
    copy : bool
        For compatibility.
    sparse : bool
        Leave axes of length one, for broadcasting.
    indexing : {"xy", "ij"}
        "xy" exchanges the first two axes of the result.

    Returns
    -------
    tuple of Tensor

    Raises
    ------
    ValueError
        If `indexing` is neither.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing is {indexing!r}; it must be 'xy' or 'ij'")
    ndim = len(xi)
    order = list(range(ndim))
    if indexing == "xy" and ndim > 1:
        order[:2] = [1, 0]
    rows = [
        reshape(asarray(x), tuple([-1 if axis == position else 1 for axis in range(ndim)]))
        for x, position in zip(xi, order)
    ]
    if sparse:
        return tuple(rows)
    shape = np.broadcast_shapes(*[row.shape for row in rows])
    return tuple([broadcast_to(row, shape) for row in rows])
