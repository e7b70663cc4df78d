"""Pixel and channel shuffles against loops over elements."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from autograd_conv import nn


def naive_pixel_shuffle(x, r):
    """x (N, C * r * r, H, W), element by element."""
    n, many, height, width = x.shape
    y = np.zeros((n, many // (r * r), height * r, width * r), x.dtype)
    for c, i, j, h, w in itertools.product(range(y.shape[1]), range(r), range(r), range(height), range(width)):
        y[:, c, h * r + i, w * r + j] = x[:, (c * r + i) * r + j, h, w]
    return y


@pytest.mark.parametrize("r", [1, 2, 3])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_pixel_shuffle_and_its_inverse(rng, pulled, r, layout):
    order = np.asarray if layout == "NCHW" else lambda a: np.moveaxis(a, 1, -1)
    x = rng.standard_normal((2, 2 * r * r, 3, 4))
    expected = naive_pixel_shuffle(x, r)
    y, gx = pulled(lambda x: nn.pixel_shuffle(x, r, layout=layout), order(expected), order(x))
    np.testing.assert_array_equal(y, order(expected))
    np.testing.assert_array_equal(gx, order(x))  # a permutation: the transpose is the inverse
    y, gx = pulled(lambda y: nn.pixel_unshuffle(y, r, layout=layout), order(x), order(expected))
    np.testing.assert_array_equal(y, order(x))
    np.testing.assert_array_equal(gx, order(expected))


def test_any_number_of_leading_axes(rng):
    x = rng.standard_normal((2, 3, 4, 2, 5))
    expected = nn.pixel_shuffle(x.reshape(6, 4, 2, 5), 2).data
    np.testing.assert_array_equal(nn.pixel_shuffle(x, 2).data.reshape(expected.shape), expected)
    np.testing.assert_array_equal(nn.pixel_shuffle(x[0, 0], 2).data, expected[0])
    np.testing.assert_array_equal(nn.pixel_unshuffle(nn.pixel_shuffle(x, 2), 2).data, x)
    assert nn.pixel_shuffle(np.zeros((0, 4, 2, 3)), 2).shape == (0, 1, 4, 6)
    assert nn.pixel_unshuffle(np.zeros((0, 1, 4, 6)), 2).shape == (0, 4, 2, 3)


@pytest.mark.parametrize("spatial", [(4,), (2, 3), (2, 1, 3), (1, 2, 1, 2)])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_channel_shuffle(rng, pulled, spatial, groups):
    x = rng.standard_normal((2, 6, *spatial))
    expected = np.zeros_like(x)
    for c in range(6):
        group, k = divmod(c, 6 // groups)
        expected[:, k * groups + group] = x[:, c]
    y, gx = pulled(lambda x: nn.channel_shuffle(x, groups), expected, x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(gx, x)
    y, gx = pulled(
        lambda x: nn.channel_shuffle(x, groups, layout="NHWC"), np.moveaxis(expected, 1, -1), np.moveaxis(x, 1, -1)
    )
    np.testing.assert_array_equal(np.moveaxis(y, -1, 1), expected)
    np.testing.assert_array_equal(np.moveaxis(gx, -1, 1), x)


def test_results_are_fresh():
    x = np.ones((1, 4, 2, 2))
    for y in (nn.pixel_shuffle(x, 1), nn.pixel_unshuffle(x, 1), nn.channel_shuffle(x, 1), nn.channel_shuffle(x, 4)):
        y.data[...] = 0
    assert x.all()


ERRORS = [
    ("pixel_shuffle", (1, 4, 2, 2), {"upscale_factor": 3}, ValueError, ["4 channels", "'upscale_factor' is 3", "9"]),
    ("pixel_shuffle", (1, 4, 2, 2), {"upscale_factor": 0}, ValueError, ["'upscale_factor' is 0", "at least 1"]),
    ("pixel_shuffle", (1, 4, 2, 2), {"upscale_factor": 2.0}, TypeError, ["'upscale_factor' is 2.0", "integer"]),
    ("pixel_shuffle", (4, 2), {"upscale_factor": 2}, ValueError, ["'input'", "2 axes", "at least 3"]),
    ("pixel_shuffle", (1, 4, 2, 2), {"upscale_factor": 2, "layout": "HWCN"}, ValueError, ["'layout'", "'HWCN'"]),
    ("pixel_unshuffle", (1, 4, 2, 3), {"downscale_factor": 2}, ValueError, ["height 2", "width 3", "is 2", "divide"]),
    ("pixel_unshuffle", (1, 4, 2, 2), {"downscale_factor": -1}, ValueError, ["'downscale_factor' is -1"]),
    ("pixel_unshuffle", (4,), {"downscale_factor": 2}, ValueError, ["'input'", "1 axes", "at least 3"]),
    ("channel_shuffle", (1, 4, 2, 2), {"groups": 3}, ValueError, ["4 channels", "'groups' is 3", "divide"]),
    ("channel_shuffle", (1, 4, 2, 2), {"groups": 0}, ValueError, ["'groups' is 0", "at least 1"]),
    ("channel_shuffle", (4, 2), {"groups": 2}, ValueError, ["'input'", "2 axes", "at least 3"]),
    ("channel_shuffle", (1, 4, 2, 2), {"groups": 2, "layout": "NCW"}, ValueError, ["'layout' is 'NCW'", "4 axes"]),
]


@pytest.mark.parametrize(("name", "shape", "case", "error", "parts"), ERRORS)
def test_case_24_errors(name, shape, case, error, parts):
    with pytest.raises(error) as caught:
        getattr(nn, name)(np.zeros(shape), **case)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    for part in parts:
        assert part in message
