"""Scratch memory that is used again: fresh memory costs a page fault for every 4 KiB of it.

Buffers are lent to one call of a kernel at a time, on any thread, and kept when they come back. Their content is
whatever the last user left.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Buffers kept at most, all sizes together: a few for each thread of a large machine.
MOST_KEPT_BYTES = 256 * 1024 * 1024

_LINE_BYTES = 64

_lock = threading.Lock()
_free: list[NDArray[np.uint8]] = []


@contextmanager
def scratch(shape: tuple[int, ...], dtype: Any) -> Iterator[NDArray[Any]]:
    """Lend an uninitialised C-contiguous array, aligned to a cache line.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype

    Yields
    ------
    ndarray
        Not to be kept beyond the ``with`` block.

    Examples
    --------
    >>> with scratch((3, 4), np.float32) as a:
    ...     a.shape
    (3, 4)
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    buffer = _take(size)
    try:
        start = -buffer.ctypes.data % _LINE_BYTES
        yield buffer[start : start + size].view(dtype).reshape(shape)
    finally:
        _put_back(buffer)


def _take(size: int) -> NDArray[np.uint8]:
    with _lock:
        fitting = [k for k, buffer in enumerate(_free) if size + _LINE_BYTES <= buffer.size <= 4 * (size + _LINE_BYTES)]
        if fitting:
            return _free.pop(min(fitting, key=lambda k: _free[k].size))
    return np.empty(size + _LINE_BYTES, np.uint8)


def _put_back(buffer: NDArray[np.uint8]) -> None:
    with _lock:
        _free.append(buffer)
        while sum(kept.size for kept in _free) > MOST_KEPT_BYTES:
            _free.pop(0)  # the one that was used longest ago


def _forget_lock() -> None:
    """Start with a free lock in a forked child."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
