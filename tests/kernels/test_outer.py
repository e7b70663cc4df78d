"""The tiled weight gradient: each way to pack, cut and unpack, against loops over taps in float64."""

import itertools

import numpy as np
import pytest
from autograd_conv.kernels import blocking, correlation, outer
from autograd_conv.kernels.emitter import lanes
from autograd_conv.kernels.geometry import Window
from hypothesis import given, settings
from hypothesis import strategies as st


def _expected(x, gy, window, groups):
    """Return ``gw[u, c, o] = sum over n, i of xpad[n, i*S + u*D, c] * gy[n, i, o]``, one tap at a time, in float64."""
    x, gy = x.astype(np.float64), gy.astype(np.float64)
    x = np.pad(x, ((0, 0), *zip(window.before, window.after), (0, 0)))
    per_group, outputs = x.shape[4] // groups, gy.shape[4]
    gw = np.zeros((*window.kernel, per_group, outputs))
    for tap in itertools.product(*map(range, window.kernel)):
        seen = tuple(
            slice(u * d, u * d + (out - 1) * s + 1, s)
            for u, d, s, out in zip(tap, window.dilation, window.stride, window.out)
        )
        pixels = x[(slice(None), *seen)]
        for o in range(outputs):
            first = o // (outputs // groups) * per_group
            gw[(*tap, slice(None), o)] = np.tensordot(
                pixels[..., first : first + per_group], gy[..., o], axes=((0, 1, 2, 3), (0, 1, 2, 3))
            )
    return gw


def _orders(array):
    """Yield the array (N, D, H, W, C), and a view of an array (N, C, D, H, W) with the same elements."""
    yield array
    yield np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 1)), 1, -1)


def _check(size, kernel, stride, padding, dilation, batch, channels, outputs, groups, dtype, seed=0):
    window = Window.of("test", size, kernel, stride, padding, dilation)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, *window.size, channels)).astype(dtype)
    gy = rng.standard_normal((batch, *window.out, outputs)).astype(dtype)
    expected = _expected(x, gy, window, groups)
    tolerance = {4: 1e-5, 8: 1e-13}[np.dtype(dtype).itemsize] * max(1.0, np.abs(expected).max())
    for x_, gy_, outputs_first in itertools.product(_orders(x), _orders(gy), (False, True)):
        gw = outer.correlate_weight_gradient(x_, gy_, window, groups, outputs_first)
        assert gw is not None
        assert gw.dtype == dtype
        lies = gw.transpose(4, 3, 0, 1, 2) if outputs_first else gw
        assert lies.flags.c_contiguous
        np.testing.assert_allclose(gw, expected, rtol=0, atol=tolerance)


