"""Source 000, "the backward pass of a convolutional layer": a 3x3 input, a 2x2 kernel, im2col and col2im.

Formulas are quoted in typewriter form; ``*`` is the correlation that the source writes as a star.
"""

from __future__ import annotations

import numpy as np
import pytest
from autograd_conv.kernels import formulations, im2col, naive
from autograd_conv.kernels.geometry import Window

import autograd_conv as ac
from autograd_conv import nn

RNG = np.random.default_rng(0)
X, K, GY = RNG.integers(-9, 9, (3, 3)), RNG.integers(-9, 9, (2, 2)), RNG.integers(-9, 9, (2, 2))
(X11, X12, X13), (X21, X22, X23), (X31, X32, X33) = X.tolist()
(K11, K12), (K21, K22) = K.tolist()
(G11, G12), (G21, G22) = GY.tolist()

IM2COL = np.array([[X11, X12, X21, X22], [X12, X13, X22, X23], [X21, X22, X31, X32], [X22, X23, X32, X33]])

# (1)  y11 = k11 x11 + k12 x12 + k21 x21 + k22 x22, ...
Y = [
    [K11 * X11 + K12 * X12 + K21 * X21 + K22 * X22, K11 * X12 + K12 * X13 + K21 * X22 + K22 * X23],
    [K11 * X21 + K12 * X22 + K21 * X31 + K22 * X32, K11 * X22 + K12 * X23 + K21 * X32 + K22 * X33],
]
# dL/dk11 = dL/dy11 x11 + dL/dy12 x12 + dL/dy21 x21 + dL/dy22 x22, ...
GK = [
    [G11 * X11 + G12 * X12 + G21 * X21 + G22 * X22, G11 * X12 + G12 * X13 + G21 * X22 + G22 * X23],
    [G11 * X21 + G12 * X22 + G21 * X31 + G22 * X32, G11 * X22 + G12 * X23 + G21 * X32 + G22 * X33],
]
# (2)  dL/dx11 = dL/dy11 k11, ...  (The source has "dL/d22" for dL/dy22 in the line of x23.)
GX = [
    [G11 * K11, G11 * K12 + G12 * K11, G12 * K12],
    [G11 * K21 + G21 * K11, G11 * K22 + G12 * K21 + G21 * K12 + G22 * K11, G12 * K22 + G22 * K12],
    [G21 * K21, G21 * K22 + G22 * K21, G22 * K22],
]


def four(a):
    """A matrix as an array of one image and one channel."""
    return np.asarray(a, float)[None, None]


@pytest.mark.parametrize("method", ["auto", "direct", "im2col", "padpad", "kronecker"])
def test_worked_example(method):
    x, k = ac.tensor(four(X), requires_grad=True), ac.tensor(four(K), requires_grad=True)
    y = nn.conv2d(x, k, method=method)
    y.backward(four(GY))
    np.testing.assert_array_equal(y.data[0, 0], Y)
    np.testing.assert_array_equal(k.grad[0, 0], GK)
    np.testing.assert_array_equal(x.grad[0, 0], GX)


def test_worked_example_by_the_textbook():
    x, k, gy = X[None, None], K[None, None], GY[None, None]
    np.testing.assert_array_equal(naive.correlate2d(x, k)[0, 0], Y)
    np.testing.assert_array_equal(naive.weight_gradient(x, gy, (2, 2))[0, 0], GK)
    np.testing.assert_array_equal(naive.input_gradient(gy, k, (3, 3))[0, 0], GX)


def test_im2col_matrix_and_forward():
    """``im2col(X) . (k11, k12, k21, k22)^T = (y11, y12, y21, y22)^T``."""
    window = Window.of("conv2d", (3, 3), 2)
    matrix = im2col.im2col(X.reshape(1, 1, 3, 3, 1), window)[0]
    np.testing.assert_array_equal(matrix, IM2COL)
    np.testing.assert_array_equal(naive.im2col(X[None, None], (2, 2)), IM2COL)
    np.testing.assert_array_equal(ac.explain.conv2d(X, K).im2col, IM2COL)
    np.testing.assert_array_equal(matrix @ K.ravel(), np.ravel(Y))


def test_kernel_gradient():
    """``dL/dK = dL/dY . im2col(X)``: the row of output gradients times the matrix of windows."""
    np.testing.assert_array_equal(GY.ravel() @ IM2COL, np.ravel(GK))
    # The matrix is symmetric in this example only: transposed, as in gW = im2col(X).T @ gY, it holds for any size.
    assert (IM2COL == IM2COL.T).all()
    x, gy = RNG.integers(-9, 9, (1, 1, 4, 5)), RNG.integers(-9, 9, (1, 1, 3, 3))
    matrix = naive.im2col(x, (2, 3))
    assert matrix.shape == (9, 6)
    right = nn.conv2d_weight(x, (1, 1, 2, 3), gy).data.ravel()
    np.testing.assert_array_equal(gy.ravel() @ matrix, right)
    np.testing.assert_array_equal(matrix.T @ gy.ravel(), right)


def test_input_gradient():
    """(3) is the product of the output gradients and the kernel; ``dL/dX = col2im(dL/dY . K)``: fold it and add up."""
    product = GY.reshape(4, 1) @ K.reshape(1, 4)
    assert product[1].tolist() == [G12 * K11, G12 * K12, G12 * K21, G12 * K22]
    window = Window.of("conv2d", (3, 3), 2)
    np.testing.assert_array_equal(im2col.col2im(product[None], 1, window)[0, 0, :, :, 0], GX)
    np.testing.assert_array_equal(naive.col2im(product, (1, 1, 3, 3), (2, 2))[0, 0], GX)


def test_col2im_is_the_transpose_of_im2col():
    window = Window.of("conv2d", (5, 6), (3, 2), (2, 1), ((1, 0), (2, 1)), (1, 2))
    x = RNG.standard_normal((2, 1, 5, 6, 4))
    matrix = im2col.im2col(x, window, 2)
    v = RNG.standard_normal(matrix.shape)
    assert np.vdot(matrix, v) == pytest.approx(np.vdot(x, im2col.col2im(v, 2, window)))


def test_the_conclusion_for_any_size():
    """ "Given the gradient of the output, matrix products with im2col and col2im give both gradients.\""""
    window = Window.of("conv2d", (7, 6), (3, 2), (2, 3), ((1, 2), (0, 1)), (2, 1))
    x, w = RNG.standard_normal((2, 1, 7, 6, 4)), RNG.standard_normal((1, 3, 2, 2, 6))
    gy = RNG.standard_normal((2, *window.out, 6))
    by, direct = formulations.formulation("im2col"), formulations.formulation("direct")
    np.testing.assert_allclose(by.correlate(x, w, None, window, 2), direct.correlate(x, w, None, window, 2))
    for name, a, b in (("correlate_input_gradient", gy, w), ("correlate_weight_gradient", x, gy)):
        np.testing.assert_allclose(getattr(by, name)(a, b, window, 2), getattr(direct, name)(a, b, window, 2))
