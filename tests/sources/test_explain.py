"""The pages of `ac.explain`: their matrices are right, their text is complete and fits on a terminal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn

RNG = np.random.default_rng(5)


@st.composite
def convolutions(draw):
    axes = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(2))  # noqa: E731
    kernel, stride, dilation = axes(1, 3), axes(1, 2), axes(1, 2)
    padding = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(2))
    least = [max(d * (k - 1) + 1 - sum(p), 1) for k, d, p in zip(kernel, dilation, padding)]
    sizes = tuple(low + draw(st.integers(0, 2)) for low in least)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    x = rng.integers(-9, 10, (draw(st.integers(1, 2)), *sizes))
    w = rng.integers(-9, 10, (draw(st.integers(1, 2)), len(x), *kernel))
    return x, w, {"stride": stride, "padding": padding, "dilation": dilation}


def vec(stack):
    return stack.transpose(0, 2, 1).ravel()


@given(convolutions())
@settings(max_examples=40)
def test_every_matrix_of_a_convolution(case):
    x, w, options = case
    page = ac.explain.conv2d(x, w, **options)
    t, k = ac.tensor(x, dtype=float), ac.tensor(w, dtype=float)
    t.requires_grad = k.requires_grad = True
    y = nn.conv2d(t, k, **options)
    y.backward(page.gy.astype(float))
    np.testing.assert_array_equal(page.y, y.data)
    np.testing.assert_array_equal(page.gx, t.grad)
    np.testing.assert_array_equal(page.gw, k.grad)
    np.testing.assert_array_equal(page.gb, page.gy.sum(axis=(1, 2)))
    rows = page.y.reshape(len(w), -1).T, page.gy.reshape(len(w), -1).T
    np.testing.assert_array_equal(page.im2col @ page.W, rows[0])
    np.testing.assert_array_equal(page.im2col.T @ rows[1], page.gw.transpose(2, 3, 1, 0).reshape(page.W.shape))
    padded = nn.conv2d(page.padpad[None], page.rotated, dilation=options["dilation"])
    np.testing.assert_array_equal(padded.data[0], page.gx)
    turned = nn.conv2d(page.padpad_rotated[:, None], page.x_rotated[:, None], stride=options["dilation"])
    np.testing.assert_array_equal(turned.data, page.gw)
    np.testing.assert_array_equal(page.M @ vec(page.x), page.phi.T.ravel())
    np.testing.assert_array_equal(page.kronecker @ page.C.T.ravel(), vec(page.y))
    np.testing.assert_array_equal(page.jacobian @ page.gy.ravel(), page.gx.ravel())
    assert len(page.table) == x.size
    assert len(page.table[0]) == page.y.size
    np.testing.assert_array_equal(np.array(page.table) != "0", structure(page))
    assert set(page.differences().values()) == {0}
    assert max(map(len, str(page).splitlines())) <= 79


def structure(page):
    """Where the Jacobian may be other than zero: that of a kernel of ones."""
    ones = ac.explain.conv2d(
        page.x, np.ones_like(page.w), stride=page.window.stride[1:], dilation=page.window.dilation[1:],
        padding=tuple(zip(page.window.before[1:], page.window.after[1:])),
    )  # fmt: skip
    return ones.jacobian != 0


def test_text_of_a_convolution():
    page = ac.explain.conv2d([[1, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]], [[1, 0], [-1, 1]])
    text = str(page)
    assert repr(page) == text
    for line in (
        "conv2d of x (3, 4) with w (2, 2) is y (2, 3)",
        "y[0,0,0] = 1*1 + 0*3 + (-1)*2 + 1*8 = 7",
        "   x =  2 8 5 1        -1  1         1  6  8",
        "   padpad(gy) =  . 1 2 3 .   rotated =   1 -1",
        "Largest difference from the definition: im2col 0, padpad 0, kronecker 0,",
    ):
        assert line in text.splitlines()
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_text_says_what_it_leaves_out():
    text = str(ac.explain.conv2d(np.ones((9, 9)), np.ones((3, 3)), padding=1))
    assert "(729 x 81 in all)" in text
    assert " ..." in text
    assert max(map(len, text.splitlines())) <= 79


def test_floats_tensors_and_own_gradients():
    x, w = RNG.standard_normal((2, 4, 4)), RNG.standard_normal((1, 2, 2, 2))
    gy = RNG.standard_normal((3, 3))
    page = ac.explain.conv2d(ac.tensor(x), ac.tensor(w), ac.tensor(gy))
    np.testing.assert_allclose(page.gx, nn.conv2d_input(x.shape, w, gy[None]).data)
    assert max(page.differences().values()) < 1e-12
    assert max(map(len, str(page).splitlines())) <= 79


@pytest.mark.parametrize("ties", ["row", "column"])
@pytest.mark.parametrize(("size", "options"), [((4, 6), {}), ((5, 4), {"stride": 1}), ((5, 5), {"padding": 1})])
def test_pooling(ties, size, options):
    x = RNG.integers(0, 4, (2, *size))
    page = ac.explain.max_pool2d(x, 2, ties=ties, **options)
    t = ac.tensor(x, dtype=float, requires_grad=True)
    y = nn.max_pool2d(t, 2, ties=ties, **options)
    y.backward(page.gy.astype(float))
    np.testing.assert_array_equal(page.y, y.data)
    np.testing.assert_array_equal(page.gx, t.grad)
    assert (page.S.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(page.S @ vec(x), vec(page.y))
    np.testing.assert_array_equal(page.S.T @ vec(page.gy), vec(page.gx))
    average = ac.explain.avg_pool2d(x, 2, **options)
    np.testing.assert_allclose(average.S @ vec(x), vec(average.y))
    np.testing.assert_allclose(average.S.T @ vec(average.gy), vec(average.gx))
    for text in (str(page), str(average)):
        assert "S = " in text
        assert max(map(len, text.splitlines())) <= 79


def test_errors():
    with pytest.raises(ValueError, match=r"explain.conv2d: argument 'x' has shape \(3,\)"):
        ac.explain.conv2d([1, 2, 3], [[1]])
    with pytest.raises(ValueError, match=r"explain.conv2d: the kernel is larger"):
        ac.explain.conv2d([[1, 2, 3]], [[1], [2]])
    with pytest.raises(ValueError, match=r"explain.conv2d: method 'kronecker' would make a matrix M of"):
        ac.explain.conv2d(np.ones((64, 64)), np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"explain.max_pool2d: argument 'x' has shape \(2,\)"):
        ac.explain.max_pool2d([1, 2], 2)
    with pytest.raises(ValueError, match=r"explain.avg_pool2d: argument 'gy' has shape \(1, 1, 3\)"):
        ac.explain.avg_pool2d(np.ones((2, 2)), 2, gy=[[1, 2, 3]])
