"""Max-unpooling against a loop that writes element by element: values, gradients, edge cases, memory, errors."""

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

UNPOOL = (nn.max_unpool1d, nn.max_unpool2d, nn.max_unpool3d)
MAX = (nn.max_pool1d, nn.max_pool2d, nn.max_pool3d)
LAYOUTS = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))


def unpool(x, indices, size, gy):
    """y and gx, channels first: one element after the other is written."""
    y, gx = np.zeros((*x.shape[:2], *size), x.dtype), np.zeros(x.shape)
    for n, c in itertools.product(*map(range, x.shape[:2])):
        plane, writer = y[n, c].reshape(-1), {}
        for i in itertools.product(*map(range, x.shape[2:])):
            plane[indices[(n, c, *i)]] = x[(n, c, *i)]
            writer[indices[(n, c, *i)]] = i
        for at, i in writer.items():
            gx[(n, c, *i)] = gy[n, c].reshape(-1)[at]
    return y, gx


def last(array):
    return np.moveaxis(array, 1, -1)


def line(values, dtype=float):
    return np.asarray(values, dtype).reshape(1, 1, -1)


@given(
    st.integers(1, 3),
    st.data(),
    st.booleans(),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([np.int64, np.int32, np.uint8]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=80)
def test_random_indices_many_of_them_twice(pulled, n, data, channels_last, dtype, index_dtype, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(data.draw(st.integers(low, 3)) for low in (0, *(1,) * (n + 1)))
    size = tuple(2 * k for k in shape[2:])
    x, gy = rng.standard_normal(shape).astype(dtype), rng.standard_normal((*shape[:2], *size)).astype(dtype)
    indices = rng.integers(0, math.prod(size), shape).astype(index_dtype)
    y, gx = unpool(x, indices, size, gy)
    order = last if channels_last else np.asarray
    layout = LAYOUTS[n - 1][channels_last]
    found = pulled(lambda x: UNPOOL[n - 1](x, order(indices), 2, layout=layout), order(gy), order(x))
    assert found[0].dtype == found[1].dtype == dtype
    np.testing.assert_array_equal(found[0], order(y))
    np.testing.assert_array_equal(found[1], order(gx))


@given(st.integers(1, 3), st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_what_a_pool_found_goes_back(n, data, seed):
    axes = lambda low, high: tuple(data.draw(st.integers(low, high)) for _ in range(n))  # noqa: E731
    kernel, stride = axes(1, 3), axes(1, 3)
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    sizes = tuple(k + data.draw(st.integers(0, 4)) for k in kernel)
    x = np.random.default_rng(seed).permutation(2 * math.prod(sizes)).reshape(1, 2, *sizes) + 1.0
    y, indices = MAX[n - 1](x, kernel, stride, padding, return_indices=True)
    kept = np.zeros_like(x)
    for c in range(2):
        flat = indices.data[0, c].ravel()
        kept[0, c].reshape(-1)[flat] = x[0, c].reshape(-1)[flat]
    for size in (sizes, x.shape, list(sizes)):
        found = UNPOOL[n - 1](y, indices, kernel, stride, padding, output_size=size)
        np.testing.assert_array_equal(found.data, kept)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batched", [True, False])
def test_first_and_second_order(rng, layout, batched):
    x = rng.standard_normal((2, 3, 2, 3))
    indices = rng.integers(0, 24, x.shape)
    x, indices = (x, indices) if batched else (x[0], indices[0])
    check_vjp(lambda x: nn.max_unpool2d(x, indices, 2, layout=layout), x)
    check_vjp(lambda x: nn.max_unpool2d(x, indices, 2, layout=layout) ** 3, x, order=3, rtol=1e-4, max_elements=8)


def test_second_order_along_one_and_three_axes(rng):
    check_vjp(lambda x: nn.max_unpool1d(x, [[0, 3, 3]], 2) ** 2, rng.standard_normal((1, 3)))
    indices = rng.integers(0, 64, (1, 2, 2, 2, 2))
    check_vjp(lambda x: nn.max_unpool3d(x, indices, 2) ** 2, rng.standard_normal(indices.shape))


def test_through_pool_and_unpool(rng):
    """The indices of a recorded pool are constants; its values are not."""
    x = rng.permutation(36).reshape(1, 1, 6, 6) / 5.0

    def there_and_back(x):
        y, indices = nn.max_pool2d(x, 2, return_indices=True)
        return nn.max_unpool2d(y, indices, 2) ** 2

    check_vjp(there_and_back, x)


# --- the edge cases, by number -----------------------------------------------------------------------------------


def test_case_09_zero_batch(pulled):
    y, gx = pulled(
        lambda x: nn.max_unpool2d(x, np.zeros((0, 3, 2, 2), int), 2), np.zeros((0, 3, 4, 4)), np.zeros((0, 3, 2, 2))
    )
    assert y.shape == (0, 3, 4, 4)
    assert gx.shape == (0, 3, 2, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 5, 17, 40])
def test_case_20_and_pytorch_80204_the_last_write_wins(pulled, dtype, channels):
    x = np.tile(line([1, 2, 3], dtype), (2, channels, 1))
    indices = np.tile(line([0, 1, 0], int), (2, channels, 1))
    gy = np.tile(line([10, 20, 30, 40, 50, 60], dtype), (2, channels, 1))
    y, gx = pulled(lambda x: nn.max_unpool1d(x, indices, 2), gy, x)
    np.testing.assert_array_equal(y, np.broadcast_to([3, 2, 0, 0, 0, 0], y.shape))
    np.testing.assert_array_equal(gx, np.broadcast_to([0, 20, 10], gx.shape))


def test_case_20_a_nan_that_is_overwritten_leaves_no_trace(pulled):
    y, gx = pulled(lambda x: nn.max_unpool1d(x, line([0, 0], int), 1), line([5, np.nan]), line([np.nan, 1]))
    np.testing.assert_array_equal(y.ravel(), [1, 0])
    np.testing.assert_array_equal(gx.ravel(), [0, 5])


@pytest.mark.parametrize("bad", [-1, 4, 2**40, -(2**40)])
def test_case_20_out_of_range(bad):
    with pytest.raises(IndexError, match=rf"max_unpool1d: argument 'indices' is {bad} at \(0, 0, 1\).*between 0 and 3"):
        nn.max_unpool1d(line([1, 2]), line([0, bad], int), 2)


def test_case_20_large_unsigned_indices():
    with pytest.raises(IndexError, match="18446744073709551615"):
        nn.max_unpool1d(line([1, 2]), np.array([[[0, 2**64 - 1]]], np.uint64), 2)


def test_run_twice_a_buffer_left_dirty_shows(pulled):
    for _ in range(2):
        y, _ = pulled(lambda x: nn.max_unpool1d(x, line([1], int), 4), np.ones((1, 1, 4)), line([7]))
        np.testing.assert_array_equal(y.ravel(), [0, 7, 0, 0])


def test_case_21_any_memory_and_pytorch_197888_indices_too(rng):
    x, gy = rng.standard_normal((2, 3, 4, 3)), rng.standard_normal((2, 3, 8, 6))
    indices = rng.integers(0, 48, x.shape)

    def run(x, indices, gy):
        t = ac.tensor(x, requires_grad=True)
        y = nn.max_unpool2d(t, indices, 2)
        y.backward(gy)
        return y.numpy(), t.grad

    expected = run(x, indices, gy)

    def disguises(a):
        constant = a.copy()
        constant.flags.writeable = False
        return (
            np.asfortranarray(a),
            np.moveaxis(np.ascontiguousarray(last(a)), -1, 1),
            np.ascontiguousarray(a[:, ::-1, :, ::-1])[:, ::-1, :, ::-1],
            np.repeat(a, 2, axis=3)[..., ::2],
            constant,
            a.astype(a.dtype.newbyteorder()),
        )

    for arrays in zip(disguises(x), disguises(indices), disguises(gy)):
        for actual, value in zip(run(*arrays), expected):
            np.testing.assert_array_equal(actual, value)
            assert actual.flags.writeable
    same = np.broadcast_to(np.int64(5), x.shape)
    y = nn.max_unpool2d(x, same, 2).data
    np.testing.assert_array_equal(y.reshape(2, 3, -1)[:, :, 5], x[:, :, -1, -1])
    assert np.count_nonzero(y) == 6


def test_changed_indices_do_not_change_a_recorded_gradient():
    indices = line([0, 3], int)
    x = ac.tensor(line([1, 2]), requires_grad=True)
    y = nn.max_unpool1d(x, indices, 2)
    indices[...] = 1
    y.backward(line([1, 2, 3, 4]))
    np.testing.assert_array_equal(x.grad.ravel(), [1, 4])


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint64, np.int64])
def test_case_23_dtypes_are_kept(dtype):
    y = nn.max_unpool1d(line([1, np.iinfo(np.int8).max], dtype), line([3, 0], int), 2)
    assert y.dtype == dtype
    assert y.tolist() == [[[127, 0, 0, 1]]]


