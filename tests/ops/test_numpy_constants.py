"""Functions without derivative, questions, and what says so; Tensors in places where NumPy would drop their history."""

from __future__ import annotations

import io

import numpy as np
import pytest

import autograd_conv as ac

X = np.array([[3.5, -1.0, 2.0], [0.0, 2.0, np.nan]])
I = np.array([[5, 1, 3], [2, 2, 4]])

CONSTANTS = [
    ("argpartition", (X, 1), {}),
    ("argsort", (X,), {"axis": None}),
    ("argmax", (X,), {"axis": 0, "keepdims": True}),
    ("argmin", (I,), {}),
    ("nanargmax", (X,), {"axis": 1}),
    ("nanargmin", (X,), {}),
    ("lexsort", ([X[0], X[1]],), {}),
    ("searchsorted", (X[0], [0.5, 2.0]), {"side": "right", "sorter": [1, 2, 0]}),
    ("digitize", (X, [0.0, 2.0]), {"right": True}),
    ("count_nonzero", (X,), {"axis": 1, "keepdims": True}),
    ("any", (X,), {"axis": 0, "where": I > 2}),
    ("all", (X,), {"axis": (0, 1)}),
    ("isclose", (X, 2.0), {"equal_nan": True}),
    ("isin", (X, [2.0, 3.5]), {"invert": True}),
    ("isneginf", (X,), {}),
    ("isposinf", (X,), {}),
    ("isreal", (X,), {}),
    ("iscomplex", (X,), {}),
    ("nonzero", (X,), {}),
    ("flatnonzero", (X,), {}),
    ("argwhere", (X,), {}),
    ("ix_", ([0, 2], [True, False, True]), {}),
    ("indices", ((2, 3),), {"sparse": True}),
    ("diag_indices", (3,), {}),
    ("diag_indices_from", (np.eye(3),), {}),
    ("tril_indices", (3, 1), {}),
    ("tril_indices_from", (X,), {}),
    ("triu_indices", (3,), {"m": 4}),
    ("triu_indices_from", (X, 1), {}),
    ("mask_indices", (3, np.triu), {}),
    ("ravel_multi_index", (([1, 0], [2, 1]), (2, 3)), {}),
    ("unravel_index", ([5, 1], (2, 3)), {}),
    ("packbits", (I > 2,), {"axis": 1}),
    ("unpackbits", (np.array([3, 200], np.uint8),), {}),
    ("gcd", (I, 6), {}),
    ("lcm", (I, 6), {}),
    ("bitwise_count", (I,), {}),
    ("bartlett", (5,), {}),
    ("blackman", (5,), {}),
    ("hamming", (5,), {}),
    ("hanning", (5,), {}),
    ("kaiser", (5, 2.0), {}),
    ("nextafter", (X, 9.0), {}),
    ("spacing", (X,), {}),
    ("signbit", (X,), {}),
    ("histogram_bin_edges", (X[0],), {}),
    ("tri", (3,), {"k": 1}),
]


def _parts(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


@pytest.mark.parametrize(("name", "args", "settings"), CONSTANTS, ids=[c[0] for c in CONSTANTS])
def test_constants(name, args, settings):
    expected = _parts(getattr(np, name)(*args, **settings))
    traced = [
        ac.tensor(a, requires_grad=a.dtype.kind == "f") if isinstance(a, np.ndarray) and a.dtype.kind in "fiu" else a
        for a in args
    ]
    calls = [(ac, args), (ac, traced)] + ([(np, traced)] if any(isinstance(a, ac.Tensor) for a in traced) else [])
    for module, arguments in calls:
        results = _parts(getattr(module, name)(*arguments, **settings))
        assert len(results) == len(expected)
        for result, reference in zip(results, expected):
            assert isinstance(result, ac.Tensor)
            reference = np.asarray(reference)
            assert (result.shape, result.dtype) == (reference.shape, reference.dtype)
            np.testing.assert_array_equal(result.numpy(), reference)
            if name not in ("nextafter", "spacing"):
                assert not result.requires_grad


def test_questions():
    t = ac.tensor([[1.0, 2.0]], requires_grad=True)
    assert np.allclose(t, [1.0, 2.0]) is True
    assert np.array_equal(t, t)
    assert np.array_equiv(t, [[1.0, 2.0]])
    assert np.shape(t) == (1, 2)
    assert np.ndim(t) == 2
    assert np.size(t, 1) == 2
    assert np.result_type(t, np.float32) == np.float64
    assert np.can_cast(np.float32, t.dtype)
    assert np.isrealobj(t)
    assert not np.iscomplexobj(t)
    assert not np.may_share_memory(t, np.zeros(2))
    assert not ac.isfortran(t)
    assert np.common_type(t) is np.float64
    assert np.min_scalar_type(t) == np.float64
    assert ac.broadcast_shapes((2, 1), (3,)) == (2, 3)
    assert np.array2string(t) == "[[1. 2.]]"
    assert np.array_str(t) == "[[1. 2.]]"
    assert np.array_repr(t) == "array([[1., 2.]])"
    assert np.einsum_path("ij,j->i", t, t[0])[0] == ["einsum_path", (0, 1)]
    file = io.BytesIO()
    np.save(file, t)
    file.seek(0)
    np.testing.assert_array_equal(np.load(file), [[1.0, 2.0]])
    text = io.StringIO()
    np.savetxt(text, t, fmt="%g")
    assert text.getvalue() == "1 2\n"


def test_a_gradient_of_what_has_none_says_so():
    t = ac.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ac.AutodiffError, match="dtype int64 has no derivative; booleans and integers are constants"):
        np.argsort(t)[0].backward()
    with pytest.raises(ac.AutodiffError, match="nextafter has no derivative"):
        np.nextafter(t, 3.0).sum().backward()
    with pytest.raises(ac.AutodiffError, match="quantile: there is no derivative by 'q'"):
        np.quantile(t, ac.tensor(0.5, requires_grad=True))
    for function in (np.floor, np.fix, np.round, np.spacing, np.sign, np.trunc):
        t.grad = None
        function(t).sum().backward()
        np.testing.assert_array_equal(t.grad, [0, 0])


