"""Pooling against nested loops: values, gradients of every order, edge cases, memory, dtypes, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp

MAX = (nn.max_pool1d, nn.max_pool2d, nn.max_pool3d)
AVG = (nn.avg_pool1d, nn.avg_pool2d, nn.avg_pool3d)
LAYOUTS = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))


def last(array):
    """Channels first -> channels last."""
    return np.moveaxis(array, 1, -1)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)


def row(values):
    return np.asarray(values, float).reshape(1, 1, 1, -1)


@st.composite
def pools(draw):
    """A pool of small random shapes, along one to three axes: no window lies wholly in padding."""
    n = draw(st.integers(1, 3))
    axes = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(n))  # noqa: E731
    kernel, stride, dilation = axes(1, 3), axes(1, 3), axes(1, 2)
    padding = tuple(draw(st.integers(0, (d * (k - 1) + 1) // 2)) for k, d in zip(kernel, dilation))
    sizes = tuple(d * (k - 1) + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilation))
    return draw(st.integers(0, 2)), sizes, kernel, stride, padding, dilation, draw(st.booleans())


@given(pools(), st.sampled_from(["row", "column"]), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_random_maximum_pools(oracle, pulled, case, ties, distinct, channels_last, seed):
    batch, sizes, kernel, stride, padding, dilation, ceil = case
    rng, n = np.random.default_rng(seed), len(sizes)
    shape = (batch, 3, *sizes)
    x = rng.permutation(np.prod(shape)).reshape(shape).astype(float) if distinct else rng.integers(0, 3, shape) * 1.0
    pairs = tuple((p, p) for p in padding)
    gy = rng.standard_normal(oracle.max_pool(x, kernel, stride, pairs, dilation, None, ceil)[0].shape)
    y, indices, gx = oracle.max_pool(x, kernel, stride, pairs, dilation, gy, ceil, ties)
    order = last if channels_last else np.asarray
    setting = {"ceil_mode": ceil, "ties": ties, "layout": LAYOUTS[n - 1][channels_last]}
    found = pulled(lambda x: MAX[n - 1](x, kernel, stride, padding, dilation, **setting), order(gy), order(x))
    close(found[0], order(y))
    close(found[1], order(gx))
    again, where = MAX[n - 1](order(x), kernel, stride, padding, dilation, return_indices=True, **setting)
    close(again.data, order(y))
    assert where.dtype == np.int64
    np.testing.assert_array_equal(where.data, order(indices))


@given(pools(), st.booleans(), st.sampled_from([None, 1, -3, 7]), st.booleans(), st.integers(0, 2**32 - 1))
def test_random_average_pools(oracle, pulled, case, include_pad, divisor, channels_last, seed):
    batch, sizes, kernel, stride, _, _, ceil = case
    rng, n = np.random.default_rng(seed), len(sizes)
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
    x = rng.standard_normal((batch, 2, *sizes))
    arguments = (kernel, stride, tuple((p, p) for p in padding))
    gy = rng.standard_normal(oracle.avg_pool(x, *arguments, None, ceil)[0].shape)
    y, gx = oracle.avg_pool(x, *arguments, gy, ceil, include_pad, divisor)
    order = last if channels_last else np.asarray
    found = pulled(
        lambda x: AVG[n - 1](
            x, kernel, stride, padding, ceil, include_pad, divisor, layout=LAYOUTS[n - 1][channels_last]
        ),
        order(gy),
        order(x),
    )
    close(found[0], order(y))
    close(found[1], order(gx))


@pytest.mark.parametrize("channels", [15, 16, 17, 23, 24, 25])
@pytest.mark.parametrize("channels_last", [False, True])
def test_channel_counts_around_the_vector_width(oracle, rng, channels, channels_last):
    x = rng.standard_normal((2, channels, 5, 4)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    y, indices, _ = oracle.max_pool(x, (2, 2), (1, 1), ((0, 0),) * 2, (1, 1))
    order = last if channels_last else np.asarray
    found = nn.max_pool2d(order(x), 2, 1, return_indices=True, layout=LAYOUTS[1][channels_last])
    np.testing.assert_array_equal(found[0].data, order(y))
    np.testing.assert_array_equal(found[1].data, order(indices))
    x = np.nan_to_num(x)
    expected = oracle.avg_pool(x.astype(float), (2, 3), (2, 1), ((0, 0), (1, 1)))[0]
    found = nn.avg_pool2d(order(x), (2, 3), (2, 1), (0, 1), layout=LAYOUTS[1][channels_last])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.data, order(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 5, 4)])
@pytest.mark.parametrize(
    "setting",
    [{}, {"stride": 1}, {"stride": (2, 1), "padding": 1, "ceil_mode": True}, {"padding": "same", "stride": 1}],
)
def test_first_second_and_third_order(rng, shape, setting):
    x = rng.permutation(np.prod(shape)).reshape(shape) / 7.0  # all distinct: differences cross no tie
    check_vjp(nn.max_pool2d, x, 2, max_elements=12, **setting)
    check_vjp(lambda x: nn.max_pool2d(x, 2, **setting) ** 3, x, order=3, rtol=1e-4, max_elements=6)
    check_vjp(lambda x: nn.max_pool2d(x, 2, return_indices=True, **setting)[0] ** 2, x, max_elements=12)
    check_vjp(nn.avg_pool2d, x, 2, max_elements=12, **setting)
    check_vjp(lambda x: nn.avg_pool2d(x, 2, **setting) ** 3, x, order=3, rtol=1e-4, max_elements=6)


# --- the edge cases, by number -----------------------------------------------------------------------------------


def test_cases_01_and_02_what_no_window_reads_gets_exactly_zero(pulled):
    for pool, share in ((nn.max_pool2d, 1), (nn.avg_pool2d, 0.5)):
        y, gx = pulled(lambda x, p=pool: p(x, (1, 2), (1, 3)), row([2, 4]), row(range(7)))
        assert y.shape == (1, 1, 1, 2)
        expected = [0, 2, 0, 0, 4, 0, 0] if share == 1 else [1, 1, 0, 2, 2, 0, 0]
        np.testing.assert_array_equal(gx.ravel(), expected)


@pytest.mark.parametrize("pool", [nn.max_pool2d, nn.avg_pool2d])
def test_case_04_no_window_lies_in_padding(pool):
    x = np.zeros((1, 1, 6, 6))
    name = pool.__name__
    with pytest.raises(ValueError, match=f"{name}: padding.*half.*padding 2, effective kernel 3"):
        pool(x, 3, padding=2)
    with pytest.raises(ValueError, match=f"{name}: no window may lie wholly in padding"):
        pool(x, 3, padding=((3, 0), (0, 0)))
    with pytest.raises(ValueError, match=f"{name}: no window may lie wholly in padding"):
        pool(x, 3, stride=1, padding=((0, 3), (0, 0)))
    assert pool(x, 3, stride=1, padding=((2, 0), (0, 2))).shape == (1, 1, 6, 6)
    assert pool(x, 3, stride=2, padding="same").shape == (1, 1, 3, 3)
    assert pool(x, 3, padding="valid").shape == (1, 1, 2, 2)


def test_case_04_the_dilated_size_counts():
    assert nn.max_pool2d(np.zeros((1, 1, 6, 6)), 3, padding=2, dilation=2).shape == (1, 1, 2, 2)


@pytest.mark.parametrize("pool", [nn.max_pool2d, nn.avg_pool2d])
def test_case_09_zero_batch(pulled, pool):
    y, gx = pulled(lambda x: pool(x, 2), np.zeros((0, 3, 2, 2)), np.zeros((0, 3, 4, 5)))
    assert y.shape == (0, 3, 2, 2)
    assert gx.shape == (0, 3, 4, 5)


def test_case_12_ties(pulled):
    x = np.ones((1, 1, 3, 3))
    _, indices = nn.max_pool2d(x, 2, 1, return_indices=True)
    np.testing.assert_array_equal(indices.data.ravel(), [0, 1, 3, 4])
    _, gx = pulled(lambda x: nn.max_pool2d(x, 2, 1), np.ones((1, 1, 2, 2)), x)
    np.testing.assert_array_equal(gx[0, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    zeros = np.array([[[[-0.0, 0.0], [0.0, -0.0]]]])
    for sign in (1, -1):
        assert nn.max_pool2d(sign * zeros, 2, return_indices=True)[1].item() == 0


def test_case_12_ties_by_column():
    x = np.array([[[[1.0, 2], [2, 1]]]])
    assert nn.max_pool2d(x, 2, return_indices=True)[1].item() == 1
    assert nn.max_pool2d(x, 2, return_indices=True, ties="column")[1].item() == 2


@pytest.mark.parametrize("channels", [1, 16, 19])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_case_13_nan_wins(channels, layout, dtype):
    x = np.tile(np.array([[5, np.nan, 1], [np.nan, 3, 9]], dtype), (1, channels, 1, 1))
    if layout == "NHWC":
        x = last(x)
    t = ac.tensor(x, requires_grad=True)
    y, indices = nn.max_pool2d(t, (2, 3), return_indices=True, layout=layout)
    assert np.isnan(y.data).all()
    assert (indices.data == 3).all()
    y.backward(np.ones(y.shape))
    gx = np.moveaxis(t.grad, -1, 1) if layout == "NHWC" else t.grad
    np.testing.assert_array_equal(gx, np.broadcast_to([[0, 0, 0], [1, 0, 0]], gx.shape))


def test_case_14_a_window_of_negative_infinities(pulled):
    x = np.full((1, 1, 3, 3), -np.inf)
    y, indices = nn.max_pool2d(x, 2, padding=1, return_indices=True)
    assert (y.data == -np.inf).all()
    np.testing.assert_array_equal(indices.data.ravel(), [0, 1, 3, 4])
    lowest = np.full((1, 1, 2, 2), np.iinfo(np.int64).min)
    np.testing.assert_array_equal(nn.max_pool2d(lowest, 2, padding=1).data, lowest)


@pytest.mark.parametrize(
    ("n", "k", "s", "p", "d", "out"),
    [(5, 2, 2, 1, 1, 3), (9, 4, 4, 2, 1, 3), (4, 3, 3, 0, 1, 2), (7, 2, 3, 0, 1, 3), (6, 3, 2, 1, 2, 3)],
)
def test_case_15_ceil_mode(n, k, s, p, d, out):
    x = np.zeros((1, 1, 1, n))
    assert nn.max_pool2d(x, (1, k), (1, s), (0, p), (1, d), ceil_mode=True).shape == (1, 1, 1, out)
    if d == 1:
        assert nn.avg_pool2d(x, (1, k), (1, s), (0, p), ceil_mode=True).shape == (1, 1, 1, out)


def test_case_16_average_divisor(pulled):
    def average(x, *arguments, **setting):
        return nn.avg_pool2d(row(x), *[(fill, v) for fill, v in zip((1, 1, 0), arguments)], **setting).data.ravel()

    np.testing.assert_array_equal(average(range(1, 8), 2, 3, ceil_mode=True), [1.5, 4.5, 7.0])
    np.testing.assert_array_equal(average(range(1, 10), 4, 4, 2, ceil_mode=True), [0.75, 4.5, 6.0])
    inside = average(range(1, 10), 4, 4, 2, ceil_mode=True, count_include_pad=False)
    np.testing.assert_array_equal(inside, [1.5, 4.5, 8.0])
    np.testing.assert_array_equal(average(range(1, 5), 2, divisor_override=10), [0.3, 0.7])
    with pytest.raises(ValueError, match="avg_pool2d: argument 'divisor_override' is 0"):
        average(range(1, 5), 2, divisor_override=0)
    with pytest.raises(TypeError, match=r"avg_pool2d: argument 'divisor_override' is 1\.5"):
        average(range(1, 5), 2, divisor_override=1.5)
    _, gx = pulled(lambda x: nn.avg_pool2d(x, (1, 4), (1, 4), (0, 2), ceil_mode=True), row([4, 4, 4]), row(range(9)))
    np.testing.assert_array_equal(gx.ravel(), [1] * 9)


def test_case_17_overlapping_windows_accumulate(pulled):
    for _ in range(2):
        _, gx = pulled(
            lambda x: nn.avg_pool2d(x, 2, 1, divisor_override=1), np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 3))
        )
        np.testing.assert_array_equal(gx[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
        peak = np.zeros((1, 1, 3, 3))
        peak[0, 0, 1, 1] = 1
        _, gx = pulled(lambda x: nn.max_pool2d(x, 2, 1), np.ones((1, 1, 2, 2)), peak)
        np.testing.assert_array_equal(gx, 4 * peak)


@pytest.mark.parametrize("pool", [nn.max_pool2d, nn.avg_pool2d])
def test_case_21_any_memory(rng, pool):
    x = rng.standard_normal((2, 3, 6, 5))
    gy = rng.standard_normal((2, 3, 5, 4))

    def run(x, gy):
        t = ac.tensor(x, requires_grad=True)
        pool(t, 2, 1).backward(gy)
        return pool(x, 2, 1).data, t.grad

    expected = run(x, gy)
    constant = x.copy()
    constant.flags.writeable = False
    for array, seed in (
        (np.asfortranarray(x), np.asfortranarray(gy)),
        (np.ascontiguousarray(x[:, ::-1, :, ::-1])[:, ::-1, :, ::-1], np.ascontiguousarray(gy.T).T),
        (np.repeat(x, 2, axis=3)[..., ::2], np.repeat(gy, 2, axis=0)[::2]),
        (constant, gy),
        (x.astype(">f8"), gy),
    ):
        for actual, value in zip(run(array, seed), expected):
            np.testing.assert_array_equal(actual, value)
            assert actual.flags.writeable
    flat = np.broadcast_to(np.float64(2), (1, 1, 4, 4))
    np.testing.assert_array_equal(pool(flat, 2).data, np.full((1, 1, 2, 2), 2.0))
    x = ac.tensor(np.arange(16.0).reshape(1, 1, 4, 4), requires_grad=True)
    pool(x, 2).backward(np.broadcast_to(1.0, (1, 1, 2, 2)))
    assert x.grad.sum() == 4


def test_case_22_infinity_gets_through_and_padding_is_nothing():
    x = np.array([[[[np.inf, 1, 1, np.nan]]]])
    y = nn.avg_pool2d(x, (1, 2), (1, 1), (0, 1)).data.ravel()
    np.testing.assert_array_equal(y, [np.inf, np.inf, 1, np.nan, np.nan])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("pool", [nn.max_pool2d, nn.avg_pool2d])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_case_23_dtypes_are_kept(pulled, pool, dtype, layout):
    y, gx = pulled(
        lambda x: pool(x, 2, layout=layout),
        np.ones((2, 2, 2, 2)),
        np.ones((2, 4, 4, 2) if layout == "NHWC" else (2, 2, 4, 4), dtype),
    )
    assert y.dtype == gx.dtype == dtype


def test_case_23_integers():
    x = np.arange(16).reshape(1, 1, 4, 4)
    for dtype in (np.int8, np.uint8, np.int64):
        y = nn.max_pool2d(x.astype(dtype), 2)
        assert y.dtype == dtype
        assert y.tolist() == [[[[5, 7], [13, 15]]]]
    with pytest.raises(TypeError, match="avg_pool2d: argument 'input' has dtype int64; it must be floating-point"):
        nn.avg_pool2d(x, 2)


ERRORS = [
    ({"kernel_size": 0}, ValueError, ["kernel size", "0", "at least 1"]),
    ({"kernel_size": (2, 2, 2)}, ValueError, ["kernel size", "2", "3"]),
    ({"kernel_size": 2.0}, TypeError, ["kernel size", "2.0", "integers"]),
    ({"stride": 0}, ValueError, ["stride", "0", "at least 1"]),
    ({"stride": (1, 1, 1)}, ValueError, ["stride", "2", "3"]),
    ({"padding": -1}, ValueError, ["padding", "-1", "at least 0"]),
    ({"padding": "reflect"}, ValueError, ["padding", "'reflect'", "same", "valid"]),
    ({"kernel_size": 7}, ValueError, ["effective kernel 7", "padded input 5", "larger"]),
    ({"x": (5, 5)}, ValueError, ["input", "2 axes", "4 axes"]),
    ({"x": (1, 0, 5, 5)}, ValueError, ["input", "0 channels", "at least 1"]),
    ({"layout": "CHWN"}, ValueError, ["layout", "'CHWN'", "'NCHW'", "'NHWC'"]),
    ({"dtype": bool}, TypeError, ["input", "bool"]),
]


@pytest.mark.parametrize("pool", [nn.max_pool2d, nn.avg_pool2d])
@pytest.mark.parametrize(("case", "error", "parts"), ERRORS)
def test_case_24_errors(pool, case, error, parts):
    case = {"kernel_size": 2, "x": (1, 1, 5, 5), **case}
    with pytest.raises(error) as caught:
        pool(np.zeros(case.pop("x"), case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith(f"{pool.__name__}: ")
    for part in parts:
        assert part in message


def test_case_24_errors_of_maximum_pools():
    x = np.zeros((1, 1, 5, 5))
    with pytest.raises(ValueError, match="max_pool2d: dilation must be at least 1"):
        nn.max_pool2d(x, 2, dilation=0)
    with pytest.raises(ValueError, match="max_pool2d: argument 'ties' is 'first'; it must be one of 'row', 'column'"):
        nn.max_pool2d(x, 2, ties="first")


def test_case_25_the_hessian_of_a_maximum_pool():
    x = ac.tensor(row([1, 2, 4, 3]), requires_grad=True)
    y = ac.sum(nn.max_pool2d(x, (1, 2)) ** 2)
    (gx,) = ac.grad(y, x, create_graph=True)
    hessian = [ac.grad(gx[0, 0, 0, k], x, retain_graph=True)[0].data.ravel() for k in range(4)]
    np.testing.assert_array_equal(hessian, np.diag([0, 2, 2, 0]))


def test_what_is_saved_is_one_byte_for_each_output():
    x = ac.tensor(np.zeros((2, 3, 8, 8)), requires_grad=True)
    with ac.Tape() as tape:
        nn.max_pool2d(x, 2)
        nn.avg_pool2d(x, 2)
    (offset,) = tape[0].saved
    assert offset.dtype == np.uint8
    assert offset.size == 2 * 3 * 4 * 4
    assert tape[1].saved == ()


def test_a_window_of_many_elements(pulled):
    x = np.zeros((1, 1, 20, 20))
    x[0, 0, 17, 13] = 1  # tap 353 does not fit a byte
    y, indices = nn.max_pool2d(x, 20, return_indices=True)
    assert (y.item(), indices.item()) == (1, 353)
    _, gx = pulled(lambda x: nn.max_pool2d(x, 20), np.ones((1, 1, 1, 1)), x)
    np.testing.assert_array_equal(gx, x)
