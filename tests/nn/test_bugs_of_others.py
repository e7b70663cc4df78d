"""Bugs that other libraries shipped, each as a test.

What fits better beside its function stands there, under the same kind of name: pytorch#68868, #50042, #19912 and
#63314 in `test_convolution_relatives.py`, #197888 and #80204 in `test_unpooling.py`, #67239, chainer#7911 and
NNlib.jl#86 in `test_region_pooling.py` (chainer#7911 also in `test_lp_pooling.py`); here for the other functions.
"""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn

CONV = (nn.conv1d, nn.conv2d, nn.conv3d)
MAX = (nn.max_pool1d, nn.max_pool2d, nn.max_pool3d)
AVG = (nn.avg_pool1d, nn.avg_pool2d, nn.avg_pool3d)
LP = (nn.lp_pool1d, nn.lp_pool2d, nn.lp_pool3d)
UNPOOL = (nn.max_unpool1d, nn.max_unpool2d, nn.max_unpool3d)
LAYOUTS = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))
FORMS = [(n, last) for n in (1, 2, 3) for last in (False, True)]


def windows(size, kernel, stride, padding, dilation):
    """Count the windows one by one."""
    return len([i for i in range(0, size + 2 * padding, stride) if i + dilation * (kernel - 1) < size + 2 * padding])


