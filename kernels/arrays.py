"""Arrays as the compiled loops want them: C-contiguous, aligned, and all of one Numba type for each dtype."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .workspace import lend


class _Alias:
    """The memory of an array, offered once more as writable; keeps the array alive."""

    __slots__ = ("__array_interface__", "array")

    def __init__(self, array: NDArray[Any]) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self.array = array


def contiguous(array: Any, dtype: Any) -> NDArray[Any]:
    """Return `array` as a C-contiguous, aligned array of `dtype` in native byte order, to be read only.

    Parameters
    ----------
    array : ndarray, any shape, any strides
    dtype : dtype

    Returns
    -------
    ndarray
        The array itself where it is as it should be; else a copy. Never to be written.

    Notes
    -----
    To Numba a read-only array has another type than a writable one, so that every kernel would be compiled
    once for each combination of them. Kernels never write what they are given to read, so here a read-only
    array is passed on as a view that is not marked, without copying.
    """
    if type(array) is np.ndarray and array.dtype == dtype and array.flags.carray and array.dtype.isnative:
        return array
    result = np.asarray(array)
    flags = result.flags
    if result.dtype != dtype or not (flags.c_contiguous and flags.aligned and result.dtype.isnative):
        result = np.array(result, dtype=dtype, order="C")
    if not result.flags.writeable:
        result = np.array(result) if result.size == 0 else np.asarray(_Alias(result))
    return result


_PAGE_BYTES = 4096
_LINE_BYTES = 64

# Smaller arrays are left to the allocator of the system, which keeps such memory itself.
_SMALLEST_LENT_BYTES = 32 * 1024


def empty_apart(shape: tuple[int, ...], dtype: Any, source: NDArray[Any]) -> NDArray[Any]:
    """Return an uninitialised array that lies half a page apart from `source`, at the start of a cache line.

    Processors compare the last twelve bits of addresses to tell whether a load depends on a store before it. Large
    arrays begin at the same place of a page, so that a loop that reads one and writes the other in step would wait
    for stores that have nothing to do with its loads: depthwise convolution takes twice as long then.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    source : ndarray
        What will be read while the array is written.

    Returns
    -------
    ndarray
        C-contiguous. Large ones lie in memory that was used before (see `workspace`).
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _SMALLEST_LENT_BYTES:
        return np.empty(shape, dtype)
    apart = source.__array_interface__["data"][0] + _PAGE_BYTES // 2
    # What is lent begins with a page.
    return np.ndarray(shape, dtype, lend(size + _PAGE_BYTES), apart % _PAGE_BYTES // _LINE_BYTES * _LINE_BYTES)


def by_memory(array: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return a view of (N, D, H, W, C) as it lies in memory, channels last or first, and its first spatial axis.

    For loops that can take either order: to bring channels to the end first would cost more than they do.
    """
    channels_first = array.transpose(0, 4, 1, 2, 3)
    if channels_first.flags.c_contiguous and not array.flags.c_contiguous:
        return channels_first, 2
    return array, 1


def compute_dtype(dtype: np.dtype[Any], function: str, integers: bool = True) -> np.dtype[Any]:
    """Return the dtype that kernels compute in for arrays of `dtype`.

    float32 and float64 are their own; float16 is computed in float32, integers in int64 (so that what
    overflows wraps, as everywhere in NumPy, once it is cast back).

    Raises
    ------
    TypeError
        For any other dtype, and for integers if `integers` is False.

    Notes
    -----
    Byte order is not looked at; results have the machine's.

    Examples
    --------
    >>> compute_dtype(np.dtype("float16"), "conv2d"), compute_dtype(np.dtype("uint8"), "conv2d")
    (dtype('float32'), dtype('int64'))
    """
    if dtype.kind == "f" and dtype.itemsize in (4, 8):
        return dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize == 2:
        return np.dtype(np.float32)
    if integers and dtype.kind in "iu":
        return np.dtype(np.int64)
    kinds = "floating-point or integer" if integers else "floating-point"
    raise TypeError(f"{function}: the arrays must be {kinds} (float16, float32, float64), got {dtype}")
