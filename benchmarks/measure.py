"""How two callables are timed against each other.

A machine that others use is at times half as fast as at others. So A and B take turns, in one process, within
fractions of a second of each other, and what counts is the quotient of the two times of a turn; of all turns, the
median. Who begins changes from turn to turn. The garbage collector is off meanwhile. Before each sample there is a
short rest: the other's threads look for work for some time before they fall asleep, and would do so on the cores on
which this one is timed.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

# A sample lasts at least so long, or the clock and the call would be measured: short work is repeated.
SAMPLE_SECONDS = 0.002

# Threads of OpenMP fall asleep within a millisecond or so.
REST_SECONDS = 0.002

# Enough for a median: more turns cost time and do not change it.
MOST_ROUNDS = 301


@dataclass(frozen=True)
class Timing:
    """The times of A and B, and their ratio.

    Attributes
    ----------
    ratio : median over the turns of (seconds of B) / (seconds of A): how many times as long B takes
    low, high : the quartiles of the same
    seconds_a, seconds_b : median seconds of one call
    rounds : turns
    calls_a, calls_b : calls in a sample
    """

    ratio: float
    low: float
    high: float
    seconds_a: float
    seconds_b: float
    rounds: int
    calls_a: int
    calls_b: int


@contextmanager
def collector_off() -> Iterator[None]:
    """Collect garbage, then keep the collector off; afterwards it is as it was."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def sample(function: Callable[[], Any], calls: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds of one of `calls` calls."""
    repeats = range(calls)
    start = clock()
    for _ in repeats:
        function()
    return (clock() - start) / calls


def _calls(function: Callable[[], Any], clock: Callable[[], float]) -> int:
    """Return how many calls make a sample; the first call after others' work may be slow, so one is not enough."""
    seconds = sample(function, 1, clock)
    if seconds < 10 * SAMPLE_SECONDS:
        seconds = min(seconds, sample(function, 1, clock), sample(function, 1, clock))
    return max(1, round(SAMPLE_SECONDS / max(seconds, 1e-7)))


def compare(
    a: Callable[[], Any],
    b: Callable[[], Any],
    seconds: float,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[float], object] = time.sleep,
    slow: bool = False,
) -> Timing:
    """Time `a` against `b`.

    Parameters
    ----------
    a, b : callable
        Without arguments. Both have been called before: nothing is compiled or filled now.
    seconds : float
        How long to go on.
    rounds : int
        How many turns to take at least, whatever time that needs; at least 2.
    clock : callable
        Returns seconds.
    rest : callable
        Waits for so many seconds.
    slow : bool
        Whether `b` takes so long that finding out how long is too much: one call is a sample.

    Returns
    -------
    Timing
    """
    if rounds < 2:
        raise ValueError(f"compare: rounds must be at least 2, got {rounds}")
    times: list[tuple[float, float]] = []

    def rested(function: Callable[[], Any], calls: int) -> float:
        rest(REST_SECONDS)
        return sample(function, calls, clock)

    with collector_off():
        calls_a, calls_b = _calls(a, clock), 1 if slow else _calls(b, clock)
        end = clock() + seconds
        while len(times) < rounds or (clock() < end and len(times) < MOST_ROUNDS):
            if len(times) % 2 == 0:
                seconds_a = rested(a, calls_a)
                seconds_b = rested(b, calls_b)
            else:
                seconds_b = rested(b, calls_b)
                seconds_a = rested(a, calls_a)
            times.append((seconds_a, seconds_b))
    return summary(times, calls_a, calls_b)


def summary(times: Sequence[tuple[float, float]], calls_a: int = 1, calls_b: int = 1) -> Timing:
    """Return what the turns `times` say: for each the seconds of A and those of B. There are at least two."""
    ratios = [second / first for first, second in times]
    low, _, high = quantiles(ratios, n=4, method="inclusive")
    return Timing(
        ratio=median(ratios),
        low=low,
        high=high,
        seconds_a=median(first for first, _ in times),
        seconds_b=median(second for _, second in times),
        rounds=len(times),
        calls_a=calls_a,
        calls_b=calls_b,
    )
