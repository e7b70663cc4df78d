"""New arrays from shapes, buffers and other data; NumPy's constants and types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..array_api import check_device
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


def _constant(values: Any, requires_grad: Any) -> Tensor:
    # A copy, for the memory may be that of a buffer.
    result = wrap(np.array(values, order="C"))
    if requires_grad:
        result.requires_grad = True
    return result


_RETURNS = """

    Returns
    -------
    Tensor
        A constant: nothing is recorded.

    Raises
    ------
    ValueError
        If `device` is neither None nor "cpu".
    """


def _named(create: Function, original: Callable[..., Any], doc: str) -> Function:
    create.__name__ = create.__qualname__ = original.__name__
    create.__doc__ = doc
    CONSTANT.add(original)
    return create


def _of_shape(function: Callable[..., Any], summary: str) -> Function:
    """``numpy.zeros`` and its like, for Tensors."""
    name = function.__name__

    def create(
        shape: Shape, dtype: Any = None, order: str = "C", *, device: Any = None, requires_grad: Any = False
    ) -> Tensor:
        check_device(name, device)
        return _constant(function(strip(shape), dtype), requires_grad)

    doc = f"""{summary}

    Parameters
    ----------
    shape : int or sequence of int
    dtype : dtype, optional
        float64 by default.
    order : str
        For compatibility; the order of elements in memory has no meaning for Tensors.
    device : None or "cpu"
    requires_grad : bool
        Whether gradients with respect to the result are wanted."""
    return _named(create, function, doc + _RETURNS)


def _like(function: Callable[..., Any], summary: str) -> Function:
    """``numpy.zeros_like`` and its like, for Tensors."""
    name = function.__name__

    def create(
        a: ArrayLike,
        dtype: Any = None,
        order: str = "K",
        subok: Any = True,
        shape: Shape | None = None,
        *,
        device: Any = None,
        requires_grad: Any = False,
    ) -> Tensor:
        check_device(name, device)
        return _constant(function(strip(a), dtype, shape=strip(shape)), requires_grad)

    doc = f"""{summary}

    Parameters
    ----------
    a : array_like
    dtype : dtype, optional
        That of `a` by default.
    order, subok
        For compatibility.
    shape : int or sequence of int, optional
        That of `a` by default.
    device : None or "cpu"
    requires_grad : bool
        Whether gradients with respect to the result are wanted."""
    register_numpy(function, create)
    return _named(create, function, doc + _RETURNS)


def _creator(function: Callable[..., Any], summary: str) -> Function:
    """Another function of NumPy's that makes an array, as one that makes a Tensor."""

    def create(*args: Any, requires_grad: Any = False, **kwargs: Any) -> Tensor:
        return _constant(function(*strip(args), **strip(kwargs)), requires_grad)

    doc = f"""{summary}

    Parameters
    ----------
    *args, **kwargs
        As for ``numpy.{function.__name__}``.
    requires_grad : bool
        Whether gradients with respect to the result are wanted.

    Returns
    -------
    Tensor
        A constant: nothing is recorded.
    """
    return _named(create, function, doc)


zeros = _of_shape(np.zeros, "A Tensor of zeros.")
ones = _of_shape(np.ones, "A Tensor of ones.")
empty = _of_shape(np.empty, "A Tensor whose elements have yet to be assigned.")
zeros_like = _like(np.zeros_like, "Zeros, of the shape and dtype of another array.")
ones_like = _like(np.ones_like, "Ones, of the shape and dtype of another array.")
empty_like = _like(np.empty_like, "Elements yet to be assigned, of the shape and dtype of another array.")

identity = _creator(np.identity, "The square identity matrix.")
tri = _creator(np.tri, "A matrix of ones on and below a diagonal, zeros above.")
frombuffer = _creator(np.frombuffer, "Numbers from the bytes of an object.")
fromiter = _creator(np.fromiter, "Numbers from an iterable, of a given dtype.")
fromstring = _creator(np.fromstring, "Numbers from a text.")

CONSTANT.update({np.eye, np.from_dlpack})


def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: Any = None,
    order: str = "C",
    *,
    device: Any = None,
    requires_grad: Any = False,
) -> Tensor:
    """A matrix with ones on one diagonal and zeros elsewhere.

    Parameters
    ----------
    N, M : int
        Rows, and columns (as many as rows by default).
    k : int
        The diagonal: positive above the main one, negative below.
    dtype : dtype, optional
        float64 by default.
    order : str
        For compatibility.
    device : None or "cpu"
    requires_grad : bool
        Whether gradients with respect to the result are wanted.

    Returns
    -------
    Tensor
        Shape (N, M); a constant.
    """
    check_device("eye", device)
    return _constant(np.eye(N, M, k, dtype if dtype is not None else np.float64), requires_grad)


def from_dlpack(x: Any, /, *, device: Any = None, copy: Any = None, requires_grad: Any = False) -> Tensor:
    """The numbers of an array of another library, copied.

    Parameters
    ----------
    x : object
        With ``__dlpack__`` and ``__dlpack_device__``.
    device : None or "cpu"
    copy : bool, optional
        A Tensor shares no memory that others may write to, so False is only for Tensors, which are handed back
        without their history.
    requires_grad : bool
        Whether gradients with respect to the result are wanted.

    Returns
    -------
    Tensor
        A constant.

    Raises
    ------
    BufferError
        If `copy` is False and `x` is no Tensor.
    ValueError
        If `device` is neither None nor "cpu".
    """
    check_device("from_dlpack", device)
    if copy is not None and not copy:
        if isinstance(x, Tensor):
            return x.detach()
        raise BufferError("from_dlpack: argument 'copy' is False; a Tensor shares no memory with other arrays")
    return _constant(np.from_dlpack(x), requires_grad)


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
