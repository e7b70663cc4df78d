"""Padding from the last axis backwards, in all modes, against loops over positions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograd_conv import nn

MODES = ["constant", "reflect", "replicate", "circular", "symmetric"]


def step(place, n, mode):
    """Where a position outside of 0..n-1 leads, one reflection or one turn at a time."""
    while not 0 <= place < n:
        if mode == "replicate":
            place = 0 if place < 0 else n - 1
        elif mode == "circular":
            place = place + n if place < 0 else place - n
        else:
            edge = 0 if mode == "reflect" else 1
            place = -place - edge if place < 0 else 2 * (n - 1) - place + edge
    return place


def naive_pad(x, flat, mode, value=0.0):
    """Each element of the result looked up by its own position."""
    widths = [(0, 0)] * (x.ndim - len(flat) // 2) + [tuple(flat[k : k + 2]) for k in range(len(flat) - 2, -1, -2)]
    if mode == "circular":  # of what cropping leaves
        x = x[tuple(slice(max(-b, 0), n + min(a, 0)) for n, (b, a) in zip(x.shape, widths))]
        widths = [(max(b, 0), max(a, 0)) for b, a in widths]
    y = np.full([n + b + a for n, (b, a) in zip(x.shape, widths)], value, x.dtype)
    for index in itertools.product(*map(range, y.shape)):
        place = [i - b for i, (b, _) in zip(index, widths)]
        inside = all(0 <= p < n for p, n in zip(place, x.shape))
        if mode != "constant":
            y[index] = x[tuple(step(p, n, mode) for p, n in zip(place, x.shape))]
        elif inside:
            y[index] = x[tuple(place)]
    return y


@given(st.data())
@settings(max_examples=100)
def test_random_widths(pulled, data):
    mode = data.draw(st.sampled_from(MODES))
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    flat = []
    for n in reversed(shape[data.draw(st.integers(0, len(shape) - 1)) :]):
        before = data.draw(st.integers(-1, n - 1))
        crop = max(-before, 0)
        after = data.draw(st.integers(-(n - crop), n - 1))
        left = n - crop - max(-after, 0)
        if mode == "circular":
            before, after = min(before, left), min(after, left)
        flat += [before, after]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal(shape)
    value = data.draw(st.sampled_from([0.0, -2.5, np.inf])) if mode == "constant" else 0.0
    expected = naive_pad(x, flat, mode, value)
    gy = rng.standard_normal(expected.shape)
    y, gx = pulled(lambda x: nn.pad(x, flat, mode, value), gy, x)
    np.testing.assert_array_equal(y, expected)
    # The transpose, by the definition: <A e_k, gy> for every element.
    numbers = naive_pad(np.arange(x.size).reshape(shape) + 1, flat, mode)
    np.testing.assert_allclose(gx.ravel(), [gy[numbers == k + 1].sum() for k in range(x.size)], rtol=1e-12, atol=1e-12)


def test_the_last_axis_comes_first():
    x = np.arange(6.0).reshape(2, 3)
    y = nn.pad(x, (1, 0)).data
    np.testing.assert_array_equal(y, [[0, 0, 1, 2], [0, 3, 4, 5]])
    np.testing.assert_array_equal(nn.pad(x, (0, 0, 1, 0), value=7).data, [[7, 7, 7], [0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(nn.pad(x, ()).data, x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.uint64, bool, np.complex64])
def test_every_dtype_is_kept(mode, dtype):
    x = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    y = nn.pad(x, (1, 1, 1, 0), mode)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.data, naive_pad(x, (1, 1, 1, 0), mode, dtype(0)))
    y.data[...] = 0
    assert x.any()


@pytest.mark.parametrize("mode", MODES)
def test_infinity_and_nan_stay_where_they_are(mode):
    x = np.array([np.nan, 1, np.inf, 2, -np.inf])
    np.testing.assert_array_equal(nn.pad(x, (2, 3), mode).data, naive_pad(x, (2, 3), mode))


@pytest.mark.parametrize("mode", MODES)
def test_shapes_without_elements(pulled, mode):
    y, gx = pulled(lambda x: nn.pad(x, (1, 1), mode), np.zeros((0, 3, 6)), np.zeros((0, 3, 4)))
    assert y.shape == (0, 3, 6)
    assert gx.shape == (0, 3, 4)
    y, gx = pulled(lambda x: nn.pad(x, (-1, -3), mode), np.zeros((2, 0)), np.ones((2, 4)))
    assert y.shape == (2, 0)
    np.testing.assert_array_equal(gx, np.zeros((2, 4)))
    assert nn.pad(np.zeros((2, 0)), (0, 0, 1, 1), mode).shape == (4, 0)


@pytest.mark.parametrize("mode", MODES[1:])
def test_channels_that_lie_last_stay_there(rng, mode):
    """The result of a convolution is seen as (N, C, H, W) and lies in memory as (N, H, W, C)."""
    x = nn.conv2d(rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((3, 3, 1, 1)))
    y = nn.pad(x, (1, 2, 2, 1), mode).data
    np.testing.assert_array_equal(y, naive_pad(x.data, (1, 2, 2, 1), mode))
    assert np.moveaxis(y, 1, -1).flags.c_contiguous


ERRORS = [
    ({"pad": (1, 1, 1)}, ValueError, ["'pad'", "3 entries", "2 axes"]),
    ({"pad": (0,) * 6}, ValueError, ["'pad'", "6 entries", "2 axes"]),
    ({"pad": (1.0, 1)}, TypeError, ["'pad'", "1.0", "integers"]),
    ({"pad": 1}, TypeError, ["'pad'", "1", "sequence of integers"]),
    ({"pad": (-3, -2)}, ValueError, ["'pad'", "(-3, -2)", "axis 1", "length 4"]),
    ({"mode": "edge"}, ValueError, ["'mode'", "'edge'", "'replicate'"]),
    ({"pad": (4, 0), "mode": "reflect"}, ValueError, ["(4, 0)", "axis 1", "'reflect'", "less than its length 4"]),
    ({"pad": (0, 0, 0, 3), "mode": "reflect"}, ValueError, ["(0, 3)", "axis 0", "less than its length 3"]),
    ({"pad": (0, 5), "mode": "circular"}, ValueError, ["(0, 5)", "axis 1", "'circular'", "cropping leaves of it, 4"]),
    ({"pad": (3, -2), "mode": "circular"}, ValueError, ["(3, -2)", "length 4", "cropping leaves of it, 2"]),
    ({"pad": (5, 0), "mode": "symmetric"}, ValueError, ["(5, 0)", "'symmetric'", "at most its length 4"]),
    ({"pad": (0, 1), "mode": "replicate", "shape": (3, 0)}, ValueError, ["(0, 1)", "length 0", "an element to copy"]),
    ({"pad": (0, 1), "mode": "reflect", "shape": (3, 0)}, ValueError, ["(0, 1)", "less than its length 0"]),
    ({"pad": (-4, 1), "mode": "circular"}, ValueError, ["(-4, 1)", "length 4", "cropping leaves of it, 0"]),
    ({"mode": "reflect", "value": 1.0}, ValueError, ["'value'", "1.0", "'reflect'"]),
    ({"dtype": int, "value": 0.5}, ValueError, ["'value'", "0.5", "int64"]),
]


@pytest.mark.parametrize(("case", "error", "parts"), ERRORS)
def test_case_24_errors(case, error, parts):
    case = {"pad": (1, 1), **case}
    with pytest.raises(error) as caught:
        nn.pad(np.zeros(case.pop("shape", (3, 4)), case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith("pad: ")
    for part in parts:
        assert part in message


def test_the_largest_widths():
    np.testing.assert_array_equal(nn.pad([1.0, 2, 3], (2, 2), "reflect").data, [3, 2, 1, 2, 3, 2, 1])
    np.testing.assert_array_equal(nn.pad([1.0, 2, 3], (3, 3), "circular").data, [1, 2, 3] * 3)
    np.testing.assert_array_equal(nn.pad([1.0, 2, 3], (3, 3), "symmetric").data, [3, 2, 1, 1, 2, 3, 3, 2, 1])
    np.testing.assert_array_equal(nn.pad([1.0, 2], (3, 9), "replicate").data, [1] * 4 + [2] * 10)
