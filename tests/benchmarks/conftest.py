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

    def timing(ratio: float) -> dict:
        return {
            "ratio": ratio, "low": 0.9 * ratio, "high": 1.1 * ratio, "seconds_a": 1e-3, "seconds_b": 1e-3 * ratio,
            "rounds": 5, "calls_a": 2, "calls_b": 1,
        }  # fmt: skip

    def make(whole: bool = True, **changes: object) -> dict:
        def row(
            layer: str, operation: str, peer: str, ratio: float, reduced: bool = False, layout: str = "NCHW"
        ) -> dict:
            return {
                "layer": layer, "shape": f"small {layer}" if reduced else f"shape of {layer}", "reduced": reduced,
                "layout": layout, "operation": operation, "peer": peer, "error": 1e-7, "first_call_seconds": 0.25,
                "flop": 2_000_000, "bytes": 1_000_000, **timing(ratio),
            }  # fmt: skip

        layers = [
            row("conv", "forward", "torch", 2.0), row("conv", "gx", "torch", 3.0), row("conv", "gw", "torch", 0.5),
            row("deep", "forward", "torch", 8.0), row("conv", "forward", "loops", 1234.0, reduced=True),
            row("conv", "forward", "control", 1.01), row("conv", "forward", "torch", 7.0, layout="NHWC"),
        ]  # fmt: skip
        names = {"autograd_conv": "Ours", "torch": "PyTorch", "mygrad": "MyGrad", "numpy": "NumPy", "loops": "Loops"}
        sections = {
            "layers": layers,
            "roofline": {
                "threads": 2, "flop_per_second": 1e10, "tile": "3 rows", "read_bytes_per_second": 2e9,
                "copy_bytes_per_second": 3e9,
            },
            "training": [
                {"network": network, "title": f"Net {network}", "peer": "torch", "layout": layout, **timing(ratio)}
                for network, layout, ratio in (("a", "NCHW", 4.0), ("a", "NHWC", 2.0), ("b", "NCHW", 8.0))
            ],
            "memory": [
                {"what": "step", "library": name, "network": "a", "layout": "NCHW", "bytes": size, "process": 9}
                for name, size in (("autograd_conv", 8e6), ("torch", 12e6))
            ] + [
                {"what": "record", "library": "autograd_conv", "bytes": 470.4},
            ],
            "recording": [{"peer": "numpy", **timing(0.25)}, {"peer": "mygrad", **timing(5.0)}],
            "startup": {
                "imports": {"autograd_conv": 0.15, "numpy": 0.08},
                "first_gradient": {
                    "cold": 5.0, "warm": 0.6, "kernels": [["a.b", 0.5], ["c.d", 1.5]], "compiled_warm": 0,
                },
            },
            "growth": [
                {"axis": axis, "value": n, "flop": 1000, "seconds": 1e-6, "peer_seconds": 2e-6, "ratio": 2.0 * n}
                for axis in ("batch", "threads") for n in (1, 2)
            ],
            "others": [row("pool", "forward", "numpy", 8.0), row("pool", "gx", "numpy", 9.0)],
            "methods": {
                "peers": {"folded": {"title": "Folded", "about": "matrix products"}},
                "rows": [row("twist", "forward", "folded", 3.0), row("twist", "gx", "folded", 4.0)],
            },
        }  # fmt: skip
        return {
            "format": 3,
            "whole": whole,
            "machine": {
                "date": "2030-01-02", "cpu": "Abacus", "cores": 2, "threads": 2, "load": 0.0, "system": "Linux x86_64",
                "python": "3.13.0", "versions": {"NumPy": "2.9"}, "blas": "someblas 1.0", "waiting": "default",
            },
            "subject": "autograd_conv",
            "peers": {name: {"title": text, "about": f"about {text}"} for name, text in names.items()},
            "measured": {name: {"command": "python -m benchmarks", "date": "2030-01-02"} for name in sections},
            **sections,
        } | changes  # fmt: skip

    return make
