"""NumPy's functions that move elements about, and those that make arrays: a line for each case."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac

_rng = np.random.default_rng(11)


def R(*shape):
    return _rng.standard_normal(shape)


def case(name, *args, orders=1, integers=True, **settings):
    label = ",".join([str(getattr(a, "shape", a)) for a in args] + [f"{k}={v}" for k, v in settings.items()])
    return pytest.param(name, args, settings, orders, integers, id=f"{name}({label[:60]})")


MOVES = [
    *[case("delete", R(3, 4), what, axis) for what in (0, [0, 2], slice(0, 2)) for axis in (None, 0, -1)],
    case("delete", R(4), np.array([True, False, True, False])),
    case("insert", R(3, 4), 1, R(4), axis=0, integers=False),
    case("insert", R(3, 4), [0, 2], R(3, 2), axis=1, integers=False),
    case("insert", R(3), [1, 1, 3], R(3), integers=False),
    case("insert", R(3), slice(0, 2), 5.0),
    case("append", R(3), R(2, 2)),
    case("append", R(3, 2), R(1, 2), axis=0),
    case("resize", R(3), (2, 4)),
    case("resize", R(3, 4), 5),
    case("resize", R(0), (2,)),
    case("block", [[R(2, 3), R(2, 1)], [R(1, 4)]], integers=False),
    case("block", [R(2), 1.0, R(1)], integers=False),
    case("block", [[[R(2, 2)], [R(1, 2)]]], integers=False),
    *[case(f, [R(2, 3), R(2, 3)]) for f in ("stack", "concatenate", "concat", "vstack", "hstack", "dstack")],
    *[case(f, [R(3), R(3)]) for f in ("column_stack", "hstack", "vstack", "dstack")],
    case("concatenate", [R(2, 3), R(1, 3)], axis=-2),
    case("concatenate", [R(2, 3), R(1)], axis=None),
    case("stack", [R(2), R(2)], axis=-1),
    *[case("split", R(4, 6), 2, axis=axis) for axis in (0, 1, -1)],
    case("split", R(5), [1, 1, 4]),
    case("array_split", R(7, 2), 3),
    *[case(f, R(4, 4, 2), 2) for f in ("hsplit", "vsplit", "dsplit")],
    case("hsplit", R(4), 2),
    *[case("unstack", R(2, 3), axis=axis) for axis in (0, -1)],
    *[case(f, R(2, 3, 2)) for f in ("ravel", "transpose", "matrix_transpose", "flip", "fliplr", "flipud", "copy")],
    case("permute_dims", R(2, 3, 2), (2, 0, 1)),
    case("reshape", R(2, 3), (3, -1), order="F"),
    case("ravel", R(2, 3), "F"),
    case("swapaxes", R(2, 3, 2), 0, -1),
    case("moveaxis", R(2, 3, 2), (0, 1), (-1, 0)),
    case("rollaxis", R(2, 3, 2), 2),
    *[case("rot90", R(2, 3), k) for k in (-1, 0, 1, 2, 3)],
    case("roll", R(2, 3), (1, -1), axis=(0, 1)),
    case("roll", R(2, 3), 2),
    case("squeeze", R(1, 3, 1), axis=-1),
    case("expand_dims", R(3), (0, -1)),
    case("broadcast_to", R(3, 1), (2, 3, 4)),
    case("broadcast_arrays", R(3, 1), R(4)),
    *[case(f, R(3)) for f in ("atleast_1d", "atleast_2d", "atleast_3d")],
    case("atleast_2d", R(3), R()),
    case("repeat", R(2, 3), [1, 0, 2], axis=1),
    case("repeat", R(2, 3), 2),
    case("tile", R(2, 3), (2, 1, 2)),
    case("meshgrid", R(2), R(3), indexing="ij"),
    case("meshgrid", R(2), R(3), sparse=True),
    case("take", R(3, 4), [[0, 5], [2, -1]], mode="wrap"),
    case("take", R(3, 4), [0, 0, 2], axis=1),
    case("take_along_axis", R(3, 4), np.array([[1], [0], [2]]), axis=1),
    case("compress", [True, False, True], R(3, 4), axis=0),
    case("diagonal", R(3, 4, 2), -1, 0, 1),
    case("diag", R(3), 1),
    case("diag", R(3, 4), -1),
    case("diagflat", R(2, 2), 1),
    *[case(f, R(2, 3, 4), k) for f in ("tril", "triu") for k in (-1, 0, 2)],
    case("real_if_close", R(3)),
    case("full_like", np.zeros((2, 3)), 1.5),
    case("apply_over_axes", np.sum, R(2, 3, 2), [0, -1]),
]

WIDTHS = [(1, 2), ((0, 1), (2, 0)), 3, ((4, 5), (0, 0))]
PADDING = [
    *[case("pad", R(2, 3), width, mode) for mode in ("edge", "reflect", "symmetric", "wrap") for width in WIDTHS],
    *[case("pad", R(2, 3), w, mode, reflect_type="odd") for mode in ("reflect", "symmetric") for w in WIDTHS],
    *[case("pad", R(2, 3), width, mode) for mode in ("maximum", "minimum", "mean", "median") for width in WIDTHS[:2]],
    *[case("pad", R(5), 2, mode, stat_length=(2, 3)) for mode in ("maximum", "minimum", "mean", "median")],
    *[case("pad", R(2, 3), width, "linear_ramp", end_values=(5, -2)) for width in WIDTHS],
    case("pad", R(1, 3), 2, "reflect"),
    case("pad", R(1, 3), 2, "reflect", reflect_type="odd"),
    case("pad", R(2, 3), ((1, 0), (0, 2)), constant_values=((1, 2), (3, 4))),
    case("pad", R(0, 2), 1),
]


@pytest.mark.parametrize(("name", "args", "settings", "orders", "integers"), [*MOVES, *PADDING])
def test_agrees_with_numpy(conforms, name, args, settings, orders, integers):
    conforms(name, args, settings, orders, 1e-12, integers)


@pytest.mark.parametrize("trim", ["fb", "f", "b", "FB"])
@pytest.mark.parametrize("values", [[0.0, 0, 1.5, 0, 2.5, 0], [1.0, 2], [0.0, 0.0], []])
def test_trimming_zeros(trim, values):
    x = np.array(values)
    np.testing.assert_array_equal(np.trim_zeros(ac.tensor(x), trim), np.trim_zeros(x, trim))
    # A zero that becomes another number is not trimmed: derivatives by the others.
    ac.testing.check_vjp(lambda t: ac.trim_zeros(ac.where(x == 0, 0.0, t), trim), x + (x == 0))


def test_trimming_zeros_of_matrices():
    x = np.zeros((4, 5))
    x[1:3, 2] = 1.0
    np.testing.assert_array_equal(ac.trim_zeros(x), [[1.0], [1.0]])
    assert ac.trim_zeros(x, "f", axis=-1).shape == (4, 3)
    with pytest.raises(ValueError, match="trim_zeros: trim is 'x'"):
        ac.trim_zeros(x, "x")


def test_padding_by_a_function_and_by_values_with_gradient():
    def ramp(vector, widths, axis, kwargs):
        before, after = widths
        vector[:before] = kwargs["scale"] * vector[before]
        if after:
            vector[-after:] = vector[-after - 1]

    x = R(2, 3)
    np.testing.assert_allclose(
        ac.pad(x, ((1, 2), (2, 1)), ramp, scale=3.0), np.pad(x, ((1, 2), (2, 1)), ramp, scale=3.0)
    )
    ac.testing.check_vjp(lambda t: ac.pad(t, ((1, 2), (2, 1)), ramp, scale=3.0), x)
    for width in (2, ((1, -1), (2, 0))):
        ac.testing.check_vjp(lambda t, v, width=width: ac.pad(t, width, constant_values=v), x, np.array([1.5, 2.5]))
    ac.testing.check_vjp(lambda t, v: ac.pad(t, 2, "linear_ramp", end_values=v), x, R())


def test_concatenation_in_brackets():
    x, y, u = R(3), R(2), R(2, 2)
    for ours, theirs in ((ac.r_, np.r_), (ac.c_, np.c_)):
        np.testing.assert_array_equal(ours[ac.tensor(x)], theirs[x])
    np.testing.assert_array_equal(ac.r_[ac.tensor(x), 0, 1:3, ac.tensor(y)], np.r_[x, 0, 1:3, y])
    np.testing.assert_array_equal(ac.r_["-1", ac.tensor(u), u], np.r_["-1", u, u])
    np.testing.assert_array_equal(ac.c_[ac.tensor(u), y], np.c_[u, y])
    ac.testing.check_vjp(lambda a, b: ac.r_[a, 2.0, b, b], x, y)


def test_stepping_through_an_array():
    x = ac.tensor(R(2, 2), requires_grad=True)
    total = ac.zeros(())
    for (i, j), value in ac.ndenumerate(x):
        total = total + (i + 2 * j) * value
    total.backward()
    np.testing.assert_array_equal(x.grad, [[0, 2], [1, 3]])


def test_functions_applied_along_axes_and_to_elements():
    x = R(2, 3, 2)
    for axis in (0, 1, -1):
        for f in (lambda v: v * v[0], lambda v: v.sum(), lambda v: v.reshape((-1, 1)) * v):
            expected = np.apply_along_axis(f, axis, x)
            np.testing.assert_allclose(np.apply_along_axis(f, axis, ac.tensor(x)), expected)
            ac.testing.check_vjp(lambda t, f=f, axis=axis: ac.apply_along_axis(f, axis, t), x)
    with pytest.raises(ValueError, match="there is no vector along axis 1"):
        ac.apply_along_axis(ac.sum, 1, np.zeros((0, 2)))
    with pytest.raises(ValueError, match="apply_over_axes: func made"):
        ac.apply_over_axes(lambda a, axis: a.sum(), x, 0)

    def clipped(a, b):
        return a * b if a > 0 else 0.0 * b

    y = R(3, 1)
    v = R(3)
    np.testing.assert_allclose(ac.vectorize(clipped)(ac.tensor(v), y), np.vectorize(clipped)(v, y))
    ac.testing.check_vjp(ac.vectorize(clipped), v, y)
    two = ac.vectorize(lambda a, k: (a + k, a * k), excluded={1})
    _, second = two(v, 2)
    np.testing.assert_allclose(second, 2 * v)
    assert ac.vectorize(clipped, otypes=[np.float32])(np.zeros(0), 1.0).dtype == np.float32
    with pytest.raises(ValueError, match="give otypes"):
        ac.vectorize(clipped)(np.zeros(0), 1.0)
    with pytest.raises(TypeError, match="signature= is not covered"):
        ac.vectorize(clipped, signature="(n)->()")
    np.testing.assert_array_equal(
        ac.fromfunction(lambda i, j: i + j, (2, 3)), np.fromfunction(lambda i, j: i + j, (2, 3))
    )


def test_piecewise():
    x = R(2, 5)
    for conditions, functions in (
        ([x < 0], [lambda v: v**2]),
        ([x < 0, x > 0.5], [lambda v: v**2, 3.0]),
        ([x < 0], [lambda v: -v, lambda v, k=2: v * k]),
    ):
        expected = np.piecewise(x, conditions, functions)
        np.testing.assert_allclose(np.piecewise(ac.tensor(x), conditions, functions), expected)
        ac.testing.check_vjp(lambda t, c=conditions, f=functions: ac.piecewise(t, c, f), x)
    assert ac.piecewise(1.5, [True], [lambda v: 2 * v]).item() == 3
    with pytest.raises(ValueError, match="2 conditions and 1 functions"):
        ac.piecewise(x, [x < 0, x > 0], [1.0])


@pytest.mark.parametrize(
    ("call", "points"),
    [
        (lambda a, b: ac.linspace(a, b, 5), (R(), R())),
        (lambda a, b: ac.linspace(a, b, 4, endpoint=False, axis=-1), (R(2), R(3, 1))),
        (lambda a, b: ac.linspace(a, b, 3, retstep=True), (R(), R())),
        (lambda a, b: ac.logspace(a, b, 3, base=2.0), (R(2), R(2))),
        (lambda a, b: ac.geomspace(a, b, 4), (np.array(0.3), np.array(2.0))),
        (lambda a, d: ac.arange(a, 3.21, d), (np.array(0.5), np.array(0.4))),
        (lambda a: ac.full((2, 3), a), (R(3),)),
        (lambda a: ac.full_like(np.zeros((2, 2)), a), (R(),)),
    ],
)
def test_ranges_have_derivatives(call, points):
    ac.testing.check_vjp(call, *points)
    plain = call(*[float(p) if p.ndim == 0 else p for p in points])
    traced = call(*[ac.tensor(p, requires_grad=True) for p in points])
    for ours, theirs in zip(*[r if isinstance(r, tuple) else (r,) for r in (traced, plain)]):
        assert ours.requires_grad
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", ["linspace", "logspace", "geomspace"])
def test_ranges_are_those_of_numpy(name):
    ours, theirs = getattr(ac, name), getattr(np, name)
    for args, settings in [((1, 9), {}), ((1.0, 2.0, 4), {"endpoint": False}), ((1, [2.0, 3.0], 3), {"axis": 1})]:
        np.testing.assert_array_equal(ours(*args, **settings), theirs(*args, **settings))
    assert ours(1, 2, 3, requires_grad=True).requires_grad
    assert ours(ac.tensor(1.0), 2, 3, dtype=np.float32).dtype == np.float32


def test_makers():
    np.testing.assert_array_equal(ac.arange(3), np.arange(3))
    np.testing.assert_array_equal(ac.arange(1, 7, 2), np.arange(1, 7, 2))
    assert ac.arange(3.0, dtype=np.float32, requires_grad=True).requires_grad
    np.testing.assert_array_equal(ac.frombuffer(np.arange(3.0).tobytes()), np.arange(3.0))
    np.testing.assert_array_equal(ac.fromiter((k * k for k in range(4)), float), [0, 1, 4, 9])
    np.testing.assert_array_equal(ac.fromstring("1 2 3", sep=" "), [1, 2, 3])
    np.testing.assert_array_equal(ac.from_dlpack(np.arange(3)), np.arange(3))
    np.testing.assert_array_equal(ac.mgrid[0:3, 0:2], np.mgrid[0:3, 0:2])
    for ours, theirs in zip(ac.ogrid[0:3, 0:2], np.ogrid[0:3, 0:2]):
        np.testing.assert_array_equal(ours, theirs)
    data = np.arange(3.0)
    written = ac.frombuffer(data)
    data[0] = 7.0
    assert written[0].item() == 0
    for name in ("zeros_like", "ones_like", "empty_like"):
        like = getattr(np, name)(ac.tensor(np.zeros((2, 3), np.float32), requires_grad=True))
        assert (like.shape, like.dtype, like.requires_grad) == ((2, 3), np.float32, False)
    with pytest.raises(ValueError, match="asarray_chkfinite"):
        ac.asarray_chkfinite([1.0, np.nan])


def test_windows_that_slide():
    x = R(3, 4)
    view = np.lib.stride_tricks.sliding_window_view
    for window, axis in [(2, 1), ((2, 3), None), (2, 0)]:
        np.testing.assert_array_equal(view(ac.tensor(x), window, axis), view(x, window, axis))
        ac.testing.check_vjp(lambda t, w=window, k=axis: np.lib.stride_tricks.sliding_window_view(t, w, k), x)


@pytest.mark.parametrize(("name", "axes"), [("hsplit", 1), ("vsplit", 2), ("dsplit", 3)])
def test_splitting_what_has_too_few_axes(name, axes):
    with pytest.raises(ValueError, match=f"{name}: ary has shape .* at least {axes} axes"):
        getattr(ac, name)(np.ones((2,) * (axes - 1)), 2)
