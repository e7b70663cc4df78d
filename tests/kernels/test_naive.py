"""The textbook loops, against the oracle, and what the sources print that does not hold."""

import numpy as np
import pytest
from autograd_conv.kernels import correlation, naive, pooling
from autograd_conv.kernels.geometry import Window
from hypothesis import assume, given, settings
from hypothesis import strategies as st


def _last(a):
    """(N, C, H, W) -> (N, 1, H, W, C)"""
    return np.moveaxis(a, 1, -1)[:, None]


def _hwio(w):
    """(O, C, KH, KW) -> (1, KH, KW, C, O)"""
    return w.transpose(2, 3, 1, 0)[None]


@st.composite
def cases(draw):
    groups = draw(st.sampled_from([1, 1, 2]))
    kernel, stride, dilation, padding, size = [], [], [], [], []
    for _ in range(2):
        k, s, d = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        least = max(1, d * (k - 1) + 1 - before - after)
        size.append(draw(st.integers(least, least + 4)))
        kernel.append(k), stride.append(s), dilation.append(d), padding.append((before, after))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    window = Window.of("test", size, kernel, stride, padding, dilation)
    channels, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    x = rng.standard_normal((draw(st.integers(1, 2)), channels, *size))
    w = rng.standard_normal((outputs, channels // groups, *kernel))
    gy = rng.standard_normal((x.shape[0], outputs, *window.spatial(2)))
    return x, w, gy, tuple(stride), tuple(padding), tuple(dilation), groups


@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_against_nested_loops(oracle, case):
    x, w, gy, stride, padding, dilation, groups = case
    y, gx, gw = oracle.all_three(
        _last(x), _hwio(w), None, _last(gy), (1, *stride), ((0, 0), *padding), (1, *dilation), groups
    )
    rest = (stride, padding, dilation, groups)
    sizes, kernel = x.shape[2:], w.shape[2:]
    np.testing.assert_allclose(_last(naive.correlate2d(x, w, None, *rest)), y, atol=1e-12)
    np.testing.assert_allclose(_last(naive.input_gradient(gy, w, sizes, *rest)), gx, atol=1e-12)
    np.testing.assert_allclose(_hwio(naive.weight_gradient(x, gy, kernel, *rest)), gw, atol=1e-12)
    if groups == 1:
        rest = (stride, padding, dilation)
        np.testing.assert_allclose(_last(naive.input_gradient_padpad(gy, w, sizes, *rest)), gx, atol=1e-12)
        np.testing.assert_allclose(_hwio(naive.weight_gradient_padpad(x, gy, kernel, *rest)), gw, atol=1e-12)
        _check_im2col(x, w, gy, stride, padding, dilation)


def _check_im2col(x, w, gy, stride, padding, dilation):
    """Y = im2col(X) @ W, gW = im2col(X).T @ gY, gX = col2im(gY @ W.T), in both orders."""
    outputs, kernel = w.shape[0], w.shape[2:]
    y = naive.correlate2d(x, w, None, stride, padding, dilation)
    gx = naive.input_gradient(gy, w, x.shape[2:], stride, padding, dilation)
    gw = naive.weight_gradient(x, gy, kernel, stride, padding, dilation)
    for order in ("row", "column"):
        spatial = (2, 3) if order == "row" else (3, 2)

        def rows(a, spatial=spatial):  # (N, O, OH, OW) -> (N * OH*OW, O)
            return a.transpose(0, *spatial, 1).reshape(-1, outputs)

        def taps(a, spatial=spatial):  # (O, C, KH, KW) -> (C * KH*KW, O)
            return a.transpose(1, *spatial, 0).reshape(-1, outputs)

        columns = naive.im2col(x, kernel, stride, padding, dilation, order)
        np.testing.assert_allclose(columns @ taps(w), rows(y), atol=1e-12)
        np.testing.assert_allclose(columns.T @ rows(gy), taps(gw), atol=1e-12)
        folded = naive.col2im(rows(gy) @ taps(w).T, x.shape, kernel, stride, padding, dilation, order)
        np.testing.assert_allclose(folded, gx, atol=1e-12)


def test_kernels_agree_with_the_textbook():
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 4, 9, 8)), rng.standard_normal((6, 2, 3, 2)), rng.standard_normal(6)
    rest = ((2, 3), (2, 1), (2, 3))
    window = Window.of("f", (9, 8), (3, 2), *rest)
    y = naive.correlate2d(x, w, b, *rest, groups=2)
    assert y.shape == (2, 6, 5, 3)
    np.testing.assert_allclose(correlation.correlate(_last(x), _hwio(w), b, window, 2), _last(y), atol=1e-12)
    np.testing.assert_allclose(correlation.bias_gradient(_last(y)), naive.bias_gradient(y), atol=1e-12)


