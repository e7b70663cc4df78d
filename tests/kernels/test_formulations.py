"""The formulations on canonical arrays: their parts against the textbook, what they check, what they are called."""

import numpy as np
import pytest
from autograd_conv.kernels import formulations, im2col, kronecker, naive, padpad
from autograd_conv.kernels.geometry import Window, input_gradient_padding
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ["direct", "im2col", "padpad", "kronecker"]


@st.composite
def windows(draw):
    """A window over two axes, and an input's shape (N, C)."""
    kernel, stride, dilation, padding, size = [], [], [], [], []
    for _ in range(2):
        k, s, d = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        least = max(1, d * (k - 1) + 1 - before - after)
        size.append(draw(st.integers(least, least + 3)))
        kernel.append(k), stride.append(s), dilation.append(d), padding.append((before, after))
    settings = tuple(stride), tuple(padding), tuple(dilation)
    return Window.of("f", size, kernel, *settings), settings, (draw(st.integers(1, 2)), draw(st.integers(1, 3)))


def last(a):
    """(N, C, H, W) -> (N, 1, H, W, C)"""
    return np.moveaxis(a, 1, -1)[:, None]


@settings(max_examples=60)
@given(windows())
def test_parts_against_the_textbook(case):
    window, (stride, padding, dilation), (batch, channels) = case
    rng = np.random.default_rng(0)
    size, kernel = window.size[1:], window.kernel[1:]
    x = rng.standard_normal((batch, channels, *size))
    rest = (kernel, stride, padding, dilation)
    # im2col: the textbook counts channels before taps, the kernels after
    rows = batch * window.out[1] * window.out[2]
    textbook = naive.im2col(x, *rest).reshape(rows, channels, window.taps).swapaxes(1, 2).reshape(rows, -1)
    np.testing.assert_array_equal(im2col.im2col(last(x), window)[0], textbook)
    columns = rng.standard_normal((rows, window.taps, channels))
    folded = naive.col2im(columns.swapaxes(1, 2).reshape(rows, -1), x.shape, *rest)
    np.testing.assert_allclose(im2col.col2im(columns.reshape(1, rows, -1), batch, window), last(folded), atol=1e-13)
    # padpad
    gy = rng.standard_normal((batch, channels, *window.out[1:]))
    outer = formulations.outer_padding(window)
    expected = [
        input_gradient_padding(
            window.size[axis], window.kernel[axis], window.stride[axis], window.before[axis], window.after[axis],
            window.dilation[axis],
        )
        for axis in range(3)
    ]  # fmt: skip
    assert list(outer) == expected
    padded = naive.padpad(gy, stride, outer[1:])
    np.testing.assert_array_equal(padpad.padpad(last(gy), window.stride, outer), last(padded))
    # vec and Kronecker
    routing = kronecker.routing_matrix(window, channels)
    phi = kronecker.phi(last(x)[0], routing, window)
    np.testing.assert_array_equal(phi, naive.im2col(x[:1], *rest, order="column"))
    np.testing.assert_array_equal(kronecker.unvec(kronecker.vec(last(x)[0]), window.size, channels), last(x)[0])
    w = rng.standard_normal((*window.kernel, channels, 2))
    np.testing.assert_array_equal(kronecker.kernel_of(kronecker.kernel_matrix(w), window.kernel, channels), w)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_rot180_transposed_group_by_group(groups):
    w = np.random.default_rng(0).standard_normal((2, 3, 4, 2, 6))
    turned = padpad.rot180_transposed(w, groups)
    assert turned.shape == (2, 3, 4, 6 // groups, 2 * groups)
    for part, other in zip(np.split(w, groups, axis=4), np.split(turned, groups, axis=4)):
        np.testing.assert_array_equal(other, part[::-1, ::-1, ::-1].swapaxes(3, 4))
    np.testing.assert_array_equal(padpad.rot180_transposed(turned, groups), w)  # twice is nothing


def test_spread_crops_on_both_sides():
    a = np.arange(1, 6).reshape(1, 1, 1, 5, 1)
    for before in range(-12, 6):
        for length in range(8):
            for stride in (1, 2, 3):
                expected = np.zeros(length, int)
                for k in range(5):
                    if 0 <= before + k * stride < length:
                        expected[before + k * stride] = k + 1
                found = formulations.spread(a, (1, 1, stride), (0, 0, before), (1, 1, length))
                np.testing.assert_array_equal(found.ravel(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_results_are_fresh_and_arguments_unchanged(name):
    by = formulations.formulation(name)
    window = Window.of("f", (4, 5), 2, 1, 1)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 1, 4, 5, 2)), rng.standard_normal((1, 2, 2, 2, 3))
    b, gy = rng.standard_normal(3), rng.standard_normal((2, 1, 5, 6, 3))
    arguments = [x, w, b, gy]
    copies = [a.copy() for a in arguments]
    for a in arguments:
        a.flags.writeable = False
    results = [
        by.correlate(x, w, b, window), by.correlate_input_gradient(gy, w, window),
        by.correlate_weight_gradient(x, gy, window),
    ]  # fmt: skip
    assert [r.shape for r in results] == [gy.shape, x.shape, w.shape]
    for result in results:
        assert result.flags.writeable
        assert not any(np.may_share_memory(result, a) for a in arguments)
    for a, copy in zip(arguments, copies):
        np.testing.assert_array_equal(a, copy)


@pytest.mark.parametrize("name", NAMES)
def test_results_have_the_promoted_dtype(name):
    by = formulations.formulation(name)
    window = Window.of("f", (4,), 2)
    x, w, gy = np.ones((1, 1, 1, 4, 1)), np.ones((1, 1, 2, 1, 1)), np.ones((1, 1, 1, 3, 1))
    for a, b in [("f4", "f4"), ("f4", "f8"), ("f2", "f2"), ("f2", "f4"), ("i2", "i4"), ("u1", "u1"), ("i8", "f4")]:
        dtype = np.result_type(a, b)
        assert by.correlate(x.astype(a), w.astype(b), None, window).dtype == dtype
        assert by.correlate_input_gradient(gy.astype(a), w.astype(b), window).dtype == dtype
        assert by.correlate_weight_gradient(x.astype(a), gy.astype(b), window).dtype == dtype
    assert by.correlate(x.astype("f4"), w.astype("f4"), np.zeros(1), window).dtype == np.float64


@pytest.mark.parametrize("name", NAMES)
def test_what_is_checked(name):
    by = formulations.formulation(name)
    window = Window.of("f", (4, 5), 2)
    x, w, gy = np.ones((2, 1, 4, 5, 2)), np.ones((1, 2, 2, 2, 3)), np.ones((2, 1, 3, 4, 3))
    for call, error, words in [
        (lambda: by.correlate(x[0], w, None, window), ValueError, "correlate: x must have 5 axes"),
        (lambda: by.correlate(x[:, :, :3], w, None, window), ValueError, "correlate: x must have shape"),
        (lambda: by.correlate(x, w[:, :1], None, window), ValueError, "correlate: w must have shape"),
        (lambda: by.correlate(x, w, np.ones(2), window), ValueError, "correlate: bias must have shape"),
        (lambda: by.correlate(x, w, None, window, 2), ValueError, "correlate: groups must be at least 1 and divide"),
        (lambda: by.correlate(x.astype(complex), w, None, window), TypeError, "correlate: .*complex128"),
        (lambda: by.correlate_input_gradient(gy[:, :, :2], w, window), ValueError, "gradient: gy must have shape"),
        (lambda: by.correlate_input_gradient(gy, w[:, :1], window), ValueError, "gradient: w must have shape"),
        (lambda: by.correlate_input_gradient(gy, w, window, 0), ValueError, "gradient: groups must be at least 1"),
        (lambda: by.correlate_weight_gradient(x, gy[:1], window), ValueError, "gradient: gy must have shape"),
        (lambda: by.correlate_weight_gradient(x[:, :, :3], gy, window), ValueError, "gradient: x must have shape"),
    ]:
        with pytest.raises(error, match=words):
            call()


def test_kronecker_says_what_would_be_too_large():
    window = Window.of("f", (64, 64), 3)
    with pytest.raises(ValueError, match="M of 34596 x 4096 = 141705216 elements, more than 4194304"):
        kronecker.correlate(np.ones((1, 1, 64, 64, 1)), np.ones((1, 3, 3, 1, 1)), None, window)
