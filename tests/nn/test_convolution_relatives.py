"""Transposed convolution and the gradients as functions: edge cases by number, in 1-D to 3-D and both layouts."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.testing import check_vjp

CONV = (nn.conv1d, nn.conv2d, nn.conv3d)
TRANSPOSED = (nn.conv_transpose1d, nn.conv_transpose2d, nn.conv_transpose3d)
INPUT = (nn.conv1d_input, nn.conv2d_input, nn.conv3d_input)
WEIGHT = (nn.conv1d_weight, nn.conv2d_weight, nn.conv3d_weight)
LAYOUTS = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))


def close(actual, expected, tolerance=1e-9):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


class Form:
    """One axis that matters, embedded as the last one of `n`; channels first or last; a dtype."""

    def __init__(self, n, last, dtype):
        self.n, self.last, self.dtype = n, last, dtype
        self.layout = LAYOUTS[n - 1][last]
        self.data = (0, *range(2, n + 2), 1) if last else tuple(range(n + 2))
        self.taps = (*range(2, n + 2), 1, 0) if last else tuple(range(n + 2))

    def x(self, values):
        """(N, C, W) -> data of this form."""
        values = np.asarray(values, self.dtype)
        return values.reshape(*values.shape[:2], *(1,) * (self.n - 1), values.shape[2]).transpose(self.data)

    def w(self, values):
        """(O, C, KW) -> a kernel of this form."""
        values = np.asarray(values, self.dtype)
        return values.reshape(*values.shape[:2], *(1,) * (self.n - 1), values.shape[2]).transpose(self.taps)

    def back(self, array):
        """Data or kernel of this form -> (N, C, W)."""
        return array.transpose(np.argsort(self.data)).reshape(self.small(array, self.data))

    def kernel(self, array):
        return array.transpose(np.argsort(self.taps)).reshape(self.small(array, self.taps))

    def small(self, array, order):
        shape = [array.shape[k] for k in np.argsort(order)]
        return shape[0], shape[1], shape[-1]

    def one(self, value, neutral):
        """A setting: `value` along the axis that matters."""
        return (neutral,) * (self.n - 1) + (value,)

    def settings(self, stride=1, padding=0, dilation=1, groups=1):
        padding = padding if isinstance(padding, str) else self.one(padding, 0)
        if not isinstance(padding, str) and isinstance(padding[-1], tuple):
            padding = tuple((p, p) if isinstance(p, int) else p for p in padding)
        return {
            "stride": self.one(stride, 1), "padding": padding, "dilation": self.one(dilation, 1), "groups": groups,
            "layout": self.layout,
        }  # fmt: skip

    def conv(self, x, w, b=None, **options):
        return CONV[self.n - 1](x, w, b, **self.settings(**options))

    def transposed(self, x, w, b=None, output_padding=0, **options):
        return TRANSPOSED[self.n - 1](x, w, b, output_padding=self.one(output_padding, 0), **self.settings(**options))

    def input(self, size, w, gy, **options):
        return INPUT[self.n - 1](size, w, gy, **self.settings(**options))

    def weight(self, x, size, gy, **options):
        return WEIGHT[self.n - 1](x, size, gy, **self.settings(**options))


@pytest.fixture(
    params=[(n, last, dtype) for n in (1, 2, 3) for last in (False, True) for dtype in ("float32", "float64")],
    ids=lambda p: f"{LAYOUTS[p[0] - 1][p[1]]}-{p[2]}",
)
def form(request):
    return Form(*request.param)


def gradients(form, gy, x, w, b=None, **options):
    """y, gx, gw, gb of a convolution by backward; and gx, gw by their own functions, which must be the same."""
    tensors = [None if a is None else ac.tensor(a, requires_grad=True) for a in (x, w, b)]
    y = form.conv(*tensors, **options)
    assert y.dtype == form.dtype
    y.backward(gy)
    gx, gw, gb = (None if t is None else t.grad for t in tensors)
    np.testing.assert_array_equal(form.input(x.shape, w, gy, **options).data, gx)
    np.testing.assert_array_equal(form.weight(x, w.shape, gy, **options).data, gw)
    assert gx.dtype == gw.dtype == form.dtype
    return form.back(y.data), form.back(gx), form.kernel(gw), gb


# --- the numbered cases ------------------------------------------------------------------------------------------


def test_case_01_what_is_never_read_gets_exactly_zero(form):
    y, gx, gw, _ = gradients(form, form.x([[[1, 10]]]), form.x([[range(6)]]), form.w([[[1, 2, 3]]]), stride=2)
    np.testing.assert_array_equal(y, [[[0 + 2 + 6, 2 + 6 + 12]]])
    np.testing.assert_array_equal(gx, [[[1, 2, 13, 20, 30, 0.0]]])
    np.testing.assert_array_equal(gw, [[[20, 31, 42]]])


def test_case_02_stride_beyond_the_kernel(form):
    y, gx, _, _ = gradients(form, form.x([[[1, 1]]]), form.x([[range(7)]]), form.w([[[2, 5]]]), stride=3)
    np.testing.assert_array_equal(y, [[[5, 26]]])
    np.testing.assert_array_equal(gx, [[[2, 5, 0, 2, 5, 0, 0]]])
    back = form.transposed(form.x([[[1, 10]]]), form.w([[[2, 5]]]), stride=3, output_padding=2)
    np.testing.assert_array_equal(form.back(back.data), [[[2, 5, 0, 20, 50, 0, 0]]])


def test_case_03_padding_beyond_the_kernel(form):
    y, gx, _, gb = gradients(
        form, form.x([[range(10)]]), form.x([[[1, 2, 3]]]), form.w([[[1, 10]]]), np.array([0.5], form.dtype), padding=4
    )
    np.testing.assert_array_equal(y - 0.5, [[[0, 0, 0, 10, 21, 32, 3, 0, 0, 0]]])
    np.testing.assert_array_equal(gx, [[[4 + 30, 5 + 40, 6 + 50]]])
    assert gb == 45
    back = form.transposed(form.x([[range(10)]]), form.w([[[1, 10]]]), padding=4)
    np.testing.assert_array_equal(form.back(back.data), gx)


def test_case_05_everything_at_once(oracle, rng):
    for n in (1, 2, 3):
        sizes, kernel = (9, 8, 5)[:n], (3, 2, 2)[:n]
        dilation, stride, padding = (2, 3, 1)[:n], (2, 3, 2)[:n], (2, 1, 0)[:n]
        x, w = rng.standard_normal((2, 4, *sizes)), rng.standard_normal((6, 2, *kernel))
        pairs = [(p, p) for p in padding]
        gy = rng.standard_normal(oracle.conv(x, w, None, None, stride, pairs, dilation, 2).shape)
        assert gy.shape == (2, 6, *(5, 3, 2)[:n])
        _, gx, gw, _ = oracle.conv(x, w, None, gy, stride, pairs, dilation, 2)
        close(INPUT[n - 1](x.shape, w, gy, stride, padding, dilation, 2).data, gx)
        close(WEIGHT[n - 1](x, w.shape, gy, stride, padding, dilation, 2).data, gw)
        size = TRANSPOSED[n - 1](gy, w, stride=stride, padding=padding, dilation=dilation, groups=2).shape[2:]
        extra = tuple(a - b for a, b in zip(sizes, size))
        back = TRANSPOSED[n - 1](gy, w, None, stride, padding, extra, 2, dilation)  # torch's order of parameters
        close(back.data, gx)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("channels", [15, 16, 17, 23, 24, 25])
def test_case_05_depthwise(oracle, rng, channels, multiplier):
    x, w = rng.standard_normal((2, channels, 5, 4)), rng.standard_normal((channels * multiplier, 1, 3, 2))
    gy = rng.standard_normal((2, channels * multiplier, 3, 3))
    _, gx, gw, _ = oracle.conv(x, w, None, gy, (2, 1), ((1, 1), (0, 0)), (1, 1), channels)
    close(nn.conv2d_input(x.shape, w, gy, (2, 1), (1, 0), 1, channels).data, gx)
    close(nn.conv2d_weight(x, w.shape, gy, (2, 1), (1, 0), 1, channels).data, gw)
    close(nn.conv_transpose2d(gy, w, None, (2, 1), (1, 0), 0, channels).data, gx)


def test_case_06_same_and_valid(form):
    one = gradients(form, form.x([[[1, 1, 1, 1]]]), form.x([[[1, 2, 3, 4]]]), form.w([[[1, 10]]]), padding="same")
    np.testing.assert_array_equal(one[0], [[[21, 32, 43, 4]]])
    np.testing.assert_array_equal(one[1], [[[1, 11, 11, 11]]])
    five = form.conv(form.x([[[1, 2, 3, 4, 5]]]), form.w([[[1, 10, 100]]]), stride=2, padding="same")
    np.testing.assert_array_equal(form.back(five.data), [[[210, 432, 54]]])
    two = form.conv(form.x([[[1, 2, 3, 4]]]), form.w([[[1, 10]]]), stride=2, padding="same")
    np.testing.assert_array_equal(form.back(two.data), [[[21, 43]]])
    valid = form.conv(form.x([[[1, 2, 3, 4]]]), form.w([[[1, 10]]]), padding="valid")
    np.testing.assert_array_equal(form.back(valid.data), [[[21, 32, 43]]])


def test_case_08_kernel_larger_than_the_padded_input():
    for function in (nn.conv1d_input, nn.conv1d_weight):
        arguments = ((1, 1, 4), np.ones((1, 1, 3)))
        if function is nn.conv1d_weight:
            arguments = (np.ones((1, 1, 4)), (1, 1, 3))
        with pytest.raises(ValueError, match=f"^{function.__name__}: .*effective kernel 7 .*padded input 6"):
            function(*arguments, np.ones((1, 1, 1)), padding=1, dilation=3)
    with pytest.raises(ValueError, match=r"^conv3d: .*axis 1: effective kernel 5 .*padded input 4"):
        nn.conv3d(np.ones((1, 1, 9, 2, 9)), np.ones((1, 1, 1, 3, 1)), padding=(0, 1, 0), dilation=(1, 2, 1))


def test_case_09_zero_batch(form):
    y, gx, gw, gb = gradients(
        form, form.x(np.zeros((0, 5, 3))), form.x(np.zeros((0, 2, 4))), form.w(np.ones((5, 2, 2))),
        np.ones(5, form.dtype),
    )  # fmt: skip
    assert y.shape == (0, 5, 3)
    assert gx.shape == (0, 2, 4)
    np.testing.assert_array_equal(gw, np.zeros((5, 2, 2)))
    np.testing.assert_array_equal(gb, np.zeros(5))
    w = ac.tensor(form.w(np.ones((2, 3, 2))), requires_grad=True)
    z = form.transposed(form.x(np.zeros((0, 2, 4))), w)
    assert form.back(z.data).shape == (0, 3, 5)
    z.backward(np.zeros(z.shape))
    assert not w.grad.any()


def test_case_10_zero_input_channels(form):
    y, _, gw, gb = gradients(
        form, form.x(np.ones((2, 3, 3))), form.x(np.zeros((2, 0, 4))), form.w(np.zeros((3, 0, 2))),
        np.array([1, 2, 3], form.dtype),
    )  # fmt: skip
    np.testing.assert_array_equal(y, np.ones((2, 3, 3)) * [[1], [2], [3]])
    assert gw.shape == (3, 0, 2)
    np.testing.assert_array_equal(gb, [6, 6, 6])
    z = form.transposed(form.x(np.zeros((2, 0, 4))), form.w(np.zeros((0, 3, 2))), np.array([1, 2, 3], form.dtype))
    np.testing.assert_array_equal(form.back(z.data), np.ones((2, 3, 5)) * [[1], [2], [3]])
    for call in (form.conv, form.transposed):
        none = np.zeros((0, 2, 2)) if call == form.conv else np.zeros((2, 0, 2))
        with pytest.raises(ValueError, match="0 output channels"):
            call(form.x(np.zeros((1, 2, 4))), form.w(none))


def test_case_11_zero_length_spatial_axis(form):
    y, gx, gw, gb = gradients(
        form, form.x(np.ones((2, 3, 1))), form.x(np.zeros((2, 2, 0))), form.w(np.ones((3, 2, 2))),
        np.ones(3, form.dtype), padding=1,
    )  # fmt: skip
    np.testing.assert_array_equal(y, np.ones((2, 3, 1)))
    assert gx.shape == (2, 2, 0)
    assert not gw.any()
    np.testing.assert_array_equal(gb, [2, 2, 2])
    with pytest.raises(ValueError, match="input size must be at least 1"):
        form.transposed(form.x(np.zeros((2, 2, 0))), form.w(np.ones((2, 3, 2))))


CASE_19 = [
    # input, kernel, settings, result
    ([1, 2, 3], [1, 10], {}, [1, 12, 23, 30]),
    ([1, 2, 3], [1, 10], {"stride": 2}, [1, 10, 2, 20, 3, 30]),
    ([1, 2, 3], [1, 10], {"stride": 2, "output_padding": 1}, [1, 10, 2, 20, 3, 30, 0]),
    ([1, 2, 3], [1, 10, 100], {"stride": 2, "padding": 1}, [10, 102, 20, 203, 30]),
    ([1, 2, 3], [1, 10, 100], {"stride": 2, "padding": 1, "output_padding": 1}, [10, 102, 20, 203, 30, 300]),
    ([1, 2], [1, 10], {"dilation": 3}, [1, 2, 0, 10, 20]),
    ([1, 2], [1, 10], {"dilation": 3, "output_padding": 2}, [1, 2, 0, 10, 20, 0, 0]),
    ([1, 2], [1, 10], {"dilation": 3, "output_padding": 2, "padding": 1}, [2, 0, 10, 20, 0]),
    ([1, 2, 3], [7], {"stride": 2}, [7, 0, 14, 0, 21]),
    ([1, 2, 3], [7], {"stride": 2, "output_padding": 1}, [7, 0, 14, 0, 21, 0]),
    ([1, 2, 3], [1, 10], {"padding": ((0, 2),)[0]}, [1, 12]),
    ([1, 2, 3], [1, 10], {"padding": ((2, 0),)[0]}, [23, 30]),
    ([1, 2, 3], [1, 10], {"padding": "valid"}, [1, 12, 23, 30]),
    # "same": input * stride elements, the transpose of conv's "same"
    ([1, 2, 3, 4], [1, 10], {"padding": "same"}, [1, 12, 23, 34]),
    ([1, 2, 3], [1, 10, 100], {"padding": "same"}, [12, 123, 230]),
    ([1, 2, 3], [1, 10, 100], {"padding": "same", "stride": 2}, [1, 10, 102, 20, 203, 30]),
    ([1, 2, 3], [1, 10], {"padding": "same", "stride": 3}, [1, 10, 0, 2, 20, 0, 3, 30, 0]),
]


@pytest.mark.parametrize(("values", "taps", "options", "result"), CASE_19)
def test_case_19_transposed_values(form, values, taps, options, result):
    x, w = form.x([[values]]), form.w([[taps]])
    y = form.transposed(x, w, **options)
    assert y.dtype == form.dtype
    np.testing.assert_array_equal(form.back(y.data), [[result]])
    # It is the VJP of correlation
    if options.get("output_padding", 0) < options.get("stride", 1):
        rest = {key: value for key, value in options.items() if key != "output_padding"}
        v = ac.tensor(form.x(np.zeros((1, 1, len(result)))), requires_grad=True)
        image = form.conv(v, w, **rest)
        assert image.shape == x.shape
        image.backward(x)
        np.testing.assert_array_equal(v.grad, y.data)


def test_case_19_formula_for_the_size():
    for size in (1, 2, 5):
        for s, p, d, k, op in np.ndindex(4, 3, 3, 3, 3):
            s, d, k = s + 1, d + 1, k + 1
            expected = (size - 1) * s - 2 * p + d * (k - 1) + op + 1
            x, w = np.ones((1, 1, size)), np.ones((1, 1, k))
            if op >= max(s, d):
                words = f"output_padding {op}, stride {s}, dilation {d}"
                with pytest.raises(ValueError, match=f"^conv_transpose1d: .*less than the stride or .*{words}"):
                    nn.conv_transpose1d(x, w, None, s, p, op, 1, d)
            elif expected < 1:
                with pytest.raises(ValueError, match=f"result would have size {expected}"):
                    nn.conv_transpose1d(x, w, None, s, p, op, 1, d)
            else:
                assert nn.conv_transpose1d(x, w, None, s, p, op, 1, d).shape == (1, 1, expected)


def test_pytorch_63314_transposed_with_one_tap_and_stride_two(form, rng):
    """k = 1, s = 2: the input gradient was wrong for 1x1 kernels with a stride."""
    x, w = rng.integers(-5, 5, (2, 3, 4)), rng.integers(-5, 5, (3, 2, 1))
    y = form.transposed(form.x(x), form.w(w), stride=2)
    expected = np.zeros((2, 2, 7))
    expected[:, :, ::2] = np.einsum("ncw,cok->now", x, w)
    np.testing.assert_array_equal(form.back(y.data), expected)
    v = ac.tensor(form.x(rng.integers(-5, 5, (2, 2, 7))), requires_grad=True)
    form.conv(v, form.w(w), stride=2).backward(form.x(x))
    np.testing.assert_array_equal(form.back(v.grad), expected)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("channels", [15, 16, 17, 23, 24, 25])
def test_pytorch_68868_and_50042_weight_gradients_for_every_channel_count(oracle, rng, channels, stride):
    """Weight gradients that were wrong for one channel count, or one stride, only: the tail of a vector."""
    for dtype, tolerance in ((np.float32, 3e-4), (np.float64, 1e-10)):
        for inputs, outputs in ((channels, 3), (3, channels), (channels, channels)):
            x, w = rng.standard_normal((2, inputs, 7, 6)), rng.standard_normal((outputs, inputs, 3, 2))
            pairs, strides = ((1, 1), (0, 0)), (stride, stride)
            gy = rng.standard_normal(oracle.conv(x, w, None, None, strides, pairs, (1, 1)).shape)
            _, gx, gw, _ = oracle.conv(x, w, None, gy, strides, pairs, (1, 1))
            x, w, gy = x.astype(dtype), w.astype(dtype), gy.astype(dtype)
            close(nn.conv2d_weight(x, w.shape, gy, stride, (1, 0)).data, gw, tolerance)
            close(nn.conv2d_input(x.shape, w, gy, stride, (1, 0)).data, gx, tolerance)
            last = nn.conv2d_weight(
                x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0).shape, gy.transpose(0, 2, 3, 1), stride, (1, 0),
                layout="NHWC",
            )  # fmt: skip
            close(last.data.transpose(3, 2, 0, 1), gw, tolerance)


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_pytorch_19912_grouped_one_by_one(form, rng, groups):
    """Kernels of one tap in groups: a product of matrices for each group."""
    x, w = rng.integers(-5, 5, (2, 6, 5)), rng.integers(-5, 5, (12, 6 // groups, 1))
    gy = rng.integers(-5, 5, (2, 12, 5))
    split = [np.split(a, groups, axis) for a, axis in ((x, 1), (w, 0), (gy, 1))]
    y, gx, gw, _ = gradients(form, form.x(gy), form.x(x), form.w(w), groups=groups)
    np.testing.assert_array_equal(y, np.concatenate([np.einsum("nci,ock->noi", a, k) for a, k, _ in zip(*split)], 1))
    np.testing.assert_array_equal(gx, np.concatenate([np.einsum("noi,ock->nci", g, k) for _, k, g in zip(*split)], 1))
    expected = np.concatenate([np.einsum("noi,nci->oc", g, a)[:, :, None] for a, _, g in zip(*split)], 0)
    np.testing.assert_array_equal(gw, expected)
    np.testing.assert_array_equal(form.back(form.transposed(form.x(gy), form.w(w), groups=groups).data), gx)


def memories(array):
    """The same values in every kind of memory."""
    yield np.asfortranarray(array)
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
    wide[..., ::2] = array
    yield wide[..., ::2]
    yield np.ascontiguousarray(array[::-1, :, ::-1])[::-1, :, ::-1]
    constant = array.copy()
    constant.flags.writeable = False
    yield constant
    yield array.astype(array.dtype.newbyteorder(">"))


def test_case_21_any_memory(form, rng):
    x, w, gy = (rng.standard_normal(shape) for shape in ((2, 4, 6), (4, 2, 3), (2, 4, 3)))
    x, w, gy = form.x(x), form.w(w), form.x(gy)
    options = {"stride": 2, "padding": 1, "groups": 2}
    tolerance = 1e-12 if form.dtype == "float64" else 1e-5
    expected = [
        form.input(x.shape, w, gy, **options).data, form.weight(x, w.shape, gy, **options).data,
        form.transposed(gy, w, output_padding=1, **options).data,
    ]  # fmt: skip
    for xm, wm, gm in zip(memories(x), memories(w), memories(gy)):
        found = [
            form.input(x.shape, wm, gm, **options).data, form.weight(xm, w.shape, gm, **options).data,
            form.transposed(gm, wm, output_padding=1, **options).data,
        ]  # fmt: skip
        for actual, value in zip(found, expected):
            close(actual, value, tolerance)
            assert actual.flags.writeable
    ones = np.broadcast_to(np.asarray(1, form.dtype), gy.shape)
    close(form.transposed(ones, w, **options).data, form.transposed(np.ones_like(gy), w, **options).data, tolerance)


def test_case_21_results_alias_nothing():
    x, w = np.ones((1, 1, 3)), np.ones((1, 1, 1))
    y = nn.conv_transpose1d(x, w)
    y.data[...] = 7
    assert (x == 1).all()
    gy = ac.tensor(np.ones((1, 1, 3)), requires_grad=True)
    seed = np.ones((1, 1, 3))
    nn.conv_transpose1d(gy, w, ac.tensor(np.zeros(1), requires_grad=True)).backward(seed)
    gy.grad[...] = 7
    assert (seed == 1).all()
    assert (gy.data == 1).all()


def test_case_22_nothing_is_skipped_and_padding_is_nothing(form):
    for special in (np.nan, np.inf):
        # An infinite tap times a zero is NaN; where the tap reaches nothing, there is exactly 0.
        x, w = form.x([[[0, 0]]]), form.w([[[special, 0]]])
        y = form.back(form.transposed(x, w, stride=2, output_padding=1).data)
        np.testing.assert_array_equal(np.isnan(y), [[[True, False, True, False, False]]])
        gw = form.kernel(form.weight(form.x([[[0, special]]]), w.shape, form.x([[[0, 0, 0]]]), padding=1).data)
        np.testing.assert_array_equal(np.isnan(gw), [[[True, True]]])
        # gy[0] is special: its first tap lies in the padding
        gw = form.kernel(form.weight(form.x([[[1, 1]]]), w.shape, form.x([[[special, 0, 0]]]), padding=1).data)
        np.testing.assert_array_equal(np.isfinite(gw), [[[True, False]]])
        gx = form.back(form.input(x.shape, form.w([[[0, 0]]]), form.x([[[special, 0, 0]]]), padding=1).data)
        np.testing.assert_array_equal(np.isnan(gx), [[[True, False]]])


ERRORS = [
    ({"x": (2, 3, 5), "w": (4, 2, 3)}, ValueError, ["weight", "takes 4", "input", "has 3", "equal"]),
    ({"x": (2, 3, 5), "w": (3, 2, 3), "groups": 2}, ValueError, ["input", "3", "groups", "2", "divide"]),
    ({"groups": 0}, ValueError, ["groups", "0", "at least 1"]),
    ({"groups": 1.5}, TypeError, ["groups", "1.5", "integer"]),
    ({"stride": 0}, ValueError, ["stride", "0", "at least 1"]),
    ({"stride": (1, 1)}, ValueError, ["stride", "1", "2", "(1, 1)"]),
    ({"dilation": -1}, ValueError, ["dilation", "-1", "at least 1"]),
    ({"padding": -1}, ValueError, ["padding", "-1", "at least 0"]),
    ({"padding": ((0, -1),)}, ValueError, ["padding", "-1", "at least 0"]),
    ({"padding": "full"}, ValueError, ["padding", "'full'", "same", "valid"]),
    ({"padding": 9}, ValueError, ["result would have size -11", "padding 9 + 9"]),
    ({"output_padding": 1}, ValueError, ["output_padding 1", "stride 1", "dilation 1"]),
    ({"output_padding": -1}, ValueError, ["output_padding", "at least 0", "-1"]),
    ({"padding": "same", "stride": 2, "output_padding": 1}, ValueError, ["output_padding", "same", "1"]),
    ({"layout": "NCHW"}, ValueError, ["layout", "'NCHW'", "'NCW'", "'NWC'"]),
    ({"bias": (5,)}, ValueError, ["bias", "(5,)", "weight", "2", "(2,)"]),
    ({"x": (5,)}, ValueError, ["input", "1 axes", "(5,)", "3 axes"]),
    ({"x": (1, 1, 3, 5)}, ValueError, ["input", "4 axes", "3 axes"]),
    ({"w": (4, 3)}, ValueError, ["weight", "2 axes", "(4, 3)", "3", "C, O // groups"]),
    ({"w": (3, 0, 3)}, ValueError, ["weight", "0 output channels", "at least 1"]),
    ({"w": (3, 2, 0)}, ValueError, ["kernel size", "at least 1", "0"]),
    ({"dtype": bool}, TypeError, ["input", "bool"]),
]


@pytest.mark.parametrize(("case", "error", "parts"), ERRORS)
def test_case_24_errors_of_transposed_convolution(case, error, parts):
    case = dict(case)
    x, w = np.zeros(case.pop("x", (2, 3, 5)), case.pop("dtype", float)), np.zeros(case.pop("w", (3, 2, 3)))
    bias = case.pop("bias", None)
    with pytest.raises(error) as caught:
        nn.conv_transpose1d(x, w, None if bias is None else np.zeros(bias), **case)
    message = str(caught.value)
    assert message.startswith("conv_transpose1d: ")
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("arguments", "error", "parts"),
    [
        (((1, 3, 5), np.ones((2, 3, 2)), np.ones((1, 2, 5))), ValueError, ["grad_output", "(1, 2, 5)", "(1, 2, 4)"]),
        (((2, 3, 5), np.ones((2, 3, 2)), np.ones((1, 2, 4))), ValueError, ["grad_output", "(1, 2, 4)", "(2, 2, 4)"]),
        (((1, 3, 5), np.ones((2, 2, 2)), np.ones((1, 2, 4))), ValueError, ["weight", "takes 2", "input", "has 3"]),
        (((1, 3, -5), np.ones((2, 3, 2)), np.ones((1, 2, 4))), ValueError, ["input_size", "-5", "negative"]),
        ((5, np.ones((2, 3, 2)), np.ones((1, 2, 4))), TypeError, ["input_size", "5", "shape"]),
        (((1, 3, 5.0), np.ones((2, 3, 2)), np.ones((1, 2, 4))), TypeError, ["input_size", "5.0", "integers"]),
        (((1, 3, 5), np.ones((2, 3, 2), bool), np.ones((1, 2, 4))), TypeError, ["weight", "bool"]),
    ],
)
def test_case_24_errors_of_the_gradients(arguments, error, parts):
    with pytest.raises(error) as caught:
        nn.conv1d_input(*arguments)
    message = str(caught.value)
    assert message.startswith("conv1d_input: ")
    for part in parts:
        assert part in message
    with pytest.raises(ValueError, match="conv1d_weight: argument 'grad_output' has shape"):
        nn.conv1d_weight(np.ones((1, 3, 5)), (2, 3, 2), np.ones((2, 2, 4)))
    with pytest.raises(TypeError, match="conv1d_weight: argument 'weight_size' is 'abc'"):
        nn.conv1d_weight(np.ones((1, 3, 5)), "abc", np.ones((2, 2, 4)))


def test_case_25_second_order_and_one_array_in_both_roles(rng):
    x = rng.standard_normal((2, 2, 3))
    check_vjp(lambda x: nn.conv_transpose1d(x, x, stride=2, padding=1, output_padding=1), x, max_elements=12)
    check_vjp(lambda x: nn.conv1d(x, x, padding=2), x, max_elements=12)
    volume = rng.standard_normal((2, 2, 2, 3, 2))
    check_vjp(lambda x: nn.conv_transpose3d(x, x, stride=(1, 2, 1), layout="NCDHW"), volume, max_elements=8)
    check_vjp(
        lambda x: nn.conv3d(x, ac.transpose(x, (2, 3, 4, 1, 0)), padding=1, layout="NDHWC"),
        rng.standard_normal((1, 2, 2, 1, 2)),
        max_elements=8,
    )


@pytest.mark.parametrize("wanted", ["x", "w", "b"])
def test_case_25_only_what_is_asked_for_is_computed(rng, monkeypatch, wanted):
    from autograd_conv.kernels import correlation

    called = []
    for name in ("correlate", "correlate_weight_gradient"):
        original = getattr(correlation, name)
        monkeypatch.setattr(correlation, name, lambda *a, f=original, n=name: (called.append(n), f(*a))[1])
    arrays = {
        "x": rng.standard_normal((2, 3, 4, 4)), "w": rng.standard_normal((3, 2, 3, 3)), "b": rng.standard_normal(2)
    }  # fmt: skip
    tensors = {name: ac.tensor(array, requires_grad=name == wanted) for name, array in arrays.items()}
    y = nn.conv_transpose2d(*tensors.values())
    y.backward(np.ones(y.shape))
    assert called == {"x": ["correlate"], "w": ["correlate_weight_gradient"], "b": []}[wanted]
    assert tensors[wanted].grad.shape == arrays[wanted].shape


def test_unbatched_is_a_batch_of_one(pulled, rng):
    for n in (1, 2, 3):
        x, w, b = (
            rng.standard_normal((2, *(3, 4, 2)[:n])),
            rng.standard_normal((2, 3, *(2,) * n)),
            rng.standard_normal(3),
        )
        single, batch = TRANSPOSED[n - 1](x, w, b), TRANSPOSED[n - 1](x[None], w, b)
        np.testing.assert_array_equal(single.data, batch.data[0])
        gy = rng.standard_normal(single.shape)
        v = rng.standard_normal(w.shape)
        gradient = WEIGHT[n - 1](gy, v.shape, x)  # the other way round: x as the gradient of an output
        close(gradient.data, WEIGHT[n - 1](gy[None], v.shape, x[None]).data)
        close(INPUT[n - 1](gy.shape, v, x).data, TRANSPOSED[n - 1](x, v).data)


def test_channels_lie_last_in_memory(rng):
    y = nn.conv_transpose2d(rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((3, 4, 2, 2)), np.zeros(4))
    assert y.data.transpose(0, 2, 3, 1).flags.c_contiguous


def test_there_and_back_is_an_image_of_the_same_size():
    for size in range(1, 8):
        for kernel, stride, dilation in np.ndindex(4, 4, 2):
            options = {"stride": stride + 1, "dilation": dilation + 1, "padding": "same"}
            w = np.ones((1, 1, kernel + 1))
            up = nn.conv_transpose1d(np.ones((1, 1, size)), w, **options)
            assert up.shape == (1, 1, size * (stride + 1))
            assert nn.conv1d(up, w, **options).shape == (1, 1, size)
