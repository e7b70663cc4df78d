"""Splitting work between threads: every index once, in any circumstances."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from autograd_conv.kernels import threads, waiting
from autograd_conv.kernels.threads import parallel_for
from numba import config


@pytest.fixture(autouse=True)
def _restore():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def _count(start, stop, seen):
    for i in range(start, stop):
        seen[i] += 1


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 31, 32, 33, 1000])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_every_index_is_visited_once(count, n):
    threads.set_num_threads(n)
    seen = np.zeros(count, np.int64)
    parallel_for(_count, count, seen)
    assert (seen == 1).all()


def test_several_threads_take_part():
    threads.set_num_threads(3)
    barrier = threading.Barrier(3, timeout=20)
    names = set()

    def meet(start, stop):
        if len(names) < 3:
            names.add(threading.get_ident())
            barrier.wait()

    parallel_for(meet, 3)
    assert len(names) == 3


def test_small_work_stays_on_the_caller():
    threads.set_num_threads(4)
    calls = []
    parallel_for(lambda start, stop: calls.append((start, stop, threading.get_ident())), 100, nanoseconds=1000)
    assert calls == [(0, 100, threading.get_ident())]


def test_an_exception_reaches_the_caller_from_any_thread():
    threads.set_num_threads(4)
    for bad in range(16):

        def fail(start, stop, bad=bad):
            time.sleep(0.001)
            if start <= bad < stop:
                raise KeyError(bad)

        with pytest.raises(KeyError) as raised:
            parallel_for(fail, 16)
        assert raised.value.args == (bad,)
    seen = np.zeros(16, np.int64)
    parallel_for(_count, 16, seen)  # the pool has survived
    assert (seen == 1).all()


def test_after_an_exception_nothing_runs_on():
    threads.set_num_threads(2)
    running = []

    def fail(start, stop):
        running.append(start)
        try:
            time.sleep(0.01)
            if start == 0:
                raise ValueError
        finally:
            running.remove(start)

    with pytest.raises(ValueError):
        parallel_for(fail, 8)
    assert not running


def test_nested_calls():
    threads.set_num_threads(3)
    seen = np.zeros((6, 50), np.int64)

    def outer(start, stop):
        for i in range(start, stop):
            parallel_for(_count, 50, seen[i])

    parallel_for(outer, 6)
    assert (seen == 1).all()


def test_eight_threads_at_once():
    threads.set_num_threads(3)
    results = {}

    def caller(name):
        total = 0
        for _ in range(50):
            seen = np.zeros(64, np.int64)
            parallel_for(_count, 64, seen)
            total += int((seen == 1).sum())
        results[name] = total

    callers = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(60)
    assert results == dict.fromkeys(range(8), 50 * 64)


def test_arguments_are_let_go_after_the_call():
    import weakref

    class Held:
        pass

    threads.set_num_threads(4)
    blocker = threading.Event()
    held = Held()
    reference = weakref.ref(held)

    def busy(start, stop):
        blocker.wait(20)

    # The pool is busy with another caller's work, so that our job stays in its queue.
    other = threading.Thread(target=parallel_for, args=(busy, 4))
    other.start()
    time.sleep(0.05)
    parallel_for(lambda start, stop, argument: None, 8, held)
    del held
    assert reference() is None
    blocker.set()
    other.join(20)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="waiting is compiled")
def test_a_signal_wakes_who_watches_it():
    waiting.prepare()
    signal = waiting.Signal()
    assert not signal.watch(0, 20)
    assert signal.watch(1, 20)
    seen = []
    watcher = threading.Thread(target=lambda: seen.append(signal.watch(0, 20_000_000)))
    watcher.start()
    time.sleep(0.01)
    signal.value = 7
    watcher.join(10)
    assert seen == [True]
    assert signal.value == 7


@pytest.mark.skipif(threads._processor is None or threads._usable_cpus() < 2, reason="nowhere to go")
def test_the_pool_keeps_off_the_callers_processor():
    threads.set_num_threads(3)
    time.sleep(2 * threads.PLACE_SECONDS)
    parallel_for(_count, 64, np.zeros(64, np.int64))
    pool = threads._pool
    if pool.avoided < 0:  # it was looked up too recently
        time.sleep(2 * threads.PLACE_SECONDS)
        parallel_for(_count, 64, np.zeros(64, np.int64))
    assert len(pool.natives) >= 2
    for native in pool.natives:
        assert pool.avoided not in os.sched_getaffinity(native)


def test_fewer_threads_end_some():
    threads.set_num_threads(6)
    parallel_for(_count, 64, np.zeros(64, np.int64))
    assert threads._pool.size == 5
    threads.set_num_threads(2)
    assert threads._pool.size == 1
    threads.set_num_threads(1)
    assert threads.get_num_threads() == 1


@pytest.mark.parametrize("n", [0, -1])
def test_a_number_of_threads_below_one_is_an_error(n):
    with pytest.raises(ValueError, match=rf"set_num_threads: n must be at least 1.*{n}"):
        threads.set_num_threads(n)


@pytest.mark.parametrize("n", [1.0, "2", None, True, (2,)])
def test_a_number_of_threads_must_be_an_integer(n):
    with pytest.raises(TypeError, match="set_num_threads: n must be"):
        threads.set_num_threads(n)


# The child of a fork must not go through pytest's own shutdown, and a fork in a process with threads is what
# Python warns about and what is to be tested: both ask for a process of their own.
FORK = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from autograd_conv.kernels import threads

def count(start, stop, seen):
    for i in range(start, stop):
        seen[i] += 1

def check():
    seen = np.zeros(100, np.int64)
    threads.parallel_for(count, 100, seen)
    assert (seen == 1).all()

threads.set_num_threads(4)
check()
stop = threading.Event()
def busy():
    while not stop.is_set():
        threads.parallel_for(lambda a, b: time.sleep(0.001), 16)
callers = [threading.Thread(target=busy) for _ in range(3)]
for caller in callers:
    caller.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        check()
        assert threads._pool.size == 3
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
check()
stop.set()
for caller in callers:
    caller.join()
print("done")
"""


