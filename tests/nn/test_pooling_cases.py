"""The numbered edge cases of pooling with their values: along one to three axes, channels first and last, both dtypes.

`test_pooling.py` has the same cases for images, and what belongs to single functions.
"""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn

MAX = (nn.max_pool1d, nn.max_pool2d, nn.max_pool3d)
AVG = (nn.avg_pool1d, nn.avg_pool2d, nn.avg_pool3d)
LP = (nn.lp_pool1d, nn.lp_pool2d, nn.lp_pool3d)
UNPOOL = (nn.max_unpool1d, nn.max_unpool2d, nn.max_unpool3d)
ADAPTIVE_AVG = (nn.adaptive_avg_pool1d, nn.adaptive_avg_pool2d, nn.adaptive_avg_pool3d)
ADAPTIVE_MAX = (nn.adaptive_max_pool1d, nn.adaptive_max_pool2d, nn.adaptive_max_pool3d)
LAYOUTS = (("NCW", "NWC"), ("NCHW", "NHWC"), ("NCDHW", "NDHWC"))


class Form:
    """One axis that matters, the last of `n` or the first; channels first or last; a dtype.

    All channels of all images hold the same, and what comes back is one of them, after a check that they agree.
    """

    def __init__(self, n, last, dtype, at):
        self.n, self.last, self.dtype, self.at = n, last, np.dtype(dtype), at
        self.layout = LAYOUTS[n - 1][last]

    def one(self, value, neutral):
        """A setting: `value` along the axis that matters."""
        values = [neutral] * self.n
        values[self.at] = value
        return tuple(values)

    def x(self, row):
        row = np.asarray(row, self.dtype)
        shape = (1, 1, *self.one(row.size, 1))
        x = np.broadcast_to(row.reshape(shape), (2, 3, *shape[2:])).copy()
        return np.moveaxis(x, 1, -1) if self.last else x

    def row(self, array):
        array = np.moveaxis(array, -1, 1) if self.last else array
        rows = array.reshape(6, -1)
        np.testing.assert_array_equal(rows, np.broadcast_to(rows[0], rows.shape))
        return rows[0]

    def run(self, function, x, gy=None):
        """Output and gradient, as rows; the gradient is computed twice."""
        gradients = []
        for _ in range(2):
            t = ac.tensor(self.x(x), requires_grad=True)
            y = function(t)
            assert y.dtype == self.dtype
            y.backward(np.ones(y.shape) if gy is None else self.x(gy))
            assert t.grad.dtype == self.dtype
            assert t.grad.flags.writeable
            gradients.append(self.row(t.grad))
        np.testing.assert_array_equal(*gradients)
        return self.row(y.data), gradients[0]

    def maximum(self, kernel, stride=None, padding=0, dilation=1, **options):
        arguments = self.settings(kernel, stride, padding), self.one(dilation, 1)
        return lambda x: MAX[self.n - 1](x, *arguments[0], arguments[1], layout=self.layout, **options)

    def average(self, kernel, stride=None, padding=0, **options):
        arguments = self.settings(kernel, stride, padding)
        return lambda x: AVG[self.n - 1](x, *arguments, layout=self.layout, **options)

    def settings(self, kernel, stride, padding):
        if isinstance(padding, tuple):
            padding = tuple(p if isinstance(p, tuple) else (0, 0) for p in self.one(padding, 0))
        elif not isinstance(padding, str):
            padding = self.one(padding, 0)
        return self.one(kernel, 1), None if stride is None else self.one(stride, 1), padding


@pytest.fixture(
    params=[
        (n, last, dtype, at)
        for n in (1, 2, 3)
        for last in (False, True)
        for dtype in ("float32", "float64")
        for at in ({0, n - 1} if dtype == "float64" else {n - 1})
    ],
    ids=lambda p: f"{LAYOUTS[p[0] - 1][p[1]]}-{p[2]}-{p[3]}",
)
def form(request):
    return Form(*request.param)


def same(found, *expected):
    for array, values in zip(found, expected):
        np.testing.assert_array_equal(array, np.asarray(values))


def test_case_01_what_no_window_reads_gets_exactly_zero(form):
    same(form.run(form.maximum(3, 2), range(6), [1, 10]), [2, 4], [0, 0, 1, 0, 10, 0])
    same(form.run(form.average(2, 2), range(5), [2, 20]), [0.5, 2.5], [1, 1, 10, 10, 0])


