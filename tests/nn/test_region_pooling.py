"""Adaptive, global and fractional pooling against nested loops: values, gradients, edge cases, memory, errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from autograd_conv.kernels import places, regions
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp

AVG = (nn.adaptive_avg_pool1d, nn.adaptive_avg_pool2d, nn.adaptive_avg_pool3d)
MAX = (nn.adaptive_max_pool1d, nn.adaptive_max_pool2d, nn.adaptive_max_pool3d)
GLOBAL_AVG = (nn.global_avg_pool1d, nn.global_avg_pool2d, nn.global_avg_pool3d)
GLOBAL_MAX = (nn.global_max_pool1d, nn.global_max_pool2d, nn.global_max_pool3d)
FRACTIONAL = {2: nn.fractional_max_pool2d, 3: nn.fractional_max_pool3d}
LAYOUTS = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))

# --- oracles: import nothing of ours -----------------------------------------------------------------------------


def adaptive(sizes, out):
    """For each axis the regions, as lists of elements."""
    return [[range(math.floor(i * n / o), math.ceil((i + 1) * n / o)) for i in range(o)] for n, o in zip(sizes, out)]


def intervals(u, size, out, taps):
    """Begins of the regions of fractional pooling, one by one, in the precision of `u`."""
    real = type(u)
    begins = []
    for i in range(out - 1):
        alpha = real(size - taps) / real(out - 1)
        begins.append(int((real(i) + u) * alpha) - int(u * alpha))
    return [range(b, b + taps) for b in [*begins, size - taps]]


def region_max(x, regions_of, gy=None):
    """y, indices, gx of the maximum over regions, channels first; `regions_of(n, c)`: as `adaptive` gives them."""
    some = regions_of(0, 0)
    y = np.zeros((*x.shape[:2], *map(len, some)), x.dtype)
    indices, gx = np.zeros(y.shape, np.int64), np.zeros(x.shape)
    for n, c in itertools.product(*map(range, x.shape[:2])):
        for i in itertools.product(*map(range, y.shape[2:])):
            best = place = None
            for h in itertools.product(*[axis[k] for axis, k in zip(regions_of(n, c), i)]):
                value = x[(n, c, *h)]
                if best is None or value != value or value > best:
                    best, place = value, h
            y[(n, c, *i)] = best
            indices[(n, c, *i)] = np.ravel_multi_index(place, x.shape[2:])
            if gy is not None:
                gx[(n, c, *place)] += gy[(n, c, *i)]
    return y, indices, gx


def region_average(x, out, gy):
    """y and gx of adaptive average pooling, channels first."""
    table = adaptive(x.shape[2:], out)
    y, gx = np.zeros((*x.shape[:2], *out)), np.zeros(x.shape)
    for i in itertools.product(*map(range, out)):
        elements = list(itertools.product(*[axis[k] for axis, k in zip(table, i)]))
        for h in elements:
            y[(..., *i)] += x[(..., *h)] / len(elements)
            gx[(..., *h)] += gy[(..., *i)] / len(elements)
    return y, gx


# --- helpers -----------------------------------------------------------------------------------------------------


def last(array):
    """Channels first -> channels last."""
    return np.moveaxis(array, 1, -1)


def in_memory(array, channels_last):
    """The same array, channels first for whoever looks, with either order in memory."""
    return np.moveaxis(np.ascontiguousarray(last(array)), -1, 1) if channels_last else np.ascontiguousarray(array)


def close(actual, expected, dtype=np.float64):
    tolerance = {np.float64: 1e-12, np.float32: 2e-6, np.float16: 2e-3}[dtype]
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def line(values, dtype=float):
    return np.asarray(values, dtype).reshape(1, 1, -1)


@pytest.fixture
def eager_threads(monkeypatch):
    """Split even the smallest work."""
    from autograd_conv.kernels import threads

    before = threads.get_num_threads()
    monkeypatch.setattr(threads, "SERIAL_NANOSECONDS", 0)
    monkeypatch.setattr(threads, "RANGE_NANOSECONDS", 0)
    yield threads
    threads.set_num_threads(before)


@st.composite
def adaptations(draw):
    """Shape and output size, the sizes of the two in any relation."""
    n = draw(st.integers(1, 3))
    most = {1: 9, 2: 6, 3: 4}[n]
    sizes = tuple(draw(st.integers(1, most)) for _ in range(n))
    out = tuple(draw(st.integers(1, most + 1)) for _ in range(n))
    return (draw(st.integers(0, 2)), draw(st.integers(1, 3)), *sizes), out


# --- random shapes -----------------------------------------------------------------------------------------------


@given(
    adaptations(), st.booleans(), st.booleans(), st.sampled_from([np.float32, np.float64]), st.integers(0, 2**32 - 1)
)
@settings(max_examples=80)
def test_random_adaptive_averages(pulled, case, channels_last, memory_last, dtype, seed):
    shape, out = case
    rng, n = np.random.default_rng(seed), len(out)
    x = in_memory(rng.standard_normal(shape).astype(dtype), memory_last)
    gy = in_memory(rng.standard_normal((*shape[:2], *out)).astype(dtype), memory_last)
    y, gx = region_average(x.astype(float), out, gy.astype(float))
    order = last if channels_last else np.asarray
    layout = LAYOUTS[n - 1][channels_last]
    found = pulled(lambda x: AVG[n - 1](x, out, layout=layout), order(gy), order(x))
    assert found[0].dtype == found[1].dtype == dtype
    close(found[0], order(y), dtype)
    close(found[1], order(gx), dtype)


@given(adaptations(), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=80)
def test_random_adaptive_maxima(pulled, case, channels_last, memory_last, distinct, seed):
    shape, out = case
    rng, n = np.random.default_rng(seed), len(out)
    x = rng.permutation(math.prod(shape)).reshape(shape) * 1.0 if distinct else rng.integers(0, 3, shape) * 1.0
    gy = rng.standard_normal((*shape[:2], *out))
    y, indices, gx = region_max(x, lambda n, c: adaptive(shape[2:], out), gy)
    order = last if channels_last else np.asarray
    x, layout = in_memory(x, memory_last), LAYOUTS[n - 1][channels_last]
    found = pulled(lambda x: MAX[n - 1](x, out, layout=layout), order(gy), order(x))
    np.testing.assert_array_equal(found[0], order(y))
    close(found[1], order(gx))
    again, where = MAX[n - 1](order(x), out, return_indices=True, layout=layout)
    np.testing.assert_array_equal(again.data, order(y))
    assert where.dtype == np.int64
    np.testing.assert_array_equal(where.data, order(indices))
    with_indices = pulled(lambda x: MAX[n - 1](x, out, True, layout=layout)[0], order(gy), order(x))
    np.testing.assert_array_equal(with_indices[1], found[1])


@given(
    st.sampled_from([2, 3]),
    st.data(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_random_fractional_maxima(pulled, n, data, channels_last, memory_last, dtype, seed):
    taps = tuple(data.draw(st.integers(1, 3)) for _ in range(n))
    out = tuple(data.draw(st.integers(1, 4)) for _ in range(n))
    sizes = tuple(o + k - 1 + data.draw(st.integers(0, 4 if n == 2 else 2)) for o, k in zip(out, taps))
    rng = np.random.default_rng(seed)
    shape = (data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3)), *sizes)
    x = in_memory(rng.integers(0, 5, shape).astype(dtype), memory_last)
    u = rng.random((*shape[:2], n), dtype)
    gy = rng.standard_normal((*shape[:2], *out)).astype(dtype)

    def regions_of(b, c):
        if u.size == 0:
            return [[range(1)] * o for o in out]
        samples = u[b, c, ::-1] if n == 2 else u[b, c]
        return [intervals(*axis) for axis in zip(samples, sizes, out, taps)]

    y, indices, gx = region_max(x, regions_of, gy)
    order = last if channels_last else np.asarray
    setting = {"output_size": out, "_random_samples": u, "layout": LAYOUTS[n - 1][channels_last]}
    found = pulled(lambda x: FRACTIONAL[n](x, taps, **setting), order(gy), order(x))
    assert found[0].dtype == found[1].dtype == dtype
    np.testing.assert_array_equal(found[0], order(y))
    close(found[1], order(gx), dtype)
    again, where = FRACTIONAL[n](order(x), taps, return_indices=True, **setting)
    np.testing.assert_array_equal(again.data, order(y))
    np.testing.assert_array_equal(where.data, order(indices))


@pytest.mark.parametrize("channels", [15, 16, 17, 23, 24, 25])
@pytest.mark.parametrize("channels_last", [False, True])
def test_channel_counts_around_the_vector_width(rng, channels, channels_last):
    x = rng.standard_normal((2, channels, 5, 4)).astype(np.float32)
    order, layout = (last if channels_last else np.asarray), LAYOUTS[1][channels_last]
    y, gx = region_average(x.astype(float), (3, 2), np.ones((2, channels, 3, 2)))
    t = ac.tensor(order(x), requires_grad=True)
    found = nn.adaptive_avg_pool2d(t, (3, 2), layout=layout)
    found.backward(np.ones(found.shape))
    close(found.data, order(y), np.float32)
    close(t.grad, order(gx), np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    y, indices, _ = region_max(x, lambda n, c: adaptive((5, 4), (3, 2)))
    found = nn.adaptive_max_pool2d(order(x), (3, 2), return_indices=True, layout=layout)
    np.testing.assert_array_equal(found[0].data, order(y))
    np.testing.assert_array_equal(found[1].data, order(indices))


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 5, 4)])
@pytest.mark.parametrize("out", [(2, 3), (None, 1), (7, 5)])
def test_first_and_second_order(rng, shape, out):
    x = rng.permutation(math.prod(shape)).reshape(shape) / 7.0  # all distinct: differences cross no tie
    check_vjp(nn.adaptive_avg_pool2d, x, out, max_elements=12)
    check_vjp(lambda x: nn.adaptive_avg_pool2d(x, out) ** 3, x, order=3, rtol=1e-4, max_elements=6)
    check_vjp(nn.adaptive_max_pool2d, x, out, max_elements=12)
    check_vjp(lambda x: nn.adaptive_max_pool2d(x, out) ** 3, x, order=3, rtol=1e-4, max_elements=6)
    check_vjp(lambda x: nn.adaptive_max_pool2d(x, out, return_indices=True)[0] ** 2, x, max_elements=12)
    check_vjp(lambda x: nn.fractional_max_pool2d(x, 2, output_size=3, rng=1) ** 2, x, max_elements=12)
    check_vjp(lambda x: nn.fractional_max_pool2d(x, 2, output_ratio=0.6, return_indices=True, rng=1)[0], x)


@pytest.mark.parametrize("layout", ["NCDHW", "NDHWC"])
def test_second_order_of_volumes(rng, layout):
    x = rng.permutation(2 * 3 * 4 * 3 * 4).reshape(2, 3, 4, 3, 4) / 7.0
    check_vjp(lambda x: nn.adaptive_avg_pool3d(x, (2, 2, 3), layout=layout) ** 2, x, max_elements=12)
    check_vjp(lambda x: nn.adaptive_max_pool3d(x, (2, 2, 3), layout=layout) ** 2, x, max_elements=12)
    check_vjp(lambda x: nn.fractional_max_pool3d(x, 2, output_size=2, rng=3, layout=layout) ** 2, x, max_elements=12)
    check_vjp(lambda x: nn.global_avg_pool3d(x, layout=layout) ** 2, x, max_elements=12)


# --- global pools ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("keepdims", [True, False])
def test_global_pools(pulled, rng, axes, channels_last, batched, keepdims):
    shape = (2, 3, *(4, 5, 2)[:axes])
    x = rng.standard_normal(shape)
    layout = LAYOUTS[axes - 1][channels_last]
    spatial = tuple(range(1, axes + 1)) if channels_last else tuple(range(2, axes + 2))
    x = last(x) if channels_last else x
    if not batched:
        x, spatial = x[0], tuple(axis - 1 for axis in spatial)
    mean, largest = x.mean(axis=spatial, keepdims=keepdims), x.max(axis=spatial, keepdims=keepdims)
    found, gx = pulled(lambda x: GLOBAL_AVG[axes - 1](x, keepdims, layout=layout), np.ones(mean.shape), x)
    assert found.shape == mean.shape
    close(found, mean)
    close(gx, np.full(x.shape, 1 / math.prod(shape[2:])))
    found, gx = pulled(lambda x: GLOBAL_MAX[axes - 1](x, keepdims=keepdims, layout=layout), np.ones(mean.shape), x)
    assert found.shape == mean.shape
    np.testing.assert_array_equal(found, largest)
    np.testing.assert_array_equal(gx, x == x.max(axis=spatial, keepdims=True))


# --- the edge cases, by number -----------------------------------------------------------------------------------


def test_case_09_zero_batch(pulled):
    x = np.zeros((0, 3, 4, 5))
    for pool in (
        lambda x: nn.adaptive_avg_pool2d(x, 2),
        lambda x: nn.adaptive_max_pool2d(x, 2),
        lambda x: nn.fractional_max_pool2d(x, 2, output_size=2),
    ):
        y, gx = pulled(pool, np.zeros((0, 3, 2, 2)), x)
        assert y.shape == (0, 3, 2, 2)
        assert gx.shape == x.shape
    assert nn.global_avg_pool2d(x).shape == nn.global_max_pool2d(x).shape == (0, 3)


def test_an_output_of_no_elements(pulled):
    for pool in (nn.adaptive_avg_pool2d, nn.adaptive_max_pool2d):
        y, gx = pulled(lambda x, p=pool: p(x, (0, 2)), np.zeros((2, 3, 0, 2)), np.ones((2, 3, 4, 5)))
        assert y.shape == (2, 3, 0, 2)
        np.testing.assert_array_equal(gx, np.zeros((2, 3, 4, 5)))
        assert pool(np.zeros((2, 3, 0, 5)), (0, 2)).shape == (2, 3, 0, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_case_12_and_nnlib_86_one_of_equal_elements_takes_all(pulled, dtype):
    # FluxML/NNlib.jl#86: every tied element got the full gradient.
    x = np.ones((1, 2, 3, 3), dtype)
    expected = np.broadcast_to([[1, 1, 0], [1, 1, 0], [0, 0, 0]], x.shape)
    for pool in (
        lambda x: nn.adaptive_max_pool2d(x, 2, return_indices=True),
        lambda x: nn.fractional_max_pool2d(x, 2, output_size=2, return_indices=True),
    ):
        np.testing.assert_array_equal(pool(x)[1].data.reshape(2, 4), [[0, 1, 3, 4]] * 2)
        _, gx = pulled(lambda x, p=pool: p(x)[0], np.ones((1, 2, 2, 2)), x)
        np.testing.assert_array_equal(gx, expected)
    _, gx = pulled(nn.global_max_pool2d, np.ones((1, 2)), x)
    assert gx.sum() == 2
    assert (gx[:, :, 0, 0] == 1).all()
    zeros = np.array([[[[-0.0, 0.0], [0.0, -0.0]]]], dtype)
    for sign in (1, -1):
        assert nn.adaptive_max_pool2d(sign * zeros, 1, return_indices=True)[1].item() == 0


@pytest.mark.parametrize("channels", [1, 16, 19])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_case_13_nan_wins(channels, layout, dtype):
    x = np.tile(np.array([[5, np.nan, 1], [np.nan, 3, 9]], dtype), (1, channels, 1, 1))
    x = last(x) if layout == "NHWC" else x
    for pool in (
        lambda x: nn.adaptive_max_pool2d(x, 1, return_indices=True, layout=layout),
        lambda x: nn.fractional_max_pool2d(x, (2, 3), output_size=1, return_indices=True, layout=layout),
    ):
        t = ac.tensor(x, requires_grad=True)
        y, indices = pool(t)
        assert np.isnan(y.data).all()
        assert (indices.data == 3).all()
        y.backward(np.ones(y.shape))
        gx = np.moveaxis(t.grad, -1, 1) if layout == "NHWC" else t.grad
        np.testing.assert_array_equal(gx, np.broadcast_to([[0, 0, 0], [1, 0, 0]], gx.shape))


def test_case_14_a_window_of_negative_infinities():
    for channels in (1, 2):
        x = np.full((1, channels, 3, 3), -np.inf)
        for y, indices in (
            nn.adaptive_max_pool2d(x, 2, return_indices=True),
            nn.fractional_max_pool2d(x, 2, output_size=2, return_indices=True),
        ):
            assert (y.data == -np.inf).all()
            np.testing.assert_array_equal(indices.data.reshape(channels, 4), [[0, 1, 3, 4]] * channels)


def test_case_18_adaptive_averages():
    np.testing.assert_array_equal(nn.adaptive_avg_pool1d(line([1, 2, 3, 4, 5]), 3).data.ravel(), [1.5, 3, 4.5])
    np.testing.assert_array_equal(nn.adaptive_avg_pool1d(line([1, 2, 3]), 5).data.ravel(), [1, 1.5, 2, 2.5, 3])
    gx = ac.tensor(line([0, 0, 0, 0, 0]), requires_grad=True)
    nn.adaptive_avg_pool1d(gx, 3).backward(line([2, 3, 4]))
    np.testing.assert_array_equal(gx.grad.ravel(), [1, 2, 1, 3, 2])
    np.testing.assert_array_equal(nn.adaptive_max_pool1d(line([1, 5, 3, 4, 2]), 3).data.ravel(), [5, 5, 4])


@pytest.mark.parametrize(("n", "o"), list(itertools.product(range(1, 9), repeat=2)))
def test_the_regions_of_an_element_are_the_elements_of_a_region(n, o):
    """What makes the gradient of adaptive averages the same loop with the sizes exchanged."""
    members = [set(range(*map(int, run))) for run in regions.adaptive_table(n, o)]
    holders = [set(range(*map(int, run))) for run in regions.adaptive_table(o, n)]
    assert members == [set(run) for run in adaptive((n,), (o,))[0]]
    assert all((k in members[i]) == (i in holders[k]) for i in range(o) for k in range(n))


def test_case_17_overlapping_windows_accumulate(pulled):
    peak = np.zeros((1, 1, 3, 3))
    peak[0, 0, 1, 1] = 1
    for _ in range(2):  # a buffer left dirty would show
        for pool in (
            lambda x: nn.adaptive_max_pool2d(x, 2),
            lambda x: nn.fractional_max_pool2d(x, 2, output_size=2),
        ):
            _, gx = pulled(pool, np.ones((1, 1, 2, 2)), peak)
            np.testing.assert_array_equal(gx, 4 * peak)
        _, gx = pulled(lambda x: nn.adaptive_avg_pool2d(x, 2), np.full((1, 1, 2, 2), 4.0), peak)
        np.testing.assert_array_equal(gx[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])


POOLS = {
    "adaptive_avg": lambda x: nn.adaptive_avg_pool2d(x, (5, 4)),
    "adaptive_max": lambda x: nn.adaptive_max_pool2d(x, (5, 4)),
    "fractional_max": lambda x: nn.fractional_max_pool2d(x, 2, output_size=(5, 4), rng=0),
}


@pytest.mark.parametrize("name", POOLS)
def test_case_21_any_memory(rng, name):
    pool = POOLS[name]
    x = rng.standard_normal((2, 3, 6, 5))
    gy = rng.standard_normal((2, 3, 5, 4))

    def run(x, gy):
        t = ac.tensor(x, requires_grad=True)
        pool(t).backward(gy)
        return pool(x).data, t.grad

    expected = run(x, gy)
    constant = x.copy()
    constant.flags.writeable = False
    for array, seed in (
        (np.asfortranarray(x), np.asfortranarray(gy)),
        (in_memory(x, True), in_memory(gy, True)),
        (np.ascontiguousarray(x[:, ::-1, :, ::-1])[:, ::-1, :, ::-1], np.ascontiguousarray(gy.T).T),
        (np.repeat(x, 2, axis=3)[..., ::2], np.repeat(gy, 2, axis=0)[::2]),
        (constant, gy),
        (x.astype(">f8"), gy),
    ):
        for actual, value in zip(run(array, seed), expected):
            np.testing.assert_allclose(actual, value, rtol=1e-15, atol=1e-15)
            assert actual.flags.writeable
    flat = np.broadcast_to(np.float64(2), (1, 1, 6, 5))
    np.testing.assert_array_equal(pool(flat).data, np.full((1, 1, 5, 4), 2.0))
    np.testing.assert_array_equal(pool(x).data, expected[0])  # the input was not touched


def test_channels_that_lie_last_stay_last(rng):
    """The next layer finds what its kernel wants."""
    x = in_memory(rng.standard_normal((2, 3, 6, 5)), True)
    for pool in POOLS.values():
        assert last(pool(x).data).flags.c_contiguous
    gy = np.ascontiguousarray(last(x))[:, None]
    assert regions.adaptive_average_input_gradient(gy, (1, 7, 9)).flags.c_contiguous


def test_results_are_fresh():
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    for y in (nn.adaptive_avg_pool2d(x, None).data, nn.adaptive_max_pool2d(x, None).data):
        np.testing.assert_array_equal(y, x)
        assert not np.shares_memory(y, x)


@pytest.mark.parametrize("memory_last", [False, True])
@pytest.mark.parametrize("out", [1, 3, (2, 7)])
def test_pytorch_67239_channels_last_adaptive_pooling(rng, memory_last, out):
    # Gradients were wrong for inputs that were slices, and cotangents in another memory order than the input.
    wide = rng.standard_normal((4, 18, 7, 6))
    x = in_memory(wide, memory_last)[::2, 1::2]
    sizes = (out, out) if isinstance(out, int) else out
    gy = rng.standard_normal((2, 9, *sizes))
    y, gx = region_average(x, sizes, gy)
    y_max, _, gx_max = region_max(x, lambda n, c: adaptive((7, 6), sizes), gy)
    for cotangent in (gy, in_memory(gy, True), np.asfortranarray(gy)):
        t = ac.tensor(x, requires_grad=True)
        nn.adaptive_avg_pool2d(t, out).backward(cotangent)
        close(t.grad, gx)
        t.grad = None
        found = nn.adaptive_max_pool2d(t, out)
        found.backward(cotangent)
        close(t.grad, gx_max)
        np.testing.assert_array_equal(found.data, y_max)
    close(nn.adaptive_avg_pool2d(x, out).data, y)


def test_chainer_7911_float64_is_pooled_in_float64():
    x = np.array([1.0, 1 + 2**-40]).reshape(1, 1, 1, 2)
    assert nn.adaptive_avg_pool2d(x, 1).item() == 1 + 2**-41
    assert nn.global_avg_pool2d(x).item() == 1 + 2**-41
    assert nn.adaptive_max_pool2d(x, 1).item() == 1 + 2**-40
    assert nn.fractional_max_pool2d(x, (1, 2), output_size=1).item() == 1 + 2**-40


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_case_23_dtypes_are_kept(pulled, dtype):
    x = np.ones((2, 3, 4, 5), dtype)
    for pool in (
        lambda x: nn.adaptive_avg_pool2d(x, 2),
        lambda x: nn.adaptive_max_pool2d(x, 2),
        lambda x: nn.fractional_max_pool2d(x, 2, output_size=2),
    ):
        y, gx = pulled(pool, np.ones((2, 3, 2, 2)), x)
        assert y.dtype == gx.dtype == dtype
    # 4096 ones do not add up in float16
    assert nn.global_avg_pool1d(np.ones((1, 1, 4096), np.float16)).item() == 1


def test_a_long_float32_average_is_exact_to_the_last_digits(rng):
    x = rng.random((1, 1, 512, 512)).astype(np.float32)
    for memory_last in (False, True):
        found = nn.global_avg_pool2d(np.repeat(in_memory(x, memory_last), 2, axis=1))
        assert abs(found.data[0, 0] - x.mean(dtype=np.float64)) < 1e-6


def test_case_23_integers():
    x = np.arange(16).reshape(1, 1, 4, 4)
    for dtype in (np.int8, np.uint8, np.int64, np.uint64):
        for pool in (
            lambda x: nn.adaptive_max_pool2d(x, 2),
            lambda x: nn.fractional_max_pool2d(x, 2, output_size=2),
        ):
            y = pool(x.astype(dtype))
            assert y.dtype == dtype
            assert y.tolist() == [[[[5, 7], [13, 15]]]]
    largest = np.array([2**64 - 2, 2**64 - 1], np.uint64).reshape(1, 1, 2)
    assert nn.adaptive_max_pool1d(largest, 1, return_indices=True)[1].item() == 1
    with pytest.raises(TypeError, match="adaptive_avg_pool2d: argument 'input' has dtype int64; it must be floating"):
        nn.adaptive_avg_pool2d(x, 2)


def test_case_25_the_hessian_is_the_routing_again():
    x = ac.tensor(line([1, 2, 4, 3]), requires_grad=True)
    (gx,) = ac.grad(ac.sum(nn.adaptive_max_pool1d(x, 2) ** 2), x, create_graph=True)
    hessian = [ac.grad(gx[0, 0, k], x, retain_graph=True)[0].data.ravel() for k in range(4)]
    np.testing.assert_array_equal(hessian, np.diag([0, 2, 2, 0]))


def test_case_26_places_beyond_32_bits():
    assert places.place_dtype(2**32 - 1) == np.uint32
    assert places.place_dtype(2**32) == np.int64


def test_what_is_saved_is_small():
    x = ac.tensor(np.zeros((2, 3, 8, 8)), requires_grad=True)
    with ac.Tape() as tape:
        nn.adaptive_max_pool2d(x, 2)
        nn.adaptive_avg_pool2d(x, 2)
        nn.fractional_max_pool2d(x, 2, output_size=2)
    assert [record.primitive.name for record in tape] == [
        "adaptive_max_pool",
        "adaptive_avg_pool",
        "fractional_max_pool",
    ]
    for k in (0, 2):
        (place,) = [saved for saved in tape[k].saved if isinstance(saved, np.ndarray)]
        assert place.dtype == np.uint8
        assert place.size == 2 * 3 * 2 * 2
    assert not any(isinstance(saved, np.ndarray) for saved in tape[1].saved)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("memory_last", [False, True])
def test_bitwise_equal_for_every_number_of_threads(eager_threads, rng, dtype, memory_last):
    x = in_memory(rng.standard_normal((3, 37, 9, 8)).astype(dtype), memory_last)
    results = []
    for n in (1, 2, 3, 8):
        eager_threads.set_num_threads(n)
        row = []
        for pool in (nn.global_avg_pool2d, *POOLS.values()):
            t = ac.tensor(x, requires_grad=True)
            y = pool(t)
            (y * y).sum().backward()
            row += [y.data.tobytes(), t.grad.tobytes()]
        results.append(row)
    assert results[1:] == results[:1] * 3


# --- fractional pooling: random numbers --------------------------------------------------------------------------


def test_random_regions_come_from_the_generator(rng):
    x = rng.standard_normal((2, 3, 9, 9))
    pool = lambda **setting: nn.fractional_max_pool2d(x, 2, output_size=5, **setting).data  # noqa: E731
    np.testing.assert_array_equal(pool(rng=5), pool(rng=5))
    np.testing.assert_array_equal(pool(rng=5), pool(rng=np.random.default_rng(5)))
    source = np.random.default_rng(5)
    assert (pool(rng=source) != pool(rng=source)).any()  # a generator goes on
    assert (pool() != pool()).any()
    samples = np.random.default_rng(5).random((2, 3, 2))
    np.testing.assert_array_equal(pool(rng=5), pool(_random_samples=samples))
    np.testing.assert_array_equal(pool(rng=5), pool(_random_samples=ac.tensor(samples)))
    one = nn.fractional_max_pool2d(x[0], 2, output_size=5, _random_samples=samples[:1])
    np.testing.assert_array_equal(one.data, pool(rng=5)[0])


def test_output_ratio():
    x = np.zeros((1, 1, 10, 7))
    assert nn.fractional_max_pool2d(x, 2, output_ratio=0.5).shape == (1, 1, 5, 3)
    assert nn.fractional_max_pool2d(x, 2, output_ratio=(0.9, 0.3)).shape == (1, 1, 9, 2)
    assert nn.fractional_max_pool2d(x, 1, output_ratio=1).shape == x.shape


def test_regions_are_computed_in_the_precision_of_the_input():
    found = {}
    for dtype in (np.float32, np.float64):
        u = np.random.default_rng(0).random(5, np.float32).astype(dtype)
        table = regions.fractional_table(u, 20011, 12345, 2)[:, :, 0]
        found[dtype] = [[run[0] for run in intervals(sample, 20011, 12345, 2)] for sample in u]
        np.testing.assert_array_equal(table, found[dtype])
    assert found[np.float32] != found[np.float64]


def test_every_region_lies_within_and_the_last_one_ends_with_the_input():
    u = np.array([0, 0.5, np.nextafter(np.float32(1), np.float32(0))], np.float32)
    for size, out, taps in [(9, 4, 2), (10, 10, 1), (5, 1, 3), (2**25 + 3, 7, 2), (100, 50, 3)]:
        table = regions.fractional_table(u, size, out, taps)
        assert table.min() >= 0
        assert (table[:, -1, 1] == size).all()
        assert (np.diff(table[:, :, 0], axis=1) >= 0).all()


# --- errors ------------------------------------------------------------------------------------------------------

ADAPTIVE_ERRORS = [
    ({"x": (5, 5)}, ValueError, ["input", "2 axes", "4 axes"]),
    ({"x": (1, 0, 5, 5)}, ValueError, ["input", "0 channels", "at least 1"]),
    ({"layout": "CHWN"}, ValueError, ["layout", "'CHWN'", "'NCHW'", "'NHWC'"]),
    ({"dtype": bool}, TypeError, ["input", "bool"]),
    ({"output_size": -1}, ValueError, ["output_size", "-1", "at least 0"]),
    ({"output_size": (1, 2, 3)}, ValueError, ["output_size", "2", "3"]),
    ({"output_size": 1.5}, TypeError, ["output_size", "1.5", "integers"]),
    ({"output_size": (1, "2")}, TypeError, ["output_size", "'2'", "integers"]),
    ({"x": (1, 1, 0, 5)}, ValueError, ["input", "size 0", "spatial axis 0", "output_size", "2"]),
]


@pytest.mark.parametrize("pool", [nn.adaptive_avg_pool2d, nn.adaptive_max_pool2d])
@pytest.mark.parametrize(("case", "error", "parts"), ADAPTIVE_ERRORS)
def test_case_24_errors_of_adaptive_pools(pool, case, error, parts):
    case = {"output_size": 2, "x": (1, 1, 5, 5), **case}
    with pytest.raises(error) as caught:
        pool(np.zeros(case.pop("x"), case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith(f"{pool.__name__}: ")
    for part in parts:
        assert part in message


def test_case_24_errors_of_global_pools():
    for pool in (nn.global_avg_pool2d, nn.global_max_pool2d):
        with pytest.raises(ValueError, match=f"{pool.__name__}: .*size 0 on spatial axis 1"):
            pool(np.zeros((1, 1, 5, 0)))
        with pytest.raises(ValueError, match=f"{pool.__name__}: .*0 channels"):
            pool(np.zeros((1, 5, 5, 0)), layout="NHWC")


FRACTIONAL_ERRORS = [
    ({"x": (5, 5)}, ValueError, ["input", "2 axes", "4 axes"]),
    ({"x": (1, 0, 5, 5)}, ValueError, ["input", "0 channels", "at least 1"]),
    ({"layout": "CHWN"}, ValueError, ["layout", "'CHWN'", "'NCHW'"]),
    ({"dtype": bool}, TypeError, ["input", "bool"]),
    ({"kernel_size": 0}, ValueError, ["kernel size", "0", "at least 1"]),
    ({"kernel_size": 2.0}, TypeError, ["kernel size", "2.0", "integers"]),
    ({"output_size": None}, ValueError, ["output_size", "output_ratio", "None", "exactly one"]),
    ({"output_ratio": 0.5}, ValueError, ["output_size", "output_ratio", "0.5", "exactly one"]),
    ({"output_size": -1}, ValueError, ["output_size", "-1", "at least 0"]),
    ({"output_size": (2, 5)}, ValueError, ["5 regions of 2 elements", "axis 1", "input", "5"]),
    ({"output_size": None, "output_ratio": 1.5}, ValueError, ["output_ratio", "1.5", "at most 1"]),
    ({"output_size": None, "output_ratio": 0}, ValueError, ["output_ratio", "0", "above 0"]),
    ({"output_size": None, "output_ratio": (0.5,) * 3}, ValueError, ["output_ratio", "2 of them"]),
    ({"output_size": None, "output_ratio": "half"}, TypeError, ["output_ratio", "'half'", "numbers"]),
    ({"_random_samples": np.zeros((1, 1, 3))}, ValueError, ["_random_samples", "(1, 1, 3)", "(1, 1, 2)"]),
    ({"_random_samples": np.ones((1, 1, 2))}, ValueError, ["_random_samples", "1.0", "less than 1"]),
    ({"_random_samples": np.full((1, 1, 2), np.nan)}, ValueError, ["_random_samples", "nan"]),
    ({"_random_samples": np.zeros((1, 1, 2), complex)}, TypeError, ["_random_samples", "complex128", "real"]),
]


@pytest.mark.parametrize(("case", "error", "parts"), FRACTIONAL_ERRORS)
def test_case_24_errors_of_fractional_pools(case, error, parts):
    case = {"kernel_size": 2, "output_size": 2, "x": (1, 1, 5, 5), **case}
    with pytest.raises(error) as caught:
        nn.fractional_max_pool2d(np.zeros(case.pop("x"), case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith("fractional_max_pool2d: ")
    for part in parts:
        assert part in message


def test_kernels_refuse_what_does_not_fit():
    x, place = np.zeros((1, 1, 1, 4, 1)), np.zeros((1, 1, 1, 3, 1), np.uint8)
    table = np.array([[[0, 2], [2, 4]]])
    one = np.array([[[0, 1]]])
    assert regions.max_regions(x, (one, one, table))[0].shape == (1, 1, 1, 2, 1)
    for bad in (table + 1, table - 1, np.array([[[2, 2]]]), np.zeros((2, 1, 2), int), one[0]):
        with pytest.raises(ValueError, match="max_regions: table 2"):
            regions.max_regions(x, (one, one, bad))
    with pytest.raises(ValueError, match="max_regions: x must have shape"):
        regions.max_regions(x[0], (one, one, table))
    with pytest.raises(ValueError, match=r"route: gy and place must have the same shape"):
        places.route(x, place, (1, 1, 4))
    with pytest.raises(TypeError, match="route: place must be made of integers"):
        places.route(x, x, (1, 1, 4))
    with pytest.raises(ValueError, match=r"gather: .*same N and C"):
        places.gather(np.zeros((2, 1, 1, 4, 1)), place)
    with pytest.raises(TypeError, match="gather: place must be made of integers"):
        places.gather(x, x)
    with pytest.raises(ValueError, match="last_writes: index must have shape"):
        places.last_writes(place[0], (1, 1, 4))
    with pytest.raises(ValueError, match="adaptive_average: an axis without elements"):
        regions.adaptive_average(np.zeros((1, 1, 1, 0, 1)), (1, 1, 2))
    for function in (regions.adaptive_average, regions.adaptive_average_input_gradient):
        with pytest.raises(ValueError, match="must have five axes"):
            function(np.zeros((1, 4, 1)), (1, 1, 2))
        with pytest.raises(TypeError, match="must be floating-point"):
            function(np.zeros((1, 1, 1, 4, 1), int), (1, 1, 2))


def test_no_place_leads_outside():
    for dtype in (np.int8, np.uint8, np.uint16, np.int64, np.uint64):
        wild = np.array([100, np.iinfo(dtype).max, np.iinfo(dtype).min, 1], dtype).reshape(1, 1, 1, 4, 1)
        gx = places.route(np.ones((1, 1, 1, 4, 1)), wild, (1, 1, 4)).ravel()
        assert gx.tolist() == [float(np.iinfo(dtype).min == 0), 1, 0, 0]
        y = places.gather(np.ones((1, 1, 1, 4, 1)), wild).ravel()
        assert y.tolist() == [0, 0, float(np.iinfo(dtype).min == 0), 1]


# --- PyTorch says the same ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_against_torch_adaptive(rng, dtype, axes):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; the comparison with it is left out")
    shape = (2, 5, 7, 6, 5)[: 2 + axes]
    for out in [1, (3, 4, 2)[:axes], (9, 2, 5)[:axes]]:
        x = rng.integers(-3, 4, shape).astype(dtype)
        for ours, theirs in (
            (AVG[axes - 1], getattr(torch.nn.functional, f"adaptive_avg_pool{axes}d")),
            (MAX[axes - 1], getattr(torch.nn.functional, f"adaptive_max_pool{axes}d")),
        ):
            t, u = ac.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
            y, v = ours(t, out), theirs(u, out)
            gy = rng.standard_normal(y.shape).astype(dtype)
            y.backward(gy)
            v.backward(torch.from_numpy(gy))
            np.testing.assert_allclose(y.data, v.detach().numpy(), rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(t.grad, u.grad.numpy(), rtol=1e-5, atol=1e-6)
        indices = MAX[axes - 1](x, out, return_indices=True)[1]
        theirs = getattr(torch.nn.functional, f"adaptive_max_pool{axes}d")(torch.from_numpy(x), out, True)[1]
        np.testing.assert_array_equal(indices.data, theirs.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", [2, 3])
def test_against_torch_fractional(rng, dtype, axes):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; the comparison with it is left out")
    theirs = getattr(torch.nn.functional, f"fractional_max_pool{axes}d")
    for _ in range(20):
        taps = tuple(int(k) for k in rng.integers(1, 4, axes))
        sizes = tuple(int(k + n) for k, n in zip(taps, rng.integers(3, 9, axes)))
        most = [n - k + (axes == 2) for n, k in zip(sizes, taps)]  # PyTorch wants one less in three dimensions
        setting = (
            {"output_ratio": (0.6,) * axes}
            if all(int(n * 0.6) <= m for n, m in zip(sizes, most)) and rng.random() < 0.5
            else {"output_size": tuple(int(rng.integers(1, m + 1)) for m in most)}
        )
        x = rng.integers(0, 50, (2, 3, *sizes)).astype(dtype)
        samples = rng.random((2, 3, axes), dtype)
        y, indices = FRACTIONAL[axes](x, taps, return_indices=True, _random_samples=samples, **setting)
        v, where = theirs(
            torch.from_numpy(x), taps, return_indices=True, _random_samples=torch.from_numpy(samples), **setting
        )
        np.testing.assert_array_equal(y.data, v.numpy())
        np.testing.assert_array_equal(indices.data, where.numpy())
