"""Who may write to an array: the guard between a user's hands and the tape.

A Tensor has value semantics, but its array is an ordinary ndarray that ``t.data`` hands out, and records on
the tape keep arrays too. Three rules keep gradients right:

1. A buffer that a user holds belongs to one Tensor only. Views made by ``reshape`` and the like share
   memory between Tensors for as long as nobody looks; the one that is handed out gets a copy of its own.
2. When an array that something else still holds is handed out, its content is *sealed* (a checksum is
   taken). The sweep checks the seal of each array that a record saved, and refuses to go on if it broke.
3. Arrays that nobody else holds need neither copy nor seal, and reference counts tell which those are. In
   a usual training loop nothing is ever copied or sealed.

So an array that no user holds is written to by this package alone, in a few places, and as long as a Tensor holds it,
only through that Tensor. Until then, what was made of its values can be used again: `keep` and `forget`.
"""

from __future__ import annotations

import itertools
import sys
import weakref
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

__all__ = [
    "KEPT",
    "SEALS",
    "SMALL",
    "Slot",
    "add",
    "changed_since",
    "expose",
    "forget",
    "held_elsewhere",
    "is_sole_view",
    "keep",
    "kept",
    "next_number",
    "save",
    "settle",
    "share",
    "unshared",
]

# Records are numbered in the order of their creation; a seal remembers when it was found broken on the
# same scale, so that records made after the change are not accused.
next_number = itertools.count(1).__next__


SMALL = 1024
"""Up to so many elements a copy takes less time than to find out whether one is needed."""


class Holder(Protocol):
    """What this module needs to know of a Tensor."""

    _array: Any
    _exposed: bool
    _shared: bool


class Slot:
    """Holds an array like a Tensor, where only the guard looks: does anything else hold it?"""

    __slots__ = ("_array", "_exposed", "_shared")

    def __init__(self, array: Any) -> None:
        self._array = array
        self._exposed = self._shared = False


def _references(holder: Holder) -> tuple[int, int]:
    """Reference counts of the holder's array and of the buffer under it."""
    array = holder._array
    base = array.base
    return sys.getrefcount(array), (0 if base is None else sys.getrefcount(base))


# What _references says of an array that nobody but its Tensor holds (it depends on the Python version).
_OWN_ARRAY = _references(Slot(np.empty(1)))[0]
_OWN_VIEW, _OWN_BASE = _references(Slot(np.empty(1)[:]))


def held_elsewhere(holder: Holder) -> bool:
    """Whether anything but `holder` (a record, another Tensor, a user) holds its array or its memory."""
    array, base = _references(holder)
    return array > (_OWN_VIEW if base else _OWN_ARRAY) or base > _OWN_BASE


def add(first: Slot, second: Any) -> Any:
    """The sum of two cotangents that meet in a sweep, in the memory of one of them if nothing else holds it.

    `second` is the loop variable of the sweep, beside the pair that it was unpacked from.
    """
    if isinstance(first._array, np.ndarray) and isinstance(second, np.ndarray):
        if not held_elsewhere(first) and _is_writable(first._array):
            first._array += second
            return first._array
        if sys.getrefcount(second) <= _OWN_SECOND and is_sole_view(second):
            second += first._array
            return second
    return first._array + second


def is_sole_view(array: np.ndarray) -> bool:
    """Whether `array` alone sees its memory, which may be written. Who else holds `array` itself is not asked."""
    base = array.base
    return (base is None or sys.getrefcount(base) <= _OWN_BASE) and _is_writable(array)


def _is_writable(array: np.ndarray) -> bool:
    """Whether a sum may be written to `array`: memory of NumPy, or lent by a kernel, and no element of it twice."""
    base = array.base
    if base is not None:
        if type(base) is not np.ndarray or not (base.flags.owndata or getattr(base.base, "lent", False)):
            return False  # whose memory that is, and who else sees it, reference counts do not tell
        extent = 0
        for stride, size in sorted(zip(map(abs, array.strides), array.shape)):
            if size > 1:
                if stride <= extent:
                    return False
                extent += stride * (size - 1)
    return array.flags.writeable


def _references_to_second() -> int:
    """What `add` counts of references to its second argument if the sweep alone holds it."""

    def count(first: None, second: Any) -> int:
        return sys.getrefcount(second)

    for node, cotangent in [(None, np.empty(1))]:
        return count(node, cotangent)
    raise AssertionError


_OWN_SECOND = _references_to_second()


def _root(array: np.ndarray) -> Any:
    """The object that owns the memory of `array`."""
    return array if array.base is None else array.base


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


