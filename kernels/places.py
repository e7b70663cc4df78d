"""Routing by place: arrays that go to, or come from, elements named by flat indices; channels-last.

Whatever picks one element out of each of its windows - maximum pooling over regions of any shape, unpooling -
is a matrix S with at most a single 1 in each row. It is kept as `place`: for each output the flat index
``(d * H + h) * W + w`` of its element, or the size of the volume for a row of zeros: "nowhere". With it

    route   gx = S^T gy     every gradient goes to its element; what meets there adds up
    gather  y  = S x        the transpose

are all that derivatives of every order need. Unpooling is `route` too, once :func:`last_writes` has sent what is
overwritten nowhere.

Shapes::

    x, gx  (N, D, H, W, C)        y, gy, place  (N, OD, OH, OW, C)

No value of `place` leads outside of an array: what is out of range is nowhere.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import compute_dtype, contiguous
from .geometry import Axes
from .jit import kernel
from .threads import get_num_threads, parallel_for

Array = NDArray[Any]

# Elements that these loops move in a nanosecond on one core: only to tell small work from large.
ELEMENTS_PER_NANOSECOND = 0.7

# The fewest channels that one thread owns in loops that write to any place: a cache line of float32.
LEAST_BLOCK = 16


def place_dtype(volume: int) -> np.dtype[Any]:
    """Return the smallest dtype that holds the flat indices of `volume` elements, and `volume` for "nowhere".

    Examples
    --------
    >>> place_dtype(255), place_dtype(256), place_dtype(2**32)
    (dtype('uint8'), dtype('uint16'), dtype('int64'))
    """
    for candidate in (np.uint8, np.uint16, np.uint32):
        if volume <= np.iinfo(candidate).max:
            return np.dtype(candidate)
    return np.dtype(np.int64)


def _check(function: str, argument: str, array: Array, place: Array) -> None:
    if array.ndim != 5 or array.shape != place.shape:
        raise ValueError(
            f"{function}: {argument} and place must have the same shape (N, OD, OH, OW, C), "
            f"got {array.shape} and {place.shape}"
        )
    _check_integers(function, "place", place)


def _check_integers(function: str, argument: str, array: Array) -> None:
    if array.dtype.kind not in "iu":
        raise TypeError(f"{function}: {argument} must be made of integers, got {array.dtype}")


def _flat(array: Array) -> Array:
    """Return (N, D, H, W, C) as (N, D * H * W, C), a view of an array in memory order."""
    return array.reshape(array.shape[0], math.prod(array.shape[1:4]), array.shape[4])


def _native(place: Array) -> Array:
    """Return `place` as the loops take it; uint64, which does not mix with their int64, as int64."""
    dtype = np.dtype(np.int64) if place.dtype.itemsize == 8 else place.dtype.newbyteorder("=")
    return contiguous(place, dtype)


def channel_block(batch: int, channels: int) -> int:
    """Return how many channels one work item owns: all, unless there are fewer images than threads.

    Narrow blocks stride through memory and are several times slower. Results do not depend on it.
    """
    parts = -(-get_num_threads() // batch)
    return min(channels, max(LEAST_BLOCK, -(-channels // parts)))


@kernel
def _route_blocks(start: int, stop: int, gy: Array, place: Array, gx: Array, block: int) -> None:
    """Add `gy` (N, O, C) to `gx` (N, P, C), modified in place: channel blocks ``start <= item < stop``."""
    volume, channels = gx.shape[1], gx.shape[2]
    blocks = -(-channels // block)
    for item in range(start, stop):
        n = item // blocks
        first = item % blocks * block
        last = min(first + block, channels)
        for o in range(gy.shape[1]):
            for c in range(first, last):
                at = place[n, o, c]
                if 0 <= at < volume:
                    gx[n, at, c] += gy[n, o, c]


def route(gy: Array, place: Array, size: Axes) -> Array:
    """Return an array of zeros to which each element of `gy` is added at its place: ``gx = S^T gy``.

    Parameters
    ----------
    gy : ndarray, shape (N, OD, OH, OW, C)
        Any strides, read-only or not; floating-point or integer.
    place : ndarray of integers, shape (N, OD, OH, OW, C)
    size : three int
        The spatial shape of the result.

    Returns
    -------
    ndarray, shape (N, D, H, W, C), dtype of `gy`

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If the shapes are not the same.

    Notes
    -----
    Cost ``N * OD*OH*OW * C`` additions. A thread owns whole channels of an image and adds in row-major order
    of `gy`, so that sums do not depend on how many threads there are.
    """
    function = "route"
    gy, place = np.asarray(gy), np.asarray(place)
    _check(function, "gy", gy, place)
    inner = compute_dtype(gy.dtype, function)
    gx = np.zeros((gy.shape[0], *size, gy.shape[4]), inner)
    if gx.size and gy.size:
        block = channel_block(gx.shape[0], gx.shape[4])
        parallel_for(
            _route_blocks, gx.shape[0] * -(-gx.shape[4] // block), _flat(contiguous(gy, inner)),
            _flat(_native(place)), _flat(gx), block,
            nanoseconds=gy.size / ELEMENTS_PER_NANOSECOND,
        )  # fmt: skip
    return gx.astype(gy.dtype.newbyteorder("="), copy=False)


@kernel
def _gather_rows(start: int, stop: int, x: Array, place: Array, y: Array) -> None:
    """Fetch the rows ``start <= row < stop``, row ``n * O + o``, of `y` (N, O, C), modified in place."""
    volume, outputs, channels = x.shape[1], y.shape[1], y.shape[2]
    for row in range(start, stop):
        n = row // outputs
        o = row % outputs
        for c in range(channels):
            at = place[n, o, c]
            if 0 <= at < volume:
                y[n, o, c] = x[n, at, c]
            else:
                y[n, o, c] = 0


def gather(x: Array, place: Array) -> Array:
    """Return, for each place, the element of `x` there, or 0 for nowhere: ``y = S x``, the transpose of `route`.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C)
        Any strides, read-only or not; floating-point or integer.
    place : ndarray of integers, shape (N, OD, OH, OW, C)

    Returns
    -------
    ndarray, shape (N, OD, OH, OW, C), dtype of `x`

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If batch or channels are not the same.
    """
    function = "gather"
    x, place = np.asarray(x), np.asarray(place)
    _check_integers(function, "place", place)
    if x.ndim != 5 or place.ndim != 5 or x.shape[0] != place.shape[0] or x.shape[4] != place.shape[4]:
        raise ValueError(
            f"{function}: x (N, D, H, W, C) and place (N, OD, OH, OW, C) must have the same N and C, "
            f"got shapes {x.shape} and {place.shape}"
        )
    inner = compute_dtype(x.dtype, function)
    y = np.zeros(place.shape, inner)
    if y.size and x.size:
        parallel_for(
            _gather_rows, place.shape[0] * math.prod(place.shape[1:4]), _flat(contiguous(x, inner)),
            _flat(_native(place)), _flat(y),
            nanoseconds=y.size / ELEMENTS_PER_NANOSECOND,
        )  # fmt: skip
    return y.astype(x.dtype.newbyteorder("="), copy=False)


@kernel
def _last_write_blocks(start: int, stop: int, index: Array, taken: Array, place: Array, block: int) -> None:
    """Fill channel blocks ``start <= item < stop`` of `place` (N, O, C); `place` and `taken` are modified in place.

    `taken` (N, P, C), zeros at first, tells which elements are written to by what stands further behind.
    """
    volume, channels = taken.shape[1], taken.shape[2]
    blocks = -(-channels // block)
    for item in range(start, stop):
        n = item // blocks
        first = item % blocks * block
        last = min(first + block, channels)
        for o in range(index.shape[1] - 1, -1, -1):
            for c in range(first, last):
                at = index[n, o, c]
                if 0 <= at < volume and taken[n, at, c] == 0:
                    taken[n, at, c] = 1
                    place[n, o, c] = at
                else:
                    place[n, o, c] = volume


def last_writes(index: Array, size: Axes) -> Array:
    """Return `index` as places, nowhere for what a later element of the same image and channel overwrites.

    Parameters
    ----------
    index : ndarray of integers, shape (N, OD, OH, OW, C)
        Flat indices into a volume; what is out of range goes nowhere.
    size : three int
        The spatial shape of that volume.

    Returns
    -------
    ndarray, shape (N, OD, OH, OW, C), dtype of :func:`place_dtype`

    Raises
    ------
    TypeError
        If `index` is not made of integers.
    ValueError
        If it does not have five axes.

    Examples
    --------
    >>> last_writes(np.array([0, 1, 0]).reshape(1, 1, 1, 3, 1), (1, 1, 4)).ravel()
    array([4, 1, 0], dtype=uint8)
    """
    function = "last_writes"
    index = np.asarray(index)
    _check_integers(function, "index", index)
    if index.ndim != 5:
        raise ValueError(f"{function}: index must have shape (N, OD, OH, OW, C), got {index.shape}")
    volume = math.prod(size)
    place = np.full(index.shape, volume, place_dtype(volume))
    if index.size and volume:
        taken = np.zeros((index.shape[0], volume, index.shape[4]), np.uint8)
        block = channel_block(index.shape[0], index.shape[4])
        parallel_for(
            _last_write_blocks, index.shape[0] * -(-index.shape[4] // block),
            _flat(contiguous(index, np.dtype(np.int64))), taken, _flat(place), block,
            nanoseconds=index.size / ELEMENTS_PER_NANOSECOND,
        )  # fmt: skip
    return place
