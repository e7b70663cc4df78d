"""What has to be paid before the work: import and compilation.

| what | how it is measured |
|---|---|
| imports | ``import autograd_conv`` and those of its peers and of NumPy, each in a fresh interpreter, in turns |
| first gradient | of a small network in a fresh process, imports included (:mod:`.first_gradient`) |
| kernels | which ones that first gradient compiled, and the seconds of each; loaded from a cache the second time |
"""

from __future__ import annotations

import tempfile
from statistics import median
from typing import Any

import numpy as np

from .contenders import SUBJECT
from .errors import WrongResultError
from .interpreter import python
from .progress import Progress
from .suite import TOLERANCE

# How often interpreters are started for each side, after one whose time is not counted.
IMPORTS, QUICK_IMPORTS = 5, 1
# How often kernels are compiled from nothing, and how often loaded.
COLD, QUICK_COLD = 2, 1
WARM, QUICK_WARM = 5, 1

CACHE_VARIABLE = "AUTOGRAD_CONV_CACHE_DIR"

IMPORT = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"

MODULES = {SUBJECT: "autograd_conv", "numpy": "numpy", "torch": "torch", "jax": "jax", "mygrad": "mygrad",
           "autograd": "autograd"}  # fmt: skip

STEPS = 2


def imports(peers: list[str], quick: bool) -> dict[str, float]:
    """Return the median seconds of each import, by the name of the contender."""
    names = [name for name in MODULES if name in (SUBJECT, "numpy", *peers)]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(QUICK_IMPORTS if quick else 1 + IMPORTS):
        for name in names if turn % 2 == 0 else names[::-1]:
            took = float(python(["-c", IMPORT.format(MODULES[name])]))
            if turn > 0 or quick:  # the first turn reads files that nobody has read before
                seconds[name].append(took)
    return {name: median(taken) for name, taken in seconds.items()}


def first_gradient(quick: bool) -> dict[str, Any]:
    """Return the seconds of the first gradient, with an empty and with a filled cache, and the kernels compiled.

    Raises
    ------
    WrongResultError
        If the gradients differ.
    """
    runs: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": []}

    def run(directory: str, kind: str) -> None:
        runs[kind].append(python(["-m", "benchmarks.first_gradient"], **{CACHE_VARIABLE: directory}))

    for turn in range(QUICK_COLD if quick else COLD):
        with tempfile.TemporaryDirectory(prefix="autograd-conv-") as directory:
            run(directory, "cold")
            if turn == 0:
                for _ in range(QUICK_WARM if quick else WARM):
                    run(directory, "warm")
    squares = [result["squares"] for kind in runs.values() for result in kind]
    if not np.allclose(squares, squares[0], rtol=TOLERANCE, atol=0.0):
        raise WrongResultError(f"first gradient: with and without a cache, the sums of squares are {squares}")
    total = {
        kind: median(result["import_seconds"] + result["seconds"] for result in results)
        for kind, results in runs.items()
    }
    return {**total, "kernels": runs["cold"][0]["kernels"], "compiled_warm": len(runs["warm"][0]["kernels"])}


def run(peers: list[str], quick: bool, progress: Progress) -> dict[str, Any]:
    """Measure all of it, in `STEPS` steps; return it as JSON can hold it."""
    progress.begin("imports")
    result: dict[str, Any] = {"imports": imports(peers, quick)}
    progress.step()
    progress.begin("first gradient")
    result["first_gradient"] = first_gradient(quick)
    progress.step()
    return result
