"""Maximum and average pooling, against nested loops and by exact values."""

import itertools

import numpy as np
import pytest
from autograd_conv.kernels import pooling
from autograd_conv.kernels.geometry import Window, blind_window
from hypothesis import assume, given, settings
from hypothesis import strategies as st


@st.composite
def cases(draw):
    axes = draw(st.integers(1, 3))
    kernel, stride, dilation, padding, size = [], [], [], [], []
    for _ in range(axes):
        k, s, d = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        reach = d * (k - 1) + 1
        before, after = draw(st.integers(0, reach // 2)), draw(st.integers(0, reach // 2))
        least = max(1, reach - before - after)
        size.append(draw(st.integers(least, least + (5 if axes < 3 else 3))))
        kernel.append(k), stride.append(s), dilation.append(d), padding.append((before, after))
    ceil_mode = draw(st.booleans())
    window = Window.of("test", size, kernel, stride, padding, dilation, ceil_mode)
    batch, channels = draw(st.integers(0, 2)), draw(st.sampled_from([0, 1, 2, 3, 17, 33]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    seed = draw(st.integers(0, 2**16))
    return window, batch, channels, dtype, seed


def _tied(rng, shape, dtype):
    """Return few different values, so that ties abound, with NaN, infinities and both zeros."""
    values = np.array([-1, -0.0, 0.0, 1, 2, 2, 3, np.nan, np.inf, -np.inf, -np.inf], dtype)
    return rng.choice(values, shape)


@settings(max_examples=80, deadline=None)
@given(case=cases(), ties=st.sampled_from(["row", "column"]))
def test_max_pool_against_nested_loops(oracle, case, ties):
    window, batch, channels, dtype, seed = case
    assume(blind_window(window) is None)
    rng = np.random.default_rng(seed)
    x = _tied(rng, (batch, *window.size, channels), dtype)
    y, offset, index = oracle.max_pool(
        x, window.kernel, window.stride, window.before, window.dilation, window.out, ties
    )
    ours, where = pooling.max_pool(x, window, ties)
    assert ours.dtype == dtype
    assert where.dtype == np.uint8
    np.testing.assert_array_equal(ours, y)
    np.testing.assert_array_equal(where, offset)
    indices = pooling.max_pool_indices(where, window)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, index)

    gathered = pooling.max_pool_gather(x, where, window)
    np.testing.assert_array_equal(gathered, y)
    gy = rng.standard_normal(y.shape).astype(dtype)
    expected = np.zeros((batch, int(np.prod(window.size)), channels))
    for n, *i, c in np.ndindex(y.shape):
        expected[n, index[(n, *i, c)], c] += gy[(n, *i, c)]
    routed = pooling.max_pool_route(gy, where, window)
    assert routed.dtype == dtype
    np.testing.assert_allclose(routed, expected.reshape(x.shape), atol=1e-5 if dtype == np.float32 else 1e-13)


@settings(max_examples=80, deadline=None)
@given(case=cases(), count_include_pad=st.booleans(), override=st.sampled_from([None, None, 3, -2]))
def test_avg_pool_against_nested_loops(oracle, case, count_include_pad, override):
    window, batch, channels, dtype, seed = case
    assume(blind_window(window) is None)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, *window.size, channels)).astype(dtype)
    gy = rng.standard_normal((batch, *window.out, channels)).astype(dtype)
    padding = tuple(zip(window.before, window.after))
    y, gx = oracle.avg_pool(
        x, gy, window.kernel, window.stride, padding, window.dilation, window.out, count_include_pad, override
    )
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    ours = pooling.avg_pool(x, window, count_include_pad, override)
    gradient = pooling.avg_pool_input_gradient(gy, window, count_include_pad, override)
    for result, expected in ((ours, y), (gradient, gx)):
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, atol=tolerance)


def _image(values, dtype=np.float64, channels=1):
    """(H, W) values -> (1, 1, H, W, channels), the same in every channel."""
    return np.repeat(np.array(values, dtype)[None, None, :, :, None], channels, axis=4)


