"""Threads, machine, versions. Imports nothing that reads the environment when it is imported."""

import datetime
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "AUTOGRAD_CONV_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

# After a matrix product the threads of a BLAS go on looking for work, for tens of milliseconds, on the very cores on
# which the other contender is timed next: that doubled its times. They are told to sleep at once. This does not
# slow the products down.
SLEEP_VARIABLES = {"OPENBLAS_THREAD_TIMEOUT": "4", "KMP_BLOCKTIME": "0"}

# OpenMP threads (PyTorch's) look for work for about a millisecond, which a rest between samples outlasts: left as it
# is, for it makes short work faster. But where other processes keep the CPUs busy, a thread that looks for work takes
# the CPU from the one that has some, and PyTorch takes ten times as long: then they are told to sleep, too.
WAIT_VARIABLE, SLEEPING = "OMP_WAIT_POLICY", "passive"

# What else a machine may do, in CPUs for each that there is, before it counts as busy.
MOST_LOAD = 0.2

DISTRIBUTIONS = {"autograd_conv": "autograd-conv", "NumPy": "numpy", "Numba": "numba"}


def cores() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def busy() -> bool:
    """Return whether other processes keep the CPUs busy."""
    return (load() or 0.0) > MOST_LOAD * cores()


def prepare(threads: int) -> None:
    """Give every contender the same number of threads. To be called before NumPy is imported.

    With fewer threads than CPUs the process keeps to as many CPUs: JAX cannot be told otherwise.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    os.environ.update(SLEEP_VARIABLES)
    if busy():
        os.environ.setdefault(WAIT_VARIABLE, SLEEPING)
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["AUTOGRAD_CONV_QUIET"] = "1"  # compilation is in no figure, or is what is measured
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])


def threads() -> int:
    """Return what :func:`prepare` was told; without it, all CPUs."""
    return int(os.environ.get(THREAD_VARIABLES[0]) or cores())


def _cpu() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _blas() -> str:
    """Return name and version of the library that NumPy multiplies matrices with."""
    import numpy as np

    built: Any = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def load() -> float | None:
    """Return how many CPUs have been busy, on average over the last minute, or None where nobody counts."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def describe(threads: int, others: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what somebody must know to judge the figures, as values that JSON can hold.

    Parameters
    ----------
    threads : int
    others : mapping, optional
        Distributions that take part, besides `DISTRIBUTIONS` and in the same form.
    """
    distributions = DISTRIBUTIONS | dict(others or {})
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": cores(),
        "threads": threads,
        "load": load(),
        "waiting": os.environ.get(WAIT_VARIABLE, "default"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(distribution) for name, distribution in distributions.items()},
        "blas": _blas(),
    }
