"""Watching a number in memory without the interpreter lock: how threads wait for what comes within microseconds.

A thread that sleeps takes 50 microseconds and more to wake up, and meanwhile its processor may have been given to
another one: as much as a small layer takes. So threads that will be needed soon look at a number, again and again,
until another thread has changed it. Where Numba compiles nothing, they sleep at once.
"""

import time
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from .jit import kernel

__all__ = ["Signal", "prepare"]

# Who changes the number holds the interpreter lock, and lets go of it within a few microseconds. Who wants it earlier
# than that is put to sleep.
GRACE_MICROSECONDS = 3.0

# What tells a processor that a loop is one that waits.
_RELAX = {
    "x86_64": ("llvm.x86.sse2.pause", ()),
    "aarch64": ("llvm.aarch64.hint", (1,)),
    "arm64": ("llvm.aarch64.hint", (1,)),
}

_TRIAL_ROUNDS = 2000


@intrinsic
def _load(typingctx, address):  # type: ignore[no-untyped-def]
    """The int64 at an address, which another thread may write at any time."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(args[0], ir.IntType(64).as_pointer()), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def _relax(typingctx):  # type: ignore[no-untyped-def]
    """Leave the processor to others for some nanoseconds."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        machine = llvmlite.binding.get_process_triple().partition("-")[0]
        if machine in _RELAX:
            name, numbers = _RELAX[machine]
            integer = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [integer] * len(numbers))
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            builder.call(function, [ir.Constant(integer, number) for number in numbers])
        return context.get_dummy_value()

    return types.void(), generate


@kernel
def _watch(address: int, seen: int, rounds: int, grace: int) -> bool:
    """Return whether the number at `address` was found not to be `seen` in so many rounds; some rounds after that."""
    for _ in range(rounds):
        if _load(address) != seen:
            for _ in range(grace):
                _relax()
            return True
        _relax()
    return False


class Signal:
    """A number that one thread changes and others watch.

    Attributes
    ----------
    value : int
        Changed by one thread at a time, while it holds the interpreter lock.
    """

    __slots__ = ("_address", "_number")

    # Rounds of `_watch` in a microsecond: 0 before `prepare`.
    _pace = 0.0

    def __init__(self) -> None:
        self._number = np.zeros(1, np.int64)
        self._address = self._number.ctypes.data

    @property
    def value(self) -> int:
        return int(self._number[0])

    @value.setter
    def value(self, value: int) -> None:
        self._number[0] = value

    def watch(self, seen: int, microseconds: float) -> bool:
        """Wait until the number is not `seen` any more, but not longer than that; return whether it is not.

        Returns False at once if waiting has not been prepared.
        """
        pace = Signal._pace
        return pace > 0 and bool(_watch(self._address, seen, int(microseconds * pace), int(GRACE_MICROSECONDS * pace)))


def prepare() -> None:
    """Compile what is needed for waiting, or load it, and measure how fast this machine waits."""
    if Signal._pace or config.DISABLE_JIT:
        return
    signal = Signal()
    _watch(signal._address, 0, 1, 0)
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        _watch(signal._address, 0, _TRIAL_ROUNDS, 0)
        taken.append(time.perf_counter() - start)
    Signal._pace = _TRIAL_ROUNDS / (min(taken) * 1e6)