def test_ties_go_to_the_first_row_by_row():
    window = Window.of("pool", (3, 3), 2)
    y, offset = pooling.max_pool(_image(np.ones((3, 3))), window)
    assert pooling.max_pool_indices(offset, window).ravel().tolist() == [0, 1, 3, 4]
    gx = pooling.max_pool_route(np.ones_like(y), offset, window)
    assert gx[0, 0, :, :, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_both_zeros_tie():
    window = Window.of("pool", (1, 2), (1, 2))
    for values in ([[-0.0, 0.0]], [[0.0, -0.0]]):
        y, offset = pooling.max_pool(_image(values, channels=19), window)
        assert not offset.any()
        assert (np.signbit(y) == np.signbit(values[0][0])).all()


def test_ties_column_by_column():
    # Source 002: of equal elements the one in the smallest column, then in the smallest row.
    window = Window.of("pool", (2, 2), 2)
    for values, row, column in [
        ([[1, 2], [2, 0]], 1, 2),
        ([[0, 2], [0, 2]], 1, 1),
        ([[1, 1], [1, 1]], 0, 0),
        ([[0, 0], [3, 3]], 2, 2),
    ]:
        assert (pooling.max_pool(_image(values), window)[1] == row).all()
        assert (pooling.max_pool(_image(values), window, ties="column")[1] == column).all()


@pytest.mark.parametrize("channels", [1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 65])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_nan_wins_in_vector_lanes_and_tails(channels, dtype):
    window = Window.of("pool", (3, 3), 3)
    for ties, nans in itertools.product(("row", "column"), ([4], [0, 8], [2, 6], [1, 2, 3])):
        for channel in range(channels):
            x = np.arange(9.0)[:, None] * np.ones(channels)
            x[nans, channel] = np.nan
            x = x.reshape(1, 1, 3, 3, channels).astype(dtype)
            y, offset = pooling.max_pool(x, window, ties)
            expected = np.full(channels, 8)
            expected[channel] = nans[-1]
            assert offset.ravel().tolist() == expected.tolist()
            assert np.isnan(y.ravel()[channel])
            assert (np.delete(y.ravel(), channel) == 8).all()
            gx = pooling.max_pool_route(np.ones_like(y), offset, window).reshape(9, channels)
            assert gx[nans[-1], channel] == 1
            assert gx.sum() == channels


def test_a_window_of_negative_infinity_names_an_element_and_not_padding():
    window = Window.of("pool", (2, 2), 3, 2, 1)
    y, offset = pooling.max_pool(np.full((1, 1, 2, 2, 17), -np.inf, np.float32), window)
    assert (y == -np.inf).all()
    assert (pooling.max_pool_indices(offset, window) == 0).all()
    assert (offset == 4).all()


def test_padding_never_wins():
    window = Window.of("pool", (2, 2), 2, 1, 1)
    y, _ = pooling.max_pool(_image([[-1, -2], [-3, -4]]), window)
    assert y[0, 0, :, :, 0].tolist() == [[-1, -1, -2], [-1, -1, -2], [-3, -3, -4]]


def _line(n, dtype=np.float64):
    return np.arange(1, n + 1, dtype=dtype).reshape(1, 1, 1, n, 1)


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "padding", "include", "override", "y"),
    [
        (7, 2, 3, 0, True, None, [1.5, 4.5, 7.0]),
        (9, 4, 4, 2, True, None, [0.75, 4.5, 6.0]),
        (9, 4, 4, 2, False, None, [1.5, 4.5, 8.0]),
        (9, 4, 4, 2, False, 2, [1.5, 9.0, 12.0]),
    ],
)
def test_average_divisor(n, kernel, stride, padding, include, override, y):
    window = Window.of("pool", (n,), kernel, stride, padding, ceil_mode=True)
    assert pooling.avg_pool(_line(n), window, include, override).ravel().tolist() == y


def test_divisor_zero_and_what_is_no_divisor():
    window = Window.of("pool", (4,), 2)
    for function in (pooling.avg_pool, lambda x, *rest: pooling.avg_pool_input_gradient(x[..., :3, :], *rest)):
        with pytest.raises(ValueError, match="divisor_override must not be 0"):
            function(_line(4), window, True, 0)
        for bad in (1.5, True, "2"):
            with pytest.raises(TypeError, match="divisor_override must be an integer"):
                function(_line(4), window, True, bad)


