"""The examples run in a small size, do what they say, and their derivatives are right.

Each runs in a process of its own: SciPy reads once, when it is imported, whether it is to take Tensors.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

# Results of main(): (smallest, largest) that will do.
EXPECTED = {
    "rosenbrock": {"gradient": (0, 1e-13), "hessian": (0, 1e-13), "BFGS": (0, 1e-5), "Newton-CG": (0, 1e-2)},
    "lotka_volterra": {"jacobian": (0, 1e-8), "error": (0, 0.3), "cost": (0, 0.2), "optimality": (0, 1e-3)},
    "kalman": {"gradient": (0, 1e-3), "off": (0, 3)},
    "gaussian_process": {"value": (0, 1e-10), "gradient": (0, 1e-9), "gain": (1, 1e6)},
    "wave": {"slope": (0, 1e-6), "missed": (0, 0.2)},
    "three_bodies": {"off": (0, 2e-3), "miss": (0, 1e-12)},
    "sources": {"likeness": (0.98, 1), "gradient": (0, 1e-3)},
    "influence": {"slope": (0, 1e-9), "caught": (0.5, 1), "after": (0, 0.1)},
}


def test_every_example_is_tested_and_listed():
    names = {path.stem for path in EXAMPLES.glob("*.py")} - {"program"}
    assert names == set(EXPECTED)
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name in names:
        assert f"]({name}.py)" in page
        assert f"(pictures/{name}.png)" in page
        assert (EXAMPLES / "pictures" / f"{name}.png").stat().st_size < 200_000


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name, tmp_path):
    for library in ("scipy", "sklearn", "matplotlib"):
        pytest.importorskip(library)
    import scipy
    import sklearn

    if name in ("rosenbrock", "sources", "influence") and (
        _version(scipy) < (1, 15) or (name == "influence" and _version(sklearn) < (1, 6))
    ):
        pytest.skip("less of older versions of SciPy and scikit-learn takes arrays of other kinds")
    picture = tmp_path / "picture.png"
    program = f"import json, {name}; print(json.dumps({name}.main(['--small', '--picture', {str(picture)!r}])))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=EXAMPLES, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    for key, (smallest, largest) in EXPECTED[name].items():
        assert smallest <= results[key] <= largest, (key, results[key])
    assert picture.read_bytes().startswith(b"\x89PNG")


def _version(library):
    return tuple(map(int, library.__version__.split(".")[:2]))