class _Seal:
    """Checksums of arrays that were handed out while records may need the memory under `root`."""

    __slots__ = ("broken_at", "root", "watched")

    def __init__(self, root: Any) -> None:
        key = id(root)
        self.root = weakref.ref(root, lambda _: SEALS.pop(key, None))
        self.watched: list[tuple[weakref.ref[np.ndarray], int]] = []
        self.broken_at = 0

    def check(self) -> None:
        watched = []
        for reference, checksum in self.watched:
            array = reference()
            if array is not None:
                now = _checksum(array)
                if now != checksum:
                    self.broken_at = next_number()
                watched.append((reference, now))
        self.watched = watched

    def watch(self, array: np.ndarray) -> None:
        self.check()
        if all(reference() is not array for reference, _ in self.watched):
            self.watched.append((weakref.ref(array), _checksum(array)))


SEALS: dict[int, _Seal] = {}
"""The seals, by the identity of the object that owns the memory. Nearly always empty."""


def _seal(root: Any, array: np.ndarray) -> None:
    seal = SEALS.get(id(root))
    if seal is None:
        try:
            seal = SEALS[id(root)] = _Seal(root)
        except TypeError:  # an exotic owner of memory (a memoryview, say) that has no weak references
            return
    seal.watch(array)


def expose(holder: Holder) -> np.ndarray:
    """Return the array of `holder` for a user to read and to write."""
    forget(holder)
    if not holder._array.flags.writeable:  # the result of broadcasting, whose elements share memory
        holder._array = holder._array.copy(order="K")
        holder._shared = False
    if held_elsewhere(holder):
        root = _root(holder._array)
        if holder._shared:
            holder._array = holder._array.copy(order="K")
            holder._shared = False
        _seal(root, holder._array)
    else:
        holder._shared = False
        if SEALS:
            SEALS.pop(id(_root(holder._array)), None)
    holder._exposed = True
    forget(holder)  # once more: another thread may have asked for a store before it was marked as exposed
    return holder._array


def unshared(holder: Holder) -> np.ndarray:
    """The array of `holder` if nothing else holds it and it can be written, else a copy."""
    if holder._array.size <= SMALL or not isinstance(holder._array, np.ndarray):
        return np.array(holder._array)
    if held_elsewhere(holder) or not holder._array.flags.writeable:
        return holder._array.copy(order="K")
    return holder._array


def settle(holder: Holder) -> None:
    """Forget that `holder` was exposed if the user let go of the array. Called before each new use."""
    if not held_elsewhere(holder):
        holder._exposed = False
        if SEALS:  # nor does a record need the old content any more
            SEALS.pop(id(_root(holder._array)), None)


def save(holder: Holder) -> np.ndarray:
    """Return the array of `holder`, settled before, for a record to keep; sealed if a user still holds it."""
    array = holder._array
    if holder._exposed:
        _seal(_root(array), array)
    return array


def share(source: Holder, view: np.ndarray) -> np.ndarray:
    """Return `view`, on the memory of `source`, for another Tensor; a copy if a user holds that memory."""
    if source._exposed:
        return view.copy(order="K")
    source._shared = True
    return view


def changed_since(array: np.ndarray, number: int) -> bool:
    """Whether the content of `array` was changed by a user after record `number` saved it."""
    seal = SEALS.get(id(_root(array)))
    if seal is None:
        return False
    seal.check()
    return seal.broken_at > number


# --- what was made of arrays that do not change -----------------------------------------------------------

KEPT: dict[int, tuple[weakref.ref[Any], weakref.ref[Any], Any]] = {}
"""Stores, by the identity of the object that owns the memory; with that object, and the Tensor that holds it.

An entry goes when either of them does, and before the Tensor's array is written to, handed out or replaced.
"""


def keep(holder: Holder, make: Callable[[Any], Any]) -> None:
    """Open a store for what is made of the values of `holder`, unless a user holds its array or there is one.

    Parameters
    ----------
    holder : Tensor
    make : callable
        Makes the store; is given the object that owns the memory.
    """
    if holder._exposed:
        settle(holder)
        if holder._exposed:
            return
    root = _root(holder._array)
    key = id(root)
    if key in KEPT:
        return

    def drop(_: Any) -> None:
        KEPT.pop(key, None)

    try:
        KEPT[key] = weakref.ref(root, drop), weakref.ref(holder, drop), make(root)
    except TypeError:  # as in _seal
        return
    if holder._exposed or _root(holder._array) is not root:  # another thread came in between
        drop(None)


def kept(array: np.ndarray) -> Any:
    """The store for what is made of `array`, or None."""
    entry = KEPT.get(id(_root(array))) if KEPT else None
    return None if entry is None else entry[2]


def forget(holder: Holder) -> None:
    """Close the store of `holder`: its array is about to be written to, handed out or replaced."""
    if KEPT:
        KEPT.pop(id(_root(holder._array)), None)