def test_case_02_stride_beyond_the_kernel(form):
    same(form.run(form.maximum(2, 3), range(7), [2, 5]), [1, 4], [0, 2, 0, 0, 5, 0, 0])
    same(form.run(form.average(2, 3), range(7), [2, 4]), [0.5, 3.5], [1, 1, 0, 2, 2, 0, 0])
    lp = lambda x: LP[form.n - 1](x, 1, form.one(2, 1), form.one(3, 1), layout=form.layout)  # noqa: E731
    same(form.run(lp, range(1, 8), [2, 4]), [3, 9], [2, 2, 0, 4, 4, 0, 0])


def test_case_04_no_window_lies_in_padding(form):
    for pool in (form.maximum, form.average):
        name = f"{'max' if pool == form.maximum else 'avg'}_pool{form.n}d"
        with pytest.raises(ValueError, match=f"^{name}: padding.*half.*padding 2, effective kernel 3"):
            pool(3, 1, 2)(form.x(range(6)))
        for padding in ((3, 0), (0, 3)):
            with pytest.raises(ValueError, match=f"^{name}: no window may lie wholly in padding"):
                pool(3, 1, padding)(form.x(range(6)))
    with pytest.raises(ValueError, match=f"^max_pool{form.n}d: padding.*half.*padding 3, effective kernel 5"):
        form.maximum(3, 1, 3, 2)(form.x(range(6)))
    same(form.run(form.maximum(3, 1, (2, 0)), [1, 2, 3]), [1, 2, 3], [1, 1, 1])
    same(form.run(form.maximum(3, 1, 2, 2), [1, 2, 4, 3, 0]), [4, 3, 4, 3, 4], [0, 0, 3, 2, 0])


def test_case_06_same_and_valid(form):
    same(form.run(form.maximum(2, 1, "same"), [1, 2, 4, 3]), [2, 4, 4, 3], [0, 1, 2, 1])
    same(form.run(form.maximum(3, 2, "same"), [1, 2, 3, 4, 5]), [2, 4, 5], [0, 1, 0, 1, 1])
    same(form.run(form.maximum(2, 2, "valid"), [1, 2, 4, 3, 9]), [2, 4], [0, 1, 1, 0, 0])
    same(form.run(form.average(2, 2, "same"), [1, 2, 4], [2, 2]), [1.5, 2], [1, 1, 1])


def test_cases_07_and_08_negative_padding_and_large_kernels(form):
    for pool in (form.maximum, form.average):
        name = f"{'max' if pool == form.maximum else 'avg'}_pool{form.n}d"
        with pytest.raises(ValueError, match=f"^{name}: padding must be at least 0"):
            pool(2, 1, -1)(form.x(range(6)))
        with pytest.raises(ValueError, match=f"^{name}: the kernel is larger.*effective kernel 7.*padded input 6"):
            pool(7)(form.x(range(6)))
    with pytest.raises(ValueError, match=r"effective kernel 7 .*padded input 6"):
        form.maximum(3, dilation=3)(form.x(range(6)))


def test_cases_09_and_10_nothing_to_pool(form):
    spatial = form.one(4, 1)
    pools = (
        form.maximum(2), form.average(2),
        lambda x: LP[form.n - 1](x, 2, form.one(2, 1), layout=form.layout),
        lambda x: ADAPTIVE_AVG[form.n - 1](x, form.one(2, 1), layout=form.layout),
        lambda x: ADAPTIVE_MAX[form.n - 1](x, form.one(2, 1), layout=form.layout),
    )  # fmt: skip
    for pool in pools:
        shape = (0, *spatial, 3) if form.last else (0, 3, *spatial)
        x = ac.tensor(np.zeros(shape, form.dtype), requires_grad=True)
        y = pool(x)
        assert y.shape == ((0, *form.one(2, 1), 3) if form.last else (0, 3, *form.one(2, 1)))
        y.backward(np.zeros(y.shape))
        assert x.grad.shape == shape
        with pytest.raises(ValueError, match="0 channels; it must have at least 1"):
            pool(np.zeros((2, *spatial, 0) if form.last else (2, 0, *spatial), form.dtype))


def test_case_11_zero_length_spatial_axis(form):
    for pool in (form.maximum(2, padding=1), form.average(2, padding=1)):
        with pytest.raises(ValueError, match="no window may lie wholly in padding"):
            pool(form.x([]))


