"""Source 002, "the mathematics behind convolutional networks": vec, Kronecker products, M and S; its errors."""

from __future__ import annotations

import numpy as np
import pytest
from autograd_conv.kernels import kronecker, naive

import autograd_conv as ac
from autograd_conv import nn

RNG = np.random.default_rng(2)

A = np.array([[1, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]])
K = np.array([[1, 0], [-1, 1]])
B = np.array([[1, 2, 3, 8, 1, 5], [2, 3, 8, 2, 5, 0], [3, 8, 1, 5, 4, 1], [8, 2, 5, 0, 1, 3]])


def vec(a):
    """vec of the source: the columns of a matrix, one after the page; (2.7): of a stack, one matrix after the page."""
    return np.concatenate([plane.T.ravel() for plane in a.reshape(-1, *a.shape[-2:])])


# --- 2. convolutional layer ------------------------------------------------------------------------------------------


def test_worked_example():
    """(2.1) and the two sums above it: ``1*1 + 0*3 + (-1)*2 + 1*8 = 7``, ``1*3 + 0*1 + (-1)*8 + 1*5 = 0``.

    (The source prints ``0 x 0`` for ``0 x 1`` in the second sum, where the window is [[3, 1], [8, 5]].)
    """
    y = nn.conv2d(A[None], K[None, None]).data[0]
    np.testing.assert_array_equal(y, [[7, 0, -3], [1, 6, 8]])
    np.testing.assert_array_equal(naive.correlate2d(A[None, None], K[None, None])[0, 0], y)
    assert y[0, 0] == 1 * 1 + 0 * 3 + (-1) * 2 + 1 * 8
    assert y[0, 1] == 1 * 3 + 0 * 1 + (-1) * 8 + 1 * 5


def test_im2col_matrix():
    """``im2col(A, [2, 2]) = B`` in MATLAB: windows are columns, counted column by column."""
    page = ac.explain.conv2d(A, K)
    np.testing.assert_array_equal(page.phi.T, B)
    np.testing.assert_array_equal(naive.im2col(A[None, None], (2, 2), order="column").T, B)


def test_2_2_and_2_3():
    """``B^T x [1, -1, 0, 1] = [7, 1, 0, 6, -3, 8]^T``; ``im2col(A, [2,2])^T vec(K) = vec(A * K)``."""
    assert (B.T @ [1, -1, 0, 1]).tolist() == [7, 1, 0, 6, -3, 8]
    np.testing.assert_array_equal(vec(K), [1, -1, 0, 1])
    np.testing.assert_array_equal(B.T @ vec(K), vec(nn.conv2d(A[None], K[None, None]).data))


def test_sobel():
    """The Sobel operator finds horizontal edges, its transpose vertical ones."""
    G = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]])
    image = np.vstack([np.ones((3, 6), int), np.zeros((3, 6), int)])
    np.testing.assert_array_equal(nn.conv2d(image[None], G[None, None]).data[0, :, 0], [0, 4, 4, 0])
    assert not nn.conv2d(image[None], G.T[None, None]).data.any()
    assert nn.conv2d(image.T[None], G.T[None, None]).data.any()


def test_2_4_channels_add_up():
    """``x * kappa := sum over i of A_i * K_i``."""
    x, k = RNG.integers(-5, 5, (3, 4, 5)), RNG.integers(-5, 5, (1, 3, 2, 2))
    one_by_one = sum(nn.conv2d(x[i : i + 1], k[:, i : i + 1]).data for i in range(3))
    np.testing.assert_array_equal(nn.conv2d(x, k).data, one_by_one)


@pytest.fixture(params=[(2, 4, 5, 3, 2, 3), (1, 3, 4, 1, 2, 2), (3, 3, 3, 2, 3, 1)], ids=str)
def layer(request):
    """D_k, H_k, W_k, D_{k+1}, H'_k, W'_k."""
    D, H, W, D1, H2, W2 = request.param
    return ac.explain.conv2d(
        RNG.integers(-9, 9, (D, H, W)), RNG.integers(-9, 9, (D1, D, H2, W2)),
        gy=RNG.integers(-9, 9, (D1, H - H2 + 1, W - W2 + 1)),
    )  # fmt: skip


def test_2_5_to_2_9(layer):
    """phi(x) stacks the transposed im2col of the channels; ``C = (vec(kappa_1), ...)``; ``vec(phi(x) C) = vec(y)``."""
    D1, D, H2, W2 = layer.w.shape
    stacked = np.concatenate([naive.im2col(a[None, None], (H2, W2), order="column").T for a in layer.x])
    np.testing.assert_array_equal(layer.phi, stacked.T)
    np.testing.assert_array_equal(layer.C, np.stack([vec(kappa) for kappa in layer.w], axis=1))
    _, H1, W1 = layer.y.shape
    assert layer.phi.shape == (H1 * W1, H2 * W2 * D)
    assert layer.C.shape == (H2 * W2 * D, D1)
    np.testing.assert_array_equal(vec(layer.phi @ layer.C), vec(layer.y))


