"""Source 004, "backpropagation of two-dimensional convolution with stride 1": a 5x5 input, a 3x3 kernel, a table."""

from __future__ import annotations

import numpy as np
import pytest
from autograd_conv.kernels import naive

import autograd_conv as ac
from autograd_conv import nn

RNG = np.random.default_rng(4)
X, K, DELTA = RNG.integers(-9, 9, (5, 5)), RNG.integers(1, 9, (3, 3)), RNG.integers(-9, 9, (3, 3))

# Rows dx(1,1) ... dx(5,5), columns du(1,1) ... du(3,3); an entry ij stands for k(i,j).
TABLE = """
11 0  0  0  0  0  0  0  0
12 11 0  0  0  0  0  0  0
13 12 11 0  0  0  0  0  0
0  13 12 0  0  0  0  0  0
0  0  13 0  0  0  0  0  0
21 0  0  11 0  0  0  0  0
22 21 0  12 11 0  0  0  0
23 22 21 13 12 11 0  0  0
0  23 22 0  13 12 0  0  0
0  0  23 0  0  13 0  0  0
31 0  0  21 0  0  11 0  0
32 31 0  22 21 0  12 11 0
33 32 31 23 22 21 13 12 11
0  33 32 0  23 22 0  13 12
0  0  33 0  0  23 0  0  13
0  0  0  31 0  0  21 0  0
0  0  0  32 31 0  22 21 0
0  0  0  33 32 31 23 22 21
0  0  0  0  33 32 0  23 22
0  0  0  0  0  33 0  0  23
0  0  0  0  0  0  31 0  0
0  0  0  0  0  0  32 31 0
0  0  0  0  0  0  33 32 31
0  0  0  0  0  0  0  33 32
0  0  0  0  0  0  0  0  33
"""


def table():
    return [[f"k{e[0]},{e[1]}" if e != "0" else "0" for e in line.split()] for line in TABLE.strip().splitlines()]


def values(symbols):
    """A table with the kernel's values in it."""
    return np.array([[0 if e == "0" else K[int(e[1]) - 1, int(e[3]) - 1] for e in row] for row in symbols])


def test_forward():
    """``u[1,1] = x[1,1] k[1,1] + x[1,2] k[1,2] + ... + x[3,3] k[3,3] + b``."""
    b = 7
    u = nn.conv2d(X[None, None], K[None, None], np.array([b])).data[0, 0]
    assert u.shape == (3, 3)
    for i, j in np.ndindex(3, 3):
        assert u[i, j] == sum(X[i + p, j + q] * K[p, q] for p, q in np.ndindex(3, 3)) + b


def test_the_25_by_9_table():
    page = ac.explain.conv2d(X, K, DELTA)
    assert page.table == table()
    np.testing.assert_array_equal(page.jacobian, values(table()))
    assert page.jacobian.shape == (25, 9)


def test_the_table_is_printed():
    text = str(ac.explain.conv2d(X, K, DELTA))
    lines = [line.split() for line in text.splitlines()]
    assert [f"u{i},{j}" for i in (1, 2, 3) for j in (1, 2, 3)] in lines
    for name, row in zip([f"x{i},{j}" for i in range(1, 6) for j in range(1, 6)], table()):
        assert [name, *["." if entry == "0" else entry for entry in row]] in lines


def test_the_table_is_the_jacobian():
    """``du[i,j]/dx[p,k]``, by the VJP, output by output, and by central differences."""
    jacobian = values(table())
    for column in range(9):
        unit = np.zeros(9)
        unit[column] = 1
        t = ac.tensor(X[None, None].astype(float), requires_grad=True)
        nn.conv2d(t, K[None, None].astype(float)).backward(unit.reshape(1, 1, 3, 3))
        np.testing.assert_array_equal(t.grad.ravel(), jacobian[:, column])
    for row in range(25):
        moved = X.copy().ravel()
        moved[row] += 1  # linear: the difference is exact for any step
        difference = (
            nn.conv2d(moved.reshape(1, 1, 5, 5), K[None, None]).data - nn.conv2d(X[None, None], K[None, None]).data
        )
        np.testing.assert_array_equal(difference.ravel(), jacobian[row])