def test_case_12_and_case_17_ties_and_overlaps(form):
    same(form.run(form.maximum(2, 1), [1, 1, 1, 1], [1, 10, 100]), [1, 1, 1], [1, 10, 100, 0])
    same(form.run(form.maximum(2, 1), [0, 5, 0], [1, 10]), [5, 5], [0, 11, 0])
    same(form.run(form.maximum(3, 3), [-0.0, 0.0, -0.0]), [0], [1, 0, 0])
    same(form.run(form.average(2, 1, divisor_override=1), [1, 1, 1]), [2, 2], [1, 2, 1])
    same(form.run(form.maximum(3, 1), [1] * 5), [1, 1, 1], [1, 1, 1, 0, 0])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("n", [2, 3])
def test_case_12_the_plane(n, last):
    for dtype in (np.float32, np.float64):
        x = np.ones((1, 1, *(1,) * (n - 2), 3, 3), dtype)
        t = ac.tensor(np.moveaxis(x, 1, -1) if last else x, requires_grad=True)
        y, where = MAX[n - 1](t, (1,) * (n - 2) + (2, 2), 1, return_indices=True, layout=LAYOUTS[n - 1][last])
        np.testing.assert_array_equal(where.data.ravel(), [0, 1, 3, 4])
        y.backward(np.ones(y.shape))
        np.testing.assert_array_equal(t.grad.reshape(3, 3), [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_case_13_nan_wins(form):
    nan = np.nan
    same(form.run(form.maximum(3), [nan, 5, nan, 1, 2, 9], [1, 10]), [nan, 9], [0, 0, 1, 0, 0, 10])
    same(form.run(form.maximum(2, 1), [1, nan, 3], [1, 10]), [nan, nan], [0, 11, 0])
    same(form.run(form.maximum(2, 1), [nan, np.inf, 3], [1, 10]), [nan, np.inf], [1, 10, 0])
    for pool in ADAPTIVE_MAX[form.n - 1], MAX[form.n - 1]:
        size = form.one(1 if pool is ADAPTIVE_MAX[form.n - 1] else 3, 1)
        _, where = pool(form.x([nan, nan, 7]), size, return_indices=True, layout=form.layout)
        assert (where.data == 1).all()


def test_case_14_a_window_of_negative_infinities(form):
    low = -np.inf
    same(form.run(form.maximum(2, 2, 1), [low] * 3, [1, 10]), [low, low], [1, 10, 0])
    _, where = form.maximum(2, 2, 1, return_indices=True)(form.x([low] * 3))
    same([form.row(where.data)], [0, 1])
    same(form.run(form.maximum(3, 1, 1), [low, 4, low]), [4, 4, 4], [0, 3, 0])


@pytest.mark.parametrize(
    ("n", "k", "s", "p", "d", "out"),
    [(5, 2, 2, 1, 1, 3), (9, 4, 4, 2, 1, 3), (4, 3, 3, 0, 1, 2), (7, 2, 3, 0, 1, 3), (6, 3, 2, 1, 2, 3)],
)
def test_case_15_ceil_mode(form, n, k, s, p, d, out):
    y, gx = form.run(form.maximum(k, s, p, d, ceil_mode=True), range(n))
    assert y.size == out
    assert gx.sum() == out
    if d == 1:
        y, gx = form.run(form.average(k, s, p, ceil_mode=True, count_include_pad=False), range(n))
        assert y.size == out
        np.testing.assert_allclose(gx.sum(), out, rtol=1e-6)
        if not p:
            lp = lambda x: LP[form.n - 1](x, 1, form.one(k, 1), form.one(s, 1), True, layout=form.layout)  # noqa: E731
            assert form.run(lp, range(1, n + 1))[0].size == out


def test_case_16_average_divisor(form):
    same(form.run(form.average(2, 3, ceil_mode=True), range(1, 8), [2, 2, 2]), [1.5, 4.5, 7], [1, 1, 0, 1, 1, 0, 2])
    nine = range(1, 10)
    same(form.run(form.average(4, 4, 2, ceil_mode=True), nine, [4, 4, 4]), [0.75, 4.5, 6], [1] * 9)
    inside = form.average(4, 4, 2, ceil_mode=True, count_include_pad=False)
    same(form.run(inside, nine, [2, 4, 3]), [1.5, 4.5, 8], [1] * 9)
    same(form.run(form.average(2, divisor_override=4), range(1, 5), [4, 8]), [0.75, 1.75], [1, 1, 2, 2])
    with pytest.raises(ValueError, match=f"^avg_pool{form.n}d: argument 'divisor_override' is 0"):
        form.average(2, divisor_override=0)(form.x(range(4)))


def test_case_18_adaptive(form):
    average = lambda out: lambda x: ADAPTIVE_AVG[form.n - 1](x, form.one(out, 1), layout=form.layout)  # noqa: E731
    maximum = lambda out: lambda x: ADAPTIVE_MAX[form.n - 1](x, form.one(out, 1), layout=form.layout)  # noqa: E731
    same(form.run(average(3), [1, 2, 3, 4, 5], [2, 3, 4]), [1.5, 3, 4.5], [1, 2, 1, 3, 2])
    same(form.run(average(5), [1, 2, 3], [1, 2, 1, 4, 1]), [1, 1.5, 2, 2.5, 3], [2, 4, 3])
    same(form.run(maximum(3), [1, 5, 3, 4, 2], [1, 10, 100]), [5, 5, 4], [0, 11, 0, 100, 0])


def test_case_20_indices_and_unpooling(form):
    y, where = form.maximum(2, return_indices=True)(form.x([1, 2, 4, 3]))
    assert where.dtype == np.int64
    same([form.row(where.data)], [1, 2])
    unpool = lambda y: UNPOOL[form.n - 1](y, where, form.one(2, 1), layout=form.layout)  # noqa: E731
    same(form.run(unpool, [5, 7], [1, 10, 100, 1000]), [0, 5, 7, 0], [10, 100])
    twice = form.x([1, 1]).astype(np.int64)
    unpool = lambda y: UNPOOL[form.n - 1](y, twice, form.one(2, 1), layout=form.layout)  # noqa: E731
    same(form.run(unpool, [5, 7], [1, 10, 100, 1000]), [0, 7, 0, 0], [0, 10])
    for bad in (-1, 4):
        with pytest.raises((ValueError, IndexError), match=f"^max_unpool{form.n}d: .*{bad}"):
            UNPOOL[form.n - 1](y, form.x([0, bad]).astype(np.int64), form.one(2, 1), layout=form.layout)
    # into the input without its padding
    _, where = form.maximum(3, 2, 1, return_indices=True)(form.x([9, 1, 2, 8]))
    same([form.row(where.data)], [0, 3])


def test_case_21_any_memory(form):
    x = form.x([3, 1, 4, 1, 5, 9])
    gy = form.x([1, 10, 100])
    for pool in (form.maximum(2), form.average(2)):
        results = []
        for kind in (
            np.copy,
            np.asfortranarray,
            lambda a: np.repeat(a, 2, -1)[..., ::2],
            lambda a: np.flip(np.flip(a).copy()),
        ):
            t = ac.tensor(x, requires_grad=True)
            pool(t).backward(kind(gy))
            frozen = kind(x)
            frozen.flags.writeable = False
            results.append((pool(frozen).data, t.grad))
        for y, gx in results[1:]:
            np.testing.assert_array_equal(y, results[0][0])
            np.testing.assert_array_equal(gx, results[0][1])
        flat = np.broadcast_to(form.dtype.type(2), x.shape)
        np.testing.assert_array_equal(pool(flat).data, np.full(gy.shape, 2))


def test_case_22_infinity_gets_through_and_padding_is_nothing(form):
    nan, inf = np.nan, np.inf
    same(form.run(form.average(2, 1, 1), [inf, 1, 1, nan]), [inf, inf, 1, nan, nan], [1, 1, 1, 1])
    same(form.run(form.average(2, 2), [0, 0, 0, 0], [inf, nan]), [0, 0], [inf, inf, nan, nan])
    same(form.run(form.maximum(2, 2), [0, 1, 1, 0], [inf, nan]), [1, 1], [0, inf, nan, 0])


def test_case_25_the_hessian_of_a_maximum_pool(form):
    x = ac.tensor(form.x([1, 2, 4, 3]), requires_grad=True)
    (gx,) = ac.grad(ac.sum(form.maximum(2)(x) ** 2), x, create_graph=True)
    same([form.row(gx.data)], [0, 4, 8, 0])
    (product,) = ac.grad(gx, x, form.x([1, 1, 1, 1]))
    same([form.row(product.data)], [0, 2, 2, 0])
    assert product.dtype == form.dtype
    x = ac.tensor(form.x([1, 2, 4, 3]), requires_grad=True)
    (gx,) = ac.grad(ac.sum(form.average(2)(x) ** 2), x, create_graph=True)
    (product,) = ac.grad(gx, x, form.x([1, 0, 0, 0]))
    same([form.row(product.data)], [0.5, 0.5, 0, 0])