def test_2_10_and_2_11():
    """``(A kron B)^T = A^T kron B^T``; ``vec(A X B) = (B^T kron A) vec(X)``."""
    a, x, b = RNG.integers(-5, 5, (2, 3)), RNG.integers(-5, 5, (3, 4)), RNG.integers(-5, 5, (4, 5))
    np.testing.assert_array_equal(np.kron(a, b).T, np.kron(a.T, b.T))
    np.testing.assert_array_equal(vec(a @ x @ b), np.kron(b.T, a) @ vec(x))


def test_2_12_and_2_13(layer):
    """``vec(y) = (I kron phi(x)) vec(C) = (C^T kron I) vec(phi(x))``."""
    P, D1 = len(layer.phi), len(layer.w)
    np.testing.assert_array_equal(layer.kronecker, np.kron(np.eye(D1, dtype=int), layer.phi))
    np.testing.assert_array_equal(layer.kronecker @ vec(layer.C), vec(layer.y))
    np.testing.assert_array_equal(np.kron(layer.C.T, np.eye(P, dtype=int)) @ vec(layer.phi), vec(layer.y))


def test_2_14_to_2_17(layer):
    """``p = i1 + H1 j1``, ``q = H' W' d + H' j + i``, ``i_k = i + i1``, ``j_k = j + j1``: where phi(x) is in x."""
    _, D, H2, W2 = layer.w.shape
    _, H1, W1 = layer.y.shape
    for i1, j1, d, i, j in np.ndindex(H1, W1, D, H2, W2):
        p, q = i1 + H1 * j1, H2 * W2 * d + H2 * j + i
        assert layer.phi[p, q] == layer.x[d, i + i1, j + j1]


def test_2_20_and_2_21(layer):
    """``dz/dC = phi(x)^T dz/d(phi(x) C)``; its vec is ``(I kron phi(x))^T vec(dz/dx')``."""
    gradient = np.stack([vec(g) for g in layer.gy], axis=1)  # dz / d(phi(x) C)
    gC = layer.phi.T @ gradient
    np.testing.assert_array_equal(gC, np.stack([vec(g) for g in layer.gw], axis=1))
    np.testing.assert_array_equal(layer.kronecker.T @ vec(layer.gy), vec(gC))