def test_sizes():
    x, indices = np.ones((1, 1, 3, 3)), np.zeros((1, 1, 3, 3), int)
    assert nn.max_unpool2d(x, indices, 2).shape == (1, 1, 6, 6)
    assert nn.max_unpool2d(x, indices, (3, 2), (2, 1), (1, 0)).shape == (1, 1, 5, 4)
    assert nn.max_unpool2d(x, indices, 2, padding=((0, 1), (1, 1))).shape == (1, 1, 5, 4)
    assert nn.max_unpool2d(x, indices, 2, padding="valid").shape == (1, 1, 6, 6)
    assert nn.max_unpool2d(x, indices, 2, output_size=7).shape == (1, 1, 7, 7)
    assert nn.max_unpool2d(x, indices, 2, output_size=(5, 7)).shape == (1, 1, 5, 7)
    assert nn.max_unpool2d(x, indices, 2, output_size=(1, 1, 5, 7)).shape == (1, 1, 5, 7)
    assert nn.max_unpool2d(x[0], indices[0], 2, output_size=(1, 5, 7)).shape == (1, 5, 7)
    flat = np.moveaxis(x, 1, -1)
    assert nn.max_unpool2d(flat, np.moveaxis(indices, 1, -1), 2, output_size=(1, 5, 7, 1), layout="NHWC").shape == (
        1, 5, 7, 1,
    )  # fmt: skip
    # A pool of one element with padding on both sides gives nothing by default, and the element on demand.
    assert nn.max_unpool1d([[2.0]], [[0]], 2, padding=1, output_size=1).data.tolist() == [[2.0]]


