"""Memory that is used again: fresh memory costs a page fault for every 4 KiB of it, as much time as several passes.

Two ways to borrow it, both with whatever content the last user left:

- :func:`scratch` lends an array for the length of a ``with`` block, on any thread;
- :func:`lend` gives memory to an array that is handed out. It comes back by itself when nothing refers to it any
  more: neither the array, nor a view of it, nor whatever else Python knows to use its memory.

All of it lies in a few *regions*: ranges of addresses, reserved at once, of which the system provides a page when it is
first written to. A request is served from the first hole that is large enough, and what comes back is joined with the
holes beside it (Knuth, "The Art of Computer Programming", volume 1, section 2.5: first fit). So memory of any size
serves for any other: a training step, whose arrays grow and shrink from layer to layer, touches hardly more pages than
it needs at its peak, and finds them all again in the next step. Buffers kept by size would take half as much again.
"""

import math
import mmap
import os
import threading
from bisect import bisect
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Pages kept at most.
MOST_KEPT_BYTES = 1 << 30

# Memory that is kept may exceed, together with what is lent, the most that ever was lent at once by this share, and
# by so many bytes: room for holes, and yet nobody needs much more memory than without all this.
SPARE_SHARE = 0.25
SPARE_BYTES = 16 * 1024 * 1024

# Addresses of the first region; each further one doubles what there is. They cost nothing before they are used.
_REGION_BYTES = 64 * 1024 * 1024

# From here on a region has large pages where the system offers them: fewer faults, fewer address translations. What
# small programs use lies before, so that they do not pay for two megabytes at a time.
_SMALL_PAGES_BYTES = 8 * 1024 * 1024

_PAGE_BYTES = max(4096, mmap.PAGESIZE)

# Shared memory, the default of `mmap`, would be seen by forked children.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}

_lock = threading.Lock()


class _Region:
    """Addresses in a row, of which parts are lent.

    Attributes
    ----------
    memory : mmap
    bytes : ndarray of uint8
        All of it.
    address : int
        Of its beginning.
    holes : list of [start, size, touched]
        What is not lent, in order, without neighbours that touch. How many bytes of a hole have pages is counted as
        if these were its first.
    """

    __slots__ = ("address", "bytes", "holes", "memory")

    def __init__(self, size: int) -> None:
        self.memory = mmap.mmap(-1, size, **_PRIVATE)
        if hasattr(mmap, "MADV_HUGEPAGE") and size > _SMALL_PAGES_BYTES:
            with suppress(OSError):  # where there are none
                self.memory.madvise(mmap.MADV_HUGEPAGE, _SMALL_PAGES_BYTES, size - _SMALL_PAGES_BYTES)
        self.bytes: Bytes = np.frombuffer(self.memory, np.uint8)
        self.address = int(self.bytes.ctypes.data)
        self.holes = [[0, size, 0]]

    def give_back(self, hole: list[int], size: int) -> int:
        """Let the system have up to `size` of the pages of `hole`, the last ones; return how many bytes that were."""
        start, extent, touched = hole
        rest = max(0, touched - size) // _PAGE_BYTES * _PAGE_BYTES
        if not touched or not hasattr(mmap, "MADV_DONTNEED"):
            return 0
        self.memory.madvise(mmap.MADV_DONTNEED, start + rest, extent - rest)
        hole[2] = rest
        return touched - rest


Block = tuple[_Region, int, int]  # with its beginning and its size

_regions: list[_Region] = []
_returned: deque[Block] = deque()  # on the way back: appending is atomic, so that it is safe in a destructor


class _Account:
    """Bytes by where they are, changed under the lock: lent, and `kept`, those of holes that have pages."""

    __slots__ = ("kept", "lent", "most_lent")

    def __init__(self) -> None:
        self.kept = self.lent = self.most_lent = 0


_account = _Account()


