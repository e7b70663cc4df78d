"""Source 001, "backpropagation of CNNs": fully connected layers, padpad and rot180 trans, pooling masks; its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from autograd_conv.kernels import naive, padpad
from autograd_conv.kernels.geometry import Window

import autograd_conv as ac
from autograd_conv import nn

RNG = np.random.default_rng(1)


def printed_padpad(a, stride, kernel, padding):
    """The padpad of the source: outer padding ``H_k - P_H - 1`` on all sides, inner padding ``S - 1``."""
    outer = kernel - padding - 1
    if outer < 0:
        raise ValueError("the source requires 0 <= P <= K - 1")
    spread = np.zeros((*a.shape[:2], *[(n - 1) * stride + 1 for n in a.shape[2:]]))
    spread[:, :, ::stride, ::stride] = a
    return np.pad(spread, ((0, 0), (0, 0), (outer, outer), (outer, outer)))


def case(size, kernel, stride, padding, channels=3, outputs=4, batch=2):
    window = Window.of("conv2d", (size, size), kernel, stride, padding)
    x = RNG.standard_normal((batch, channels, size, size))
    w = RNG.standard_normal((outputs, channels, kernel, kernel))
    gy = RNG.standard_normal((batch, outputs, *window.out[1:]))
    options = {"stride": stride, "padding": padding}
    gx = nn.conv2d_input(x.shape, w, gy, **options).data
    gw = nn.conv2d_weight(x, w.shape, gy, **options).data
    return x, w, gy, gx, gw


# --- what holds --------------------------------------------------------------------------------------------------


def test_fully_connected():
    """``delta_{i-1} = diag(sigma'(z_{i-1})) w_i^T delta_i``, ``dE/dw_i = delta_i l_{i-1}^T``, ``dE/db_i = delta_i``."""
    x, w1, w2 = RNG.standard_normal(5), RNG.standard_normal((4, 5)), RNG.standard_normal((3, 4))
    b1, b2, y = RNG.standard_normal(4), RNG.standard_normal(3), RNG.standard_normal(3)
    t = {k: ac.tensor(v, requires_grad=True) for k, v in {"w1": w1, "b1": b1, "w2": w2, "b2": b2}.items()}
    z2 = nn.linear(nn.sigmoid(nn.linear(x, t["w1"], t["b1"])), t["w2"], t["b2"])
    ac.sum((nn.sigmoid(z2) - y) ** 2).backward()
    sigma = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    l1 = sigma(w1 @ x + b1)
    l2 = sigma(w2 @ l1 + b2)
    delta2 = np.diag(l2 * (1 - l2)) @ (2 * (l2 - y))
    delta1 = np.diag(l1 * (1 - l1)) @ w2.T @ delta2
    np.testing.assert_allclose(t["w2"].grad, np.outer(delta2, l1))
    np.testing.assert_allclose(t["b2"].grad, delta2)
    np.testing.assert_allclose(t["w1"].grad, np.outer(delta1, x))
    np.testing.assert_allclose(t["b1"].grad, delta1)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(5, 3, 1, 0), (5, 3, 1, 1), (7, 3, 2, 1), (6, 2, 2, 0)]
)
def test_input_gradient(size, kernel, stride, padding):
    """``dE/dI = padpad(delta_O) * rot180 trans(W)``, as printed, where the stride leaves no remainder."""
    x, w, gy, gx, _ = case(size, kernel, stride, padding)
    printed = naive.correlate2d(printed_padpad(gy, stride, kernel, padding), naive.rot180_transposed(w))
    np.testing.assert_allclose(printed, gx)
    again = nn.conv2d_input(x.shape, w, gy, stride, padding, method="padpad")
    np.testing.assert_allclose(again.data, gx)


