"""Correlation and its gradients, against nested loops and by exact values."""

import numpy as np
import pytest
from autograd_conv.kernels import correlation, geometry, loops
from autograd_conv.kernels.geometry import Window
from hypothesis import example, given, settings
from hypothesis import strategies as st

TOLERANCE = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}


@st.composite
def cases(draw):
    """Return shapes for which an output exists, and not too many products for the oracle."""
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    per_group, multiple = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel, stride, dilation, padding, size = [], [], [], [], []
    for _ in range(axes):
        k, s, d = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
        before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        least = max(0, d * (k - 1) + 1 - before - after)
        size.append(draw(st.integers(least, least + (4 if axes < 3 else 2))))
        kernel.append(k), stride.append(s), dilation.append(d), padding.append((before, after))
    batch = draw(st.integers(0, 2))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    seed = draw(st.integers(0, 2**16))
    return size, kernel, stride, dilation, padding, batch, groups, per_group * groups, multiple * groups, dtype, seed


def _arrays(case):
    size, kernel, stride, dilation, padding, batch, groups, channels, outputs, dtype, seed = case
    window = Window.of("test", size, kernel, stride, padding, dilation)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, *window.size, channels)).astype(dtype)
    w = rng.standard_normal((*window.kernel, channels // groups, outputs)).astype(dtype)
    b = rng.standard_normal(outputs).astype(dtype)
    gy = rng.standard_normal((batch, *window.out, outputs)).astype(dtype)
    return window, x, w, b, gy


def _three(oracle, window, x, w, b, gy, groups):
    padding = tuple(zip(window.before, window.after))
    return oracle.all_three(x, w, b, gy, window.stride, padding, window.dilation, groups)


def _assert_close(actual, expected, dtype, name):
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    assert actual.flags.writeable
    assert actual.flags.c_contiguous
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[np.dtype(dtype)] * scale, err_msg=name)


@settings(max_examples=50, deadline=None)
@given(case=cases())
@example(case=([9, 8], [3, 2], [2, 3], [2, 3], [(2, 2), (1, 1)], 2, 2, 4, 6, np.float32, 0))
@example(case=([3], [2], [1], [1], [(4, 4)], 1, 1, 1, 1, np.float64, 0))
@example(case=([0, 5], [2, 2], [1, 1], [1, 1], [(1, 1), (1, 1)], 2, 1, 2, 3, np.float32, 0))
def test_against_nested_loops(oracle, case):
    groups, dtype = case[6], case[9]
    window, x, w, b, gy = _arrays(case)
    y, gx, gw = _three(oracle, window, x, w, b, gy, groups)
    _assert_close(correlation.correlate(x, w, b, window, groups), y, dtype, "y")
    _assert_close(correlation.correlate_input_gradient(gy, w, window, groups), gx, dtype, "gx")
    _assert_close(correlation.correlate_weight_gradient(x, gy, window, groups), gw, dtype, "gw")
    _assert_close(correlation.bias_gradient(gy), gy.sum((0, 1, 2, 3), np.float64), dtype, "gb")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 15, 16, 17, 23, 24, 25, 33])
@pytest.mark.parametrize("kind", ["full", "depthwise", "multiplier", "pointwise"])
def test_channel_counts_around_the_vector_width(oracle, channels, kind, dtype):
    groups = channels if kind in ("depthwise", "multiplier") else 1
    outputs = {"full": 17, "depthwise": channels, "multiplier": 2 * channels, "pointwise": 5}[kind]
    kernel = 1 if kind == "pointwise" else (2, 3)
    case = ([3, 7], kernel, (1, 2), 1, 1, 2, groups, channels, outputs, dtype, channels)
    window, x, w, b, gy = _arrays(case)
    y, gx, gw = _three(oracle, window, x, w, b, gy, groups)
    _assert_close(correlation.correlate(x, w, b, window, groups), y, dtype, "y")
    _assert_close(correlation.correlate_input_gradient(gy, w, window, groups), gx, dtype, "gx")
    _assert_close(correlation.correlate_weight_gradient(x, gy, window, groups), gw, dtype, "gw")