def test_2_23_to_2_25(layer):
    """M has a single 1 in each row; ``vec(phi(x)) = M vec(x)``; ``d vec(y)/d vec(x)^T = (C^T kron I) M``."""
    assert ((layer.M == 0) | (layer.M == 1)).all()
    assert (layer.M.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(layer.M @ vec(layer.x), vec(layer.phi))
    jacobian = np.kron(layer.C.T, np.eye(len(layer.phi), dtype=int)) @ layer.M
    D, H, W = layer.x.shape
    for column, (d, j, i) in enumerate(np.ndindex(D, W, H)):
        unit = np.zeros((D, H, W))
        unit[d, i, j] = 1
        np.testing.assert_array_equal(jacobian[:, column], vec(nn.conv2d(unit, layer.w.astype(float)).data))


def test_2_28(layer):
    """``dz/d vec(x) = M^T vec(dz/d(phi(x) C) C^T)``."""
    gradient = np.stack([vec(g) for g in layer.gy], axis=1)
    np.testing.assert_array_equal(layer.M.T @ vec(gradient @ layer.C.T), vec(layer.gx))


def test_2_30(layer):
    """``(dz/dx)[d,i,j] = sum over (p,q) in m^-1(d,i,j) of (dz/d(phi(x) C) C^T)[p,q]``: no large matrix."""
    _, D, H2, W2 = layer.w.shape
    _, H1, W1 = layer.y.shape
    product = np.stack([vec(g) for g in layer.gy], axis=1) @ layer.C.T
    gx = np.zeros_like(layer.gx)
    for i1, j1, d, i, j in np.ndindex(H1, W1, D, H2, W2):
        gx[d, i + i1, j + j1] += product[i1 + H1 * j1, H2 * W2 * d + H2 * j + i]
    np.testing.assert_array_equal(gx, layer.gx)


def test_beyond_the_source():
    """Stride, padding and dilation, which the source leaves out: rows of M for taps in the padding are zero."""
    page = ac.explain.conv2d(A, K, stride=(2, 1), padding=((1, 0), (0, 2)), dilation=(1, 2))
    assert set(page.M.sum(axis=1)) == {0, 1}
    np.testing.assert_array_equal(page.M @ vec(page.x), vec(page.phi))
    np.testing.assert_array_equal(page.kronecker @ vec(page.C), vec(page.y))
    np.testing.assert_array_equal(page.M.T @ vec(vec(page.gy)[:, None] @ page.C.T), vec(page.gx))
    assert kronecker.matrix_sizes(page.window, 1, 1)[0] == ("M", *page.M.shape)


# --- 3. fully connected ---------------------------------------------------------------------------------------------


def test_fully_connected_is_a_kernel_of_the_size_of_the_map():
    x, w = RNG.integers(-5, 5, (2, 3, 4)), RNG.integers(-5, 5, (5, 2, 3, 4))
    np.testing.assert_array_equal(nn.conv2d(x, w).data.ravel(), w.reshape(5, -1) @ x.ravel())


# --- 4. pooling -------------------------------------------------------------------------------------------------


def test_4_1_to_4_5():
    """``vec(y) = S vec(x)``, ``dz/d vec(x) = S^T dz/d vec(y)``, one 1 in each row of S."""
    x = RNG.permutation(48).reshape(2, 4, 6)
    page = ac.explain.max_pool2d(x, (2, 3), gy=RNG.integers(-9, 9, (2, 2, 2)))
    assert page.y.shape == (2, 4 // 2, 6 // 3)
    for d, i, j in np.ndindex(page.y.shape):
        assert page.y[d, i, j] == x[d, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3].max()
    assert (page.S.sum(axis=1) == 1).all()
    assert page.S.max() == 1
    assert page.S.sum(axis=0).max() == 1  # windows do not overlap
    np.testing.assert_array_equal(page.S @ vec(x), vec(page.y))
    np.testing.assert_array_equal(page.S.T @ vec(page.gy), vec(page.gx))


def test_error_4_6_has_the_gradient_of_x_on_both_sides():
    """Printed: ``(dz/dx^k)[d,i,j] = sum over A[d,i,j] of (dz/dx^k)[...]``. Right: of ``(dz/dx^{k+1})[...]``."""
    # A[d,i,j] are the outputs that x[d,i,j] went to: indices of outputs, which the printed formula looks up in dz/dx^k.
    page = ac.explain.max_pool2d(RNG.permutation(16).reshape(4, 4), 2, stride=1)
    routed = np.zeros((4, 4), int)
    printed = np.zeros((4, 4), int)
    for row, (j, i) in enumerate(np.ndindex(3, 3)):
        column = int(page.S[row].argmax())
        h, w = column % 4, column // 4
        routed[h, w] += page.gy[0, i, j]
        printed[h, w] += page.gx[0, i, j]
    np.testing.assert_array_equal(routed, page.gx[0])
    assert (printed != page.gx[0]).any()


def test_error_ties():
    """The source: of equal maxima the one in the smallest column, then the smallest row. PyTorch, JAX: row by row.

    Ours is row by row; ``ties="column"`` is the source's.
    """
    x = [[1, 7], [7, 1]]
    np.testing.assert_array_equal(ac.explain.max_pool2d(x, 2, ties="column").gx[0], [[0, 0], [1, 0]])
    np.testing.assert_array_equal(ac.explain.max_pool2d(x, 2).gx[0], [[0, 1], [0, 0]])
    t = ac.tensor(np.array([[x]], float), requires_grad=True)
    nn.max_pool2d(t, 2, ties="column").backward()
    np.testing.assert_array_equal(t.grad[0, 0], [[0, 0], [1, 0]])


# --- 5. ReLU ---------------------------------------------------------------------------------------------------------


def test_5_1_to_5_3():
    """``Relu'(0) = 0``."""
    x = ac.tensor([-1.0, 0.0, -0.0, 2.0], requires_grad=True)
    y = nn.relu(x)
    y.backward([1.0, 10.0, 100.0, 1000.0])
    assert y.tolist() == [0, 0, 0, 2]
    assert x.grad.tolist() == [0, 0, 0, 1000]


def test_largest_slope_of_the_sigmoid():
    """``sigma(x) = 1/(1 + e^-x)``: "the largest value of its derivative is only 1/4", at 0."""
    x = ac.tensor(np.linspace(-8, 8, 1001), requires_grad=True)
    nn.sigmoid(x).backward(np.ones(1001))
    assert x.grad.max() == x.grad[500] == 0.25
    assert x.grad.min() < 4e-4