def test_rot180_trans():
    """``rot180 trans(W)[i,j,k,l] = W[H_k - i + 1, W_k - j + 1, l, k]``, counted from 1."""
    w = RNG.standard_normal((3, 2, 4, 5))  # H_k, W_k, C, O
    turned = padpad.rot180_transposed(w[None])[0]
    assert turned.shape == (3, 2, 5, 4)
    for i, j, k, l in np.ndindex(turned.shape):
        assert turned[i, j, k, l] == w[3 - i - 1, 2 - j - 1, l, k]


def test_a_convolution_followed_by_an_activation():
    """``delta_{i-1} = padpad(delta_i) * rot180 trans(w_i) (.) sigma'(z_{i-1})``."""
    z, w = RNG.standard_normal((1, 2, 5, 5)), RNG.standard_normal((3, 2, 3, 3))
    delta = RNG.standard_normal((1, 3, 3, 3))
    t = ac.tensor(z, requires_grad=True)
    nn.conv2d(nn.sigmoid(t), w, method="padpad").backward(delta)
    slope = np.exp(-z) / (1 + np.exp(-z)) ** 2
    by_hand = naive.correlate2d(printed_padpad(delta, 1, 3, 0), naive.rot180_transposed(w)) * slope
    np.testing.assert_allclose(t.grad, by_hand)


def test_bias_gradient():
    """``dE/db_i = delta_i``: summed over where the bias is used."""
    gy = RNG.standard_normal((2, 3, 4, 5))
    b = ac.tensor(np.zeros(3), requires_grad=True)
    nn.conv2d(np.zeros((2, 1, 4, 5)), np.zeros((3, 1, 1, 1)), b).backward(gy)
    np.testing.assert_allclose(b.grad, gy.sum(axis=(0, 2, 3)))


def test_pooling():
    """``delta_{i-1} = M (.) upsample(delta_i)``: M marks the maxima, or holds 1 / (size of the window)."""
    x = RNG.permutation(24).reshape(4, 6)
    gy = RNG.integers(1, 9, (2, 3))
    upsampled = np.kron(gy, np.ones((2, 2), int))
    page = ac.explain.max_pool2d(x, 2, gy=gy)
    is_maximum = x == np.kron(page.y[0], np.ones((2, 2), int))
    np.testing.assert_array_equal(page.mask[0], is_maximum)
    np.testing.assert_array_equal(page.gx[0], is_maximum * upsampled)
    average = ac.explain.avg_pool2d(x, 2, gy=gy)
    np.testing.assert_array_equal(average.mask[0], np.full((4, 6), 0.25))
    np.testing.assert_array_equal(average.gx[0], 0.25 * upsampled)


# --- what does not -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(5, 3, 1, 0), (5, 3, 1, 1), (7, 3, 2, 1), (6, 2, 2, 0)]
)
def test_error_weight_gradient(size, kernel, stride, padding):
    """Printed: ``dE/dw = padpad(delta) * rot180 trans(l)``. Right: ``padpad(rot180(delta)) * rot180 trans(l)``.

    The derivation starts from a wrong line: the next test.
    """
    x, _, gy, _, gw = case(size, kernel, stride, padding)
    images = gy.swapaxes(0, 1)  # what were channels are images: (O, N, OH, OW)
    turned_x = naive.rot180_transposed(x)
    printed = naive.correlate2d(printed_padpad(images, stride, kernel, padding), turned_x)
    assert printed.shape == gw.shape
    assert np.abs(printed - gw).max() > 0.1
    mended = naive.correlate2d(printed_padpad(naive.rot180(images), stride, kernel, padding), turned_x)
    np.testing.assert_allclose(mended, gw)
    np.testing.assert_allclose(nn.conv2d_weight(x, gw.shape, gy, stride, padding, method="padpad").data, gw)


