"""The benchmarks are no part of the package: here they are imported from the root of the repository."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _load_package() -> None:
    """Import the package ``benchmarks`` without making everything else at the root importable."""
    if "benchmarks" in sys.modules:
        return
    folder = ROOT / "benchmarks"
    spec = importlib.util.spec_from_file_location(
        "benchmarks", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks"] = package
    spec.loader.exec_module(package)


@pytest.fixture(scope="session")
def bench() -> Callable[[str], ModuleType]:
    """Return a function that imports a module of the benchmarks by name."""
    _load_package()
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def make_report() -> Callable[..., dict]:
    """Return a function that makes a report as a run would, with figures that are easily recognised."""

    def make(whole: bool = True, **changes: object) -> dict:
        def row(layer: str, operation: str, peer: str, ratio: float, reduced: bool) -> dict:
            return {
                "layer": layer, "shape": f"small {layer}" if reduced else f"shape of {layer}", "reduced": reduced,
                "operation": operation, "peer": peer, "error": 1e-7, "first_call_seconds": 0.25, "ratio": ratio,
                "low": 0.9 * ratio, "high": 1.1 * ratio, "seconds_a": 1e-3, "seconds_b": 1e-3 * ratio, "rounds": 5,
                "calls_a": 2, "calls_b": 1,
            }  # fmt: skip

        rows = [
            row("conv", "forward", "numpy", 2.0, False), row("conv", "forward", "loops", 1234.0, True),
            row("conv", "forward", "control", 1.01, False), row("conv", "gw", "numpy", 0.5, False),
            row("pool", "forward", "numpy", 8.0, False),
        ]  # fmt: skip
        return {
            "format": 2,
            "command": "python -m benchmarks",
            "whole": whole,
            "seconds": 1.5,
            "machine": {
                "date": "2030-01-02", "cpu": "Abacus", "cores": 2, "threads": 2, "load": 0.0, "system": "Linux x86_64",
                "python": "3.13.0", "versions": {"NumPy": "2.9"}, "blas": "someblas 1.0",
            },
            "subject": {"name": "ours", "title": "Ours", "about": "what is measured"},
            "peers": {
                "numpy": {"title": "NumPy", "about": "im2col"}, "loops": {"title": "Loops", "about": "plain loops"},
            },
            "rows": rows,
            "methods": {
                "peers": {"folded": {"title": "Folded", "about": "matrix products"}},
                "rows": [row("twist", "forward", "folded", 3.0, False), row("twist", "gx", "folded", 4.0, False)],
            },
            "startup": [
                {
                    "what": "to wake up", "seconds": 0.25, "against": "to blink", "against_seconds": 2e-5,
                    "ratio": 12500.0, "low": 12000.0, "high": 13000.0, "runs": 9,
                },
            ],
        } | changes  # fmt: skip

    return make