@pytest.mark.parametrize(("n", "last"), FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pytorch_36977_no_divisor_is_zero_with_ceil_mode(n, last, dtype):
    """A last window beyond the input had the divisor 0: infinity or NaN, in the gradient too."""
    for size, kernel, stride in itertools.product((3, 4, 5, 9), (1, 2, 3, 4), (1, 2, 3, 5)):
        for padding in range(kernel // 2 + 1):
            x = np.ones((1, 2, *(1,) * (n - 1), size), dtype)
            x = ac.tensor(np.moveaxis(x, 1, -1) if last else x, requires_grad=True)
            one = lambda value, neutral: (neutral,) * (n - 1) + (value,)  # noqa: E731
            for include in (False, True):
                setting = {"count_include_pad": include, "layout": LAYOUTS[n - 1][last]}
                if kernel > size + 2 * padding:
                    continue
                y = AVG[n - 1](x, one(kernel, 1), one(stride, 1), one(padding, 0), True, **setting)
                assert np.isfinite(y.data).all()
                if not include or not padding:
                    np.testing.assert_allclose(y.data, np.ones(y.shape), rtol=1e-6)
                x.grad = None
                y.backward(np.ones(y.shape))
                assert np.isfinite(x.grad).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tensorflow_125965_nan_in_vector_lanes_and_in_the_tail(dtype):
    """NaN was lost in the lanes of a vector and kept in its tail: here at each channel and each place in turn."""
    for channels in (1, 7, 8, 15, 16, 17, 33):
        for place in range(9):
            x = np.arange(9 * channels, dtype=dtype).reshape(1, channels, 3, 3)
            for channel in {0, channels // 2, channels - 1}:
                bad = x.copy()
                bad[0, channel].flat[place] = np.nan
                expected = x[:, :, 2:, 2:].copy()
                expected[0, channel] = np.nan
                for last in (False, True):
                    array = np.moveaxis(bad, 1, -1) if last else bad
                    y, where = nn.max_pool2d(array, 3, return_indices=True, layout=LAYOUTS[1][last])
                    np.testing.assert_array_equal(np.moveaxis(y.data, -1, 1) if last else y.data, expected)
                    assert where.data.ravel()[channel] == place
        y = nn.max_pool2d(np.full((1, channels, 3, 3), np.nan, dtype), 2, 1, return_indices=True)
        assert np.isnan(y[0].data).all()
        np.testing.assert_array_equal(y[1].data, np.broadcast_to([[4, 5], [7, 8]], y[1].shape))  # the last one of each


@pytest.mark.parametrize(("n", "last"), FORMS)
def test_burn_5791_no_window_begins_in_the_padding_after_the_input(n, last):
    """ceil_mode kept a window that begins in the right padding and sees nothing else."""
    one = lambda value, neutral: (neutral,) * (n - 1) + (value,)  # noqa: E731
    for size, kernel, stride in itertools.product(range(1, 8), (2, 3, 4, 5), (1, 2, 3, 4, 6)):
        for padding in range(1, kernel // 2 + 1):
            if kernel > size + 2 * padding:
                continue
            x = -1.0 - np.arange(size).reshape(1, 1, *(1,) * (n - 1), size)
            array = np.moveaxis(x, 1, -1) if last else x
            arguments = (one(kernel, 1), one(stride, 1), one(padding, 0))
            y = MAX[n - 1](array, *arguments, ceil_mode=True, layout=LAYOUTS[n - 1][last]).data.ravel()
            assert (len(y) - 1) * stride < size + padding
            assert np.isfinite(y).all()
            starts = np.arange(len(y)) * stride - padding
            np.testing.assert_array_equal(y, -1.0 - np.maximum(starts, 0))  # the input falls: the first one wins
            assert AVG[n - 1](array, *arguments, True, layout=LAYOUTS[n - 1][last]).data.size == len(y)


@pytest.mark.parametrize("last", [False, True])
def test_executorch_21687_gradients_begin_at_zero(last, rng):
    """The gradient was added to what the buffer held: run twice, with memory that was something else before."""
    x = rng.standard_normal((2, 8, 9, 9)).astype(np.float32)
    x = np.moveaxis(x, 1, -1) if last else x
    layout = LAYOUTS[1][last]
    w = rng.standard_normal((3, 3, 8, 4) if last else (4, 8, 3, 3)).astype(np.float32)
    up = rng.standard_normal((3, 3, 4, 8) if last else (8, 4, 3, 3)).astype(np.float32)
    calls = {
        "max_pool2d": lambda x: nn.max_pool2d(x, 3, 2, 1, layout=layout),
        "avg_pool2d": lambda x: nn.avg_pool2d(x, 2, 3, layout=layout),  # leaves elements that no window reads
        "lp_pool2d": lambda x: nn.lp_pool2d(x, 2, 2, 3, layout=layout),
        "adaptive_avg_pool2d": lambda x: nn.adaptive_avg_pool2d(x, 4, layout=layout),
        "adaptive_max_pool2d": lambda x: nn.adaptive_max_pool2d(x, 4, layout=layout),
        "fractional_max_pool2d": lambda x: nn.fractional_max_pool2d(x, 2, 3, rng=0, layout=layout),
        "conv2d": lambda x: nn.conv2d(x, w, stride=4, layout=layout),
        "conv_transpose2d": lambda x: nn.conv_transpose2d(x, up, stride=4, layout=layout),
        "unfold": lambda x: nn.unfold(x, 2, stride=3, layout=layout),
        "interpolate": lambda x: nn.interpolate(x, size=4, layout=layout),
    }
    for name, call in calls.items():
        gradients = []
        for dirt in (np.nan, 1e30):
            spoiled = [np.full(x.shape, dirt, np.float32) for _ in range(4)]  # what the allocator gives out next
            t = ac.tensor(x, requires_grad=True)
            y = call(t)
            del spoiled
            y.backward(np.ones(y.shape))
            gradients.append(t.grad)
        assert np.isfinite(gradients[0]).all(), name
        np.testing.assert_array_equal(*gradients, err_msg=name)


def test_chainer_7911_windows_of_float64_are_pooled_in_float64():
    """float64 went through float32."""
    x = np.array([1.0, 1 + 2**-40]).reshape(1, 1, 2)
    for n in (1, 2, 3):
        array = x.reshape(1, 1, *(1,) * (n - 1), 2)
        kernel = (1,) * (n - 1) + (2,)
        assert AVG[n - 1](array, kernel).item() == 1 + 2**-41
        y, indices = MAX[n - 1](array, kernel, return_indices=True)
        assert (y.item(), indices.item()) == (1 + 2**-40, 1)
        assert UNPOOL[n - 1](y, indices, kernel).data.sum() == 1 + 2**-40


@pytest.mark.parametrize(("n", "last"), FORMS)
def test_nnlib_86_one_of_tied_elements_gets_the_gradient(n, last):
    """Every tied element got the full gradient."""
    x = ac.tensor(np.ones((2, *(4,) * n, 3) if last else (2, 3, *(4,) * n)), requires_grad=True)
    for ties in ("row", "column"):
        x.grad = None
        y = MAX[n - 1](x, 2, ties=ties, layout=LAYOUTS[n - 1][last])
        y.backward(np.ones(y.shape))
        assert x.grad.sum() == y.size
        assert set(np.unique(x.grad)) == {0.0, 1.0}


@pytest.mark.parametrize(("n", "last"), FORMS)
def test_pytorch_197888_indices_in_any_memory(n, last, rng):
    """Indices that do not lie one after another in memory were read as if they did."""
    x = rng.standard_normal((2, 3, *(4,) * n))
    layout = LAYOUTS[n - 1][last]
    y, indices = MAX[n - 1](np.moveaxis(x, 1, -1) if last else x, 2, return_indices=True, layout=layout)
    expected = UNPOOL[n - 1](y.numpy(), indices.numpy().copy(order="C"), 2, layout=layout).data
    wide = np.repeat(indices.numpy(), 2, axis=-1)
    for where in (np.asfortranarray(indices.numpy()), wide[..., ::2], np.flip(np.flip(indices.numpy(), 0).copy(), 0)):
        np.testing.assert_array_equal(UNPOOL[n - 1](y.numpy(), where, 2, layout=layout).data, expected)


@pytest.mark.parametrize("form", FORMS)
def test_jax_13800_groups_do_not_multiply_with_each_other(form):
    """The backward pass of grouped convolution did the work of an ungrouped one, with zeros between the groups.

    Multiplied with zeros, a NaN in one group would reach the others.
    """
    n, last = form
    channels = 6
    x, w, gy = np.ones((2, channels, *(4,) * n)), np.ones((channels, 2, *(2,) * n)), np.ones((2, channels, *(3,) * n))
    layout, groups = LAYOUTS[n - 1][last], 3
    data = lambda a: np.moveaxis(a, 1, -1) if last else a  # noqa: E731
    taps = lambda a: np.moveaxis(a, (1, 0), (-2, -1)) if last else a  # noqa: E731
    for spoiled in (x, w, gy):
        kept = spoiled[2:4].copy() if spoiled is w else spoiled[:, 2:4].copy()
        (spoiled if spoiled is w else spoiled.swapaxes(0, 1))[2:4] = np.nan
        xt, wt = (ac.tensor(a, requires_grad=True) for a in (data(x), taps(w)))
        y = CONV[n - 1](xt, wt, groups=groups, layout=layout)
        y.backward(data(gy))
        found = [y.data, xt.grad, wt.grad]
        if last:
            found = [np.moveaxis(a, -1, 1) for a in found[:2]] + [np.moveaxis(wt.grad, (-2, -1), (1, 0))]
        finite = [np.isfinite(a) for a in (found[0].swapaxes(0, 1), found[1].swapaxes(0, 1), found[2])]
        for array in finite:
            assert array[:2].all()
            assert array[4:].all()
        assert sum(not array[2:4].any() for array in finite) == 2  # what the spoiled array is a factor of
        if spoiled is w:
            spoiled[2:4] = kept
        else:
            spoiled[:, 2:4] = kept


def test_jax_13800_groups_need_no_more_memory_than_their_own():
    channels = 256
    x = ac.tensor(np.ones((1, channels, 4, 4), np.float32), requires_grad=True)
    w = ac.tensor(np.ones((channels, 1, 3, 3), np.float32), requires_grad=True)

    def step():
        y = nn.conv2d(x, w, padding=1, groups=channels)
        y.backward(np.ones(y.shape, np.float32))

    step()  # compiles
    tracemalloc.start()
    try:
        step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < w.data.nbytes * channels / 2  # an ungrouped kernel would be `channels` times as large


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 4, 5, 8])
def test_mygrad_one_rule_for_the_size_of_the_output(size, kernel):
    """The rule was written six times, three of them wrong.

    5 elements and 3 taps gave 5 outputs; 4 elements and 2 taps with dilation 3 were refused, which gives 1.
    """
    x, w = np.ones((1, 1, size)), np.ones((1, 1, kernel))
    for stride, padding, dilation in itertools.product((1, 2, 3), (0, 1), (1, 3)):
        calls = [
            (nn.conv1d, (x, w, None, stride, padding, dilation)),
            (nn.unfold, (x[:, :, None], (1, kernel), (1, dilation), (0, padding), (1, stride))),
        ]
        if not padding:
            calls.append((nn.max_pool1d, (x, kernel, stride, 0, dilation)))
        if dilation == 1 and 2 * padding <= kernel:
            calls.append((nn.avg_pool1d, (x, kernel, stride, padding)))
        if dilation == 1 and not padding:
            calls.append((nn.lp_pool1d, (x, 2, kernel, stride)))
        out = windows(size, kernel, stride, padding, dilation)
        for function, arguments in calls:
            if out:
                assert function(*arguments).shape[-1] == out
            else:
                with pytest.raises(
                    ValueError, match=f"{function.__name__}: the kernel is larger than the padded input"
                ):
                    function(*arguments)
