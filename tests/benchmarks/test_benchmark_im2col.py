"""The NumPy peer against nested loops: a peer that computes something else would be no peer."""

import itertools

import numpy as np
import pytest

CASES = [
    # N, C, (H, W), O, (KH, KW), stride, padding, groups
    (2, 3, (6, 7), 4, (3, 3), (1, 1), (1, 1), 1),
    (1, 4, (8, 7), 6, (3, 2), (2, 3), (0, 0), 2),
    (2, 4, (6, 6), 4, (3, 3), (2, 2), (1, 2), 4),
    (2, 2, (5, 4), 3, (1, 1), (1, 1), (0, 0), 1),
    (1, 1, (4, 5), 2, (2, 3), (3, 2), (2, 1), 1),
]

POOLS = [((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1)), ((3, 2), (1, 2), (1, 0)), ((2, 2), (3, 3), (0, 0))]


def out_sizes(size, kernel, stride, padding):
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding))


def places(size, kernel, stride, padding):
    """Yield (i, j, u, v, h, w) for every output, every tap, and the input element that they meet in."""
    for i, j in itertools.product(*map(range, out_sizes(size, kernel, stride, padding))):
        for u, v in itertools.product(*map(range, kernel)):
            h, w = i * stride[0] + u - padding[0], j * stride[1] + v - padding[1]
            if 0 <= h < size[0] and 0 <= w < size[1]:
                yield i, j, u, v, h, w


@pytest.mark.parametrize("case", CASES)
def test_convolution_and_gradients_equal_nested_loops(bench, case):
    im2col = bench("im2col")
    batch, channels, size, outputs, kernel, stride, padding, groups = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, channels, *size))
    w = rng.standard_normal((outputs, channels // groups, *kernel))
    gy = rng.standard_normal((batch, outputs, *out_sizes(size, kernel, stride, padding)))
    y, gx, gw = np.zeros_like(gy), np.zeros_like(x), np.zeros_like(w)
    for i, j, u, v, h, k in places(size, kernel, stride, padding):
        for n, o, c in itertools.product(range(batch), range(outputs), range(channels // groups)):
            of_input = o // (outputs // groups) * (channels // groups) + c
            y[n, o, i, j] += w[o, c, u, v] * x[n, of_input, h, k]
            gx[n, of_input, h, k] += w[o, c, u, v] * gy[n, o, i, j]
            gw[o, c, u, v] += x[n, of_input, h, k] * gy[n, o, i, j]
    columns = im2col.im2col(x, kernel, stride, padding, groups)
    np.testing.assert_allclose(im2col.forward(x, w, stride, padding, groups), y, atol=1e-12)
    np.testing.assert_allclose(im2col.input_gradient(gy, w, size, stride, padding, groups), gx, atol=1e-12)
    np.testing.assert_allclose(im2col.weight_gradient(columns, gy, w.shape), gw, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "padding"), POOLS)
def test_pooling_and_gradients_equal_nested_loops(bench, kernel, stride, padding):
    im2col = bench("im2col")
    size = (7, 6)
    out = out_sizes(size, kernel, stride, padding)
    rng = np.random.default_rng(1)
    x = rng.permutation(2 * 3 * 7 * 6).reshape(2, 3, *size) - 300.0  # all different, and all negative
    gy = rng.standard_normal((2, 3, *out))
    largest, average = np.full(gy.shape, -np.inf), np.zeros_like(gy)
    gx_max, gx_avg = np.zeros_like(x), np.zeros_like(x)
    for i, j, _, _, h, w in places(size, kernel, stride, padding):
        largest[:, :, i, j] = np.maximum(largest[:, :, i, j], x[:, :, h, w])
        average[:, :, i, j] += x[:, :, h, w] / (kernel[0] * kernel[1])
        gx_avg[:, :, h, w] += gy[:, :, i, j] / (kernel[0] * kernel[1])
    for i, j, _, _, h, w in places(size, kernel, stride, padding):
        gx_max[:, :, h, w] += np.where(x[:, :, h, w] == largest[:, :, i, j], gy[:, :, i, j], 0)
    winner = im2col.max_pool_winner(x, kernel, stride, padding, out)
    np.testing.assert_array_equal(im2col.max_pool(x, kernel, stride, padding, out), largest)
    np.testing.assert_allclose(im2col.max_pool_gradient(gy, winner, size, kernel, stride, padding), gx_max)
    np.testing.assert_allclose(im2col.avg_pool(x, kernel, stride, padding, out), average)
    np.testing.assert_allclose(im2col.avg_pool_gradient(gy, size, kernel, stride, padding), gx_avg)


def test_of_equal_elements_the_first_wins(bench):
    winner = bench("im2col").max_pool_winner(np.ones((1, 1, 2, 2)), (2, 2), (2, 2), (0, 0), (1, 1))
    assert winner.item() == 0


def test_float32_stays_float32(bench):
    im2col = bench("im2col")
    x, w = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 2, 2), np.float32)
    gy = im2col.forward(x, w, (1, 1), (0, 0), 1)
    assert gy.dtype == np.float32
    assert im2col.input_gradient(gy, w, (4, 4), (1, 1), (0, 0), 1).dtype == np.float32
    assert im2col.avg_pool(x, (2, 2), (2, 2), (0, 0), (2, 2)).dtype == np.float32
    assert im2col.max_pool(x, (2, 2), (2, 2), (1, 1), (3, 3)).dtype == np.float32