def _run(code, timeout=60, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_of_a_busy_parent():
    result = _run(FORK)
    assert result.stdout == "done\n", result.stderr


def test_environment():
    show = "from autograd_conv.kernels import threads; print(threads.get_num_threads())"
    assert _run(show, AUTOGRAD_CONV_NUM_THREADS="5").stdout == "5\n"
    assert int(_run(show, AUTOGRAD_CONV_NUM_THREADS="").stdout) >= 1
    for bad in ("0", "-2", "two", "1.5"):
        result = _run(show, AUTOGRAD_CONV_NUM_THREADS=bad)
        assert "ValueError: the environment variable AUTOGRAD_CONV_NUM_THREADS" in result.stderr
        assert repr(bad) in result.stderr
    # what is set does not need the environment
    assert (
        _run("from autograd_conv.kernels import threads; threads.set_num_threads(2); print(threads.get_num_threads())",
             AUTOGRAD_CONV_NUM_THREADS="x").stdout == "2\n"
    )  # fmt: skip


def test_the_interpreter_ends_while_threads_work():
    code = """
import threading, time
from autograd_conv.kernels import threads
threads.set_num_threads(4)
threads.parallel_for(lambda a, b: time.sleep(0.01), 16)
threading.Thread(target=threads.parallel_for, args=(lambda a, b: time.sleep(0.2), 64), daemon=True).start()
time.sleep(0.05)
print("end")
"""
    result = _run(code, timeout=20)
    assert (result.returncode, result.stdout, result.stderr) == (0, "end\n", "")


def test_work_at_exit():
    code = """
import atexit
from autograd_conv.kernels import threads
threads.set_num_threads(4)
done = []
@atexit.register
def last():
    threads.parallel_for(lambda a, b: done.extend(range(a, b)), 16)
    assert sorted(done) == list(range(16))
    print("end")
"""
    result = _run(code, timeout=20)
    assert (result.returncode, result.stdout, result.stderr) == (0, "end\n", "")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_an_interrupt_reaches_the_caller():
    threads.set_num_threads(2)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            parallel_for(lambda start, stop: [time.sleep(0.002) for _ in range(start, stop)], 100)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    seen = np.zeros(16, np.int64)
    parallel_for(_count, 16, seen)
    assert (seen == 1).all()