def test_the_25_sums():
    """``dL/dx[p,k] = sum over i,j of delta[i,j] du[i,j]/dx[p,k]``; of them the corners and the centre as printed."""
    gx = nn.conv2d_input((1, 1, 5, 5), K[None, None], DELTA[None, None]).data[0, 0]
    np.testing.assert_array_equal((values(table()) @ DELTA.ravel()).reshape(5, 5), gx)
    d, k = DELTA, K
    assert gx[0, 0] == d[0, 0] * k[0, 0]
    assert gx[0, 1] == d[0, 0] * k[0, 1] + d[0, 1] * k[0, 0]
    assert gx[1, 1] == d[0, 0] * k[1, 1] + d[0, 1] * k[1, 0] + d[1, 0] * k[0, 1] + d[1, 1] * k[0, 0]
    assert gx[2, 2] == sum(d[i, j] * k[2 - i, 2 - j] for i, j in np.ndindex(3, 3))
    assert gx[4, 3] == d[2, 1] * k[2, 2] + d[2, 2] * k[2, 1]
    assert gx[4, 4] == d[2, 2] * k[2, 2]


def test_padded_errors_and_the_rotated_kernel():
    """``x'' = (delta with two layers of zeros around it) conv (k rotated by 180 degrees)``, with stride 1."""
    page = ac.explain.conv2d(X, K, DELTA)
    np.testing.assert_array_equal(page.padpad[0], np.pad(DELTA, 2))
    np.testing.assert_array_equal(page.rotated[0, 0], K[::-1, ::-1])
    again = nn.conv2d(page.padpad[None], page.rotated).data[0, 0]
    np.testing.assert_array_equal(again, page.gx[0])
    np.testing.assert_array_equal(naive.padpad(DELTA[None, None], (1, 1), ((2, 2), (2, 2)))[0, 0], page.padpad[0])


@pytest.mark.parametrize("n", range(3, 8))
@pytest.mark.parametrize("k", range(1, 4))
def test_layers_of_zeros(n, k):
    """``x - (k - 1) = n``, ``m = n - (k - 1)``, so ``x = m + 2 (k - 1)``: k - 1 layers on each side."""
    page = ac.explain.conv2d(np.ones((n, n)), np.ones((k, k)))
    m = n - (k - 1)
    assert page.y.shape == (1, m, m)
    assert page.padpad.shape == (1, m + 2 * (k - 1), m + 2 * (k - 1))


def test_kernel_gradient():
    """``dL/dk = x conv delta``, with stride 1; ``dL/dk[1,1] = delta[1,1] x[1,1] + ... + delta[3,3] x[3,3]``."""
    gk = nn.conv2d_weight(X[None, None], (1, 1, 3, 3), DELTA[None, None]).data[0, 0]
    np.testing.assert_array_equal(gk, nn.conv2d(X[None, None], DELTA[None, None]).data[0, 0])
    for u, v in np.ndindex(3, 3):
        assert gk[u, v] == sum(DELTA[i, j] * X[i + u, j + v] for i, j in np.ndindex(3, 3))


def test_bias_gradient():
    """``dL/db = delta[1,1] + delta[1,2] + ... + delta[3,3]``."""
    assert ac.explain.conv2d(X, K, DELTA).gb.tolist() == [DELTA.sum()]


def test_the_summary_as_a_program():
    """conv_backward(error, x, kernel, bias): pad, rotate, convolve; convolve x with the error; sum the error; step."""
    x, kernel, bias, error = (a.astype(float)[None, None] for a in (X, K, np.array([0]), DELTA))
    rate = 0.1
    new_error = nn.conv2d(np.pad(error, ((0, 0), (0, 0), (2, 2), (2, 2))), kernel[:, :, ::-1, ::-1]).data
    updated = kernel - rate * nn.conv2d(x, error).data
    t = {"x": ac.tensor(x, requires_grad=True), "k": ac.tensor(kernel, requires_grad=True)}
    b = ac.tensor(bias.ravel(), requires_grad=True)
    nn.conv2d(t["x"], t["k"], b).backward(error)
    np.testing.assert_allclose(t["x"].grad, new_error)
    sgd = ac.optim.SGD([t["k"], b], lr=rate)
    sgd.step()
    np.testing.assert_allclose(t["k"].data, updated)
    np.testing.assert_allclose(b.data, -rate * DELTA.sum())


def test_same_is_valid_after_padding_with_zeros():
    """ "If it is set to SAME, that too can be turned into VALID by putting in zeros.\""""
    x, k = X[None, None], K[None, None]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    np.testing.assert_array_equal(nn.conv2d(x, k, padding="same").data, nn.conv2d(padded, k, padding="valid").data)
