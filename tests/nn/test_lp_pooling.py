"""Power-average pooling against nested loops: values, gradients, windows of zeros, errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp

LP = (nn.lp_pool1d, nn.lp_pool2d, nn.lp_pool3d)
LAYOUTS = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))


def lp_pool(x, p, kernel, stride, ceil, gy):
    """y and gx, channels first, window by window. Sums of windows at the end are scaled to full windows."""
    sizes = x.shape[2:]
    out = []
    for n, k, s in zip(sizes, kernel, stride):
        windows = 1
        while (windows - 1) * s + k < n if ceil else windows * s + k <= n:
            if windows * s >= n:
                break
            windows += 1
        out.append(windows)
    y, gx = np.zeros((*x.shape[:2], *out)), np.zeros(x.shape)
    for b, c in itertools.product(*map(range, x.shape[:2])):
        for i in itertools.product(*map(range, out)):
            places = list(
                itertools.product(*[range(k * s, min(k * s + t, n)) for k, s, t, n in zip(i, stride, kernel, sizes)])
            )
            scale = math.prod(kernel) / len(places)
            total = scale * sum(float(x[(b, c, *h)]) ** p for h in places)
            y[(b, c, *i)] = total ** (1 / p)
            for h in places:
                if total != 0:
                    slope = total ** (1 / p - 1) * scale * float(x[(b, c, *h)]) ** (p - 1)
                    gx[(b, c, *h)] += slope * float(gy[(b, c, *i)])
    return y, gx


def last(array):
    return np.moveaxis(array, 1, -1)


def line(values, dtype=float):
    return np.asarray(values, dtype).reshape(1, 1, -1)


@given(
    st.integers(1, 3),
    st.data(),
    st.sampled_from([1, 2, 3, 4, 0.5, 1.5, 2.5, -1, -2, np.float32(2), np.int64(3)]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=80)
def test_random_pools(pulled, n, data, p, ceil, channels_last, dtype, seed):
    axes = lambda low, high: tuple(data.draw(st.integers(low, high)) for _ in range(n))  # noqa: E731
    kernel, stride = axes(1, 3), axes(1, 3)
    sizes = tuple(k + data.draw(st.integers(0, 3)) for k in kernel)
    rng = np.random.default_rng(seed)
    x = (rng.random((data.draw(st.integers(0, 2)), 2, *sizes)) + 0.5).astype(dtype)
    if p in (2, 4):
        x *= rng.choice([-1, 1], x.shape).astype(dtype)
    order, layout = (last if channels_last else np.asarray), LAYOUTS[n - 1][channels_last]
    y = LP[n - 1](order(x), p, kernel, stride, ceil, layout=layout)
    gy = rng.standard_normal(y.shape).astype(dtype)
    expected = lp_pool(x, float(p), kernel, stride, ceil, np.moveaxis(gy, -1, 1) if channels_last else gy)
    found = pulled(lambda x: LP[n - 1](x, p, kernel, stride, ceil, layout=layout), gy, order(x))
    assert found[0].dtype == found[1].dtype == dtype
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    for actual, value in zip(found, expected):
        np.testing.assert_allclose(actual, order(value), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("p", [1, 2, 3, 1.5, -1, math.inf, -math.inf])
@pytest.mark.parametrize("ceil", [False, True])
def test_first_and_second_order(rng, p, ceil):
    x = rng.permutation(60).reshape(3, 5, 4) / 60 + 0.5
    check_vjp(lambda x: nn.lp_pool2d(x, p, 2, ceil_mode=ceil), x, max_elements=16)
    check_vjp(lambda x: nn.lp_pool2d(x, p, (3, 2), 1, ceil, layout="NHWC") ** 2, x, max_elements=16)


def test_third_order_and_other_axes(rng):
    x = rng.standard_normal((1, 2, 6))
    check_vjp(lambda x: nn.lp_pool1d(x, 2, 3), x, order=3, rtol=1e-4)
    check_vjp(lambda x: nn.lp_pool3d(x, 2, 2), rng.standard_normal((1, 1, 2, 2, 4)))


def test_zeros_beside_others_have_all_their_derivatives():
    check_vjp(lambda x: nn.lp_pool1d(x, 2, 2), line([0, 3, 4, 0]), order=3, rtol=1e-4)
    check_vjp(lambda x: nn.lp_pool1d(x, 3, 2), line([0, 3, 4, 0]))


# --- what decides: windows of zeros ------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [2, 3, 4, 0.5, 1.5, 2.5, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_window_of_zeros_has_gradient_zero_in_every_order(p, dtype):
    x = ac.tensor(line([0, 0, 3, 4], dtype), requires_grad=True)
    y = nn.lp_pool1d(x, p, 2)
    assert y.data[0, 0, 0] == 0
    (gx,) = ac.grad(y.sum(), x, create_graph=True)
    np.testing.assert_array_equal(gx.data[0, 0, :2], [0, 0])
    assert np.isfinite(gx.data).all()
    assert gx.dtype == dtype
    if gx.requires_grad:
        (ggx,) = ac.grad((gx * gx).sum(), x)
        np.testing.assert_array_equal(ggx.data[0, 0, :2], [0, 0])
        assert np.isfinite(ggx.data).all()


@pytest.mark.parametrize("p", [2, 3, 0.5, 1.5])
def test_a_window_of_zeros_among_overlapping_ones(p):
    x = ac.tensor(line([0, 0, 0, 4, 3]), requires_grad=True)
    nn.lp_pool1d(x, p, 2, stride=1).sum().backward()
    assert np.isfinite(x.grad).all()
    np.testing.assert_array_equal(x.grad[0, 0, :2], [0, 0])


def test_sums_have_gradient_one_even_where_they_are_zero():
    x = ac.tensor(line([0, 0, 1, -1]), requires_grad=True)
    y = nn.lp_pool1d(x, 1, 2)
    y.sum().backward()
    np.testing.assert_array_equal(y.data.ravel(), [0, 0])
    np.testing.assert_array_equal(x.grad.ravel(), [1, 1, 1, 1])


def test_powers_that_cancel():
    x = ac.tensor(line([1, -1, 2, 0]), requires_grad=True)
    y = nn.lp_pool1d(x, 3, 2)
    y.sum().backward()
    np.testing.assert_allclose(y.data.ravel(), [0, 2])
    np.testing.assert_allclose(x.grad.ravel(), [0, 0, 1, 0])
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(nn.lp_pool1d(line([-2, 1]), 3, 2).item())


def test_infinite_powers():
    x = ac.tensor(line([0, 0, 1, -1, 2, -3, 0]), requires_grad=True)
    y = nn.lp_pool1d(x, math.inf, 2, ceil_mode=True)
    y.sum().backward()
    np.testing.assert_array_equal(y.data.ravel(), [0, 1, 3, 0])
    np.testing.assert_array_equal(x.grad.ravel(), [0, 0, 1, 0, 0, -1, 0])  # the first of equals
    x.grad = None
    y = nn.lp_pool1d(x, -math.inf, 2, ceil_mode=True)
    y.sum().backward()
    np.testing.assert_array_equal(y.data.ravel(), [0, 1, 2, 0])
    np.testing.assert_array_equal(x.grad.ravel(), [0, 0, 1, 0, 1, 0, 0])


# --- the edge cases, by number -----------------------------------------------------------------------------------


def test_case_09_zero_batch(pulled):
    y, gx = pulled(lambda x: nn.lp_pool2d(x, 2, 2), np.zeros((0, 3, 2, 2)), np.zeros((0, 3, 4, 5)))
    assert y.shape == (0, 3, 2, 2)
    assert gx.shape == (0, 3, 4, 5)


def test_cases_15_and_16_a_window_over_the_end_is_scaled_up():
    y = nn.lp_pool1d(line(range(1, 8)), 1, 2, 3, ceil_mode=True)  # averages 1.5, 4.5, 7 times 2
    np.testing.assert_array_equal(y.data.ravel(), [3, 9, 14])
    assert nn.lp_pool1d(line(range(4)), 2, 3, 3, ceil_mode=True).shape == (1, 1, 2)
    assert nn.lp_pool1d(line(range(4)), 2, 3, 3).shape == (1, 1, 1)


def test_case_21_any_memory(rng):
    x, gy = rng.standard_normal((2, 3, 6, 4)), rng.standard_normal((2, 3, 3, 2))

    def run(x, gy):
        t = ac.tensor(x, requires_grad=True)
        y = nn.lp_pool2d(t, 2, 2)
        y.backward(gy)
        return y.numpy(), t.grad

    expected = run(x, gy)
    constant = x.copy()
    constant.flags.writeable = False
    for array, seed in (
        (np.asfortranarray(x), np.asfortranarray(gy)),
        (np.ascontiguousarray(x[:, ::-1, :, ::-1])[:, ::-1, :, ::-1], np.ascontiguousarray(gy.T).T),
        (np.repeat(x, 2, axis=3)[..., ::2], np.repeat(gy, 2, axis=0)[::2]),
        (constant, gy),
    ):
        for actual, value in zip(run(array, seed), expected):
            np.testing.assert_array_equal(actual, value)
            assert actual.flags.writeable
    same = ac.tensor(x)
    for p in (1, 2, math.inf):
        y = nn.lp_pool2d(np.abs(x), p, 1)
        np.testing.assert_allclose(y.data, np.abs(same.data), rtol=1e-15)
        assert not np.shares_memory(y.data, x)


def test_chainer_7911_float64_is_pooled_in_float64():
    assert nn.lp_pool1d(line([1, 2**-40]), 1, 2).item() == 1 + 2**-40


def test_case_23_float16_is_computed_in_float32():
    y = nn.lp_pool1d(line([300, 400], np.float16), 2, 2)  # 300**2 is infinite in float16
    assert y.dtype == np.float16
    assert y.item() == 500


ERRORS = [
    ({"norm_type": 0}, ValueError, ["norm_type", "0", "other than 0"]),
    ({"norm_type": math.nan}, ValueError, ["norm_type", "nan"]),
    ({"norm_type": "2"}, TypeError, ["norm_type", "'2'", "number"]),
    ({"norm_type": True}, TypeError, ["norm_type", "True", "number"]),
    ({"kernel_size": 0}, ValueError, ["kernel size", "0", "at least 1"]),
    ({"kernel_size": 2.0}, TypeError, ["kernel size", "2.0", "integers"]),
    ({"kernel_size": 7}, ValueError, ["effective kernel 7", "padded input 5"]),
    ({"stride": 0}, ValueError, ["stride", "0", "at least 1"]),
    ({"x": (5, 5)}, ValueError, ["input", "2 axes", "4 axes"]),
    ({"x": (1, 0, 5, 5)}, ValueError, ["input", "0 channels", "at least 1"]),
    ({"layout": "CHWN"}, ValueError, ["layout", "'CHWN'", "'NCHW'"]),
    ({"dtype": int}, TypeError, ["input", "int64", "floating-point"]),
]


@pytest.mark.parametrize("p", [2, math.inf])
@pytest.mark.parametrize(("case", "error", "parts"), ERRORS)
def test_case_24_errors(p, case, error, parts):
    case = {"norm_type": p, "kernel_size": 2, "x": (1, 1, 5, 5), **case}
    with pytest.raises(error) as caught:
        nn.lp_pool2d(np.zeros(case.pop("x"), case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith("lp_pool2d: ")
    for part in parts:
        assert part in message


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("p", [1, 2, 3, 1.5, 4, math.inf, -math.inf])
def test_against_torch(rng, dtype, axes, p):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; the comparison with it is left out")
    theirs = getattr(torch.nn.functional, f"lp_pool{axes}d")
    x = (rng.random((2, 3, *(7, 6, 5)[:axes])) + 0.1).astype(dtype)
    x[:, :, :2] = 0 if p != 1 else x[:, :, :2]
    for stride, ceil in ((None, False), (None, True), (1, False), (3, True)):
        t, u = ac.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, v = LP[axes - 1](t, p, 2, stride, ceil), theirs(u, p, 2, stride, ceil)
        np.testing.assert_allclose(y.data, v.detach().numpy(), rtol=1e-5, atol=1e-6)
        gy = rng.standard_normal(y.shape).astype(dtype)
        y.backward(gy)
        v.backward(torch.from_numpy(gy))
        np.testing.assert_allclose(t.grad, u.grad.numpy(), rtol=1e-4, atol=1e-5)