class _Loan:
    """To NumPy, the owner of lent memory: it dies when the last array on that memory does."""

    __slots__ = ("__array_interface__", "block")

    lent = True  # for who asks whose memory an array lies in

    def __init__(self, block: Block) -> None:
        region, start, size = block
        self.block = block
        self.__array_interface__ = {
            "data": (region.address + start, False), "shape": (size,), "typestr": "|u1", "version": 3,
        }  # fmt: skip

    def __del__(self) -> None:
        _returned.append(self.block)
        # A destructor may run at any place, also while this thread holds the lock: then whoever takes a block next
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
        At the beginning of a page. All views of it have it as their ``base``. To be written by its new owner only.

    Raises
    ------
    MemoryError
        If the system has none.
    """
    return np.asarray(_Loan(_take(size)))


class scratch:  # named as a function: it is used as one
    """Lend an uninitialised C-contiguous array, which begins with a page, for the length of a ``with`` block.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype

    Examples
    --------
    >>> with scratch((3, 4), np.float32) as a:
    ...     a.shape
    (3, 4)
    """

    __slots__ = ("_block", "_dtype", "_shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)

    def __enter__(self) -> NDArray[Any]:
        self._block = region, start, _ = _take(math.prod(self._shape) * self._dtype.itemsize)
        return np.ndarray(self._shape, self._dtype, region.bytes, start)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _returned.append(self._block)
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
        _drop(_account.kept)
        _regions[:] = [region for region in _regions if region.holes != [[0, region.bytes.size, 0]]]
        _account.most_lent = _account.lent


def _take(size: int) -> Block:
    size = max(_PAGE_BYTES, -(-size // _PAGE_BYTES) * _PAGE_BYTES)
    with _lock:
        _collect()
        region, k = _find(size)
        hole = region.holes[k]
        start, extent, touched = hole
        if extent == size:
            del region.holes[k]
        else:
            hole[:] = start + size, extent - size, max(0, touched - size)
        account = _account
        account.kept -= min(touched, size)
        account.lent += size
        if account.lent > account.most_lent:
            account.most_lent = account.lent
        if touched < size:  # so that there are more pages now
            _drop(account.kept + account.lent - int(account.most_lent * (1 + SPARE_SHARE)) - SPARE_BYTES)
    return region, start, size


def _find(size: int) -> tuple[_Region, int]:
    """The first hole of at least `size` bytes: its region and its number there. The lock is held."""
    for region in _regions:
        for k, (_, extent, _) in enumerate(region.holes):
            if extent >= size:
                return region, k
    for wanted in (max(size, _REGION_BYTES, sum(region.bytes.size for region in _regions)), size):
        try:
            _regions.append(_Region(wanted))
            return _regions[-1], 0
        except (OSError, OverflowError):  # so many addresses are not to be had
            continue
    raise MemoryError(f"unable to allocate {size} bytes of memory for kernels")


def _collect() -> None:
    """Join what came back with the holes beside it. The lock is held."""
    account = _account
    while _returned:
        region, start, size = _returned.popleft()
        account.lent -= size
        account.kept += size
        holes, touched = region.holes, size
        k = bisect(holes, [start])
        if k < len(holes) and holes[k][0] == start + size:
            touched += holes[k][2]
            size += holes.pop(k)[1]
        if k and holes[k - 1][0] + holes[k - 1][1] == start:
            holes[k - 1][1] += size
            holes[k - 1][2] += touched
        else:
            holes.insert(k, [start, size, touched])
    if account.kept > MOST_KEPT_BYTES:
        _drop(account.kept - MOST_KEPT_BYTES)


def _drop(excess: int) -> None:
    """Give at least `excess` bytes back to the system, if so many are kept, the last ones first. The lock is held."""
    for region in reversed(_regions):
        for hole in reversed(region.holes):
            if excess <= 0:
                return
            given = region.give_back(hole, excess)
            _account.kept -= given
            excess -= given


def _forget_lock() -> None:
    """Start with a free lock in a forked child."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