def _image(*values, dtype=np.float64):
    return np.array(values, dtype).reshape(1, 1, 1, -1, 1)


def _kernel(*values, dtype=np.float64):
    return np.array(values, dtype).reshape(1, 1, -1, 1, 1)


def test_worked_example_of_the_sources():
    a = np.array([[1.0, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]])
    k = np.array([[1.0, 0], [-1, 1]])
    window = Window.of("f", a.shape, k.shape)
    y = correlation.correlate(a[None, None, :, :, None], k[None, :, :, None, None], None, window)
    assert y[0, 0, :, :, 0].tolist() == [[7, 0, -3], [1, 6, 8]]


def test_stride_remainder():
    window = Window.of("f", (6,), 3, 2)
    assert window.spatial(1) == (2,)
    gx = correlation.correlate_input_gradient(np.ones((1, 1, 1, 2, 1)), _kernel(1, 2, 3), window)
    assert gx.ravel().tolist() == [1, 2, 4, 2, 3, 0]


def test_stride_beyond_the_kernel():
    window = Window.of("f", (7,), 2, 3)
    gx = correlation.correlate_input_gradient(np.ones((1, 1, 1, 2, 1)), _kernel(5, 7), window)
    assert gx.ravel().tolist() == [5, 7, 0, 5, 7, 0, 0]


def test_padding_beyond_the_kernel():
    window = Window.of("f", (3,), 2, 1, 4)
    y = correlation.correlate(_image(1, 2, 3), _kernel(1, 10), np.array([0.5]), window)
    assert y.ravel().tolist() == [0.5, 0.5, 0.5, 10.5, 21.5, 32.5, 3.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("x", "w", "stride", "y"),
    [
        ([1, 2, 3, 4], [1, 10], 1, [21, 32, 43, 4]),
        ([1, 2, 3, 4, 5], [1, 10, 100], 2, [210, 432, 54]),
        ([1, 2, 3, 4], [1, 10], 2, [21, 43]),
    ],
)
def test_same(x, w, stride, y):
    window = Window.of("f", (len(x),), len(w), stride, "same")
    assert correlation.correlate(_image(*x), _kernel(*w), None, window).ravel().tolist() == y


def test_zero_batch_and_zero_channels():
    window = Window.of("f", (4, 4), 3, 1, 1)
    w, b = np.ones((1, 3, 3, 2, 3), np.float32), np.array([1, 2, 3], np.float32)
    x = np.ones((0, 1, 4, 4, 2), np.float32)
    y = correlation.correlate(x, w, b, window)
    assert y.shape == (0, 1, 4, 4, 3)
    assert correlation.correlate_input_gradient(y, w, window).shape == x.shape
    assert not correlation.correlate_weight_gradient(x, y, window).any()
    assert correlation.bias_gradient(y).tolist() == [0, 0, 0]

    x, w = np.ones((2, 1, 4, 4, 0), np.float32), np.ones((1, 3, 3, 0, 3), np.float32)
    assert (correlation.correlate(x, w, b, window) == b).all()
    y = correlation.correlate(x, w, None, window)
    assert y.shape == (2, 1, 4, 4, 3)
    assert not y.any()
    assert correlation.correlate_input_gradient(y, w, window).shape == x.shape
    assert correlation.correlate_weight_gradient(x, y, window).shape == w.shape


def test_axis_of_length_zero():
    window = Window.of("f", (0, 5), 2, 1, 1)
    x, w = np.ones((2, 1, 0, 5, 2)), np.ones((1, 2, 2, 2, 3))
    y = correlation.correlate(x, w, np.ones(3), window)
    assert y.shape == (2, 1, 1, 6, 3)
    assert (y == 1).all()
    assert correlation.correlate_input_gradient(y, w, window).shape == x.shape
    assert not correlation.correlate_weight_gradient(x, y, window).any()


