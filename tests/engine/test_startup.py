"""`warmup`: what a network needs is there afterwards, and nothing of the caller's has changed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import autograd_conv as ac

SCRIPT = """
import gc, json, sys
import numpy as np
import autograd_conv as ac
from autograd_conv import nn

assert "numba" not in sys.modules
with ac.no_grad(), ac.Tape() as tape:
    seconds = ac.warmup(DTYPES)
    assert not ac.is_grad_enabled()
assert len(tape) == 0
assert seconds > 0

from autograd_conv.kernels import jit
from numba.core.dispatcher import Dispatcher

def ready():
    # Each kernel and signature that this process has compiled or loaded.
    kernels = [o for o in gc.get_objects() if isinstance(o, Dispatcher) and isinstance(o._cache, jit._Cache)]
    return {f"{k.py_func.__module__}.{k.py_func.__qualname__}{s}" for k in kernels for s in k.overloads}

before, compiled = ready(), len(jit.compilations())
for layout in ("NCHW", "NHWC"):
    images = np.ones((4, 1, 12, 12), DTYPES[0])
    if layout == "NHWC":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    first = ac.tensor(np.ones((8, 1, 5, 5), DTYPES[0]), requires_grad=True)
    second = ac.tensor(np.ones((70, 8, 3, 3), DTYPES[0]), requires_grad=True)
    last = ac.tensor(np.ones((10, 70), DTYPES[0]), requires_grad=True)
    x = nn.max_pool2d(nn.relu(nn.conv2d(images, first, padding=2)), 2)
    x = nn.relu(nn.conv2d(x, second, stride=2, padding=1))
    loss = nn.cross_entropy(nn.linear(nn.global_avg_pool2d(x), last), np.zeros(4, int))
    loss.backward()
print(json.dumps({"during": len(before), "compiled": compiled, "after": sorted(ready() - before)}))
"""


def run(dtypes):
    # With the cache of the other tests: from an empty one it would take half a minute, and show no more.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT.replace("DTYPES", repr(dtypes))],
        env={**os.environ, "AUTOGRAD_CONV_QUIET": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="nothing is compiled")
def test_after_it_a_network_needs_no_other_kernel_and_a_second_process_loads():
    first = run(("float32",))
    assert first["during"] > 20
    assert first["after"] == []
    second = run(("float32",))
    assert second["during"] > 20  # not all of `first`: kernels that only kernels call are not loaded
    assert (second["compiled"], second["after"]) == (0, [])


def test_without_jit_there_is_nothing_to_do(tmp_path):
    code = "import autograd_conv as ac; assert ac.warmup() < 60"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "AUTOGRAD_CONV_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=100)
    assert done.returncode == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtypes", ["float32", np.float32, np.dtype(np.float64)])
def test_a_single_dtype_is_no_sequence(dtypes):
    with pytest.raises(TypeError, match=r"warmup: argument 'dtypes' is .*; it must be a sequence of dtypes"):
        ac.warmup(dtypes)


def test_dtypes_without_kernels_are_refused_before_anything_is_compiled():
    with pytest.raises(
        ValueError, match=r"warmup: argument 'dtypes' contains int64; it may contain float32 and float64"
    ):
        ac.warmup(("float32", int))
    with pytest.raises(TypeError, match=r"warmup: argument 'dtypes' contains 'number', which is no dtype"):
        ac.warmup(("number",))
    assert ac.warmup([]) == 0.0