ERRORS = [
    ({"kernel_size": 0}, ValueError, ["kernel size", "0", "at least 1"]),
    ({"kernel_size": (2, 2, 2)}, ValueError, ["kernel size", "2", "3"]),
    ({"kernel_size": 2.0}, TypeError, ["kernel size", "2.0", "integers"]),
    ({"stride": 0}, ValueError, ["stride", "0", "at least 1"]),
    ({"padding": -1}, ValueError, ["padding", "-1", "at least 0"]),
    ({"padding": "same"}, ValueError, ["padding", "same", "no meaning"]),
    ({"padding": 4}, ValueError, ["padding", "(-2, -2)", "negative"]),
    ({"output_size": 8}, ValueError, ["output_size", "8", "spatial axis 0", "between 5 and 7", "6"]),
    ({"output_size": (6, 4)}, ValueError, ["output_size", "(6, 4)", "spatial axis 1", "between 5 and 7"]),
    ({"output_size": (6, 6, 6)}, ValueError, ["output_size", "2", "3"]),
    ({"output_size": 6.0}, TypeError, ["output_size", "6.0", "integers"]),
    ({"x": (3, 3)}, ValueError, ["input", "2 axes", "4 axes"]),
    ({"x": (1, 0, 3, 3)}, ValueError, ["input", "0 channels", "at least 1"]),
    ({"indices": np.zeros((1, 1, 3, 2), int)}, ValueError, ["indices", "(1, 1, 3, 2)", "(1, 1, 3, 3)", "same"]),
    ({"indices": np.zeros((1, 1, 3, 3))}, TypeError, ["indices", "float64", "integers"]),
    ({"layout": "CHWN"}, ValueError, ["layout", "'CHWN'", "'NCHW'", "'NHWC'"]),
    ({"dtype": bool}, TypeError, ["input", "bool"]),
]


@pytest.mark.parametrize(("case", "error", "parts"), ERRORS)
def test_case_24_errors(case, error, parts):
    case = {"kernel_size": 2, "x": (1, 1, 3, 3), "indices": np.zeros((1, 1, 3, 3), int), **case}
    with pytest.raises(error) as caught:
        nn.max_unpool2d(np.zeros(case.pop("x"), case.pop("dtype", float)), **case)
    message = str(caught.value)
    assert message.startswith("max_unpool2d: ")
    for part in parts:
        assert part in message


def test_bitwise_equal_for_every_number_of_threads(monkeypatch, rng):
    from autograd_conv.kernels import threads

    monkeypatch.setattr(threads, "SERIAL_NANOSECONDS", 0)
    monkeypatch.setattr(threads, "RANGE_NANOSECONDS", 0)
    before = threads.get_num_threads()
    x = rng.standard_normal((1, 70, 4, 4))
    indices = rng.integers(0, 64, x.shape)
    results = []
    try:
        for n in (1, 2, 3, 8):
            threads.set_num_threads(n)
            t = ac.tensor(x, requires_grad=True)
            y = nn.max_unpool2d(t, indices, 2)
            (y * y).sum().backward()
            results.append((y.data.tobytes(), t.grad.tobytes()))
    finally:
        threads.set_num_threads(before)
    assert results[1:] == results[:1] * 3


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_against_torch(rng, axes):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; the comparison with it is left out")
    theirs = getattr(torch.nn.functional, f"max_unpool{axes}d")
    pool = getattr(torch.nn.functional, f"max_pool{axes}d")
    sizes = (7, 6, 5)[:axes]
    x = rng.permutation(6 * math.prod(sizes)).reshape(2, 3, *sizes).astype(np.float32)
    for kernel, stride, padding in ((2, 2, 0), (2, 3, 1), (3, 3, 1)):  # without overlap: no place is written twice
        y, indices = pool(torch.from_numpy(x), kernel, stride, padding, return_indices=True)
        y.requires_grad_()
        v = theirs(y, indices, kernel, stride, padding, output_size=sizes)
        t = ac.tensor(y.detach().numpy(), requires_grad=True)
        found = UNPOOL[axes - 1](t, indices.numpy(), kernel, stride, padding, output_size=sizes)
        gy = rng.standard_normal(found.shape).astype(np.float32)
        v.backward(torch.from_numpy(gy))
        found.backward(gy)
        np.testing.assert_array_equal(found.data, v.detach().numpy())
        np.testing.assert_array_equal(t.grad, y.grad.numpy())