def test_memory_of_every_kind(oracle):
    case = ([6, 5], (3, 2), (2, 1), 1, 1, 2, 2, 4, 6, np.float32, 1)
    window, x, w, b, gy = _arrays(case)
    y = correlation.correlate(x, w, b, window, 2)
    gx = correlation.correlate_input_gradient(gy, w, window, 2)
    gw = correlation.correlate_weight_gradient(x, gy, window, 2)
    gb = correlation.bias_gradient(gy)
    for (name, x2), (_, w2), (_, gy2), (_, b2) in zip(
        oracle.disguises(x), oracle.disguises(w), oracle.disguises(gy), oracle.disguises(b.reshape(1, -1))
    ):
        assert (x2 == x).all()
        results = (
            correlation.correlate(x2, w2, b2.reshape(-1), window, 2),
            correlation.correlate_input_gradient(gy2, w2, window, 2),
            correlation.correlate_weight_gradient(x2, gy2, window, 2),
            correlation.bias_gradient(gy2),
        )
        for result, expected in zip(results, (y, gx, gw, gb)):
            np.testing.assert_array_equal(result, expected, err_msg=name)
            assert result.flags.writeable
            assert result.dtype == np.float32
    before = x.copy(), w.copy(), gy.copy()
    ones = np.broadcast_to(np.float32(1), gy.shape)
    np.testing.assert_array_equal(
        correlation.correlate_weight_gradient(x, ones, window, 2),
        correlation.correlate_weight_gradient(x, np.ones_like(gy), window, 2),
    )
    for after, array in zip(before, (x, w, gy)):
        np.testing.assert_array_equal(after, array)


def test_read_only_memory_is_neither_copied_nor_compiled_for_again():
    from autograd_conv.kernels.arrays import contiguous

    x = np.arange(4.0)
    x.flags.writeable = False
    alias = contiguous(x, x.dtype)
    assert np.shares_memory(alias, x)
    assert not x.flags.writeable


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_padding_contributes_nothing_and_zeros_do(special):
    window = Window.of("f", (3, 3), 3, 1, 1)
    x = np.zeros((1, 1, 3, 3, 2), np.float32)
    w = np.full((1, 3, 3, 2, 17), special, np.float32)
    y = correlation.correlate(x, w, None, window)
    assert np.isnan(y).all()  # zero times infinity is NaN, wherever the kernel meets the input
    w[0, 1:, 1:] = 1  # at the corner, the other taps lie in padding
    assert (correlation.correlate(x + 1, w, None, window)[0, 0, 0, 0] == 8).all()
    gy = np.zeros((1, 1, 3, 3, 17), np.float32)
    assert np.isnan(correlation.correlate_input_gradient(gy, np.full_like(w, special), window)).all()
    x[0, 0, 0, 0, 0] = special
    gw = correlation.correlate_weight_gradient(x, gy, window)
    assert np.isnan(gw[0, :2, :2, 0]).all()  # these taps meet the corner with some output
    assert (gw[0, 2] == 0).all()
    assert (gw[0, :, 2] == 0).all()
    assert (gw[..., 1, :] == 0).all()


@st.composite
def wide_cases(draw):
    """Return cases as `cases` does, with rows longer than a vector and channels around half of one."""
    axes = draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 5)) for _ in range(axes)]
    stride = [draw(st.integers(1, 3)) for _ in range(axes)]
    dilation = [draw(st.integers(1, 2)) for _ in range(axes)]
    padding = [(draw(st.integers(0, 6)), draw(st.integers(0, 6))) for _ in range(axes)]
    size = [draw(st.integers(9, 40 if axis == axes - 1 else 10)) for axis in range(axes)]
    channels, outputs = draw(st.integers(1, 20)), draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 16, 33]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return size, kernel, stride, dilation, padding, 2, 1, channels, outputs, dtype, draw(st.integers(0, 99))