def test_overlapping_windows_add_up_twice_over():
    window = Window.of("pool", (3, 3), 2)
    for _ in range(2):
        gx = pooling.avg_pool_input_gradient(np.ones((1, 1, 2, 2, 1)), window, True, 1)
        assert gx[0, 0, :, :, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
        x = np.zeros((1, 1, 3, 3, 1))
        x[0, 0, 1, 1] = 5
        y, offset = pooling.max_pool(x, window)
        gx = pooling.max_pool_route(np.ones_like(y), offset, window)
        assert gx[0, 0, :, :, 0].tolist() == [[0, 0, 0], [0, 4, 0], [0, 0, 0]]


def test_second_derivative_is_the_routing_again():
    # the Hessian diagonal of sum(maxpool(x)**2) for [1, 2, 4, 3], k = 2, s = 2: route(2 * gather(1))
    window = Window.of("pool", (4,), 2, 2)
    _, offset = pooling.max_pool(np.array([1.0, 2, 4, 3]).reshape(1, 1, 1, 4, 1), window)
    ones = np.ones((1, 1, 1, 4, 1))
    hessian = pooling.max_pool_route(2 * pooling.max_pool_gather(ones, offset, window), offset, window)
    assert hessian.ravel().tolist() == [0, 2, 2, 0]


def test_gather_is_the_transpose_of_route():
    window = Window.of("pool", (7, 6), 3, 2, 1)
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, 2, 1, 7, 6, 5))
    y, offset = pooling.max_pool(x, window)
    gy = rng.standard_normal(y.shape)
    left = (pooling.max_pool_gather(v, offset, window) * gy).sum()
    assert np.isclose(left, (pooling.max_pool_route(gy, offset, window) * v).sum(), rtol=1e-13)


@pytest.mark.parametrize(("taps", "dtype"), [(256, np.uint8), (257, np.uint16), (65537, np.uint32)])
def test_offsets_are_as_small_as_possible(taps, dtype):
    window = Window.of("pool", (taps,), taps)
    x = np.arange(taps, dtype=np.float32).reshape(1, 1, 1, taps, 1)
    y, offset = pooling.max_pool(x, window)
    assert offset.dtype == dtype
    assert offset.item() == taps - 1
    assert pooling.max_pool_indices(offset, window).item() == taps - 1
    assert pooling.max_pool_route(y, offset, window).ravel()[-1] == taps - 1


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_integers(dtype):
    window = Window.of("pool", (4,), 2)
    information = np.iinfo(dtype)
    x = np.array([information.min, information.max, information.max - 1, 3], dtype).reshape(1, 1, 1, 4, 1)
    y, offset = pooling.max_pool(x, window)
    assert y.dtype == dtype
    assert y.ravel().tolist() == [information.max, information.max, information.max - 1]
    assert offset.ravel().tolist() == [1, 0, 0]
    assert pooling.max_pool_gather(x, offset, window).tolist() == y.tolist()
    with pytest.raises(TypeError, match="avg_pool: the arrays must be floating-point"):
        pooling.avg_pool(x, window)


def test_float64_is_pooled_in_float64_and_float16_in_float32():
    window = Window.of("pool", (2,), 2)
    x = np.array([1.0, 1 + 2**-40]).reshape(1, 1, 1, 2, 1)
    assert pooling.max_pool(x, window)[0].item() == 1 + 2**-40
    assert pooling.avg_pool(x, window).item() == 1 + 2**-41
    window = Window.of("pool", (4096,), 4096)
    y = pooling.avg_pool(np.ones((1, 1, 1, 4096, 1), np.float16), window)
    assert y.dtype == np.float16
    assert y.item() == 1


def test_zero_batch_and_zero_channels():
    window = Window.of("pool", (4, 4), 2)
    for shape in ((0, 1, 4, 4, 3), (2, 1, 4, 4, 0)):
        x = np.ones(shape, np.float32)
        y, offset = pooling.max_pool(x, window)
        assert y.shape == offset.shape == pooling.avg_pool(x, window).shape == (shape[0], 1, 3, 3, shape[4])
        assert pooling.max_pool_route(y, offset, window).shape == shape
        assert pooling.max_pool_gather(x, offset, window).shape == y.shape
        assert pooling.max_pool_indices(offset, window).shape == y.shape
        assert pooling.avg_pool_input_gradient(y, window).shape == shape


