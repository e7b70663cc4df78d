"""Matrix products in tiles, and 1x1 convolutions by way of them: every memory order, against NumPy in float64."""

import itertools

import numpy as np
import pytest
from autograd_conv.kernels import correlation, matrix, pointwise
from autograd_conv.kernels.geometry import Window
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="tiles are for compiled code")

ORDERS = {
    "rows": np.ascontiguousarray,
    "columns": lambda a: np.ascontiguousarray(a.mT).mT,
    "backwards": lambda a: np.ascontiguousarray(a[..., ::-1, ::-1])[..., ::-1, ::-1],
    "steps": lambda a: np.repeat(np.repeat(a, 2, axis=-1), 3, axis=-2)[..., ::3, ::2],
    "far": lambda a: np.concatenate([a, np.zeros((*a.shape[:-1], 1024 - a.shape[-1]), a.dtype)], -1)[
        ..., : a.shape[-1]
    ],
}
TOLERANCE = {"f": 1e-5, "d": 1e-13}


def _random(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def _close(found, expected, dtype, steps):
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * max(4.0, steps**0.5 * 4))


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 70), st.integers(1, 90)),
    orders=st.tuples(*[st.sampled_from(sorted(ORDERS))] * 2),
    dtype=st.sampled_from("fd"),
    seed=st.integers(0, 99),
)
def test_product_of_any_shape_and_memory_order(shape, orders, dtype, seed):
    (m, k, n), rng = shape, np.random.default_rng(seed)
    x, y = _random(rng, dtype, m, k), _random(rng, dtype, k, n)
    found = matrix.product(ORDERS[orders[0]](x), ORDERS[orders[1]](y))
    assert found.flags.c_contiguous
    _close(found, x.astype(float) @ y.astype(float), dtype, k)


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("shape", [(13, 600, 20), (40, 257, 300), (5, 512, 270), (1, 1, 1)])
def test_product_of_several_slices_and_blocks(rng, dtype, shape):
    m, k, n = shape
    x, y, columns = _random(rng, dtype, m, k), _random(rng, dtype, k, n), _random(rng, dtype, n)
    for left, right in itertools.product(("rows", "columns", "far"), ("rows", "columns")):
        a, b = ORDERS["rows" if k > 1000 else left](x), ORDERS[right](y)
        _close(matrix.product(a, b, columns), x.astype(float) @ y.astype(float) + columns, dtype, k)


@pytest.mark.parametrize(
    "shapes",
    [
        ((3, 5, 7), (3, 7, 4)), ((2, 3, 5, 7), (7, 4)), ((5, 7), (2, 3, 7, 4)), ((2, 3, 5, 7), (2, 3, 7, 4)),
        ((2, 1, 7), (7, 3)),
    ],
)  # fmt: skip
def test_many_products(rng, shapes):
    x, y = (_random(rng, "f", *shape) for shape in shapes)
    for left, right in itertools.product(("rows", "columns"), repeat=2):
        found = matrix.product(ORDERS[left](x), ORDERS[right](y))
        _close(found, np.matmul(x.astype(float), y.astype(float)), "f", 7)


def test_axes_in_front_that_do_not_merge(rng):
    x, y = _random(rng, "f", 3, 5, 2, 7), _random(rng, "f", 3, 7, 2, 4)
    found = matrix.product(x.transpose(0, 2, 1, 3), y.transpose(0, 2, 1, 3))
    _close(found, np.einsum("nihk,nkhj->nhij", x.astype(float), y.astype(float)), "f", 7)


def test_what_is_not_served_is_left_to_others(rng):
    x = _random(rng, "f", 4, 5, 5)
    assert matrix.product(x, x.astype("d")) is None
    assert matrix.product(x.astype(int), x.astype(int)) is None
    assert matrix.product(x.astype("D"), x.astype("D")) is None
    assert matrix.product(x.astype(">f4"), x.astype(">f4")) is None
    assert matrix.product(x, x[:1]) is None  # broadcast
    assert matrix.product(x, x[0, 0]) is None
    assert matrix.product(x, x[:, :4]) is None
    assert matrix.product(x[:0], x[:0]) is None


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("rectify", [False, True])
def test_sums_of_products_with_biases_stay_in_their_rows_and_columns(rng, dtype, rectify):
    a, b = _random(rng, dtype, 3, 19, 40), _random(rng, dtype, 3, 40, 37)
    rows, columns = _random(rng, dtype, 19), _random(rng, dtype, 37)
    around = np.full((1, 21, 40), 7, dtype)
    c = around[:, 1:-1, 1:-2]
    matrix.multiply(a, b, c, columns, rows, rectify)
    expected = (a.astype(float) @ b.astype(float)).sum(0) + columns + rows[:, None]
    _close(c[0], np.maximum(expected, 0) if rectify else expected, dtype, 120)
    c[...] = 7
    assert (around == 7).all()


