"""unfold and fold (im2col, col2im) against nested loops, as each other's transpose, and inside a convolution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn

LAYOUTS = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))


def windows(size, kernel, stride, padding, dilation):
    """How many windows fit, counted one by one."""
    count = 0
    while count * stride + (kernel - 1) * dilation < size + sum(padding):
        count += 1
    return count


def places(sizes, kernel, stride, padding, dilation):
    """Yield (tap number, window number, place in the input or None)."""
    n = len(sizes)
    out = [windows(*axis) for axis in zip(sizes, kernel, stride, padding, dilation)]
    for l, i in enumerate(itertools.product(*map(range, out))):
        for k, u in enumerate(itertools.product(*map(range, kernel))):
            h = tuple(i[a] * stride[a] + u[a] * dilation[a] - padding[a][0] for a in range(n))
            yield k, l, h if all(0 <= h[a] < sizes[a] for a in range(n)) else None


def naive_unfold(x, *setting):
    """x (N, C, ...) -> (N, C, taps, L)."""
    sizes = x.shape[2:]
    found = list(places(sizes, *setting))
    cols = np.zeros((*x.shape[:2], max(k for k, _, _ in found) + 1, max(l for _, l, _ in found) + 1), x.dtype)
    for k, l, h in found:
        if h is not None:
            cols[:, :, k, l] = x[(slice(None), slice(None), *h)]
    return cols


def naive_fold(cols, sizes, *setting):
    """cols (N, C, taps, L) -> (N, C, ...)."""
    x = np.zeros((*cols.shape[:2], *sizes))
    for k, l, h in places(sizes, *setting):
        if h is not None:
            x[(slice(None), slice(None), *h)] += cols[:, :, k, l]
    return x


def first(cols):
    """(N, C, taps, L) as channels-first columns."""
    return cols.reshape(cols.shape[0], -1, cols.shape[3])


def last(cols):
    """(N, C, taps, L) as channels-last columns."""
    return np.moveaxis(cols, 3, 1).swapaxes(2, 3).reshape(cols.shape[0], cols.shape[3], -1)


@given(st.data())
def test_random_windows(pulled, data):
    n = data.draw(st.integers(1, 3))
    axes = lambda low, high: tuple(data.draw(st.integers(low, high)) for _ in range(n))  # noqa: E731
    kernel, stride, dilation = axes(1, 3), axes(1, 3), axes(1, 2)
    padding = tuple((data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))) for _ in range(n))
    sizes = tuple(
        max(d * (k - 1) + 1 - sum(p), 0) + data.draw(st.integers(0, 3)) for k, d, p in zip(kernel, dilation, padding)
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    channels_last = data.draw(st.booleans())
    channels = data.draw(st.integers(1, 3))
    x = rng.standard_normal((2, channels, *sizes))
    expected = naive_unfold(x, kernel, stride, padding, dilation)
    gy = rng.standard_normal(expected.shape)
    gx = naive_fold(gy, sizes, kernel, stride, padding, dilation)
    layout = LAYOUTS[n - 1][channels_last]
    order, columns = (lambda a: np.moveaxis(a, 1, -1), last) if channels_last else (np.asarray, first)
    arguments = (kernel, dilation, padding, stride)
    y, found = pulled(lambda x: nn.unfold(x, *arguments, layout=layout), columns(gy), order(x))
    np.testing.assert_array_equal(y, columns(expected))
    np.testing.assert_allclose(found, order(gx), rtol=1e-12, atol=1e-12)
    y, found = pulled(lambda g: nn.fold(g, sizes, *arguments, layout=layout), order(x), columns(gy))
    np.testing.assert_allclose(y, order(gx), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found, columns(expected))
    assert np.vdot(expected, gy) == pytest.approx(np.vdot(x, gx), rel=1e-9, abs=1e-9)


def test_the_worked_example_of_the_sources():
    image = [[[1.0, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]]]
    by_row = nn.unfold(image, 2).data  # rows: taps 00, 01, 10, 11; columns: windows row by row
    in_column_order = [[1, 2, 3, 8, 1, 5], [2, 3, 8, 2, 5, 0], [3, 8, 1, 5, 4, 1], [8, 2, 5, 0, 1, 3]]
    by_column = by_row[[0, 2, 1, 3]].reshape(4, 2, 3).swapaxes(1, 2).reshape(4, 6)
    np.testing.assert_array_equal(by_column, in_column_order)


def test_case_17_overlapping_windows_accumulate():
    for _ in range(2):
        x = ac.tensor(np.ones((1, 1, 3, 3)), requires_grad=True)
        y = nn.fold(nn.unfold(x, 2), 3, 2)
        np.testing.assert_array_equal(y.data[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
        y.backward(np.ones(y.shape))
        np.testing.assert_array_equal(x.grad[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
        # After arrays of other values have come and gone, in a buffer of the same size.
        np.testing.assert_array_equal(nn.fold(np.full((1, 4, 4), np.nan), 3, 2).data, np.full((1, 1, 3, 3), np.nan))


def test_places_in_no_window_are_exactly_zero():
    for layout, shape in (("NCW", (1, 2, 2)), ("NWC", (1, 2, 2))):
        y = nn.fold(np.ones(shape), 7, 2, stride=3, layout=layout).data.ravel()
        np.testing.assert_array_equal(y, [1, 1, 0, 1, 1, 0, 0])


@pytest.mark.parametrize("padding", ["same", "valid", ((1, 2), (0, 3)), 4])
def test_convolution_is_a_product_with_columns(rng, padding):
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2))
    expected = nn.conv2d(x, w, stride=(1, 2), padding=padding).data
    y = w.reshape(4, -1) @ nn.unfold(x, (3, 2), padding=padding, stride=(1, 2)).data
    np.testing.assert_allclose(y.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)
    x, w = np.moveaxis(x, 1, -1), w.transpose(2, 3, 1, 0)
    y = nn.unfold(x, (3, 2), padding=padding, stride=(1, 2), layout="NHWC").data @ w.reshape(-1, 4)
    np.testing.assert_allclose(
        y.reshape(2, *expected.shape[2:], 4), np.moveaxis(expected, 1, -1), rtol=1e-12, atol=1e-12
    )


def test_shapes_without_elements(pulled):
    y, gx = pulled(lambda x: nn.unfold(x, 2), np.zeros((0, 12, 6)), np.zeros((0, 3, 3, 4)))
    assert y.shape == (0, 12, 6)
    assert gx.shape == (0, 3, 3, 4)
    assert nn.unfold(np.zeros((2, 0, 3, 4)), 2).shape == (2, 0, 6)
    assert nn.unfold(np.ones((2, 3, 0, 4)), 2, padding=1).data.sum() == 0
    assert nn.fold(np.ones((2, 12, 5)), (0, 4), 2, padding=1).shape == (2, 3, 0, 4)
    y, gx = pulled(lambda g: nn.fold(g, (3, 4), 2), np.zeros((0, 3, 3, 4)), np.zeros((0, 12, 6)))
    assert y.shape == (0, 3, 3, 4)
    assert gx.shape == (0, 12, 6)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_without_the_batch_axis(rng, layout):
    x = rng.standard_normal((1, 4, 5, 3))
    cols = nn.unfold(x, 2, layout=layout)
    np.testing.assert_array_equal(nn.unfold(x[0], 2, layout=layout).data, cols.data[0])
    sizes = (5, 3) if layout == "NCHW" else (4, 5)
    np.testing.assert_array_equal(
        nn.fold(cols.data[0], sizes, 2, layout=layout).data, nn.fold(cols, sizes, 2, layout=layout).data[0]
    )


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_integers(dtype):
    x = np.arange(16).reshape(1, 4, 4).astype(dtype)
    cols = nn.unfold(x, 2, stride=2)
    assert cols.dtype == dtype
    np.testing.assert_array_equal(nn.fold(cols, 4, 2, stride=2).data, x)


def test_infinity_and_nan_go_where_they_belong():
    x = np.array([[[np.inf, np.nan, 1.0]]])
    y = nn.unfold(x, 2, padding=1, layout="NCW").data[0]
    np.testing.assert_array_equal(y, [[0, np.inf, np.nan, 1], [np.inf, np.nan, 1, 0]])
    np.testing.assert_array_equal(nn.fold(y, 3, 2, padding=1, layout="NCW").data, [2 * x[0, 0]])


ERRORS = [
    ("unfold", {"kernel_size": 0}, ValueError, ["kernel size", "0", "at least 1"]),
    ("unfold", {"kernel_size": (2, 2, 2)}, ValueError, ["kernel size", "2", "3"]),
    ("unfold", {"kernel_size": 2.0}, TypeError, ["kernel size", "2.0", "integers"]),
    ("unfold", {"stride": 0}, ValueError, ["stride", "0", "at least 1"]),
    ("unfold", {"dilation": -1}, ValueError, ["dilation", "-1", "at least 1"]),
    ("unfold", {"padding": -1}, ValueError, ["padding", "-1", "at least 0"]),
    ("unfold", {"kernel_size": 6}, ValueError, ["effective kernel 6", "padded input 5", "larger"]),
    ("unfold", {"x": (5, 5)}, ValueError, ["'input'", "2 axes", "4 axes"]),
    ("unfold", {"layout": "CHWN"}, ValueError, ["'layout'", "'CHWN'", "'NCHW'", "'NHWC'"]),
    ("unfold", {"layout": None}, ValueError, ["'layout'", "None"]),
    ("unfold", {"dtype": bool}, TypeError, ["'input'", "bool"]),
    ("fold", {"x": (4, 16, 1, 1)}, ValueError, ["'input'", "4 axes", "3 axes"]),
    ("fold", {"x": (1, 6, 16)}, ValueError, ["'input'", "6 entries", "4 taps", "divide"]),
    ("fold", {"x": (1, 8, 15)}, ValueError, ["'input'", "15 columns", "4 * 4 = 16", "equal"]),
    ("fold", {"output_size": (5, 5, 5)}, ValueError, ["output_size", "3"]),
    ("fold", {"output_size": -1}, ValueError, ["output_size", "-1", "at least 0"]),
    ("fold", {"output_size": 5.0}, TypeError, ["output_size", "5.0", "integers"]),
    ("fold", {"kernel_size": 7}, ValueError, ["effective kernel 7", "padded input 5", "larger"]),
    ("fold", {"dtype": complex}, TypeError, ["'input'", "complex128"]),
]


@pytest.mark.parametrize(("name", "case", "error", "parts"), ERRORS)
def test_case_24_errors(name, case, error, parts):
    fixed = {"x": (1, 1, 5, 5)} if name == "unfold" else {"x": (1, 8, 16), "output_size": 5}
    case = {**fixed, "kernel_size": 2, **case}
    with pytest.raises(error) as caught:
        getattr(nn, name)(np.zeros(case.pop("x"), case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    for part in parts:
        assert part in message