def test_memory_of_every_kind(oracle):
    window = Window.of("pool", (6, 5), (3, 2), 2, 1)
    x = np.random.default_rng(0).standard_normal((2, 1, 6, 5, 4)).astype(np.float32)
    y, offset = pooling.max_pool(x, window)
    average = pooling.avg_pool(x, window)
    routed, spread = pooling.max_pool_route(y, offset, window), pooling.avg_pool_input_gradient(y, window)
    for (name, x2), (_, y2), (_, offset2) in zip(oracle.disguises(x), oracle.disguises(y), oracle.disguises(offset)):
        results = (
            *pooling.max_pool(x2, window),
            pooling.avg_pool(x2, window),
            pooling.max_pool_route(y2, offset2, window),
            pooling.max_pool_gather(x2, offset2, window),
            pooling.avg_pool_input_gradient(y2, window),
        )
        for result, expected in zip(results, (y, offset, average, routed, y, spread)):
            np.testing.assert_array_equal(result, expected, err_msg=name)
            assert result.flags.writeable
            assert result.dtype == expected.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bitwise_equal_for_every_number_of_threads(eager_threads, dtype):
    window = Window.of("pool", (13, 11), 3, 1, 1)
    x = np.random.default_rng(0).standard_normal((3, 1, 13, 11, 9)).astype(dtype)
    results = []
    for n in (1, 2, 3, 8):
        eager_threads.set_num_threads(n)
        y, offset = pooling.max_pool(x, window)
        results.append(
            [
                y,
                offset,
                pooling.max_pool_route(x, offset, window),
                pooling.max_pool_gather(x, offset, window),
                pooling.avg_pool(x, window),
                pooling.avg_pool_input_gradient(x, window),
            ]
        )
    for others in results[1:]:
        for first, other in zip(results[0], others):
            assert first.tobytes() == other.tobytes()


def test_no_offset_leads_outside_of_the_input():
    window = Window.of("pool", (4,), 2)
    wild = np.full((1, 1, 1, 3, 1), 255, np.uint8)
    assert not pooling.max_pool_route(np.ones((1, 1, 1, 3, 1)), wild, window).any()
    assert not pooling.max_pool_gather(np.ones((1, 1, 1, 4, 1)), wild, window).any()


def test_what_does_not_fit_is_refused():
    window = Window.of("pool", (4,), 2)
    x, gy, offset = _line(4), _line(3), np.zeros((1, 1, 1, 3, 1), np.uint8)
    with pytest.raises(ValueError, match=r"max_pool: x must have shape \(N, 1, 1, 4, C\).*\(1, 1, 1, 5, 1\)"):
        pooling.max_pool(_line(5), window)
    with pytest.raises(ValueError, match=r'ties must be "row" or "column", got \'first\''):
        pooling.max_pool(x, window, ties="first")
    with pytest.raises(TypeError, match=r"max_pool: .*bool"):
        pooling.max_pool(x > 1, window)
    with pytest.raises(ValueError, match="max_pool_route: offset must have shape"):
        pooling.max_pool_route(gy, offset[..., :2, :], window)
    with pytest.raises(TypeError, match="max_pool_route: offset must be made of unsigned integers"):
        pooling.max_pool_route(gy, offset.astype(np.int64), window)
    with pytest.raises(ValueError, match="max_pool_route: gy"):
        pooling.max_pool_route(x, offset, window)
    with pytest.raises(ValueError, match="max_pool_gather: x"):
        pooling.max_pool_gather(gy, offset, window)
    with pytest.raises(ValueError, match="avg_pool: x"):
        pooling.avg_pool(gy, window)
    with pytest.raises(ValueError, match="avg_pool_input_gradient: gy"):
        pooling.avg_pool_input_gradient(x, window)


def test_a_window_in_padding_only_is_refused():
    window = Window.of("pool", (2,), 2, 1, ((2, 0),))
    with pytest.raises(ValueError, match="max_pool: no window may lie wholly in padding"):
        pooling.max_pool(_line(2), window)
    with pytest.raises(ValueError, match="avg_pool: no window may lie wholly in padding"):
        pooling.avg_pool(_line(2), window)
