"""Source 003, "backpropagation of convolution": several channels, im2col in Python, the flipped kernel; its errors."""

from __future__ import annotations

import numpy as np
import pytest
from autograd_conv.kernels import im2col as kernels_im2col
from autograd_conv.kernels import naive, padpad
from autograd_conv.kernels.geometry import Window

import autograd_conv as ac
from autograd_conv import nn

RNG = np.random.default_rng(3)

# (B, H, W, K, C_in, C_out) = (1, 3, 3, 2, 3, 2), stride 1; X is (B, H, W, C_in) and K (k, k, C_in, C_out)
X, K, GY = RNG.integers(-9, 9, (1, 3, 3, 3)), RNG.integers(-9, 9, (2, 2, 3, 2)), RNG.integers(-9, 9, (1, 2, 2, 2))


def im2col_rows(x, k, stride):
    """The loop of the source, without its last reshape: one row for each window, (windows, B * k * k * C_in)."""
    rows = []
    for h in range(0, x.shape[1] - k + 1, stride):
        for w in range(0, x.shape[2] - k + 1, stride):
            rows.append(x[:, h : h + k, w : w + k, :].reshape([-1]))
    return np.array(rows)


def gradients(x, k, gy, method="auto"):
    a, b = ac.tensor(x.astype(float), requires_grad=True), ac.tensor(k.astype(float), requires_grad=True)
    y = nn.conv2d(a, b, layout="NHWC", method=method)
    y.backward(gy.astype(float))
    return y.data, a.grad, b.grad


# --- what holds --------------------------------------------------------------------------------------------------


def test_single_channel():
    """``y11 = x11 k11 + x12 k12 + x21 k21 + x22 k22``, ..., and the same as a matrix product."""
    x, k = X[:, :, :, :1], K[:, :, :1, :1]
    y = gradients(x, k, GY[..., :1])[0][0, :, :, 0]
    (x11, x12, x13), (x21, x22, x23), (x31, x32, x33) = x[0, :, :, 0].tolist()
    (k11, k12), (k21, k22) = k[:, :, 0, 0].tolist()
    assert y[0, 0] == x11 * k11 + x12 * k12 + x21 * k21 + x22 * k22
    assert y[0, 1] == x12 * k11 + x13 * k12 + x22 * k21 + x23 * k22
    assert y[1, 0] == x21 * k11 + x22 * k12 + x31 * k21 + x32 * k22
    assert y[1, 1] == x22 * k11 + x23 * k12 + x32 * k21 + x33 * k22
    np.testing.assert_array_equal(im2col_rows(x, 2, 1) @ k.ravel(), y.ravel())


@pytest.mark.parametrize("method", ["auto", "im2col", "padpad", "kronecker"])
def test_several_channels(method):
    """``Y[1] = X Conv K{1} = X[1] Conv K{1}[1] + X[2] Conv K{1}[2] + X[3] Conv K{1}[3]``."""
    y = gradients(X, K, GY, method)[0]
    for o in range(2):
        parts = [
            naive.correlate2d(X[None, :, :, :, c].reshape(1, 1, 3, 3), K[None, None, :, :, c, o])[0, 0]
            for c in range(3)
        ]
        np.testing.assert_array_equal(y[0, :, :, o], sum(parts))


def test_matrix_product():
    """``Y[B, windows, C_out] = im2col(X)[B, windows, k*k*C_in] . K[k*k*C_in, C_out]``, in the source's own order."""
    matrix = im2col_rows(X, 2, 1)
    assert matrix.shape == (4, 12)
    window = Window.of("conv2d", (3, 3), 2)
    np.testing.assert_array_equal(kernels_im2col.im2col(X[:, None], window)[0], matrix)
    np.testing.assert_array_equal((matrix @ K.reshape(12, 2)).reshape(1, 2, 2, 2), gradients(X, K, GY)[0])


