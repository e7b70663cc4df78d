"""Rows of softmax against float64 formulas; what is no number; threads; and that `nn` uses them rightly."""

import numpy as np
import pytest
from autograd_conv.kernels import softmax

import autograd_conv as ac
from autograd_conv import nn


def rows(shape, spread=3.0, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(np.float32)


def exact(x):
    """Softmax and its logarithm in double precision."""
    with np.errstate(invalid="ignore"):
        shifted = np.asarray(x, np.float64) - np.max(x, axis=-1, keepdims=True).astype(np.float64)
    total = np.exp(shifted).sum(axis=-1, keepdims=True)
    return np.exp(shifted) / total, shifted - np.log(total)


@pytest.mark.parametrize("shape", [(5, 32), (7, 33), (3, 4, 47), (2, 1000), (1, 70001)])
def test_against_double_precision(shape):
    x, g = rows(shape), rows(shape, 1.0, 1)
    assert softmax.serves(x, len(shape) - 1)
    p, log_p = exact(x)
    y, log_y = softmax.forward(x, False), softmax.forward(x, True)
    np.testing.assert_allclose(y, p, rtol=3e-6)
    np.testing.assert_allclose(log_y, log_p, rtol=1e-6, atol=3e-6)
    scale = np.abs(g).max()
    expected = p * (g - (g * p).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(softmax.backward(g, y, False), expected, rtol=1e-5, atol=1e-6 * scale)
    expected = g - p * g.sum(axis=-1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(softmax.backward(g, log_y, True), expected, rtol=1e-5, atol=1e-5 * scale)


def test_the_exponential_down_to_the_smallest_number():
    x = np.linspace(-110, 0, 100_001, dtype=np.float32)
    y, _ = softmax.forward(x[None], False), None
    total = np.exp(x.astype(np.float64)).sum()
    tiny = np.finfo(np.float32).smallest_subnormal
    np.testing.assert_allclose(y[0], np.exp(x.astype(np.float64)) / total, rtol=1e-6, atol=2 * tiny)


@pytest.mark.parametrize("length", [32, 45])
def test_what_is_no_number_in_bodies_and_tails(length):
    for at in (0, 15, length - 1):
        for bad, whole_row in ((np.nan, True), (-np.nan, True), (np.inf, True), (-np.inf, False)):
            x = rows((3, length))
            x[1, at] = bad
            expected, logarithms = exact(x)
            with np.errstate(invalid="raise"):  # as NumPy's way: no warning
                got = softmax.forward(x, False)
            assert np.isnan(got[1]).all() == whole_row
            np.testing.assert_allclose(got, expected, rtol=3e-6)
            np.testing.assert_allclose(softmax.forward(x, True), logarithms, rtol=1e-5, atol=3e-6)
    nothing = np.full((1, length), -np.inf, np.float32)
    assert np.isnan(softmax.forward(nothing, False)).all()


def test_results_do_not_depend_on_the_number_of_threads():
    x, g = rows((600, 500)), rows((600, 500), 1.0, 1)
    threads, found = ac.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            ac.set_num_threads(count)
            y = softmax.forward(x, True)
            found.append((y, softmax.backward(g, y, True), *softmax.sums(x)))
    finally:
        ac.set_num_threads(threads)
    for other in found[1:]:
        for a, b in zip(found[0], other):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("function", [nn.softmax, nn.log_softmax])
def test_first_and_second_derivatives_of_long_rows(function):
    """The same as those of the formulas, which take float64 arrays."""
    x, v = rows((140, 500)), rows((140, 500), 1.0, 1)
    results = []
    for dtype in (np.float32, np.float64):
        t = ac.tensor(x.astype(dtype), requires_grad=True)
        w = ac.tensor(v.astype(dtype), requires_grad=True)
        (gx,) = ac.grad(function(t), [t], w, create_graph=True)
        results.append([r.data for r in (gx, *ac.grad(gx, [t, w], v[::-1].astype(dtype)))])
    for single, double in zip(*results):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=2e-5 * np.abs(double).max())


@pytest.mark.parametrize("ignored", [False, True])
def test_cross_entropy_of_long_rows(ignored):
    x, weight = rows((140, 500)), np.random.default_rng(2).random(500).astype(np.float32)
    target = np.random.default_rng(3).integers(0, 500, 140)
    if ignored:
        target[::7] = -100
        x[7, 3] = np.nan  # of a row that is ignored
    results = []
    for dtype in (np.float32, np.float64):
        t = ac.tensor(x.astype(dtype), requires_grad=True)
        loss = nn.cross_entropy(t, target, weight=weight.astype(dtype))
        (gx,) = ac.grad(loss, [t], create_graph=True)
        again = ac.grad(gx, [t], rows((140, 500), 1.0, 4).astype(dtype))[0]
        results.append([loss.data, gx.data, again.data])
    for single, double in zip(*results):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=2e-5 * np.nanmax(np.abs(double)))


def test_what_is_not_served():
    assert not softmax.serves(rows((5, 31)), 1)
    assert not softmax.serves(rows((40, 40)).T, 1)
    assert not softmax.serves(rows((40, 40)), 0)
    assert not softmax.serves(rows((40, 40)).astype(np.float64), 1)
    assert not softmax.serves(rows((0, 40)), 1)
