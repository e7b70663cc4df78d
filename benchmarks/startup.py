"""What has to be paid before, and besides, the work: import, compilation, recording.

| row | what is measured |
|---|---|
| import | ``import autograd_conv`` and ``import numpy``, each in a fresh interpreter, in turns |
| first gradient | of a small network (:mod:`.first_gradient`) in a fresh process, kernels compiled and kernels loaded |
| recorded operation | a chain of operations on three elements, on Tensors and on arrays |

Here a ratio says how many times as long the *first* takes as what it is compared with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .contenders import Array
from .errors import BenchmarkError, WrongResultError
from .measure import Timing, compare, summary
from .progress import Progress
from .suite import TOLERANCE, largest_error

ROOT = Path(__file__).resolve().parent.parent

# How often interpreters are started for each side, after one whose time is not counted.
IMPORTS, QUICK_IMPORTS = 9, 2
# How often kernels are compiled from nothing, and how often loaded.
COLD, QUICK_COLD = 2, 1
WARM, QUICK_WARM = 5, 1

# A row of three operations, so often: y = tanh(y * x + x).
CHAIN = 10
OPERATIONS = 3 * CHAIN

CACHE_VARIABLE = "AUTOGRAD_CONV_CACHE_DIR"

IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def _python(arguments: list[str], **variables: str) -> Any:
    """Run an interpreter and return what it printed, as JSON.

    Raises
    ------
    BenchmarkError
        If it failed; with the last line that it wrote.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise BenchmarkError(f"a fresh interpreter failed: {last}")
    return json.loads(done.stdout)


def _row(what: str, seconds: float, against: str, against_seconds: float, timing: Timing) -> dict[str, Any]:
    return {
        "what": what,
        "seconds": seconds,
        "against": against,
        "against_seconds": against_seconds,
        "ratio": timing.ratio,
        "low": timing.low,
        "high": timing.high,
        "runs": timing.rounds,
    }


# ---------------------------------------------------------------- import


def imports(quick: bool) -> list[dict[str, Any]]:
    """Return the row of ``import autograd_conv`` and ``import numpy``."""

    def seconds(module: str) -> float:
        return float(_python(["-c", IMPORT.format(module)]))

    times: list[tuple[float, float]] = []
    for turn in range(1 + (QUICK_IMPORTS if quick else IMPORTS)):
        if turn % 2 == 0:
            base = seconds("numpy")
            ours = seconds("autograd_conv")
        else:
            ours = seconds("autograd_conv")
            base = seconds("numpy")
        times.append((base, ours))
    timing = summary(times[1:])  # the first turn reads files that nobody has read before
    return [_row("import autograd_conv", timing.seconds_b, "import numpy", timing.seconds_a, timing)]


# ---------------------------------------------------------------- first gradient


def first_gradient(quick: bool) -> list[dict[str, Any]]:
    """Return the row of the first gradient, with an empty and with a filled cache of kernels.

    Raises
    ------
    WrongResultError
        If the gradients differ.
    """
    cold: list[float] = []
    warm: list[float] = []
    squares: list[list[float]] = []

    def run(directory: str, times: list[float]) -> None:
        result = _python(["-m", "benchmarks.first_gradient"], **{CACHE_VARIABLE: directory})
        times.append(float(result["seconds"]))
        squares.append(result["squares"])

    for turn in range(QUICK_COLD if quick else COLD):
        with tempfile.TemporaryDirectory(prefix="autograd-conv-") as directory:
            run(directory, cold)
            if turn == 0:
                for _ in range(QUICK_WARM if quick else WARM):
                    run(directory, warm)
    if not np.allclose(squares, squares[0], rtol=TOLERANCE, atol=0.0):
        raise WrongResultError(f"first gradient: with and without a cache, the sums of squares are {squares}")
    first, later = median(cold), median(warm)
    timing = Timing(first / later, min(cold) / max(warm), max(cold) / min(warm), later, first, len(cold), 1, 1)
    what = "first gradient of a small network, kernels compiled"
    return [_row(what, first, "the same, kernels from the cache", later, timing)]


# ---------------------------------------------------------------- recording


def chain(x: Any, tanh: Callable[[Any], Any]) -> Any:
    """Return the result of `OPERATIONS` operations on `x`, a Tensor or an array."""
    y = x
    for _ in range(CHAIN):
        y = tanh(y * x + x)
    return y


def chain_gradient(x: Array) -> Array:
    """Return the derivative of each element of ``chain(x)`` by the same element of `x`, by the chain rule forwards."""
    y, derivative = x, np.ones_like(x)
    for _ in range(CHAIN):
        following = np.tanh(y * x + x)
        derivative = (1 - following**2) * (derivative * x + y + 1)
        y = following
    return derivative


def recording(seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Return the rows of the cost of a recorded operation, after checking values and gradient.

    Raises
    ------
    WrongResultError
        If they are wrong. Nothing is timed then.
    """
    import autograd_conv as ac

    array = np.array([0.5, -0.25, 0.125])
    x, gy = ac.tensor(array, requires_grad=True), np.ones_like(array)

    def plain() -> Any:
        return chain(array, np.tanh)

    def forward() -> Any:
        return chain(x, ac.tanh)

    def both() -> Any:
        return ac.grad(chain(x, ac.tanh), x, gy)[0]

    largest_error(forward().numpy(), plain(), "recorded operations, forward")
    largest_error(both().numpy(), chain_gradient(array), "recorded operations, gradient")
    rows = []
    for what, job in (("forward", forward), ("forward and backward", both)):
        timing = compare(plain, job, seconds, rounds)
        ours, theirs = timing.seconds_b / OPERATIONS, timing.seconds_a / OPERATIONS
        rows.append(
            _row(
                f"one recorded operation on three elements, {what}", ours, "the same in NumPy, forward", theirs, timing
            )
        )
    return rows


STEPS = 3


def run(quick: bool, seconds: float, rounds: int, progress: Progress) -> list[dict[str, Any]]:
    """Measure all of it, in `STEPS` steps; return the rows, as JSON can hold them."""
    rows: list[dict[str, Any]] = []
    steps: tuple[tuple[str, Callable[[], list[dict[str, Any]]]], ...] = (
        ("import", lambda: imports(quick)),
        ("first gradient", lambda: first_gradient(quick)),
        ("recorded operations", lambda: recording(seconds, rounds)),
    )
    assert len(steps) == STEPS
    for label, step in steps:
        progress.begin(label)
        rows += step()
        progress.step()
    return rows