def test_one_matrix_serves_many(rng):
    a, b, c = _random(rng, "f", 1, 6, 8), _random(rng, "f", 4, 8, 33), np.empty((4, 6, 33), "f")
    matrix.multiply(a, b, c)
    _close(c, a.astype(float) @ b.astype(float), "f", 8)


@pytest.mark.parametrize("dtype", "fd")
def test_nan_infinity_and_zeros_behave_as_in_numpy(rng, dtype):
    x, y = _random(rng, dtype, 17, 20), _random(rng, dtype, 20, 49)
    x[3, 4], x[16, 0], x[7] = np.nan, np.inf, 0
    y[5, 48], y[6, 31], y[7, 32] = np.inf, np.nan, -np.inf
    x[9], y[:, 9] = -0.0, np.abs(y[:, 9])
    tiny = np.finfo(dtype).smallest_subnormal
    x[11], y[:, 11] = 0, 1
    x[11, 2] = 3 * tiny
    with np.errstate(all="ignore"):
        expected = x.astype(float) @ y.astype(float)
        for left, right in itertools.product(("rows", "columns"), repeat=2):
            found = matrix.product(ORDERS[left](x), ORDERS[right](y))
            np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * 20)
            np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
            assert found[11, 11] == 3 * tiny
            assert not np.signbit(found[9, 9])  # -0.0 plus +0.0, which sums begin with


def test_results_do_not_depend_on_threads(rng, eager_threads):
    shapes = [((60, 300), (300, 200)), ((3, 50, 40), (3, 40, 70)), ((200, 30), (30, 20))]
    for left, right in shapes:
        x, y = _random(rng, "f", *left), _random(rng, "f", *right)
        results = []
        for count in (1, 2, 5):
            eager_threads.set_num_threads(count)
            results.append([matrix.product(x, y), matrix.product(ORDERS["columns"](x), ORDERS["columns"](y))])
        assert all(np.array_equal(results[0][k], other[k]) for other in results[1:] for k in (0, 1))


# ---------------------------------------------------------------- kernels of one tap


def _orders(array):
    yield array
    yield np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 1)), 1, -1)


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("sizes", [(2, 5, 8, 12, 9), (3, 16, 10, 10, 40), (2, 1, 9, 13, 33), (2, 33, 1, 101, 1)])
def test_convolution_with_one_tap(rng, dtype, sizes):
    batch, channels, height, width, outputs = sizes
    window = Window.of("test", (height, width), (1, 1))
    x, gy = (
        _random(rng, dtype, batch, 1, height, width, channels),
        _random(rng, dtype, batch, 1, height, width, outputs),
    )
    w, bias = _random(rng, dtype, 1, 1, 1, channels, outputs), _random(rng, dtype, outputs)
    plain, exact = w.reshape(channels, outputs).astype(float), x.astype(float)
    y = exact @ plain + bias
    gw = np.einsum("ndhwc,ndhwo->co", exact, gy.astype(float))
    for turned in (w, np.ascontiguousarray(w.swapaxes(3, 4)).swapaxes(3, 4)):
        for x_, gy_ in itertools.product(_orders(x), _orders(gy)):
            _close(correlation.correlate(x_, turned, bias, window), y, dtype, channels)
            rectified = correlation.correlate(x_, turned, bias, window, activation="relu")
            _close(rectified, np.maximum(y, 0), dtype, channels)
            found = correlation.correlate_input_gradient(gy_, turned, window)
            _close(found, gy.astype(float) @ plain.T, dtype, outputs)
            for first in (False, True):
                found = correlation.correlate_weight_gradient(x_, gy_, window, 1, first)
                assert (found.transpose(4, 3, 0, 1, 2) if first else found).flags.c_contiguous
                _close(found.reshape(channels, outputs), gw, dtype, x.size)


def test_only_plain_kernels_of_one_tap_are_served():
    assert pointwise.serves(Window.of("test", (5, 6), (1, 1)), 1)
    assert not pointwise.serves(Window.of("test", (5, 6), (1, 1)), 2)
    assert not pointwise.serves(Window.of("test", (5, 6), (1, 1), 2), 1)
    assert not pointwise.serves(Window.of("test", (5, 6), (1, 1), 1, 1), 1)
    assert not pointwise.serves(Window.of("test", (5, 6), (1, 1), 1, ((0, 1), (0, 0))), 1)
    assert not pointwise.serves(Window.of("test", (5, 6), (1, 2)), 1)
