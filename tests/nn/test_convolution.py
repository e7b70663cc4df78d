"""Convolution against nested loops: values, gradients of every order, edge cases, memory, dtypes, errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp

NHWC, HWIO = (0, 2, 3, 1), (2, 3, 1, 0)


def close(actual, expected, rtol=1e-9, atol=1e-9):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


# --- against the oracle ----------------------------------------------------------------------------------------


@st.composite
def convolutions(draw):
    """A convolution of small random shapes, along one to three axes."""
    n = draw(st.integers(1, 3))
    axes = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(n))  # noqa: E731
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    per_group = draw(st.sampled_from([1, 2, 5]))
    outputs = groups * draw(st.sampled_from([1, 3, 4]))
    kernel, stride, dilation = axes(1, 3), axes(1, 3), axes(1, 2)
    padding = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(n))
    least = [max(d * (k - 1) + 1 - sum(p), 0) for k, d, p in zip(kernel, dilation, padding)]
    sizes = tuple(low + draw(st.integers(0, 4)) for low in least)
    batch = draw(st.integers(0, 2))
    return batch, groups, per_group, outputs, sizes, kernel, stride, padding, dilation, draw(st.booleans())


@given(convolutions(), st.booleans(), st.integers(0, 2**32 - 1))
def test_random_convolutions(oracle, pulled, case, last, seed):
    batch, groups, per_group, outputs, sizes, kernel, stride, padding, dilation, with_bias = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, groups * per_group, *sizes))
    w = rng.standard_normal((outputs, per_group, *kernel))
    b = rng.standard_normal(outputs) if with_bias else None
    shape = oracle.conv(x, w, b, None, stride, padding, dilation, groups).shape
    gy = rng.standard_normal(shape)
    y, gx, gw, gb = oracle.conv(x, w, b, gy, stride, padding, dilation, groups)
    n = len(sizes)
    function = (nn.conv1d, nn.conv2d, nn.conv3d)[n - 1]
    layout = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))[n - 1][last]
    data = (0, *range(2, n + 2), 1) if last else tuple(range(n + 2))
    taps = (*range(2, n + 2), 1, 0) if last else tuple(range(n + 2))
    found = pulled(
        lambda x, w, b: function(x, w, b, stride, padding, dilation, groups, layout=layout),
        gy.transpose(data),
        x.transpose(data),
        w.transpose(taps),
        b,
    )
    close(found[0], y.transpose(data))
    close(found[1], gx.transpose(data))
    close(found[2], gw.transpose(taps))
    if with_bias:
        close(found[3], gb)


@pytest.mark.parametrize("channels", [15, 16, 17, 23, 24, 25])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_channel_counts_around_the_vector_width(oracle, pulled, rng, channels, dtype):
    x = rng.standard_normal((2, 3, 5, 6)).astype(dtype)
    w = rng.standard_normal((channels, 3, 3, 2)).astype(dtype)
    v = rng.standard_normal((4, channels, 2, 2)).astype(dtype)
    for image, kernel in ((x, w), (rng.standard_normal((2, channels, 5, 4)).astype(dtype), v)):
        gy = rng.standard_normal(oracle.conv(image, kernel, None, None, (1, 1), ((0, 0),) * 2, (1, 1)).shape)
        expected = oracle.conv(image, kernel, None, gy, (1, 1), ((0, 0),) * 2, (1, 1))
        found = pulled(nn.conv2d, gy.astype(dtype), image, kernel)
        for actual, value in zip(found, expected):
            assert actual.dtype == dtype
            tolerance = 2e-5 if dtype == np.float32 else 1e-10
            close(actual, value, tolerance, tolerance)


@pytest.mark.parametrize(
    ("shape", "weight", "settings"),
    [
        ((2, 2, 5, 4), (3, 2, 2, 3), {}),
        ((2, 2, 5, 4), (3, 2, 2, 3), {"stride": 2, "padding": ((2, 0), (1, 3))}),
        ((1, 4, 6, 5), (4, 2, 2, 2), {"groups": 2, "dilation": (2, 3), "padding": "same"}),
        ((2, 3, 4, 4), (6, 1, 2, 2), {"groups": 3, "stride": (1, 3)}),
        ((2, 5, 4), (3, 2, 2, 2), {}),
    ],
)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_first_and_second_order(rng, shape, weight, settings, layout):
    x, w, b = rng.standard_normal(shape), rng.standard_normal(weight), rng.standard_normal(weight[0])
    if layout == "NHWC":
        x, w = (x.transpose(1, 2, 0) if x.ndim == 3 else x.transpose(NHWC)), w.transpose(HWIO)
    check_vjp(nn.conv2d, x, w, b, layout=layout, max_elements=12, **settings)


def test_third_order(rng):
    # x * x * x correlated: bilinear in x and w, cubic in x; the third derivative along v is 6 * conv(v**3, w)
    x, v = rng.standard_normal((2, 1, 1, 4, 4))  # two images
    w = rng.standard_normal((1, 1, 2, 2))
    t = ac.tensor(0.3, requires_grad=True)
    y = ac.sum(nn.conv2d((x + t * v) ** 3, w))
    for _ in range(3):
        (y,) = ac.grad(y, t, create_graph=True)
    close(y.item(), 6 * nn.conv2d(v**3, w).numpy().sum())


def test_mixed_second_derivative_is_the_third_primitive(oracle, rng):
    x, w = rng.standard_normal((1, 2, 4, 4)), rng.standard_normal((3, 2, 2, 2))
    gy, v = rng.standard_normal((1, 3, 3, 3)), rng.standard_normal((3, 2, 2, 2))
    xt, wt = ac.tensor(x, requires_grad=True), ac.tensor(w, requires_grad=True)
    (gw,) = ac.grad(nn.conv2d(xt, wt), wt, gy, create_graph=True)
    (mixed,) = ac.grad(gw, xt, v)  # d/dx <v, gw(x, gy)> = input gradient of (gy, v)
    close(mixed.data, oracle.conv(x, v, None, gy, (1, 1), ((0, 0),) * 2, (1, 1))[1])


# --- the edge cases, by number -----------------------------------------------------------------------------------


def row(values):
    return np.asarray(values, float).reshape(1, 1, 1, -1)


def test_case_01_columns_never_read_get_exactly_zero(pulled):
    y, gx, _ = pulled(lambda x, w: nn.conv2d(x, w, stride=(1, 2)), row([1, 10]), row(range(6)), row([1, 2, 3]))
    assert y.shape == (1, 1, 1, 2)
    np.testing.assert_array_equal(gx.ravel(), [1, 2, 13, 20, 30, 0.0])


def test_case_02_stride_beyond_the_kernel(pulled):
    y, gx, _ = pulled(lambda x, w: nn.conv2d(x, w, stride=(1, 3)), row([1, 1]), row(range(7)), row([2, 5]))
    np.testing.assert_array_equal(y.ravel(), [5, 26])
    np.testing.assert_array_equal(gx.ravel(), [2, 5, 0, 2, 5, 0, 0])


def test_case_03_padding_beyond_the_kernel(pulled):
    y, gx, _, gb = pulled(
        lambda x, w, b: nn.conv2d(x, w, b, padding=(0, 4)),
        row(range(10)),
        row([1, 2, 3]),
        row([1, 10]),
        np.array([0.5]),
    )
    np.testing.assert_array_equal(y.ravel() - 0.5, [0, 0, 0, 10, 21, 32, 3, 0, 0, 0])
    np.testing.assert_array_equal(gx.ravel(), [4 + 30, 5 + 40, 6 + 50])
    assert gb == 45


def test_case_05_everything_at_once(oracle, pulled, rng):
    x, w = rng.standard_normal((2, 4, 9, 8)), rng.standard_normal((6, 2, 3, 2))
    gy = rng.standard_normal((2, 6, 5, 3))
    setting = {"stride": (2, 3), "padding": (2, 1), "dilation": (2, 3), "groups": 2}
    expected = oracle.conv(x, w, None, gy, (2, 3), ((2, 2), (1, 1)), (2, 3), 2)
    assert expected[0].shape == (2, 6, 5, 3)
    for actual, value in zip(pulled(lambda x, w: nn.conv2d(x, w, **setting), gy, x, w), expected):
        close(actual, value)


@pytest.mark.parametrize("multiplier", [1, 2, 3])
def test_case_05_depthwise_with_multiplier(oracle, pulled, rng, multiplier):
    x, w = rng.standard_normal((2, 17, 5, 5)), rng.standard_normal((17 * multiplier, 1, 3, 3))
    gy = rng.standard_normal((2, 17 * multiplier, 5, 5))
    expected = oracle.conv(x, w, None, gy, (1, 1), ((1, 1),) * 2, (1, 1), 17)
    for actual, value in zip(pulled(lambda x, w: nn.conv2d(x, w, padding=1, groups=17), gy, x, w), expected):
        close(actual, value)


def test_case_06_same(oracle, pulled, rng):
    assert nn.conv1d([[[1.0, 2, 3, 4]]], [[[1.0, 10]]], padding="same").tolist() == [[[21, 32, 43, 4]]]
    five = nn.conv1d([[[1.0, 2, 3, 4, 5]]], [[[1.0, 10, 100]]], padding="same", stride=2)
    assert five.tolist() == [[[210, 432, 54]]]
    assert nn.conv1d([[[1.0, 2, 3, 4]]], [[[1.0, 10]]], padding="same", stride=2).tolist() == [[[21, 43]]]
    x, w = rng.standard_normal((1, 1, 7, 8)), rng.standard_normal((1, 1, 4, 3))
    padding = (oracle.same(7, 4, 2, 1), oracle.same(8, 3, 3, 2))
    gy = rng.standard_normal((1, 1, 4, 3))
    expected = oracle.conv(x, w, None, gy, (2, 3), padding, (1, 2))
    found = pulled(lambda x, w: nn.conv2d(x, w, stride=(2, 3), dilation=(1, 2), padding="same"), gy, x, w)
    for actual, value in zip(found, expected):
        close(actual, value)
    close(nn.conv2d(x, w, padding="valid").data, nn.conv2d(x, w).data)


def test_case_09_zero_batch(pulled):
    y, gx, gw, gb = pulled(nn.conv2d, np.zeros((0, 5, 3, 2)), np.zeros((0, 2, 4, 4)), np.ones((5, 2, 2, 3)), np.ones(5))
    assert y.shape == (0, 5, 3, 2)
    assert gx.shape == (0, 2, 4, 4)
    np.testing.assert_array_equal(gw, np.zeros((5, 2, 2, 3)))
    np.testing.assert_array_equal(gb, np.zeros(5))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_case_10_zero_input_channels(pulled, layout):
    last = layout == "NHWC"
    x, w = np.zeros((2, 0, 4, 4)), np.zeros((3, 0, 2, 2))
    y, gx, gw, gb = pulled(
        lambda x, w, b: nn.conv2d(x, w, b, layout=layout),
        np.ones((2, 3, 3, 3)),
        x.transpose(NHWC) if last else x,
        w.transpose(HWIO) if last else w,
        np.array([1.0, 2, 3]),
    )
    np.testing.assert_array_equal(np.moveaxis(y, -1, 1) if last else y, np.ones((2, 3, 3, 3)) * [[[1]], [[2]], [[3]]])
    assert gx.size == gw.size == 0
    np.testing.assert_array_equal(gb, [18, 18, 18])
    assert not nn.conv2d(x, w).data.any()


def test_case_11_zero_length_spatial_axis(pulled):
    y, gx, gw, gb = pulled(
        lambda x, w, b: nn.conv2d(x, w, b, padding=1),
        np.ones((2, 3, 1, 6)),
        np.zeros((2, 2, 0, 5)),
        np.ones((3, 2, 2, 2)),
        np.ones(3),
    )
    np.testing.assert_array_equal(y, np.ones((2, 3, 1, 6)))
    assert gx.shape == (2, 2, 0, 5)
    assert not gw.any()
    np.testing.assert_array_equal(gb, [12, 12, 12])


def test_case_17_a_second_run_gives_the_same(pulled, rng):
    x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    for _ in range(2):
        gx = pulled(nn.conv2d, np.ones((1, 1, 2, 2)), x, w)[1]
        np.testing.assert_array_equal(gx[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])


def memories(array):
    """The same values in every kind of memory."""
    yield "transposed", np.ascontiguousarray(array.T).T
    yield "Fortran", np.asfortranarray(array)
    yield "channels-last", np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
    wide[..., ::2] = array
    yield "sliced", wide[..., ::2]
    yield "reversed", np.ascontiguousarray(array[::-1, :, ::-1])[::-1, :, ::-1]
    constant = array.copy()
    constant.flags.writeable = False
    yield "read-only", constant
    yield "byte-swapped", array.astype(array.dtype.newbyteorder(">"))
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    yield "unaligned", raw


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_case_21_any_memory(rng, layout):
    x, w = rng.standard_normal((2, 4, 5, 4)), rng.standard_normal((4, 4, 3, 2))
    if layout == "NHWC":
        x, w = rng.standard_normal((2, 5, 4, 4)), rng.standard_normal((3, 2, 4, 4))
    b = rng.standard_normal(4)
    reference = nn.conv2d(x, w, b, layout=layout)
    gy = rng.standard_normal(reference.shape)

    def gradients(x, w, gy):
        xt, wt = ac.tensor(x, requires_grad=True), ac.tensor(w, requires_grad=True)
        y = nn.conv2d(xt, wt, b, layout=layout)
        y.backward(gy)
        return y.numpy(), xt.grad, wt.grad

    expected = gradients(x, w, gy)
    for (name, xm), (_, wm), (_, gm) in zip(memories(x), memories(w), memories(gy)):
        np.testing.assert_array_equal(nn.conv2d(xm, wm, b, layout=layout).data, reference.data, err_msg=name)
        for actual, value in zip(gradients(xm, wm, gm), expected):
            np.testing.assert_allclose(actual, value, rtol=1e-12, atol=1e-12, err_msg=name)
            assert actual.flags.writeable
    # not through ac.tensor, which copies: views made by primitives
    xt = ac.tensor(x.transpose(0, 1, 3, 2), requires_grad=True)
    y = nn.conv2d(xt.transpose(0, 1, 3, 2), w, b, layout=layout)
    y.backward(np.broadcast_to(np.float64(1), y.shape))
    close(xt.grad.transpose(0, 1, 3, 2), gradients(x, w, np.ones(y.shape))[1])


def test_case_21_broadcast_input_and_seed(rng):
    x = np.broadcast_to(rng.standard_normal((1, 1, 1, 5)), (2, 3, 4, 5))
    w = rng.standard_normal((2, 3, 2, 2))
    y = nn.conv2d(x, ac.tensor(w, requires_grad=True))
    close(y.data, nn.conv2d(x.copy(), w).data)
    assert nn.conv2d(np.broadcast_to(1.0, (1, 1, 3, 3)), np.broadcast_to(1.0, (1, 1, 2, 2))).data.sum() == 16


def test_case_21_gradients_alias_nothing(rng):
    x, w = ac.tensor(np.ones((1, 1, 3, 3)), requires_grad=True), ac.tensor(np.ones((1, 1, 1, 1)), requires_grad=True)
    b = ac.tensor(np.ones(1), requires_grad=True)
    seed = np.ones((1, 1, 3, 3))
    nn.conv2d(x, w, b).backward(seed)
    x.grad[...] = w.grad[...] = b.grad[...] = 7
    assert (seed == 1).all()
    assert (x.data == 1).all()
    assert (w.data == 1).all()


def test_case_22_nothing_is_skipped_and_padding_is_nothing(pulled):
    x, w, gy = np.zeros((1, 1, 1, 4)), np.zeros((1, 1, 1, 3)), np.zeros((1, 1, 1, 4))
    for special in (np.nan, np.inf):
        w[...], x[...], gy[...] = 0, 0, 0
        x[..., 2] = special
        y, gx, gw = pulled(lambda x, w: nn.conv2d(x, w, padding=(0, 1)), gy, x, w)
        np.testing.assert_array_equal(np.isnan(y.ravel()), [False, True, True, True])
        np.testing.assert_array_equal(np.isnan(gw.ravel()), [True, True, True])
        assert not gx.any()
        # An infinite tap that meets nothing but padding leaves no trace there.
        x[...], w[..., 0] = 1, special
        y, gx, gw = pulled(lambda x, w: nn.conv2d(x, w, padding=(0, 1)), gy, x, w)
        assert y.ravel()[0] == 0
        np.testing.assert_array_equal(np.isnan(gx.ravel()), [True, True, True, False])
        gy[..., 0], w[...] = special, 0
        y, gx, gw = pulled(lambda x, w: nn.conv2d(x, w, padding=(0, 1)), gy, x, w)
        np.testing.assert_array_equal(np.isnan(gx.ravel()), [True, True, False, False])
        np.testing.assert_array_equal(np.isfinite(gw.ravel()), [True, False, False])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_case_23_dtypes_are_kept(pulled, dtype, layout):
    found = pulled(
        lambda x, w, b: nn.conv2d(x, w, b, layout=layout, padding=1),
        np.ones((2, 5, 5, 3) if layout == "NHWC" else (2, 3, 5, 5), dtype),
        np.ones((2, 4, 4, 2) if layout == "NHWC" else (2, 2, 4, 4), dtype),
        np.ones((2, 2, 2, 3) if layout == "NHWC" else (3, 2, 2, 2), dtype),
        np.ones(3, dtype),
    )
    assert [array.dtype for array in found] == [dtype] * 4


def test_case_23_float16_sums_in_float32():
    # 2048 + 1 is 2048 in float16: a running sum in it would stop there
    x, w = np.ones((1, 4096, 1, 1), np.float16), np.ones((1, 4096, 1, 1), np.float16)
    assert nn.conv2d(x, w).item() == 4096
    b = ac.tensor(np.zeros(1, np.float16), requires_grad=True)
    nn.conv2d(np.zeros((1, 1, 64, 64), np.float16), np.ones((1, 1, 1, 1), np.float16), b).backward(
        np.ones((1, 1, 64, 64), np.float16)
    )
    assert b.grad == 4096


def test_case_23_integers_and_mixtures():
    x, w = np.arange(16).reshape(1, 1, 4, 4), np.array([[[[1, -1], [2, 0]]]])
    y = nn.conv2d(x, w)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y.data[0, 0], [[7, 9, 11], [15, 17, 19], [23, 25, 27]])
    assert nn.conv2d(x.astype(np.int8), w.astype(np.int8)).dtype == np.int8
    kernel = ac.tensor(w, dtype=np.float32, requires_grad=True)
    mixed = nn.conv2d(x.astype(np.float64), kernel, np.zeros(1, np.float32))
    assert mixed.dtype == np.float64
    mixed.backward(np.ones((1, 1, 3, 3)))
    assert kernel.grad.dtype == np.float32
    with pytest.raises(TypeError, match="no gradient"):
        ac.tensor(x, requires_grad=True)


ERRORS = [
    ({"x": (2, 3, 5, 5), "w": (4, 2, 3, 3)}, ValueError, ["weight", "input", "takes 2", "has 3", "equal"]),
    ({"x": (2, 3, 5, 5), "w": (4, 3, 3, 3), "groups": 2}, ValueError, ["input", "3", "groups", "2", "divide"]),
    ({"x": (2, 4, 5, 5), "w": (3, 2, 3, 3), "groups": 2}, ValueError, ["weight", "3", "groups", "2", "divide"]),
    ({"groups": 0}, ValueError, ["groups", "0", "at least 1"]),
    ({"groups": 1.0}, TypeError, ["groups", "1.0", "integer"]),
    ({"stride": 0}, ValueError, ["stride", "0", "at least 1"]),
    ({"stride": (1, -2)}, ValueError, ["stride", "(1, -2)", "at least 1"]),
    ({"dilation": 0}, ValueError, ["dilation", "0", "at least 1"]),
    ({"stride": (1, 1, 1)}, ValueError, ["stride", "2", "3", "(1, 1, 1)"]),
    ({"dilation": (1, 1, 1)}, ValueError, ["dilation", "2", "3"]),
    ({"padding": (1, 1, 1)}, ValueError, ["padding", "2", "3"]),
    ({"padding": ((1, 1),)}, ValueError, ["padding", "2", "1"]),
    ({"padding": -1}, ValueError, ["padding", "-1", "at least 0"]),
    ({"padding": ((0, 0), (0, -1))}, ValueError, ["padding", "-1", "at least 0"]),
    ({"padding": "full"}, ValueError, ["padding", "'full'", "same", "valid"]),
    ({"stride": 1.5}, TypeError, ["stride", "1.5", "integers"]),
    ({"layout": "NCWH"}, ValueError, ["layout", "'NCWH'", "'NCHW'", "'NHWC'"]),
    ({"bias": (5,)}, ValueError, ["bias", "(5,)", "weight", "4", "(4,)"]),
    ({"bias": (4, 1)}, ValueError, ["bias", "(4, 1)", "(4,)"]),
    ({"x": (5, 5)}, ValueError, ["input", "2 axes", "(5, 5)", "4 axes"]),
    ({"x": (1, 1, 3, 5, 5)}, ValueError, ["input", "5 axes", "4 axes"]),
    ({"w": (4, 3, 3)}, ValueError, ["weight", "3 axes", "(4, 3, 3)", "4"]),
    ({"w": (0, 3, 3, 3)}, ValueError, ["weight", "0 output channels", "at least 1"]),
    ({"w": (4, 3, 0, 3)}, ValueError, ["kernel size", "at least 1", "0"]),
    ({"w": (4, 3, 4, 3), "dilation": 2}, ValueError, ["effective kernel 7", "padded input 5", "larger"]),
    ({"dtype": bool}, TypeError, ["input", "bool"]),
    ({"dtype": complex}, TypeError, ["input", "complex128"]),
]


@pytest.mark.parametrize(("case", "error", "parts"), ERRORS)
def test_case_24_errors(case, error, parts):
    case = dict(case)
    x, w = case.pop("x", (2, 3, 5, 5)), case.pop("w", (4, 3, 3, 3))
    bias = case.pop("bias", None)
    dtype = case.pop("dtype", float)
    with pytest.raises(error) as caught:
        nn.conv2d(np.zeros(x, dtype), np.zeros(w), None if bias is None else np.zeros(bias), **case)
    message = str(caught.value)
    assert message.startswith("conv2d: ")
    for part in parts:
        assert part in message


def test_case_24_errors_name_the_function_that_was_called():
    with pytest.raises(ValueError, match=r"conv1d: .*'input'.* 4 axes"):
        nn.conv1d(np.zeros((1, 1, 3, 3)), np.zeros((1, 1, 3)))
    with pytest.raises(ValueError, match=r"conv3d: .*stride"):
        nn.conv3d(np.zeros((1, 1, 3, 3, 3)), np.zeros((1, 1, 3, 3, 3)), stride=(1, 1))


def test_case_25_x_used_as_input_and_kernel(oracle, rng):
    x = rng.standard_normal((2, 3, 4, 4))
    gy = rng.standard_normal((2, 2, 3, 3))
    t = ac.tensor(x, requires_grad=True)
    nn.conv2d(t, t, padding=1).backward(gy)
    _, gx, gw, _ = oracle.conv(x, x, None, gy, (1, 1), ((1, 1),) * 2, (1, 1))
    close(t.grad, gx + gw)
    check_vjp(lambda x: nn.conv2d(x, x, padding=1), x, max_elements=12)


@pytest.mark.parametrize("wanted", ["x", "w", "b"])
def test_case_25_only_what_is_asked_for_is_computed(oracle, rng, monkeypatch, wanted):
    from autograd_conv.kernels import correlation

    called = []
    for name in ("correlate_input_gradient", "correlate_weight_gradient"):
        original = getattr(correlation, name)
        monkeypatch.setattr(correlation, name, lambda *a, f=original, n=name: (called.append(n), f(*a))[1])
    arrays = {
        "x": rng.standard_normal((2, 3, 4, 4)),
        "w": rng.standard_normal((2, 3, 3, 3)),
        "b": rng.standard_normal(2),
    }
    gy = rng.standard_normal((2, 2, 2, 2))
    expected = dict(zip("yxwb", oracle.conv(*arrays.values(), gy, (1, 1), ((0, 0),) * 2, (1, 1))))
    tensors = {name: ac.tensor(array, requires_grad=name == wanted) for name, array in arrays.items()}
    nn.conv2d(*tensors.values()).backward(gy)
    close(tensors[wanted].grad, expected[wanted])
    assert all(tensor.grad is None for name, tensor in tensors.items() if name != wanted)
    assert called == {"x": ["correlate_input_gradient"], "w": ["correlate_weight_gradient"], "b": []}[wanted]


def test_only_what_is_needed_is_saved(rng):
    x, w, b = rng.standard_normal((2, 3, 4, 4)), rng.standard_normal((2, 3, 3, 3)), np.zeros(2)
    with ac.Tape() as tape:
        nn.conv2d(x, w, ac.tensor(b, requires_grad=True))
        nn.conv2d(x, ac.tensor(w, requires_grad=True))
    assert [len(record.saved) for record in tape] == [0, 1]
    assert [record.name for record in tape] == ["correlate", "correlate"]


# --- layouts -------------------------------------------------------------------------------------------------------


def test_channels_lie_last_in_memory_and_travel(rng):
    x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 3))
    y = nn.relu(nn.conv2d(x, w, np.zeros(4)))
    assert y.shape == (2, 4, 4, 3)
    assert y.data.transpose(NHWC).flags.c_contiguous


def test_unbatched_is_a_batch_of_one(pulled, rng):
    x, w, b = rng.standard_normal((2, 5, 6)), rng.standard_normal((3, 2, 2, 2)), rng.standard_normal(3)
    gy = rng.standard_normal((3, 4, 5))
    single = pulled(nn.conv2d, gy, x, w, b)
    batch = pulled(nn.conv2d, gy[None], x[None], w, b)
    np.testing.assert_array_equal(single[0], batch[0][0])
    np.testing.assert_array_equal(single[1], batch[1][0])
    np.testing.assert_array_equal(single[2], batch[2])
    np.testing.assert_array_equal(single[3], batch[3])
    last = nn.conv2d(x.transpose(1, 2, 0), w.transpose(HWIO), b, layout="NHWC")
    close(last.data.transpose(2, 0, 1), single[0])


def test_dimensions_embed(rng):
    x, w = rng.standard_normal((2, 3, 7)), rng.standard_normal((4, 3, 3))
    one = nn.conv1d(x, w, stride=2, padding=((1, 2),)).data
    two = nn.conv2d(x[:, :, None], w[:, :, None], stride=(1, 2), padding=((0, 0), (1, 2))).data
    three = nn.conv3d(x[:, :, None, None], w[:, :, None, None], stride=(1, 1, 2), padding=((0, 0), (0, 0), (1, 2))).data
    np.testing.assert_array_equal(one, two[:, :, 0])
    np.testing.assert_array_equal(one, three[:, :, 0, 0])


def test_a_fully_connected_layer_is_a_kernel_of_the_size_of_the_map(pulled, rng):
    x, w, b = rng.standard_normal((3, 2, 4, 5)), rng.standard_normal((6, 2, 4, 5)), rng.standard_normal(6)
    gy = rng.standard_normal((3, 6))
    by_conv = pulled(nn.conv2d, gy[:, :, None, None], x, w, b)
    by_linear = pulled(lambda x, w, b: nn.linear(nn.flatten(x), nn.flatten(w), b), gy, x, w, b)
    close(by_conv[0][:, :, 0, 0], by_linear[0])
    for a, c in zip(by_conv[1:], by_linear[1:]):
        close(a, c)


def test_worked_example_of_the_sources(pulled):
    a, k = np.array([[1.0, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]]), np.array([[1.0, 0], [-1, 1]])
    y, _, gw = pulled(nn.conv2d, np.ones((1, 1, 2, 3)), a[None, None], k[None, None])
    np.testing.assert_array_equal(y[0, 0], [[7, 0, -3], [1, 6, 8]])
    np.testing.assert_array_equal(gw[0, 0], [[20, 22], [20, 19]])


def test_plain_lists_and_arrays_give_a_tensor_without_history():
    y = nn.conv2d([[[[1.0, 2]]]], [[[[3.0]]]], [1.0])
    assert isinstance(y, ac.Tensor)
    assert not y.requires_grad
    assert y.tolist() == [[[[4, 7]]]]


def test_importing_and_asking_for_errors_does_not_import_numba():
    code = (
        "import sys, autograd_conv as ac; from autograd_conv import nn\n"
        "nn.relu(ac.tensor([1.0], requires_grad=True)).backward()\n"
        "try: nn.conv2d([[1.0]], [[1.0]])\nexcept ValueError: pass\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