def test_kernel_gradient():
    """``dL/dK = dL/dY . im2col(X)^T``, then reshaped to (k, k, C_in, C_out): the matrix of windows comes first."""
    gk = (im2col_rows(X, 2, 1).T @ GY.reshape(4, 2)).reshape(2, 2, 3, 2)
    np.testing.assert_array_equal(gk, gradients(X, K, GY)[2])


def nabla_y(gy):
    """The 9 x 8 matrix of the source: ``im2col(Padding(dL/dY))``, channel by channel."""
    padded = np.pad(gy[0], ((1, 1), (1, 1), (0, 0)))  # "P = 1: one unit on all sides"
    return np.array(
        [[padded[i + u, j + v, o] for o in range(2) for u in range(2) for v in range(2)] for i, j in np.ndindex(3, 3)]
    )


def test_the_9_by_8_matrix():
    """Its rows as printed: ``(0 0 0 y11 | 0 0 0 y11)``, ``(0 0 y11 y12 | ...)``, ..., ``(y22 0 0 0 | y22 0 0 0)``."""
    matrix = nabla_y(GY)
    for o in range(2):
        (y11, y12), (y21, y22) = GY[0, :, :, o].tolist()
        np.testing.assert_array_equal(
            matrix[:, 4 * o : 4 * o + 4],
            [
                [0, 0, 0, y11], [0, 0, y11, y12], [0, 0, y12, 0],
                [0, y11, 0, y21], [y11, y12, y21, y22], [y12, 0, y22, 0],
                [0, y21, 0, 0], [y21, y22, 0, 0], [y22, 0, 0, 0],
            ],
        )  # fmt: skip


def test_input_gradient_as_a_matrix_product():
    """``nabla X (9 x 3) = nabla Y (9 x 8) . nabla K (8 x 3)``; the column of a channel is (k22 k21 k12 k11 | ...)."""
    nabla_k = np.array(
        [[K[1 - u, 1 - v, c, o] for c in range(3)] for o in range(2) for u in range(2) for v in range(2)]
    )
    assert nabla_k[:4, 0].tolist() == [K[1, 1, 0, 0], K[1, 0, 0, 0], K[0, 1, 0, 0], K[0, 0, 0, 0]]
    np.testing.assert_array_equal((nabla_y(GY) @ nabla_k).reshape(3, 3, 3), gradients(X, K, GY)[1][0])


def test_input_gradient_elements():
    """dL/dx11 and dL/dx22 of the first channel, as printed."""
    gx, g, k = gradients(X, K, GY)[1][0, :, :, 0], GY[0], K[:, :, 0]
    assert gx[0, 0] == sum(g[0, 0, o] * k[0, 0, o] for o in range(2))
    assert gx[1, 1] == sum(g[i, j, o] * k[1 - i, 1 - j, o] for o in range(2) for i in range(2) for j in range(2))


def test_error_input_gradient_elements():
    """In dL/dx21 the second output channel has ``dL/dy12 k12``, in dL/dx32 ``dL/dy22 k12``, for the zeros of the first.

    The 9 x 8 matrix, which the source makes of these lines, is right.
    """
    gx, g, k = gradients(X, K, GY)[1][0, :, :, 0], GY[0], K[:, :, 0]
    right = sum(g[0, 0, o] * k[1, 0, o] + g[1, 0, o] * k[0, 0, o] for o in range(2))
    assert gx[1, 0] == right != right + g[0, 1, 1] * k[0, 1, 1]
    right = sum(g[1, 0, o] * k[1, 1, o] + g[1, 1, o] * k[1, 0, o] for o in range(2))
    assert gx[2, 1] == right != right + g[1, 1, 1] * k[0, 1, 1]


def test_size_of_the_padding():
    """``OH = (H + 2P - k)/S + 1`` with OH = 3, H = 2, k = 2, S = 1 gives P = 1."""
    page = ac.explain.conv2d(X[0].transpose(2, 0, 1), K.transpose(3, 2, 0, 1), GY[0].transpose(2, 0, 1))
    assert page.padpad.shape == (2, 4, 4)
    np.testing.assert_array_equal(page.padpad[0], np.pad(GY[0, :, :, 0], 1))


