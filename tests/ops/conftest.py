"""What every test of a NumPy function does: values, types, memory layouts, derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac


def _parts(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _compare(result, expected, rtol, dtype=True):
    got, wanted = _parts(result), _parts(expected)
    assert len(got) == len(wanted)
    for part, reference in zip(got, wanted):
        assert isinstance(part, ac.Tensor)
        reference = np.asarray(reference)
        assert part.shape == reference.shape
        assert not dtype or part.dtype == reference.dtype
        np.testing.assert_allclose(part.numpy(), reference, rtol=rtol, atol=rtol)


def _is_float(arg):
    return isinstance(arg, np.ndarray) and arg.dtype.kind == "f"


@pytest.fixture
def agrees(rng):
    """Check a function against NumPy's, and its derivatives against central differences."""

    def check(function, numpy_function, *args, derivatives=2, by_name=True, rtol=1e-12, **settings):
        expected = numpy_function(*args, **settings)
        _compare(function(*args, **settings), expected, rtol)
        for layout in (lambda a: a.copy("F"), lambda a: np.flip(np.flip(a).copy()), _read_only):
            varied = [layout(arg) if _is_float(arg) else arg for arg in args]
            _compare(function(*varied, **settings), expected, rtol)
        if by_name:
            tensors = [ac.tensor(arg) if _is_float(arg) else arg for arg in args]
            _compare(numpy_function(*tensors, **settings), expected, rtol)
        ac.testing.check_vjp(lambda *a: function(*a, **settings), *args, order=derivatives)
        _check_float32(function, args, settings, rng)

    return check


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def _check_float32(function, args, settings, rng):
    """Single precision in, single precision out, with the gradient of double precision."""
    gradients = []
    cotangents = None
    for dtype in (np.float64, np.float32):
        tensors = [ac.tensor(a.astype(dtype), requires_grad=True) if _is_float(a) else a for a in args]
        leaves = [t for t in tensors if isinstance(t, ac.Tensor)]
        results = _parts(function(*tensors, **settings))
        if cotangents is None:
            cotangents = [rng.standard_normal(result.shape) for result in results]
        pairs = [(r, v.astype(dtype)) for r, v in zip(results, cotangents) if r.requires_grad]
        assert all(r.dtype == dtype for r, _ in pairs)
        if pairs:
            outputs, seeds = zip(*pairs)
            found = ac.grad(outputs, leaves, seeds)
            assert all(g.dtype == dtype for g in found)
            gradients.append([g.numpy() for g in found])
    for double, single in zip(*gradients):
        scale = np.abs(double).max(initial=1.0)
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-4 * scale)