@pytest.mark.parametrize("padding", [0, 1])
def test_error_exchanged_factors(padding):
    """Printed: ``rot180(a) = rot180(w) * rot180(l)``, with padding ``H - H_k + P``. Right: ``rot180(a) = w * l``.

    A correlation whose factors are exchanged is turned. From the right line, the rule for the gradient of the first
    factor gives ``padpad(rot180(delta)) * rot180 trans(l)`` at once, with no rotation around it.
    """
    l, w = RNG.standard_normal((1, 1, 5, 5)), RNG.standard_normal((1, 1, 3, 3))
    a = nn.conv2d(l, w, padding=padding).data
    exchanged = 5 - 3 + padding
    turned = nn.conv2d(naive.rot180(w), naive.rot180(l), padding=exchanged).data
    assert np.abs(turned - naive.rot180(a)).max() > 0.1
    np.testing.assert_allclose(nn.conv2d(w, l, padding=exchanged).data, naive.rot180(a))


def test_error_the_printed_weight_gradient_is_the_mended_one_turned():
    """It is off by a rotation of the gradient: the printed formula holds for gradients that are symmetric under it."""
    x, _, gy, _, gw = case(5, 3, 1, 0)
    symmetric = gy + naive.rot180(gy)
    images = symmetric.swapaxes(0, 1)
    printed = naive.correlate2d(printed_padpad(images, 1, 3, 0), naive.rot180_transposed(x))
    np.testing.assert_allclose(printed, nn.conv2d_weight(x, gw.shape, symmetric).data)


def test_error_remainder():
    """Printed: ``H_k - P_H - 1`` zeros on both sides. With H = 8, K = 3, S = 2 that returns 7 rows for 8."""
    x, w, gy, gx, _ = case(8, 3, 2, 0)
    printed = naive.correlate2d(printed_padpad(gy, 2, 3, 0), naive.rot180_transposed(w))
    assert printed.shape[2:] == (7, 7)
    assert gx.shape[2:] == (8, 8)
    np.testing.assert_allclose(printed, gx[:, :, :7, :7])
    assert not gx[:, :, 7].any()
    np.testing.assert_allclose(nn.conv2d_input(x.shape, w, gy, 2, method="padpad").data, gx)
    page = ac.explain.conv2d(np.ones((8, 8)), np.ones((3, 3)), stride=2)
    assert page.padpad.shape == (1, 10, 10)  # 2 zeros before, 3 after: the remainder is 1


def test_error_larger_padding():
    """Printed: ``0 <= P_H <= H_k - 1``, "else too much padding makes no sense". It is fine: padpad crops."""
    x, w, gy, gx, gw = case(3, 2, 1, 4)
    assert gy.shape[2:] == (10, 10)
    with pytest.raises(ValueError, match="requires"):
        printed_padpad(gy, 1, 2, 4)
    np.testing.assert_allclose(nn.conv2d_input(x.shape, w, gy, 1, 4, method="padpad").data, gx)
    np.testing.assert_allclose(nn.conv2d_weight(x, w.shape, gy, 1, 4, method="padpad").data, gw)


def test_error_output_width():
    """Printed: ``ceil((H + 2P_H - H_k + 1)/S_H) x ceil((W + 2P_W - H_k + 1)/S_W)``: ``H_k`` in the width."""
    height, width, kh, kw, stride, padding = 8, 9, 4, 2, (2, 3), (1, 0)
    y = nn.conv2d(np.ones((1, 1, height, width)), np.ones((1, 1, kh, kw)), stride=stride, padding=padding)
    assert y.shape[2] == math.ceil((height + 2 * padding[0] - kh + 1) / stride[0])
    assert y.shape[3] != math.ceil((width + 2 * padding[1] - kh + 1) / stride[1])
    assert y.shape[3] == math.ceil((width + 2 * padding[1] - kw + 1) / stride[1])


def test_the_size_formula_with_ceil_is_the_one_with_floor():
    for spare, stride in np.ndindex(12, 5):
        assert math.ceil((spare + 1) / (stride + 1)) == spare // (stride + 1) + 1