def test_printed_weight_gradient_of_source_001():
    """Source 001 ends with ``gw = padpad(gy) * rot180 trans(x)``; ``padpad(rot180(gy)) * rot180 trans(x)`` holds."""
    rng = np.random.default_rng(1)
    for size, kernel, stride, padding in [(5, 3, 1, 0), (5, 3, 1, 1), (7, 3, 2, 1), (6, 2, 2, 0)]:
        window = Window.of("f", (size, size), kernel, stride, padding)
        x = rng.standard_normal((2, 3, size, size))
        gy = rng.standard_normal((2, 4, *window.spatial(2)))
        right = naive.weight_gradient(x, gy, (kernel, kernel), stride, padding)
        outer = ((kernel - 1 - padding,) * 2,) * 2

        def by_padpad(g, x=x, stride=stride, outer=outer):
            return naive.correlate2d(
                naive.padpad(g.swapaxes(0, 1), (stride, stride), outer), naive.rot180_transposed(x)
            )

        assert np.abs(by_padpad(gy) - right).max() > 0.1
        np.testing.assert_allclose(by_padpad(naive.rot180(gy)), right, atol=1e-12)
        np.testing.assert_allclose(
            naive.weight_gradient_padpad(x, gy, (kernel, kernel), stride, padding), right, atol=1e-12
        )


def test_padpad_of_source_001_misses_the_remainder():
    """H = 8, K = 3, S = 2: with ``K - 1 - P`` on both sides there are 7 rows for an input of 8."""
    rng = np.random.default_rng(2)
    w, gy = rng.standard_normal((1, 1, 3, 3)), rng.standard_normal((1, 1, 3, 3))
    printed = naive.correlate2d(naive.padpad(gy, (2, 2), ((2, 2), (2, 2))), naive.rot180_transposed(w))
    right = naive.input_gradient(gy, w, (8, 8), 2)
    assert printed.shape == (1, 1, 7, 7)
    assert naive.input_gradient_padpad(gy, w, (8, 8), 2).shape == right.shape == (1, 1, 8, 8)
    np.testing.assert_allclose(right[:, :, :7, :7], printed, atol=1e-12)
    assert not right[:, :, 7].any()


def test_padding_that_source_001_forbids():
    """0 <= P <= K - 1 is not required: padpad crops."""
    rng = np.random.default_rng(3)
    w, gy = rng.standard_normal((1, 1, 2, 2)), rng.standard_normal((1, 1, 10, 10))
    np.testing.assert_allclose(
        naive.input_gradient_padpad(gy, w, (3, 3), 1, 4), naive.input_gradient(gy, w, (3, 3), 1, 4), atol=1e-12
    )


def test_rot180_transposed_against_numpy():
    w = np.random.default_rng(4).standard_normal((2, 3, 4, 5))
    np.testing.assert_array_equal(naive.rot180_transposed(w), naive.rot180(w).swapaxes(0, 1))
    # Source 003 flips the flattened taps: right because both axes flip together
    np.testing.assert_array_equal(naive.rot180(w), w.reshape(2, 3, 20)[:, :, ::-1].reshape(w.shape))


def test_worked_example_of_the_sources():
    a = np.array([[1, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]])[None, None]
    k = np.array([[1, 0], [-1, 1]])[None, None]
    assert naive.correlate2d(a, k)[0, 0].tolist() == [[7, 0, -3], [1, 6, 8]]


@settings(max_examples=30, deadline=None)
@given(case=cases(), ceil_mode=st.booleans(), ties=st.sampled_from(["row", "column"]), include=st.booleans())
def test_pools_agree_with_the_kernels(oracle, case, ceil_mode, ties, include):
    x, w, _, stride, padding, dilation, _ = case
    kernel = w.shape[2:]
    rng = np.random.default_rng(0)
    values = np.round(x)
    values[rng.random(x.shape) < 0.1] = np.nan
    window = Window.of("f", x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    try:
        y, index = naive.max_pool2d(values, kernel, stride, padding, dilation, ceil_mode, ties)
    except ValueError:
        assume(False)
    ours, offset = pooling.max_pool(_last(values), window, ties)
    np.testing.assert_array_equal(_last(y), ours)
    np.testing.assert_array_equal(_last(index), pooling.max_pool_indices(offset, window))
    gy = rng.standard_normal(y.shape)
    routed = pooling.max_pool_route(_last(gy), offset, window)
    np.testing.assert_allclose(_last(naive.max_pool2d_gradient(gy, index, x.shape[2:])), routed, atol=1e-13)
    if dilation == (1, 1):
        average = naive.avg_pool2d(x, kernel, stride, padding, ceil_mode, include)
        np.testing.assert_allclose(_last(average), pooling.avg_pool(_last(x), window, include), atol=1e-13)
        spread = naive.avg_pool2d_gradient(gy, x.shape[2:], kernel, stride, padding, ceil_mode, include)
        expected = pooling.avg_pool_input_gradient(_last(gy), window, include)
        np.testing.assert_allclose(_last(spread), expected, atol=1e-13)


def test_errors():
    x = np.ones((1, 1, 4, 4))
    with pytest.raises(ValueError, match="divisor_override must not be 0"):
        naive.avg_pool2d(x, 2, divisor_override=0)
    with pytest.raises(ValueError, match='ties must be "row" or "column"'):
        naive.max_pool2d(x, 2, ties="diagonal")
    with pytest.raises(ValueError, match='order must be "row" or "column"'):
        naive.im2col(x, (2, 2), order="spiral")
    with pytest.raises(ValueError, match="half of the effective kernel"):
        naive.max_pool2d(x, 2, padding=2)
