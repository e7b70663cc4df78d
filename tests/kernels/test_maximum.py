"""Maximum pooling in vectors of channels: bit by bit what the plain loops give."""

import numpy as np
import pytest
from autograd_conv.kernels import pooling
from autograd_conv.kernels.geometry import Window
from hypothesis import given
from hypothesis import strategies as st
from numba.core import config

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="vectors are for compiled code")

SPECIAL = [np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-42, 1.0]


@st.composite
def _cases(draw):
    size = tuple(draw(st.lists(st.integers(1, 6), min_size=3, max_size=3)))
    kernel = tuple(draw(st.integers(1, min(3, n))) for n in size)
    stride = tuple(draw(st.integers(1, 3)) for _ in size)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    window = Window.of("test", size, kernel, stride, padding, 1)
    channels = draw(st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 40]))
    values = draw(st.sampled_from(["normal", "special", "ties"]))
    settings = draw(st.sampled_from(["f4", "f8"])), draw(st.sampled_from(["row", "column"])), draw(st.integers(0))
    return window, channels, values, *settings


def _values(rng, shape, kind, dtype):
    if kind == "normal":
        return rng.standard_normal(shape).astype(dtype)
    return rng.choice(SPECIAL if kind == "special" else [-1.0, 0.0, 1.0], shape).astype(dtype)


def _plain(x, gy, window, ties):
    """The loops that serve integers too."""
    y = np.empty((x.shape[0], *window.out, x.shape[4]), x.dtype)
    offset, gx = np.empty(y.shape, np.uint8), np.zeros(x.shape, x.dtype)
    pooling._max_pool_rows(
        0, y.shape[0] * y.shape[1] * y.shape[2], x, y, offset, window, pooling.maximum.tap_table(window, ties)
    )
    table = pooling.maximum.tap_table(window, "row")
    pooling._route_blocks(
        0, x.shape[0], gy.ravel(), offset.ravel(), gx.reshape(-1), window, table, x.shape[4], x.shape[4]
    )
    return y, offset, gx


@given(_cases())
def test_same_bits_as_the_plain_loops(case):
    window, channels, kind, dtype, ties, seed = case
    rng = np.random.default_rng(seed)
    x = _values(rng, (2, *window.size, channels), kind, dtype)
    gy = _values(rng, (2, *window.out, channels), kind, dtype)
    y, offset, gx = _plain(x, gy, window, ties)
    found_y, found_offset = pooling.max_pool(x, window, ties)
    integers = np.uint32 if dtype == "f4" else np.uint64
    np.testing.assert_array_equal(found_y.view(integers), y.view(integers))
    np.testing.assert_array_equal(found_offset, offset)
    found_gx = pooling.max_pool_route(gy, offset, window)
    np.testing.assert_array_equal(np.isnan(found_gx), np.isnan(gx))
    numbers = ~np.isnan(gx)
    np.testing.assert_array_equal(found_gx[numbers].view(integers), gx[numbers].view(integers))


@pytest.mark.parametrize(("extent", "dtype"), [(16, np.uint8), (17, np.uint16)])
def test_windows_of_many_taps(rng, extent, dtype):
    window = Window.of("test", (1, extent, extent), (1, extent, extent), 1, 0, 1)
    x = rng.standard_normal((3, 1, extent, extent, 19)).astype(np.float32)
    y, offset = pooling.max_pool(x, window)
    assert offset.dtype == dtype
    flat = x.reshape(3, extent * extent, 19)
    np.testing.assert_array_equal(offset.reshape(3, 19), flat.argmax(1))
    np.testing.assert_array_equal(y.reshape(3, 19), flat.max(1))
    gx = pooling.max_pool_route(y, offset, window).reshape(flat.shape)
    np.testing.assert_array_equal(gx, np.where(flat == flat.max(1, keepdims=True), flat, 0))


@pytest.mark.parametrize("channels", [3, 16, 21])
def test_nothing_is_written_beyond_the_last_channel(rng, channels):
    window = Window.of("test", (1, 4, 4), (1, 2, 2), 2, 0, 1)
    x = rng.standard_normal((1, 1, 4, 4, channels)).astype(np.float32)
    rooms = np.full(1 + 4 * channels + 64, 7.0, np.float32), np.full(1 + 4 * channels + 64, 7, np.uint8)
    y, offset = (room[1 : 1 + 4 * channels].reshape(1, 1, 2, 2, channels) for room in rooms)
    pooling.maximum.max_pool(x, y, offset, window, "row", 0.0)
    np.testing.assert_array_equal(y[0, 0], x.reshape(2, 2, 2, 2, channels).max((1, 3)))
    for room in rooms:
        assert room[0] == 7
        assert (room[1 + 4 * channels :] == 7).all()
