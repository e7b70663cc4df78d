"""Memory that is used again: fresh memory costs a page fault for every 4 KiB of it, as much time as several passes.

Two ways to borrow it, both with whatever content the last user left:

- :func:`scratch` lends an array for the length of a ``with`` block, on any thread;
- :func:`lend` gives memory to an array that is handed out. It comes back by itself when nothing refers to it any
  more: neither the array, nor a view of it, nor whatever else Python knows to use its memory.

A training step makes arrays of the same sizes as the one before it, so nearly all of them find memory that is there.
"""

import math
import os
import threading
from collections import OrderedDict, deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Buffers kept at most, all sizes together.
MOST_KEPT_BYTES = 1 << 30

# Memory that is kept may exceed, together with what is lent, the most that ever was lent at once by this share, and
# by so many bytes: a step whose buffers have other sizes at its beginning than at its end finds them again, and yet
# nobody needs much more memory than without all this.
SPARE_SHARE = 0.25
SPARE_BYTES = 16 * 1024 * 1024

_LINE_BYTES = 64

# Sizes are rounded up to one of so many steps between powers of two, so that similar ones can stand in for each other.
_STEPS_BITS = 3

_lock = threading.Lock()
_free: OrderedDict[int, list[Bytes]] = OrderedDict()  # by size; the size that was used longest ago comes first
_returned: deque[Bytes] = deque()  # on the way back: appending is atomic, so that it is safe in a destructor


class _Account:
    """Bytes of buffers, by where they are; changed under the lock."""

    __slots__ = ("kept", "lent", "most_lent")

    def __init__(self) -> None:
        self.kept = self.lent = self.most_lent = 0


_account = _Account()


class _Loan:
    """To NumPy, the owner of lent memory: it dies when the last array on that memory does."""

    __slots__ = ("__array_interface__", "buffer")

    def __init__(self, buffer: Bytes) -> None:
        self.buffer = buffer
        self.__array_interface__ = buffer.__array_interface__

    def __del__(self) -> None:
        _returned.append(self.buffer)
        # A destructor may run at any place, also while this thread holds the lock: then whoever takes a buffer next
        # collects this one.
        if _lock.acquire(blocking=False):
            try:
                _collect()
            finally:
                _lock.release()


def lend(size: int) -> Bytes:
    """Return an uninitialised array of at least `size` bytes, whose memory is used again once nothing refers to it.

    Parameters
    ----------
    size : int

    Returns
    -------
    ndarray of uint8
        All views of it have it as their ``base``. To be written by its new owner only.
    """
    return np.asarray(_Loan(_take(size)))


class scratch:
    """Lend an uninitialised C-contiguous array, aligned to a cache line, for the length of a ``with`` block.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype

    Notes
    -----
    The array is not to be kept beyond the block.

    A class rather than a generator, and nothing of NumPy but one call: small layers take less time than these would.

    Examples
    --------
    >>> with scratch((3, 4), np.float32) as a:
    ...     a.shape
    (3, 4)
    """

    __slots__ = ("_buffer", "_dtype", "_shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)

    def __enter__(self) -> NDArray[Any]:
        self._buffer = _take(math.prod(self._shape) * self._dtype.itemsize)
        return np.ndarray(self._shape, self._dtype, self._buffer)

    def __exit__(self, *exception: object) -> None:
        _returned.append(self._buffer)
        with _lock:
            _collect()


def kept_bytes() -> int:
    """Return how many bytes are kept for later use."""
    with _lock:
        _collect()
        return _account.kept


def release() -> None:
    """Give all memory that is kept back to the system, and forget how much was ever lent."""
    with _lock:
        _collect()
        _free.clear()
        _account.kept, _account.most_lent = 0, _account.lent


def _rounded(size: int) -> int:
    step = 1 << max(12, size.bit_length() - 1 - _STEPS_BITS)
    return -(-size // step) * step


def _take(size: int) -> Bytes:
    """Return a buffer of at least `size` bytes, at the start of a cache line."""
    size = _rounded(size)
    with _lock:
        _collect()
        account = _account
        account.lent += size
        account.most_lent = max(account.most_lent, account.lent)
        buffers = _free.get(size)
        if buffers:
            _free.move_to_end(size)
            account.kept -= size
            return buffers.pop()  # the one that was used last: it may still be in a cache
        _drop(account.kept + account.lent - int(account.most_lent * (1 + SPARE_SHARE)) - SPARE_BYTES)
    memory = np.empty(size + _LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % _LINE_BYTES
    return memory[start : start + size]


def _collect() -> None:
    """Put what came back among the free buffers. The lock is held."""
    account = _account
    while _returned:
        buffer = _returned.popleft()
        size = buffer.size
        account.lent -= size
        account.kept += size
        _free.setdefault(size, []).append(buffer)
        _free.move_to_end(size)
    if account.kept > MOST_KEPT_BYTES:
        _drop(account.kept - MOST_KEPT_BYTES)


def _drop(excess: int) -> None:
    """Let go of at least `excess` bytes, if so many are kept, of the sizes used longest ago. The lock is held."""
    while excess > 0 and _free:
        size, buffers = next(iter(_free.items()))
        if buffers:
            buffers.pop()
            _account.kept -= size
            excess -= size
        if not buffers:
            del _free[size]


def _forget_lock() -> None:
    """Start with a free lock in a forked child."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
