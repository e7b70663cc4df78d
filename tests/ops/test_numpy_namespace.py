"""Nothing in NumPy's main namespace is forgotten."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv.dispatch import CONSTANT, FUNCTIONS, OUT_OF_SCOPE
from autograd_conv.ops import numpy_names
from autograd_conv.ops.ufunc import UFUNCS

ROOT = Path(__file__).parents[2]
DISPATCHING = (np.ufunc, type(np.sum))

# Names of ours that happen to be NumPy's, or stand for namespaces that have tests of their own.
OURS = {"save", "load", "testing", "fft", "linalg", "__array_namespace_info__"}

# They take numbers, buffers or functions, and NumPy offers no way to step in when one is a Tensor.
MAKERS = {
    "arange", "array", "asanyarray", "asarray", "asarray_chkfinite", "ascontiguousarray", "asfortranarray",
    "fromfunction", "full", "isdtype", "require", "row_stack",
}  # fmt: skip


def _script():
    spec = importlib.util.spec_from_file_location("list_numpy", ROOT / "docs" / "list_numpy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Some releases list names of their own machinery.
@pytest.mark.parametrize("name", [name for name in sorted(np.__all__) if not re.match("_[^_]", name)])
def test_every_name_of_numpy_has_its_place(name):
    original = getattr(np, name)
    if name in OURS:
        assert hasattr(ac, name)
        return
    if name in OUT_OF_SCOPE:
        assert not hasattr(ac, name), "it is declared out of scope, and yet it is there"
        assert len(OUT_OF_SCOPE[name]) > 10
        return
    assert hasattr(ac, name), (
        f"numpy.{name} is neither covered, nor without derivative (autograd_conv.ops.constants), nor out of scope "
        "(autograd_conv.ops.numpy_names)"
    )
    if isinstance(original, DISPATCHING):
        assert original in FUNCTIONS, f"numpy.{name}(tensor) does not reach autograd_conv"
        assert callable(getattr(ac, name))
    elif callable(original) and not isinstance(original, type):
        assert name in MAKERS or original in CONSTANT or getattr(ac, name) is original


def test_names_that_are_numpys_own_are_those_of_numpy():
    for name in numpy_names.SAME:
        assert getattr(ac, name) is getattr(np, name)


@pytest.mark.parametrize("method", ["reduce", "accumulate", "reduceat", "outer", "at"])
def test_every_method_of_universal_functions_has_its_place(method):
    for name in np.__all__:
        ufunc = getattr(np, name)
        if isinstance(ufunc, np.ufunc) and name not in OUT_OF_SCOPE and ufunc.signature is None:
            # NumPy itself refuses methods of functions with one argument or several results.
            possible = (ufunc.nout == 1 and (ufunc.nin == 2 or method == "at")) or (
                method == "outer" and ufunc.nin == 2
            )
            assert ((ufunc, method) in FUNCTIONS) == possible, f"{name}.{method}"
            assert hasattr(getattr(ac, name), method) == possible


def test_every_function_is_tested_somewhere():
    text = "".join([path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")])
    words = set(re.findall(r"\w+", text))
    script, ufuncs = _script(), set(UFUNCS.values())  # those are tested as a table of their own
    for module in script.modules():
        for constant in (False, True):
            if hasattr(module, "__all__"):
                names = [name for name in script.names(module, constant) if getattr(ac, name) not in ufuncs]
                missing = [name for name in names if name not in words]
                assert not missing, f"no test names {missing} of {module.__name__}"


def test_the_page_is_up_to_date():
    script = _script()
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run python docs/list_numpy.py"


@pytest.mark.parametrize(
    ("second", "first"),
    [
        ("bitwise_invert", "invert"), ("bitwise_not", "invert"), ("bitwise_left_shift", "left_shift"),
        ("bitwise_right_shift", "right_shift"), ("abs", "absolute"), ("acos", "arccos"), ("pow", "power"),
        ("mod", "remainder"),
        ("concat", "concatenate"), ("permute_dims", "transpose"), ("amax", "max"), ("amin", "min"), ("around", "round"),
        ("row_stack", "vstack"), ("true_divide", "divide"), ("conj", "conjugate"), ("asanyarray", "asarray"),
    ],
)  # fmt: skip
def test_second_names(second, first):
    assert getattr(ac, second) is getattr(ac, first)


def test_out_of_scope_functions_say_why():
    t = ac.tensor([1.0])
    with pytest.raises(TypeError, match=r"numpy\.busday_count takes no Tensors: dates are no numbers"):
        np.busday_count(t, t)
    with pytest.raises(TypeError, match=r"numpy\.\S*sqrt is not covered for Tensors; make it one"):
        np.emath.sqrt(t)
