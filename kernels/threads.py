"""How independent work is split between cores.

Kernels are serial compiled loops ``kernel(start, stop, *args)`` over a range of independent outputs, which
release the interpreter lock. :func:`parallel_for` splits the range between the calling thread and a pool of
daemon threads. Every output element belongs to exactly one index of the range and is computed in a fixed
order, so results do not depend on the number of threads.

Numba's own ``parallel=True`` is not used: its ``workqueue`` layer ends the process when two Python threads
call it, its OpenMP layer ends a forked child, and which of the two is there depends on the machine.

The calling thread takes part in its own work and never waits for work that nobody has begun. That is why
nested calls, several threads that call at once, and a pool that is busy or missing cannot deadlock.
"""

import operator
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

ENVIRONMENT = "AUTOGRAD_CONV_NUM_THREADS"

# A hand-over to another thread costs about 65 microseconds: three of them are what work must cost
# before it is split.
SERIAL_NANOSECONDS = 200_000

# Ranges for each thread: more balance the load better (a neighbour may occupy a core), fewer cost less.
RANGES_PER_THREAD = 4

# A range that takes less than this is not worth the two locks it costs (about a microsecond).
RANGE_NANOSECONDS = 30_000


class _Job:
    """One call of :func:`parallel_for`: ranges that threads take until none is left.

    `taken` counts the ranges handed out; `helpers` the pool's threads that are inside. Both change under
    `lock`. Once all ranges are taken no further helper gets in, so that the caller, at its end, waits only
    for helpers that are at work, on `idle`, a lock that the last of them releases.
    """

    __slots__ = ("args", "count", "error", "helpers", "idle", "kernel", "lock", "ranges", "taken", "waiting")

    def __init__(self, kernel: Callable[..., object], count: int, ranges: int, args: tuple[Any, ...]) -> None:
        self.kernel: Callable[..., object] | None = kernel
        self.args = args
        self.count = count
        self.ranges = ranges
        self.taken = 0
        self.helpers = 0
        self.waiting = False
        self.error: BaseException | None = None
        self.lock = threading.Lock()
        self.idle = threading.Lock()
        self.idle.acquire()

    def _work(self) -> None:
        kernel, args, count, ranges = self.kernel, self.args, self.count, self.ranges
        assert kernel is not None
        while True:
            with self.lock:
                mine = self.taken
                if mine >= ranges:
                    return
                self.taken = mine + 1
            kernel(mine * count // ranges, (mine + 1) * count // ranges, *args)

    def _cancel(self, error: BaseException) -> None:
        with self.lock:
            self.taken = self.ranges
            if self.error is None:
                self.error = error

    def help(self) -> None:
        """Take part, as a thread of the pool; an exception is kept for the caller."""
        with self.lock:
            if self.taken >= self.ranges:
                return
            self.helpers += 1
        try:
            self._work()
        except BaseException as error:  # the caller raises it
            self._cancel(error)
        finally:
            with self.lock:
                self.helpers -= 1
                last = self.waiting and self.helpers == 0
            if last:
                self.idle.release()

    def run(self) -> None:
        """Take part, as the caller, until everything is done; raise the first exception of any thread."""
        try:
            self._work()
        except BaseException as error:
            self._cancel(error)
        with self.lock:
            self.waiting = self.helpers > 0
            must_wait = self.waiting
        if must_wait:
            self.idle.acquire()
        # A helper that is late finds no range left; it must not keep the arrays alive until then.
        self.kernel, self.args = None, ()
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # otherwise the traceback's frame and the exception hold each other


class _Pool:
    """Daemon threads that wait for jobs in one queue; they are started when they are first needed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.queue: SimpleQueue[_Job | None] = SimpleQueue()
        self.size = 0

    def resize(self, size: int) -> int:
        """Start threads until there are `size`, and return how many there are (the system may refuse)."""
        with self.lock:
            while self.size < size:
                thread = threading.Thread(
                    target=_serve, args=(self.queue,), name=f"autograd_conv-{self.size}", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # no more threads: a limit of the system, or the interpreter is ending
                    break
                self.size += 1
            return self.size

    def shrink(self, size: int) -> None:
        """Let threads end until there are at most `size`."""
        with self.lock:
            while self.size > size:
                self.queue.put(None)
                self.size -= 1


def _serve(queue: "SimpleQueue[_Job | None]") -> None:
    """Help with one job after another: the life of a thread of the pool."""
    while True:
        job = queue.get()
        if job is None:
            return
        job.help()
        del job  # not to keep it while waiting for the next


_pool = _Pool()
_threads: int | None = None  # None: the environment has not been read yet


def _forget_pool() -> None:
    """Start afresh in a forked child, where the parent's threads do not exist and locks may be held."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def get_num_threads() -> int:
    """Return how many threads, the calling one included, a kernel may use.

    It is what :func:`set_num_threads` set; else the environment variable ``AUTOGRAD_CONV_NUM_THREADS``; else
    the number of CPUs this process may use.

    Raises
    ------
    ValueError
        If the environment variable holds anything but a positive integer.
    """
    global _threads
    if _threads is None:
        text = os.environ.get(ENVIRONMENT, "").strip()
        if text:
            if not (text.isascii() and text.isdigit()) or int(text) < 1:
                raise ValueError(f"the environment variable {ENVIRONMENT} must be a positive integer, got {text!r}")
            _threads = int(text)
        else:
            _threads = _usable_cpus()
    return _threads


def set_num_threads(n: int) -> None:
    """Set how many threads, the calling one included, a kernel may use.

    Parameters
    ----------
    n : int
        At least 1. It holds for the whole process. Results do not depend on it.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.
    """
    global _threads
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: n must be an integer, got {n!r}")
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    _threads = operator.index(n)
    _pool.shrink(_threads - 1)


def threads_for(nanoseconds: float) -> int:
    """Return how many threads take part in work that takes so long on one."""
    return get_num_threads() if nanoseconds >= SERIAL_NANOSECONDS else 1


def parallel_for(kernel: Callable[..., object], count: int, *args: Any, nanoseconds: float = float("inf")) -> None:
    """Call ``kernel(start, stop, *args)`` on ranges that together cover ``range(count)`` once.

    Parameters
    ----------
    kernel : callable
        A serial loop over independent outputs, which should release the interpreter lock
        (``njit(nogil=True)``). Any number of calls may run at the same time.
    count : int
        The number of independent outputs. Nothing is called if it is 0.
    *args
        Passed on.
    nanoseconds : float
        An estimate of what all of the work costs on one thread. Work below 0.2 milliseconds stays on the
        calling thread.

    Raises
    ------
    BaseException
        The first exception of any of the calls, after all of those that had begun have ended.
    """
    if count <= 0:
        return
    threads = threads_for(nanoseconds)
    if threads == 1 or count == 1:
        kernel(0, count, *args)
        return
    pool = _pool
    helpers = min(threads, count) - 1
    if pool.size < helpers:
        helpers = min(helpers, pool.resize(helpers))
    ranges = min(count, threads * RANGES_PER_THREAD)
    if nanoseconds < ranges * RANGE_NANOSECONDS:
        ranges = min(ranges, max(threads, int(nanoseconds / RANGE_NANOSECONDS)))
    job = _Job(kernel, count, ranges, args)
    for _ in range(helpers):
        pool.queue.put(job)
    job.run()
