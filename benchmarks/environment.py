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

DISTRIBUTIONS = {"autograd_conv": "autograd-conv", "NumPy": "numpy", "Numba": "numba"}


def cores() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def prepare(threads: int) -> None:
    """Give every contender the same number of threads. To be called before NumPy is imported."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    os.environ.update(SLEEP_VARIABLES)


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
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: _version(distribution) for name, distribution in distributions.items()},
        "blas": _blas(),
    }
