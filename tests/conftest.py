"""Fixtures for all tests: seeded randomness, and a guard against state that a test leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys

# Before anything imports matplotlib: tests draw without a screen.
os.environ.setdefault("MPLBACKEND", "Agg")
# Before anything imports PyTorch: threads that have nothing to do leave the CPUs to others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Whether kernels have to be compiled depends on what ran before: no test of other things shall see it.
os.environ.setdefault("AUTOGRAD_CONV_QUIET", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default",
    deadline=None,  # the first example of a kernel compiles it
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", settings.get_profile("default"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


# With so many tests, most kernels will be needed.
MANY_TESTS = 1000

_compiling: list[subprocess.Popen[bytes]] = []


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile kernels on another core while the first tests run: they come to be in the cache that all tests share."""
    if len(session.items) >= MANY_TESTS and not session.config.option.collectonly and (os.cpu_count() or 1) > 1:
        code = "import autograd_conv as ac; ac.warmup(('float32', 'float64'))"
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        _compiling.append(subprocess.Popen([sys.executable, "-c", code], **quiet))


def pytest_sessionfinish() -> None:
    while _compiling:
        process = _compiling.pop()
        process.kill()
        process.wait()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture(autouse=True)
def no_state_left_behind():
    """Recording is on and no tape is open before and after each test."""
    from autograd_conv.tape import STATE, State

    assert STATE.get() == State(True, ())
    yield
    assert STATE.get() == State(True, ())
