"""What every test of a NumPy function does: values, types, memory layouts, derivatives."""

from __future__ import annotations

import warnings

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


# --- tables of cases -----------------------------------------------------------------------------------------


def _map(change, value):
    """Apply `change` to the floating-point arrays in nested sequences."""
    if isinstance(value, (list, tuple)):
        return type(value)([_map(change, item) for item in value])
    return change(value) if _is_float(value) else value


def _floats(value):
    if isinstance(value, (list, tuple)):
        return [array for item in value for array in _floats(item)]
    return [value] if _is_float(value) else []


def _flat(result):
    if isinstance(result, (list, tuple)):
        return [part for item in result for part in _flat(item)]
    return [result]


def _same(result, expected, rtol, where):
    got, wanted = _flat(result), _flat(expected)
    assert len(got) == len(wanted), where
    for part, reference in zip(got, wanted):
        assert isinstance(part, ac.Tensor), where
        reference = np.asarray(reference)
        assert part.shape == reference.shape, where
        assert part.dtype == reference.dtype, where
        np.testing.assert_allclose(part.numpy(), reference, rtol=rtol, atol=rtol, err_msg=where)


def _repeated(array):
    """Axes of stride 0: the first element along the last axis, again and again."""
    return np.broadcast_to(array[..., :1], array.shape) if array.ndim and array.shape[-1] else array


LAYOUTS = {
    "Fortran": lambda a: a.copy("F"),
    "reversed": lambda a: np.flip(np.flip(a).copy()),
    "read-only": _read_only,
    "every second": lambda a: np.repeat(a, 2, -1)[..., ::2] if a.ndim else a,
}


@pytest.fixture
def conforms(rng):
    """Check ``ac.<name>`` and ``np.<name>`` on Tensors against NumPy, and the derivatives by differences.

    In every memory order; in float32; in mixed types; of integers.
    """

    def check(name, args, settings, order=2, rtol=1e-12, integers=True):
        if not hasattr(np, name):
            pytest.skip(f"this NumPy has no {name}")
        ours, theirs = getattr(ac, name), getattr(np, name)

        def agree(where, arguments, tolerance):
            _same(ours(*arguments, **settings), theirs(*arguments, **settings), tolerance, where)

        agree("values", args, rtol)
        for layout, change in LAYOUTS.items():
            agree(layout, _map(change, args), rtol)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of what has no answer if all elements are equal
            repeated = _map(_repeated, args)
            if not any(np.isinf(part).any() for part in _flat(theirs(*repeated, **settings))):
                agree("broadcast", repeated, max(rtol, 1e-9))
        if _floats(args) and any(isinstance(a, np.ndarray) for a in args):
            _same(theirs(*_map(ac.tensor, args), **settings), theirs(*args, **settings), rtol, "np on Tensors")
        leaves = _floats(args)
        if not leaves:
            return

        nans = [np.isnan(leaf) for leaf in leaves]
        leaves = [np.where(nan, 0.0, leaf) for nan, leaf in zip(nans, leaves)]

        def function(*arrays):
            # NaN stay what they are: there is no derivative by them.
            rest = iter([ac.where(nan, np.nan, array) if nan.any() else array for nan, array in zip(nans, arrays)])
            result = _flat(ours(*_map(lambda _: next(rest), args), **settings))
            return tuple([part for part in result if part.dtype.kind in "fc"])

        if order:
            ac.testing.check_vjp(function, *leaves, order=order)
        single = _map(lambda a: a.astype(np.float32), args)
        agree("float32", single, 1e-4)
        if order:
            _gradients_keep_types(function, leaves, [np.float32] * len(leaves), rng)
        if len(leaves) > 1:
            kinds = [np.float32] + [np.float64] * (len(leaves) - 1)
            rest = iter(kinds)
            agree("mixed", _map(lambda a: a.astype(next(rest)), args), 1e-4)
        if len(leaves) > 1 and order:
            _gradients_keep_types(function, leaves, kinds, rng)
        if integers:
            whole = _map(lambda a: np.rint(4 * a).astype(np.int32), args)
            try:
                with np.errstate(all="ignore"):
                    theirs(*whole, **settings)
            except (TypeError, ValueError, ZeroDivisionError):
                return
            with np.errstate(all="ignore"):
                agree("integers", whole, rtol)

    return check


def _gradients_keep_types(function, leaves, kinds, rng):
    """Cotangents have the dtypes of the arguments, and the values of double precision."""
    gradients, cotangents = [], None
    for dtypes in ([np.float64] * len(leaves), kinds):
        tensors = [ac.tensor(leaf, dtype=dtype, requires_grad=True) for leaf, dtype in zip(leaves, dtypes)]
        results = [part for part in function(*tensors) if part.requires_grad]
        if not results:
            return
        cotangents = cotangents or [rng.standard_normal(part.shape) for part in results]
        found = ac.grad(results, tensors, [v.astype(part.dtype) for v, part in zip(cotangents, results)])
        assert [g.dtype for g in found] == [np.dtype(d) for d in dtypes]
        gradients.append([g.numpy() for g in found])
    for double, single in zip(*gradients):
        scale = np.abs(double).max(initial=1.0)
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-3 * scale)