def test_an_ndarray_does_not_swallow_history():
    t = ac.tensor([1.0, 2.0], requires_grad=True)
    for drop in (
        lambda: np.asarray(t),
        lambda: np.array([t, t]),
        lambda: np.sum([t, t]),
        lambda: np.exp([t[0], t[1]]),
        lambda: np.zeros(2).__setitem__(slice(None), t),
    ):
        with pytest.raises(ac.AutodiffError, match=r"an ndarray would lose its history.*tensor\.numpy\(\)"):
            drop()
    np.testing.assert_array_equal(np.asarray(t.detach()), [1, 2])
    np.testing.assert_array_equal(np.asarray(ac.tensor([1.0, 2.0])), [1, 2])
    np.testing.assert_array_equal(t.numpy(), [1, 2])
    np.testing.assert_array_equal(np.asarray(t, dtype=int), [1, 2])  # integers have no derivative to lose
    with ac.no_grad():
        np.testing.assert_array_equal(np.asarray(t), [1, 2])


def test_lists_of_tensors_keep_their_history():
    def total(a, b):
        rows = [
            ac.sum([a, b]),
            ac.array([[a, b], [b, 1.0]]).sum(),
            ac.exp([a, b]).sum(),
            ac.stack([a, b])[0],
            np.stack([a, b])[1],
            ac.mean([a, [b, 2.0][0]]),
            np.add([a, b], ac.ones(2))[0],
            ac.dot([a, b], [b, a]),
            np.select([True], [a]),
            np.linspace(a, b, 3)[1],
        ]
        return np.stack(rows)

    ac.testing.check_vjp(total, np.array(0.7), np.array(1.2))


def test_bincount_and_histograms_reach_the_weights():
    x, places = np.array([0.3, 1.5, 2.0, 3.0, 9.0]), np.array([0, 2, 2, 5, 0])
    w = np.array([0.5, 1.5, 2.5, 3.5, 4.5])
    ac.testing.check_vjp(lambda v: ac.bincount(places, v, 8), w)
    for density in (False, True):
        expected, _ = np.histogram(x, [0, 1, 2, 3], weights=w, density=density)
        hist, edges = np.histogram(x, [0, 1, 2, 3], weights=ac.tensor(w, requires_grad=True), density=density)
        np.testing.assert_allclose(hist.numpy(), expected)
        np.testing.assert_array_equal(edges.numpy(), [0, 1, 2, 3])
        ac.testing.check_vjp(lambda v, d=density: ac.histogram(x, [0, 1, 2, 3], weights=v, density=d)[0], w)
        expected, *_ = np.histogram2d(x, x[::-1], 2, weights=w, density=density)
        hist, *_ = ac.histogram2d(x, x[::-1], 2, weights=ac.tensor(w, requires_grad=True), density=density)
        np.testing.assert_allclose(hist.numpy(), expected)
        points = np.stack([x, x[::-1]], 1)
        hist, _ = ac.histogramdd(points, 2, weights=ac.tensor(w, requires_grad=True), density=density)
        np.testing.assert_allclose(hist.numpy(), expected)
        ac.testing.check_vjp(lambda v, d=density, p=points: ac.histogramdd(p, 2, weights=v, density=d)[0], w)


