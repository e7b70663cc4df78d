"""What was made of an array that does not change: packed and transformed kernels, kept from one call to the next.

Whoever hands a :class:`Kept` to a function of this package vouches that the array has not been written to since the
object was made, and never will be while the object is handed out: when the array changes, a new one is due. Weights
that change with each step of an optimizer are hardly ever used twice in between; so nothing is kept of the first use.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")

# Bytes kept at most, in the whole process. What would exceed them is made anew for each call; nothing that is kept has
# to go for it, or a network that is a little too large would find nothing of what it needs next.
MOST_KEPT_BYTES = 256 * 1024 * 1024

_lock = threading.Lock()
_freed: deque[int] = deque()  # appending is atomic, so that it is safe in a destructor
_total = 0  # bytes, those just freed included; changed under the lock


def _reserve(size: int) -> bool:
    """Count `size` bytes, if there is room for them."""
    global _total
    with _lock:
        while _freed:
            _total -= _freed.popleft()
        if _total + size > MOST_KEPT_BYTES:
            return False
        _total += size
        return True


def kept_bytes() -> int:
    """Return how many bytes are kept, in the whole process."""
    _reserve(0)
    return _total


class Kept:
    """What was made of one array.

    Parameters
    ----------
    array : ndarray
        The one that owns the memory.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.arange(6.0)
    >>> kept = Kept(w)
    >>> [kept.get(w[::2], "sum", 8, w[::2].sum) for _ in range(3)]
    [None, np.float64(6.0), np.float64(6.0)]
    """

    __slots__ = ("_bytes", "_identity", "_made")

    def __init__(self, array: Any) -> None:
        self._identity = id(array)
        self._made: dict[Hashable, Any] = {}
        self._bytes = 0

    def get(self, w: Array, what: Hashable, size: int, make: Callable[[], T]) -> T | None:
        """Return what was kept under the name `what` of the view `w`, or None.

        Parameters
        ----------
        w : ndarray
            Of another array than this object is for, nothing is kept.
        what : hashable
            Beside `w`, all that the result of `make` depends on.
        size : int
            Bytes of that result.
        make : callable
            Called, and its result kept, when somebody asks for the second time.
        """
        if id(w if w.base is None else w.base) != self._identity:
            return None
        key = what, w.__array_interface__["data"][0], w.shape, w.strides, w.dtype.char
        made: T | None = self._made.get(key)
        if made is None:
            if key not in self._made:
                self._made[key] = None
            elif _reserve(size):
                self._bytes += size
                made = self._made[key] = make()
        return made

    def __del__(self, free: Callable[[int], None] = _freed.append) -> None:
        free(self._bytes)


def _forget_lock() -> None:
    """Start with a free lock in a forked child."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
