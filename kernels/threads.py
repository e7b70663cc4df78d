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

import contextlib
import ctypes
import operator
import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .waiting import Signal

ENVIRONMENT = "AUTOGRAD_CONV_NUM_THREADS"

# A hand-over to a thread that waits costs about 25 microseconds, to one that sleeps twice as much: work must cost a few
# of them before it is split.
SERIAL_NANOSECONDS = 100_000

# While the pool waits awake, because a job has just ended, less is split, too: what one thread has written and others
# have read takes it ten times as long to write again, so that every step of a layer is better done by all of them.
AWAKE_NANOSECONDS = 25_000

# The share of a thread is divided into so many parts at most, so that who is done early finds some to take over.
PARTS_PER_THREAD = 4

# A part that takes less than this is not worth what it costs to begin it (some microseconds).
RANGE_NANOSECONDS = 30_000

# So long a thread of the pool waits for the next job before it sleeps: as long as Python takes between two layers.
IDLE_MICROSECONDS = 300.0

# So long a caller waits for the last parts of others before it sleeps.
END_MICROSECONDS = 1000.0

# The threads of the pool are kept off the caller's processor, which is looked up anew this often at most.
PLACE_SECONDS = 0.01


class _Job:
    """One call of :func:`parallel_for`: each thread has a share, and helps others when it is done with its own.

    Every share is a range ``starts[t] <= index < stops[t]``. Its thread takes parts from the front, large ones first;
    others take parts from the back. So threads that go over the same arrays in one job after another find in
    their caches what they wrote themselves.

    `helpers` counts the pool's threads that are inside; it and the shares change under `lock`. Once nothing is left to
    take no further helper gets in, so that the caller, at its end, waits only for helpers that are at work: for `done`
    to change, and after a while on `idle`, a lock that the last of them releases.
    """

    __slots__ = (
        "args", "done", "error", "helpers", "idle", "kernel", "least", "lock", "starts", "stops", "waiting",
    )  # fmt: skip

    def __init__(
        self, kernel: Callable[..., object], count: int, threads: int, least: int, args: tuple[Any, ...],
        done: "Signal | None",
    ) -> None:  # fmt: skip
        self.kernel: Callable[..., object] | None = kernel
        self.args = args
        self.least = least
        bounds = [t * count // threads for t in range(threads + 1)]
        self.starts, self.stops = bounds[:-1], bounds[1:]
        self.helpers = 0
        self.waiting = False
        self.done = done
        self.error: BaseException | None = None
        self.lock = threading.Lock()
        self.idle = threading.Lock()
        self.idle.acquire()

    def _take(self, share: int) -> tuple[int, int] | None:
        """Take a part of that share, or else of the one of which most is left. The lock is held."""
        starts, stops, least = self.starts, self.stops, self.least
        own = share < len(starts) and starts[share] < stops[share]
        if not own:
            share = max(range(len(starts)), key=lambda t: stops[t] - starts[t])
        start, stop = starts[share], stops[share]
        left = stop - start
        if left == 0:
            return None
        rest = left // 3 if own else left // 2
        if rest < least:
            rest = left - least if left >= 2 * least else 0
        if own:
            starts[share] = stop - rest
            return start, stop - rest
        stops[share] = start + rest
        return start + rest, stop

    def _work(self, share: int) -> None:
        kernel, args = self.kernel, self.args
        assert kernel is not None
        while True:
            with self.lock:
                part = self._take(share)
            if part is None:
                return
            kernel(*part, *args)

    def _cancel(self, error: BaseException) -> None:
        with self.lock:
            self.starts = self.stops
            if self.error is None:
                self.error = error

    def help(self, number: int) -> None:
        """Take part, as a thread of the pool, whose share is `number`; an exception is kept for the caller."""
        with self.lock:
            if self.starts == self.stops:
                return
            self.helpers += 1
        try:
            self._work(number)
        except BaseException as error:  # the caller raises it
            self._cancel(error)
        finally:
            with self.lock:
                self.helpers -= 1
                last = self.helpers == 0
                release = last and self.waiting
                if last and self.done is not None:
                    self.done.value = 1
            if release:
                self.idle.release()

    def run(self) -> None:
        """Take part, as the caller, until everything is done; raise the first exception of any thread."""
        try:
            self._work(0)
        except BaseException as error:
            self._cancel(error)
        if self.helpers > 0 and self.done is not None:
            self.done.watch(0, END_MICROSECONDS)
        with self.lock:
            self.waiting = self.helpers > 0
            must_wait = self.waiting
        if must_wait:
            self.idle.acquire()
        # A helper that is late finds nothing left; it must not keep the arrays alive until then.
        self.kernel, self.args = None, ()
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # otherwise the traceback's frame and the exception hold each other


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class _Pool:
    """Daemon threads that wait for jobs in one queue; they are started when they are first needed.

    `posted` changes with every job, for those that watch it; it is None until the first thread has made it.

    Attributes
    ----------
    size : int
        How many threads there are.
    natives : list of int
        The numbers that the system knows them by.
    parallel : bool
        Whether there is more than one processor: else waiting would keep others from working.
    signals : list of Signal
        For jobs: who takes one brings it back.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.queue: SimpleQueue[_Job | None] = SimpleQueue()
        self.size = 0
        self.posted: Signal | None = None
        self.signals: list[Signal] = []
        self.natives: list[int] = []
        self.parallel = _usable_cpus() > 1
        self.avoided, self.placed = -1, -PLACE_SECONDS
        self.ended = -1.0  # when the last job did

    def resize(self, size: int) -> int:
        """Start threads until there are `size`, and return how many there are (the system may refuse)."""
        with self.lock:
            while self.size < size:
                thread = threading.Thread(
                    target=_serve, args=(self, self.size + 1), name=f"autograd_conv-{self.size}", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # no more threads: a limit of the system, or the interpreter is ending
                    break
                self.size += 1
                if thread.native_id is not None:
                    self.natives.append(thread.native_id)
                self.avoided, self.placed = -1, -PLACE_SECONDS  # it is still where it was born
            return self.size

    def shrink(self, size: int) -> None:
        """Let threads end until there are at most `size`."""
        with self.lock:
            while self.size > size:
                self.queue.put(None)
                self.size -= 1

    def is_awake(self) -> bool:
        """Whether the threads are likely to watch for a job just now."""
        return self.posted is not None and time.perf_counter() - self.ended < IDLE_MICROSECONDS * 1e-6

    def borrow_signal(self) -> "Signal | None":
        """A signal whose value is 0, or None if nobody watches signals here."""
        if self.posted is None:
            return None
        try:
            return self.signals.pop()
        except IndexError:
            return type(self.posted)()

    def retire(self) -> None:
        """Forget the calling thread, which is about to end."""
        with self.lock:
            native = threading.get_native_id()
            self.natives = [other for other in self.natives if other != native]

    def post(self, job: _Job, helpers: int) -> None:
        """Ask so many threads to help."""
        if _processor is not None:
            self._place(_processor())
        for _ in range(helpers):
            self.queue.put(job)
        if self.posted is not None:
            self.posted.value += 1

    def _place(self, processor: int) -> None:
        """Keep the threads off the caller's processor.

        A scheduler that wakes a thread where the one is that woke it makes both run one after the other.
        """
        if processor == self.avoided:
            return
        now = time.monotonic()
        if now - self.placed < PLACE_SECONDS:  # several callers, on several processors: let the scheduler
            return
        self.avoided, self.placed = processor, now
        others = os.sched_getaffinity(os.getpid()) - {processor}  # those of the main thread
        if others:
            with self.lock, contextlib.suppress(OSError):  # not allowed here
                for native in self.natives:
                    os.sched_setaffinity(native, others)


def _find_processor() -> Callable[[], int] | None:
    """A function that returns the number of the processor that calls it, where threads can be bound to some."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        found: Callable[[], int] = ctypes.PyDLL(None).sched_getcpu
    except (OSError, AttributeError):
        return None
    return found if found() >= 0 else None


_processor = _find_processor()


def _serve(pool: _Pool, number: int) -> None:
    """Help with one job after another: the life of a thread of the pool."""
    from . import waiting  # not before there is work: it imports Numba

    queue = pool.queue
    waiting.prepare()
    if pool.parallel and pool.posted is None:
        pool.posted = waiting.Signal()
    posted = pool.posted
    while True:
        if posted is not None:
            # What is in the queue was put there before the signal: first look at the signal, then at the queue.
            seen = posted.value
            while queue.empty() and posted.watch(seen, IDLE_MICROSECONDS):
                seen = posted.value
        job = queue.get()
        if job is None:
            pool.retire()
            return
        job.help(number)
        del job  # not to keep it while waiting for the next


_pool = _Pool()
_threads: int | None = None  # None: the environment has not been read yet


def _forget_pool() -> None:
    """Start afresh in a forked child, where the parent's threads do not exist and locks may be held."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


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
    if nanoseconds >= SERIAL_NANOSECONDS or (nanoseconds >= AWAKE_NANOSECONDS and _pool.is_awake()):
        return get_num_threads()
    return 1


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
        An estimate of what all of the work costs on one thread. Work below 0.1 milliseconds stays on the
        calling thread, unless others wait awake.

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
    parts = min(count, (helpers + 1) * PARTS_PER_THREAD)
    if nanoseconds < parts * RANGE_NANOSECONDS:
        parts = max(helpers + 1, int(nanoseconds / RANGE_NANOSECONDS))
    done = pool.borrow_signal()
    job = _Job(kernel, count, helpers + 1, max(1, count // parts), args, done)
    pool.post(job, helpers)
    try:
        job.run()
    finally:
        if done is not None:
            done.value = 0
            pool.signals.append(done)
        pool.ended = time.perf_counter()