def test_polynomials_beyond_the_table():
    u, v = np.array([1.5, -2.0, 0.5, 3.0, 1.0]), np.array([2.0, 1.0, -0.7])
    quotient, rest = np.polydiv(ac.tensor(u), ac.tensor(v))
    for ours, theirs in zip((quotient, rest), np.polydiv(u, v)):
        np.testing.assert_allclose(ours, theirs)
    ac.testing.check_vjp(ac.polydiv, u, v)
    exact = ac.polydiv([1.0, 3.0, 2.0], [1.0, 1.0])
    np.testing.assert_array_equal(exact[0], [1, 2])
    np.testing.assert_array_equal(exact[1], [0])
    assert ac.roots([0.0, 0.0, 1.0, -3.0, 2.0]).tolist() == [2, 1]
    np.testing.assert_allclose(ac.roots([1.0, 0.0, 1.0]).numpy(), np.roots([1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(np.sort(ac.unique_values([3, 1, 3])), [1, 3])
    for call, message in [
        (lambda: ac.poly(np.eye(2)), "characteristic polynomials"),
        (lambda: ac.vander(np.eye(2)), "vander: x has shape"),
        (lambda: ac.polyfit([1.0], [1.0, 2.0], 1), "polyfit: deg is 1"),
        (lambda: ac.polyder([1.0], -1), "polyder: m is -1"),
        (lambda: ac.polyint([1.0], 3, [1.0, 2.0]), "polyint: 2 constants for m=3"),
        (lambda: ac.convolve([], [1.0]), "convolve: a has shape"),
        (lambda: ac.convolve([1.0], [1.0], "most"), "convolve: mode is 'most'"),
        (lambda: ac.gradient([1.0]), "gradient: axis 0 has length 1"),
        (lambda: ac.gradient([1.0, 2.0], edge_order=3), "gradient: edge_order is 3"),
        (lambda: ac.gradient([1.0, 2.0, 4.0], [1.0, 2.0]), "gradient: 2 coordinates for axis 0 of length 3"),
        (lambda: ac.interp(1.0, [1.0], [1.0, 2.0]), "interp: xp has shape"),
        (lambda: ac.interp(1.0, [1.0], [1.0], period=0), "interp: period is 0"),
        (lambda: ac.cov([1.0, 2.0], fweights=[1.5, 2.0]), "cov: fweights must be"),
        (lambda: ac.cov([1.0, 2.0], aweights=[1.0]), "cov: aweights must be"),
        (lambda: ac.select([], []), "select: 0 conditions"),
        (lambda: ac.matvec([1.0], [1.0]), "matvec: x1 has shape"),
        (lambda: ac.vecmat([1.0], [1.0]), "vecmat: x1 has shape"),
        (lambda: ac.diff([1.0], -1), "diff: n is -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="polyfit: full= and cov="):
        ac.polyfit([1.0, 2.0], [1.0, 2.0], 1, full=True)
    with pytest.raises(TypeError, match=r"select: condlist\[0\] has dtype int64"):
        ac.select([np.array([1])], [1.0])


def test_nan_variants_warn_where_nothing_is_left():
    x = np.array([[np.nan, np.nan], [1.0, np.nan]])
    t = ac.tensor(x, requires_grad=True)
    for name in ("nanmax", "nanmin", "nanmedian"):
        with pytest.warns(RuntimeWarning, match="All-NaN slice"):
            result = getattr(np, name)(t, axis=1)
        np.testing.assert_array_equal(result.numpy(), [np.nan, 1])
        (g,) = ac.grad(result, t, [0.0, 1.0])
        assert g.numpy()[1].tolist() == [1, 0]
    assert np.nansum(t).item() == 1
    assert np.nanmax(t, initial=5.0).item() == 5
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        assert np.isnan(ac.cov([1.0]).item())


def test_higher_derivatives_of_sinc_and_i0():
    """Third and fourth derivatives too, at 0 and beside it."""
    for function in (ac.sinc, ac.i0):

        def second(x, function=function):
            (first,) = ac.grad(function(x).sum(), x, create_graph=True)
            return ac.grad(first.sum(), x, create_graph=True)[0]

        ac.testing.check_vjp(lambda x, second=second: second(x + 0.0), np.array([0.0, 1e-3, 0.7, -1.3, 4.0]))
    x = ac.tensor(0.0, requires_grad=True)
    (first,) = ac.grad(ac.sinc(x), x, create_graph=True)
    (curvature,) = ac.grad(first, x)
    np.testing.assert_allclose(curvature.item(), -(np.pi**2) / 3, rtol=1e-14)


def test_replacing_nan_in_place():
    x = np.array([1.5, np.nan, np.inf])
    t = ac.tensor(x, requires_grad=True)
    changed = t * 1.0
    assert np.nan_to_num(changed, copy=False, posinf=7.0) is changed
    np.testing.assert_array_equal(changed.numpy(), [1.5, 0, 7])
    changed.sum().backward()
    np.testing.assert_array_equal(t.grad, [1, 0, 0])
    np.testing.assert_array_equal(ac.nan_to_num(x, copy=False), np.nan_to_num(x))
    assert np.isnan(x[1])


def test_positional_out_of_constants():
    out = ac.zeros(2, dtype=np.int64)
    assert np.argmax(ac.tensor([[1.0, 2.0], [4.0, 3.0]]), 1, out) is out
    assert out.tolist() == [1, 0]
