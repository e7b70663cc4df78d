"""Sums and affine maps for each channel: against NumPy in double precision, in all memory orders."""

import numpy as np
import pytest
from autograd_conv.kernels import channelwise, threads
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def _threads_restored():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def _others(ndim, axis):
    return tuple(k for k in range(ndim) if k != axis)


def _wide(vector, ndim, axis):
    return np.asarray(vector, np.float64).reshape((1,) * axis + (-1,) + (1,) * (ndim - 1 - axis))


def _array(rng, shape, order, dtype, step):
    """An array whose axes lie in memory in that order, with a gap behind each row if `step` is 2."""
    inner = [shape[k] for k in order]
    inner[-1] *= step
    whole = rng.standard_normal(inner).astype(dtype)[..., ::step]
    return whole.transpose(np.argsort(order))


@st.composite
def _cases(draw):
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
    if draw(st.booleans()):
        shape = (draw(st.sampled_from([64, 200])), *shape[1:])
    orders = [draw(st.permutations(range(len(shape)))) for _ in range(2)]
    axis = draw(st.integers(0, len(shape) - 1))
    return shape, orders, axis, draw(st.sampled_from(["f4", "f8"])), draw(st.sampled_from([1, 2])), draw(st.integers(0))


@given(_cases())
def test_all_functions_in_all_memory_orders(case):
    shape, orders, axis, dtype, step, seed = case
    rng = np.random.default_rng(seed)
    x, g = (_array(rng, shape, order, dtype, step) for order in orders)
    vectors = rng.standard_normal((4, shape[axis]))
    mean, a, b, shift = (_wide(v, x.ndim, axis) for v in vectors)
    exact_x, exact_g, others = x.astype(np.float64), g.astype(np.float64), _others(x.ndim, axis)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == "f4" else {"rtol": 1e-11, "atol": 1e-11}

    found = channelwise.moments(x, axis)
    np.testing.assert_allclose(found[0], exact_x.mean(others), **close)
    np.testing.assert_allclose(found[1], exact_x.var(others), **close)
    found = channelwise.sums(g, x, vectors[0], axis)
    np.testing.assert_allclose(found[0], exact_g.sum(others), **close)
    np.testing.assert_allclose(found[1], (exact_g * (exact_x - mean)).sum(others), **close)
    np.testing.assert_allclose(channelwise.totals(g, axis), exact_g.sum(others), **close)
    y = channelwise.affine(x, vectors[0], vectors[1], vectors[3], axis)
    np.testing.assert_allclose(y, (exact_x - mean) * a + shift, **close)
    z = channelwise.blend(g, x, *vectors, axis)
    np.testing.assert_allclose(z, exact_g * a + (exact_x - mean) * b + shift, **close)
    assert y.dtype == z.dtype == x.dtype
    if step == 1:
        assert y.strides == x.strides or 1 in shape
        assert z.strides == x.strides or 1 in shape


@pytest.mark.parametrize("shape", [(6, 16, 24, 24), (5, 3, 40, 40), (32, 130, 9, 11), (3, 96, 64, 64)])
@pytest.mark.parametrize("last", [False, True])
def test_results_do_not_depend_on_the_number_of_threads(rng, shape, last):
    x, g = rng.standard_normal((2, *shape)).astype(np.float32)
    if last:
        x, g = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (x, g))
    vectors = rng.standard_normal((4, shape[1]))
    found = []
    for count in (1, 2, 5):
        threads.set_num_threads(count)
        found.append(
            (
                *channelwise.moments(x, 1),
                *channelwise.sums(g, x, vectors[0], 1),
                channelwise.totals(g, 1),
                channelwise.affine(x, *vectors[:3], 1),
                channelwise.blend(g, x, *vectors, 1),
            )
        )
    for results in found[1:]:
        for one, other in zip(results, found[0]):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("last", [False, True])
def test_moments_of_values_far_from_zero(rng, last):
    x = (rng.standard_normal((64, 3, 24, 24)) + [[[1e4]], [[-3e5]], [[0]]]).astype(np.float32)
    x[0, 2, 0, 0] = 1e5  # one value far from all others
    exact = x.astype(np.float64)
    if last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    mean, variance = channelwise.moments(x, 1)
    np.testing.assert_allclose(mean, exact.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(variance, exact.var((0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("last", [False, True])
def test_rounding_does_not_grow_with_the_batch(last):
    x = np.full((64, 2, 128, 128), 0.1, np.float32)
    if last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    mean, variance = channelwise.moments(x, 1)
    total, _ = channelwise.sums(x, x, mean, 1)
    exact = float(np.float32(0.1))
    np.testing.assert_allclose(channelwise.totals(x, 1), exact * 64 * 128 * 128, rtol=2e-6)
    np.testing.assert_allclose(mean, exact, rtol=2e-6)
    assert (variance < 1e-13).all()
    np.testing.assert_allclose(total, exact * 64 * 128 * 128, rtol=2e-6)


@pytest.mark.parametrize("channels", [1, 3, 16, 70])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("last", [False, True])
def test_special_values_stay_in_their_channel(rng, channels, value, last):
    shape = (4, 5, 7, channels) if last else (4, channels, 5, 7)
    x = rng.standard_normal(shape).astype(np.float32)
    axis = 3 if last else 1
    for c in range(channels):
        special = x.copy()
        np.moveaxis(special, axis, 0)[c].flat[17] = value
        mean, variance = channelwise.moments(special, axis)
        total, dot = channelwise.sums(special, x, np.zeros(channels), axis)
        for found in (mean, variance, total, dot, channelwise.totals(special, axis)):
            assert not np.isfinite(found[c])
            assert np.isfinite(np.delete(found, c)).all()
        y = np.moveaxis(channelwise.affine(special, *np.ones((3, channels)), axis), axis, 0)
        assert np.isfinite(y).sum() == x.size - 1
        assert not np.isfinite(y[c].flat[17])


def test_nothing():
    for shape in ((0, 3, 2), (4, 0, 2)):
        x = np.zeros(shape, np.float32)
        vectors = np.ones((4, shape[1]))
        for found in (*channelwise.moments(x, 1), *channelwise.sums(x, x, vectors[0], 1), channelwise.totals(x, 1)):
            np.testing.assert_array_equal(found, np.zeros(shape[1]))
        assert channelwise.affine(x, *vectors[:3], 1).shape == channelwise.blend(x, x, *vectors, 1).shape == shape


def test_integers_are_refused():
    with pytest.raises(TypeError, match="moments: the arrays must be floating-point"):
        channelwise.moments(np.ones((3, 2), int), 1)