# --- what does not -----------------------------------------------------------------------------------------------


def test_error_bias_gradient():
    """Printed: ``dL/db = sum(dL/dY, axis=0) / B``. The VJP is the sum; dividing belongs to a loss that is a mean."""
    x, w = RNG.standard_normal((4, 1, 3, 3)), RNG.standard_normal((2, 1, 2, 2))
    b = RNG.standard_normal(2)
    gy = RNG.standard_normal((4, 2, 2, 2))
    t = ac.tensor(b, requires_grad=True)
    nn.conv2d(x, w, t).backward(gy)
    step = 1e-6
    for o in range(2):
        moved = b.copy()
        moved[o] += step
        slope = (np.sum(gy * nn.conv2d(x, w, moved).data) - np.sum(gy * nn.conv2d(x, w, b).data)) / step
        assert t.grad[o] == pytest.approx(slope, rel=1e-6)
        assert gy[:, o].sum() / 4 != pytest.approx(slope, rel=1e-2)
    np.testing.assert_allclose(naive.bias_gradient(gy), t.grad)
    # With the mean over the batch as loss, the division is in gy:
    t.grad = None
    ac.mean(ac.sum(nn.conv2d(x, w, t) * gy, axis=(1, 2, 3))).backward()
    np.testing.assert_allclose(t.grad, gy.sum(axis=(0, 2, 3)) / 4)


def test_error_reshape_of_im2col():
    """Printed: ``X_col.reshape(X_col.shape[0], X_col.shape[0], -1).swapaxes(0, 1)``: the second extent is the batch."""
    k = 2
    for batch in (2, 3):
        x = RNG.integers(-9, 9, (batch, 3, 3, 1))
        rows = im2col_rows(x, k, 1)  # (windows, B * k * k * C_in)
        assert rows.shape == (4, batch * 4)
        printed = rows.reshape(rows.shape[0], rows.shape[0], -1).swapaxes(0, 1)
        mended = rows.reshape(rows.shape[0], batch, -1).swapaxes(0, 1)
        assert mended.shape == (batch, 4, 4)
        assert printed.shape != mended.shape
        weight = RNG.integers(-9, 9, (k, k, 1, 2))
        y = nn.conv2d(x, weight, layout="NHWC").data
        np.testing.assert_array_equal((mended @ weight.reshape(4, 2)).reshape(y.shape), y)
        window = Window.of("conv2d", (3, 3), k)
        np.testing.assert_array_equal(kernels_im2col.im2col(x[:, None], window)[0], mended.reshape(batch * 4, 4))
    # It even fails for one image, where the number of windows does not divide the row:
    rows = im2col_rows(RNG.integers(-9, 9, (1, 4, 4, 1)), k, 1)
    with pytest.raises(ValueError, match="cannot reshape"):
        rows.reshape(rows.shape[0], rows.shape[0], -1)


def test_error_kernel_flip_is_right_because_both_axes_flip_together():
    """``re_weights = swap_weights.reshape(-1, ...); flip = re_weights[::-1]``: the flattened taps, reversed."""
    weights = RNG.integers(-9, 9, (3, 2, 4, 5))  # (k, k, C_in, C_out), but not square
    swapped = weights.swapaxes(2, 3)
    taps = swapped.reshape(-1, *swapped.shape[2:])
    flipped = taps[::-1].reshape(swapped.shape)
    np.testing.assert_array_equal(flipped, swapped[::-1, ::-1])  # rot180
    np.testing.assert_array_equal(flipped, padpad.rot180_transposed(weights[None])[0])
    turned = naive.rot180_transposed(weights.transpose(3, 2, 0, 1))  # (C, O, KH, KW)
    np.testing.assert_array_equal(flipped, turned.transpose(2, 3, 1, 0))
    # Flipping one axis alone could not be written so:
    assert (flipped != swapped[::-1]).any()
    assert (flipped != swapped[:, ::-1]).any()