CASES = {
    "slab": ((9, 8), (3, 3), 1, 1, 1, 3, 16, 32, 1),
    "slab, rows beyond the last": ((9, 8), (3, 3), (2, 1), 1, 1, 2, 8, 48, 1),
    "channels filled up to four": ((9, 8), (3, 3), 1, ((1, 2), (0, 3)), (2, 1), 2, 33, 47, 1),
    "runs of kernel rows": ((9, 8), (5, 5), 1, 2, 1, 2, 6, 16, 1),
    "runs of taps": ((9, 8), (3, 3), 1, 2, 2, 2, 3, 20, 1),
    "one channel": ((28, 28), (3, 3), 1, 1, 1, 2, 1, 32, 1),
    "no padding": ((9, 8), (5, 5), 1, 0, 1, 2, 6, 16, 1),
    "no padding, stride": ((12, 13), (3, 3), (3, 2), 0, 1, 2, 5, 34, 1),
    "swapped": ((12, 13), (3, 3), 1, 1, 1, 2, 8, 5, 1),
    "swapped, one output": ((12, 13), (3, 3), 2, 1, 1, 2, 40, 1, 1),
    "one tap, swapped": ((12, 13), (1, 1), 1, 0, 1, 2, 16, 80, 1),
    "one tap": ((9, 8), (1, 1), 1, 0, 1, 2, 70, 40, 1),
    "one tap, pixels left out": ((19, 18), (1, 1), (2, 3), 0, 1, 2, 20, 30, 1),
    "stride and dilation with a common divisor": ((19, 40), (3, 3), (2, 4), ((3, 0), (1, 2)), (4, 2), 2, 12, 30, 1),
    "stride beyond the kernel": ((17, 18), (2, 2), (3, 5), 0, 1, 2, 12, 30, 1),
    "padding beyond the kernel": ((3, 4), (2, 2), 1, ((4, 3), (5, 4)), 1, 2, 12, 30, 1),
    "groups": ((9, 8), (3, 3), 1, 1, 1, 2, 40, 34, 2),
    "groups of eight": ((9, 8), (3, 3), 1, 1, 1, 2, 16, 16, 2),
    "one axis": ((700,), (3,), 2, 1, 1, 2, 6, 30, 1),
    "three axes": ((5, 9, 8), (3, 2, 3), (1, 2, 1), 1, 1, 2, 4, 30, 1),
    "three axes, runs of kernel rows": ((5, 9, 8), (2, 2, 3), (1, 2, 2), 1, (1, 2, 2), 2, 6, 30, 1),
    "five vectors": ((9, 8), (3, 3), 1, 1, 1, 2, 8, 80, 1),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_each_way(case, dtype):
    size, kernel, stride, padding, dilation, *counts = CASES[case]
    _check(size, kernel, stride, padding, dilation, *counts, dtype)


@pytest.mark.parametrize("most", [1, 7, 30, 150])
@pytest.mark.parametrize("case", ["slab", "runs of kernel rows", "swapped", "three axes", "groups", "no padding"])
def test_blocks_that_end_along_every_axis(case, most, monkeypatch):
    """Blocks of one pixel, of parts of a row, of rows, of planes and of images; the last one is smaller."""
    monkeypatch.setattr(blocking, "LEAST_BLOCK_PIXELS", most)
    monkeypatch.setattr(blocking, "MOST_BLOCK_PIXELS", most)
    blocking.plan.cache_clear()
    try:
        size, kernel, stride, padding, dilation, *counts = CASES[case]
        _check(size, kernel, stride, padding, dilation, *counts, np.float32)
    finally:
        blocking.plan.cache_clear()


def test_boxes_cover_every_pixel_once_and_lie_side_by_side():
    for out, most in itertools.product([(2, 3, 4, 5), (7, 1, 1, 9), (1, 1, 1, 1000)], [1, 4, 5, 11, 20, 60, 10**6]):
        box = blocking._box(out, most)
        assert np.prod(box) <= most
        partial = [axis for axis in range(4) if box[axis] < out[axis]]
        if partial:  # along the first such axis boxes follow each other: beyond it, all is whole
            assert all(box[axis] == 1 for axis in range(partial[-1]))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shape(data):
    axes = data.draw(st.integers(1, 3))
    length = lanes(4)
    size, kernel, stride, dilation, padding = [], [], [], [], []
    for _ in range(axes):
        k, s, d = (data.draw(st.integers(1, 4)) for _ in range(3))
        before, after = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))
        least = max(1, d * (k - 1) + 1 - before - after)
        size.append(data.draw(st.integers(least, least + (50, 20, 6)[axes - 1])))
        kernel.append(k), stride.append(s), dilation.append(d), padding.append((before, after))
    groups = data.draw(st.sampled_from([1, 1, 2]))
    channels, outputs = (groups * data.draw(st.integers(1, 2 * length + 3)) for _ in range(2))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    batch, seed = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 2**16))
    _check(size, kernel, stride, padding, dilation, batch, channels, outputs, groups, dtype, seed)


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(("channels", "outputs"), [(16, 32), (3, 20), (8, 5), (40, 1)])
def test_padding_times_infinity_is_zero(channels, outputs, special):
    """An element of gy whose window reads padding at tap 0 must not reach that tap's gradient; only its own output."""
    window = Window.of("test", (6, 7), 3, 1, 1, 1)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *window.size, channels)).astype(np.float32)
    gy = rng.standard_normal((2, *window.out, outputs)).astype(np.float32)
    clean = correlation.correlate_weight_gradient(x, gy, window)
    gy[0, 0, 0, 0, 0] = special  # a corner: taps of the first row and column read padding
    for gy_ in _orders(gy):
        gw = correlation.correlate_weight_gradient(x, gy_, window)
        assert not np.isfinite(gw[0, 1:, 1:, :, 0]).any()
        assert np.isfinite(gw[0, 0, :, :, 0]).all()
        assert np.isfinite(gw[0, :, 0, :, 0]).all()
        np.testing.assert_allclose(gw[..., 1:], clean[..., 1:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", ["slab", "runs of kernel rows", "swapped", "groups", "five vectors", "one channel"])
def test_bitwise_equal_for_every_number_of_threads(case, eager_threads):
    size, kernel, stride, padding, dilation, batch, channels, outputs, groups = CASES[case]
    window = Window.of("test", size, kernel, stride, padding, dilation)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *window.size, channels)).astype(np.float32)
    gy = rng.standard_normal((batch, *window.out, outputs)).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 7, 40):
        eager_threads.set_num_threads(threads)
        results.append(correlation.correlate_weight_gradient(x, gy, window, groups))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