@settings(max_examples=40, deadline=None)
@given(case=wide_cases(), first=st.booleans(), oihw=st.booleans())
def test_few_channels_against_nested_loops(oracle, case, first, oihw):
    dtype = case[9]
    window, x, w, b, gy = _arrays(case)
    y, gx, _ = _three(oracle, window, x, w, b, gy, 1)
    if first:  # as views of channels-first memory
        x, gy = (np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 4, 1)), 1, 4) for a in (x, gy))
    if oihw:
        w = np.ascontiguousarray(w.transpose(4, 3, 0, 1, 2)).transpose(2, 3, 4, 1, 0)
    _assert_close(correlation.correlate(x, w, b, window), y, dtype, "y")
    _assert_close(correlation.correlate_input_gradient(gy, w, window), gx, dtype, "gx")


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_rows_of_thousands_of_pixels(eager_threads, stride, padding):
    rng = np.random.default_rng(padding)
    x = rng.standard_normal((2, 1, 1, 2301, 3)).astype(np.float32)
    w = rng.standard_normal((1, 1, 5, 3, 9)).astype(np.float32)
    window = Window.of("f", (2301,), (5,), stride, padding)
    padded = np.pad(x[:, 0, 0].astype(np.float64), ((0, 0), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5, 1)[:, ::stride]  # (N, OW, C, KW)
    expected = np.einsum("nick,kco->nio", windows, w[0, 0])
    for channels_first in (False, True):
        source = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 4, 1)), 1, 4) if channels_first else x
        results = []
        for n in (1, 3):
            eager_threads.set_num_threads(n)
            results.append(correlation.correlate(source, w, None, window))
        assert results[0].tobytes() == results[1].tobytes()
        np.testing.assert_allclose(results[0][:, 0, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("order", ["HWIO", "OIHW", "HWOI", "IHWO", "reversed", "sliced", "read-only"])
@pytest.mark.parametrize(("stride", "kernel"), [(1, (3, 5)), (2, (3, 5)), (3, (5, 7)), (1, 1), (2, 1)])
def test_kernels_in_any_memory_order(oracle, order, stride, kernel):
    # 70 outputs: whole vectors and a part of one; 1200 pixels: more than one block, 60: one, which packs for itself.
    for size, dtype in (((30, 20), np.float32), ((6, 5), np.float64)):
        window, x, w, b, gy = _arrays((size, kernel, stride, 1, 3, 2, 1, 19, 70, dtype, 3))
        y, gx, _ = _three(oracle, window, x, w, b, gy, 1)
        if order in ("OIHW", "HWOI", "IHWO"):
            axes = {"OIHW": (4, 3, 0, 1, 2), "HWOI": (0, 1, 2, 4, 3), "IHWO": (3, 0, 1, 2, 4)}[order]
            w = np.ascontiguousarray(w.transpose(axes)).transpose(np.argsort(axes))
        elif order == "reversed":
            w = np.ascontiguousarray(w[:, ::-1, ::-1])[:, ::-1, ::-1]
        elif order == "sliced":
            wide = np.full((*w.shape[:3], 2 * w.shape[3], w.shape[4] + 5), np.nan, dtype)
            wide[..., ::2, 5:] = w
            w = wide[..., ::2, 5:]
        elif order == "read-only":
            w.flags.writeable = False
        _assert_close(correlation.correlate(x, w, b, window), y, dtype, "y")
        _assert_close(correlation.correlate_input_gradient(gy, w, window), gx, dtype, "gx")


@pytest.mark.parametrize("outputs", [1, 3, 8, 9, 40])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_padding_next_to_what_is_not_finite(oracle, outputs, special):
    """Wherever a tap lies in padding, its weight does not matter, in whole and in mixed tiles."""
    window = Window.of("f", (5, 23), 3, 1, 1)
    rng = np.random.default_rng(outputs)
    x = rng.standard_normal((2, 1, 5, 23, 4)).astype(np.float32)
    w = rng.standard_normal((1, 3, 3, 4, outputs)).astype(np.float32)
    w[0, 0, 0, 0, -1] = special  # meets all outputs but those of the first row and the first column
    y = correlation.correlate(x, w, None, window)
    expected = _three(oracle, window, x, w, None, None, 1)[0]
    finite = np.isfinite(expected)
    assert finite[:, :, 0].all()
    assert finite[:, :, :, 0].all()
    assert not finite[:, :, 1:, 1:, -1].any()
    np.testing.assert_array_equal(np.isfinite(y), finite)
    np.testing.assert_allclose(y[finite], expected[finite], rtol=0, atol=1e-4)


def test_windows_that_see_padding_alone():
    window = Window.of("f", (2, 2), 2, 1, 5)
    for outputs in (3, 17):
        b = np.arange(1, outputs + 1, dtype=np.float32)
        y = correlation.correlate(np.ones((1, 1, 2, 2, 5), np.float32), np.ones((1, 2, 2, 5, outputs), "f"), b, window)
        assert (y[0, 0, 0] == b).all()
        assert (y[0, 0, :, -1] == b).all()
        assert (y[0, 0, 5, 5] == b + 20).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("channels", "outputs", "groups"), [(3, 5, 1), (3, 40, 1), (700, 17, 1), (8, 8, 8), (6, 4, 2)])
def test_rectified(channels, outputs, groups, dtype):
    window = Window.of("f", (7, 19), 3, 1, 1)
    rng = np.random.default_rng(channels)
    x = rng.standard_normal((2, 1, 7, 19, channels)).astype(dtype)
    w = rng.standard_normal((1, 3, 3, channels // groups, outputs)).astype(dtype)
    b = rng.standard_normal(outputs).astype(dtype)
    x[0, 0, 3, 4, 0] = np.nan
    plain = correlation.correlate(x, w, b, window, groups)
    y = correlation.correlate(x, w, b, window, groups, activation="relu")
    assert np.isnan(y).any()
    np.testing.assert_array_equal(y, np.where(plain <= 0, 0, plain))
    assert not np.signbit(y[~np.isnan(y)]).any()


def test_rectified_zero_and_infinity():
    window = Window.of("f", (40,), 1)
    for outputs in (1, 17):
        x = np.full((1, 1, 1, 40, 1), -0.0, np.float32)
        x[..., 1, 0], x[..., 2, 0] = -np.inf, np.inf
        bias = np.full(outputs, -0.0, np.float32)
        y = correlation.correlate(x, np.ones((1, 1, 1, 1, outputs), "f"), bias, window, activation="relu")[0, 0, 0]
        assert (y[2] == np.inf).all()
        assert not np.delete(y, 2, axis=0).any()
        assert not np.signbit(y).any()


def test_unknown_activation_is_refused():
    window = Window.of("f", (3,), 2)
    with pytest.raises(ValueError, match="correlate: activation must be None or 'relu', got 'tanh'"):
        correlation.correlate(_image(1, 2, 3), _kernel(1, 1), None, window, activation="tanh")


def test_integers_are_rectified():
    window = Window.of("f", (3,), 1)
    y = correlation.correlate(
        _image(1, -2, 3, dtype=np.int64), _kernel(2, dtype=np.int64), None, window, activation="relu"
    )
    assert y.ravel().tolist() == [2, 0, 6]


def test_zero_kernel_lets_nan_through():
    window = Window.of("f", (4,), 1)
    y = correlation.correlate(_image(1, np.nan, np.inf, 2), _kernel(0), None, window)
    np.testing.assert_array_equal(y.ravel(), [0, np.nan, np.nan, 0])


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bitwise_equal_for_every_number_of_threads(eager_threads, groups, dtype):
    channels = 24 if groups == 1 else 8  # in one group, few channels have loops of their own: see the next test
    case = ([13, 11], 3, (2, 1), 1, 1, 3, groups, channels, 8, dtype, groups)
    _check_threads(eager_threads, case, groups)


@pytest.mark.parametrize("outputs", [1, 8, 20])
def test_few_channels_are_bitwise_equal_for_every_number_of_threads(eager_threads, outputs):
    _check_threads(eager_threads, ([31, 29], 3, (2, 1), 1, 1, 3, 1, 3, outputs, np.float32, 1), 1)


def _check_threads(eager_threads, case, groups):
    window, x, w, b, gy = _arrays(case)
    results = []
    for n in (1, 2, 3, 8):
        eager_threads.set_num_threads(n)
        results.append(
            [
                correlation.correlate(x, w, b, window, groups),
                correlation.correlate_input_gradient(gy, w, window, groups),
                correlation.correlate_weight_gradient(x, gy, window, groups),
                correlation.bias_gradient(gy),
            ]
        )
    for others in results[1:]:
        for first, other in zip(results[0], others):
            assert first.tobytes() == other.tobytes()


def test_results_do_not_depend_on_what_memory_held():
    window = Window.of("f", (6,), 2, 3)  # leaves input that no window reads
    w = np.ones((1, 1, 2, 9, 9), np.float32)
    gy = np.ones((5, 1, 1, 2, 9), np.float32)
    expected = correlation.correlate_input_gradient(gy, w, window).tobytes()
    for _ in range(20):
        dirt = np.full((5, 1, 1, 6, 9), np.nan, np.float32)
        del dirt
        assert correlation.correlate_input_gradient(gy, w, window).tobytes() == expected


def test_float16_accumulates_in_float32():
    window = Window.of("f", (4096,), 4096)
    x, w = np.ones((1, 1, 1, 4096, 1), np.float16), np.ones((1, 1, 4096, 1, 1), np.float16)
    y = correlation.correlate(x, w, None, window)
    assert y.dtype == np.float16
    assert y.item() == 4096  # in float16, adding 1 to 2048 gives 2048
    assert correlation.correlate_input_gradient(y, w, window).dtype == np.float16
    assert correlation.correlate_weight_gradient(x, y, window).dtype == np.float16
    assert correlation.bias_gradient(np.ones((4096, 2), np.float16)).tolist() == [4096, 4096]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_integers_wrap(dtype):
    window = Window.of("f", (3,), 2)
    x, w = _image(100, 100, 3, dtype=dtype), _kernel(2, 1, dtype=dtype)
    y = correlation.correlate(x, w, None, window)
    assert y.dtype == dtype
    assert y.ravel().tolist() == np.array([300, 203]).astype(dtype).tolist()


def test_dtypes_promote():
    window = Window.of("f", (3,), 2)
    x, w = _image(1, 2, 3, dtype=np.float32), _kernel(2, 1, dtype=np.float64)
    assert correlation.correlate(x, w, None, window).dtype == np.float64
    assert correlation.correlate(x, _kernel(1, 1, dtype=np.int64), None, window).dtype == np.float64
    assert correlation.correlate(x, _kernel(1, 1, dtype=np.int16), None, window).dtype == np.float32


@pytest.mark.parametrize("dtype", [bool, complex, object])
def test_other_dtypes_are_refused(dtype):
    window = Window.of("f", (3,), 2)
    with pytest.raises(TypeError, match="correlate: the arrays must be floating-point or integer"):
        correlation.correlate(_image(1, 2, 3, dtype=dtype), _kernel(1, 1, dtype=dtype), None, window)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.ones((1, 1, 1, 5, 2))}, ["correlate", "x", "(1, 1, 1, 4, 2)", "(1, 1, 1, 5, 2)"]),
        ({"x": np.ones((1, 4, 2))}, ["correlate", "x", "5 axes", "(1, 4, 2)"]),
        ({"w": np.ones((1, 1, 2, 3, 2))}, ["correlate", "w", "(1, 1, 2, 2, 2)", "(1, 1, 2, 3, 2)"]),
        ({"w": np.ones((1, 1, 3, 2, 2))}, ["correlate", "w", "(1, 1, 3, 2, 2)"]),
        ({"bias": np.ones(3)}, ["correlate", "bias", "(2,)", "(3,)"]),
        ({"groups": 3}, ["correlate", "groups", "3", "C 2", "O 2"]),
        ({"groups": 0}, ["correlate", "groups", "0"]),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    arguments = {"x": np.ones((1, 1, 1, 4, 2)), "w": np.ones((1, 1, 2, 2, 2)), "bias": None, "groups": 1, **change}
    window = Window.of("f", (4,), 2)
    with pytest.raises(ValueError) as raised:
        correlation.correlate(arguments["x"], arguments["w"], arguments["bias"], window, arguments["groups"])
    for word in words:
        assert word in str(raised.value)


def test_gradients_refuse_what_does_not_fit():
    window = Window.of("f", (4,), 2)
    with pytest.raises(ValueError, match="gy must have shape"):
        correlation.correlate_input_gradient(np.ones((1, 1, 1, 4, 2)), np.ones((1, 1, 2, 2, 2)), window)
    with pytest.raises(ValueError, match="gy must have shape"):
        correlation.correlate_weight_gradient(np.ones((1, 1, 1, 4, 2)), np.ones((2, 1, 1, 3, 2)), window)
    with pytest.raises(ValueError, match="groups"):
        correlation.correlate_weight_gradient(np.ones((1, 1, 1, 4, 2)), np.ones((1, 1, 1, 3, 3)), window, 2)


def test_sums_of_many_terms_keep_their_precision():
    # 100,000 equal terms: added one by one in float32 they would lose three digits.
    window = Window.of("f", (316, 316), 1)
    x = np.full((1, 1, 316, 316, 1), 0.1, np.float32)
    gw = correlation.correlate_weight_gradient(x, x, window)
    exact = 316 * 316 * float(np.float32(0.1)) ** 2
    assert abs(gw.item() - exact) < 1e-4 * exact
    assert abs(correlation.bias_gradient(x).item() / (316 * 316 * float(np.float32(0.1))) - 1) < 1e-6


def test_indices_are_typed_as_64_bits():
    # Elements beyond 2**31 need more memory than a test may take: what Numba made of the loop variables tells.
    import numba

    if numba.config.DISABLE_JIT:
        pytest.skip("without compilation Python's integers have no width")
    window = Window.of("f", (4,), 2)
    correlation.correlate(np.ones((1, 1, 1, 4, 1)), np.ones((1, 1, 2, 1, 1)), None, window)
    (signature, *_) = loops._correlate_rows.nopython_signatures
    assert signature.args[0] == signature.args[1] == numba.types.int64
    assert "int64" in str(signature.args[6])
    assert "int32" not in str(signature)


def test_adjoint_identities_of_a_transposed_correlation():
    # <correlate(x, w), gy> = <x, input_gradient(gy, w)> = <w, weight_gradient(x, gy)>, also for k=1, s=2
    for kernel, stride in ((1, 2), (3, 2), (4, 3)):
        case = ([9, 8], kernel, stride, 1, 0, 2, 1, 3, 5, np.float64, 3)
        window, x, w, _, gy = _arrays(case)
        left = (correlation.correlate(x, w, None, window) * gy).sum()
        assert np.isclose(left, (correlation.correlate_input_gradient(gy, w, window) * x).sum(), rtol=1e-12)
        assert np.isclose(left, (correlation.correlate_weight_gradient(x, gy, window) * w).sum(), rtol=1e-12)


def test_transposed_window():
    # Each input element puts the kernel down, steps of the stride apart; what output_padding adds is beyond them.
    w, x = _kernel(1, 10), np.array([1.0, 2, 3]).reshape(1, 1, 1, 3, 1)
    for window, expected in [
        (Window.transposed("f", (3,), 2, 3, output_padding=2), [1, 10, 0, 2, 20, 0, 3, 30, 0, 0]),
        (Window.transposed("f", (3,), 2, 1, output_padding=1, dilation=2), [1, 2, 13, 20, 30, 0]),
    ]:
        assert correlation.correlate_input_gradient(x, w, window).ravel().tolist() == expected


def test_eight_python_threads_at_once(eager_threads):
    import threading

    eager_threads.set_num_threads(2)
    case = ([9, 9], 3, 1, 1, 1, 2, 1, 5, 7, np.float32, 5)
    window, x, w, b, _ = _arrays(case)
    expected = correlation.correlate(x, w, b, window).tobytes()
    wrong = []

    def work():
        for _ in range(20):
            if correlation.correlate(x, w, b, window).tobytes() != expected:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not wrong


def test_padpad_lengths_of_source_001():
    # Without the remainder, the correlation with padpad(gy) has 7 rows for an input of 8.
    out = geometry.output_size(8, 3, 2, 0, 0, 1)
    assert geometry.output_size((out - 1) * 2 + 1, 3, 1, 2, 2, 1) == 7
    assert geometry.output_size((out - 1) * 2 + 1, 3, 1, *geometry.input_gradient_padding(8, 3, 2, 0, 0, 1), 1) == 8


# ---------------------------------------------------------------- two ways of computing


def _disable_tiles(monkeypatch):
    monkeypatch.setattr(correlation, "_has_tiles", lambda *_: False)
    for plan in ("_plan_correlate", "_plan_input_gradient", "_plan_weight_gradient"):  # nothing remembered
        monkeypatch.setattr(correlation, plan, getattr(correlation, plan).__wrapped__)


@pytest.fixture
def without_tiles(monkeypatch):
    """The plain loops, which also serve integers and depthwise convolution."""
    _disable_tiles(monkeypatch)


# Channels around the vector widths, groups, strides and dilations: N, C, H, W, O, kernel, stride, padding, dilation, G.
SHAPES = [
    *[(2, c, 6, 7, 18, 3, 1, 1, 1, 1) for c in (1, 2, 3, 7, 15, 16, 17, 23, 24, 25, 33)],
    *[(1, 17, 7, 6, o, 3, 2, 1, 1, 1) for o in (1, 2, 3, 8, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 97, 130)],
    (2, 70, 5, 5, 130, 3, 2, 1, 1, 2),
    (2, 24, 9, 8, 48, (3, 2), (2, 3), (2, 1), (2, 3), 4),
    (3, 3, 23, 21, 20, 7, 2, 3, 1, 1),
    (1, 300, 4, 4, 70, 1, 1, 0, 1, 1),
    (40, 6, 9, 9, 16, 5, 1, 0, 1, 1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_agree_with_plain_loops(shape, dtype, monkeypatch):
    batch, channels, height, width, outputs, kernel_size, stride, padding, dilation, groups = shape
    window = Window.of("f", (height, width), kernel_size, stride, padding, dilation)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((batch, *window.size, channels)).astype(dtype)
    w = rng.standard_normal((*window.kernel, channels // groups, outputs)).astype(dtype)
    gy = rng.standard_normal((batch, *window.out, outputs)).astype(dtype)
    bias = rng.standard_normal(outputs).astype(dtype)

    def all_three():
        return (
            correlation.correlate(x, w, bias, window, groups),
            correlation.correlate_input_gradient(gy, w, window, groups),
            correlation.correlate_weight_gradient(x, gy, window, groups),
        )

    tiles = all_three()
    _disable_tiles(monkeypatch)
    for tiled, plain in zip(tiles, all_three()):
        scale = np.abs(plain).max()
        np.testing.assert_allclose(tiled, plain, rtol=0, atol=scale * (2e-5 if dtype == np.float32 else 1e-13))


@pytest.mark.usefixtures("without_tiles")
class TestPlainLoops:
    """The tests above, for the plain loops."""

    test_against_nested_loops = staticmethod(test_against_nested_loops)
    test_padding = staticmethod(test_padding_contributes_nothing_and_zeros_do)
    test_threads = staticmethod(test_bitwise_equal_for_every_number_of_threads)
