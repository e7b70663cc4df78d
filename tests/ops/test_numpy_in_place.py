"""Functions that change their argument, ``out=`` and ``where=``, and the methods of universal functions."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac

_rng = np.random.default_rng(5)


def R(*shape):
    return _rng.uniform(0.3, 1.7, shape)


MASK = np.array([[True, False, True], [False, False, True]])

CHANGES = [
    ("copyto", (R(2, 3), R(3)), {}),
    ("copyto", (R(2, 3), R(2, 1)), {"where": MASK}),
    ("copyto", (R(2, 3), 2.5), {"where": MASK}),
    ("putmask", (R(2, 3), MASK, R(2)), {}),
    ("putmask", (R(2, 3), MASK, R(2, 3)), {}),
    ("place", (R(2, 3), MASK, R(2)), {}),
    ("place", (R(2, 3), MASK, R(5)), {}),
    ("put", (R(2, 3), [0, 4, -1], R(2)), {}),
    ("put", (R(2, 3), [1, 1, 2], R(3)), {}),
    ("put", (R(2, 3), [7, -8], R(3)), {"mode": "wrap"}),
    ("put", (R(2, 3), [7, -8], R(3)), {"mode": "clip"}),
    ("fill_diagonal", (R(3, 4), R()), {}),
    ("fill_diagonal", (R(7, 2), R(3)), {"wrap": True}),
    ("fill_diagonal", (R(2, 2, 2), R(2)), {}),
    ("put_along_axis", (R(2, 3), np.array([[2], [0]]), R(2, 1)), {"axis": 1}),
    ("put_along_axis", (R(2, 3), np.array([4, 0]), R(2)), {"axis": None}),
]


@pytest.mark.parametrize(("name", "args", "settings"), CHANGES, ids=[f"{c[0]}{k}" for k, c in enumerate(CHANGES)])
def test_functions_that_change_their_argument(name, args, settings):
    expected = args[0].copy()
    getattr(np, name)(expected, *args[1:], **settings)
    given = [ac.tensor(a) if isinstance(a, np.ndarray) and a.dtype == float else a for a in args]
    for module in (ac, np):
        target = ac.tensor(args[0])
        assert getattr(module, name)(target, *given[1:], **settings) is None
        np.testing.assert_array_equal(target, expected)

    floats = [k for k, a in enumerate(args) if isinstance(a, np.ndarray) and a.dtype == float]

    def changed(*values):
        arguments = list(args)
        for k, value in zip(floats, values):
            arguments[k] = value
        arguments[0] = arguments[0] * 1.0  # not a leaf
        getattr(ac, name)(*arguments, **settings)
        return arguments[0]

    ac.testing.check_vjp(changed, *[args[k] for k in floats])

    if name != "put_along_axis":  # NumPy's dispatches on Tensors alone
        plain = args[0].copy()
        getattr(ac, name)(plain, *args[1:], **settings)
        np.testing.assert_array_equal(plain, expected)
        value = ac.tensor(1.0, requires_grad=True)
        rest = [value] if name in ("copyto", "fill_diagonal") else [args[1], value]
        with pytest.raises(TypeError, match=f"{name}: the array to change is a ndarray, which has no history"):
            getattr(ac, name)(plain, *rest)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: ac.put(t, [9], 1.0), IndexError, "put: ind reaches from 9 to 9, but a has 6"),
        (lambda t: ac.put(t, [1], 1.0, "round"), ValueError, "put: mode is 'round'"),
        (lambda t: ac.place(t, MASK, []), ValueError, "place: vals is empty"),
        (lambda t: ac.copyto(t, 1j), TypeError, "copyto: casting='same_kind' does not convert complex128"),
        (lambda t: np.add.at(np.zeros(3), [0], t[0]), TypeError, "add.at: a is a ndarray"),
        (lambda t: np.power.reduce(t, axis=(0, 1)), ValueError, "power.reduce: axis is .* not commutative"),
        (lambda t: np.divide.reduce(t[:0]), ValueError, "divide.reduce: there are no elements"),
        (lambda t: np.add.reduceat(t, [0, 5]), IndexError, "add.reduceat: index 5 is outside"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(ac.tensor(R(2, 3), requires_grad=True))


# --- out= and where= -------------------------------------------------------------------------------------------


def test_division_where_it_is_defined():
    """The idiom of safe division: no warning, and no NaN in the gradient."""
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.0, 4.0])

    def safe(a, b, c):
        return np.divide(a, b, out=c * 1.0, where=y != 0)

    a, b, c = (ac.tensor(v, requires_grad=True) for v in (x, y, np.full(3, 7.0)))
    result = safe(a, b, c)
    np.testing.assert_array_equal(result.numpy(), [0.5, 7.0, 0.75])
    result.sum().backward()
    np.testing.assert_array_equal(a.grad, [0.5, 0, 0.25])
    np.testing.assert_array_equal(b.grad, [-0.25, 0, -3 / 16])
    np.testing.assert_array_equal(c.grad, [0, 1, 0])
    log = np.log(b, where=y > 0)  # without out: zeros elsewhere
    np.testing.assert_array_equal(log.numpy(), [np.log(2), 0, np.log(4)])
    ac.testing.check_vjp(lambda p, q: ac.arctan2(p, q, where=MASK), R(2, 1), R(3))
    fraction, _ = np.frexp(a, where=[True, False, True])
    np.testing.assert_array_equal(fraction.numpy(), [0.5, 0, 0.75])


def test_several_outputs():
    x = ac.tensor([1.25, -2.5], requires_grad=True)
    whole, rest = ac.zeros(2), ac.zeros(2)
    results = np.modf(x, out=(rest, whole))
    assert results[0] is rest
    assert results[1] is whole
    np.testing.assert_array_equal(whole.numpy(), [1, -2])
    rest.sum().backward()
    np.testing.assert_array_equal(x.grad, [1, 1])
    quotient, remainder = divmod(x, 2.0)
    np.testing.assert_array_equal(quotient.numpy(), [0, -2])
    np.testing.assert_array_equal(remainder.numpy(), [1.25, 1.5])
    only = ac.zeros(2)
    np.divmod(x, 2.0, out=(None, only))
    np.testing.assert_array_equal(only.numpy(), [1.25, 1.5])
    np.divmod(x, 2.0, None, only)
    # The mantissa of the second is that of -2.5 / 4.
    ac.testing.check_vjp(lambda a: ac.frexp(a)[0], np.array([1.3, -2.5]))


def test_types_of_computation():
    x = np.array([1.5, 2.5])
    t = ac.tensor(x, requires_grad=True)
    assert np.add(t, 1, dtype=np.float32).dtype == np.float32
    assert ac.add(t, 1, signature="ff->f").dtype == np.float32
    assert ac.add(t, 1, signature=(None, None, np.float32)).dtype == np.float32
    assert ac.multiply(np.arange(3), 2, dtype=float).dtype == np.float64
    with pytest.raises(TypeError, match="casting"):
        np.add(t, 1, dtype=np.int64)
    with pytest.raises(TypeError, match="casting"):
        np.add(t, 1, dtype=np.float32, casting="safe")
    whole = ac.zeros(2, dtype=np.int64)
    with pytest.raises(TypeError, match="the result has dtype float64, which cannot be cast to the int64"):
        np.add(t, 1, out=whole)
    with pytest.raises(TypeError, match="add: the result has dtype float64, which casting='safe' does not convert"):
        np.add(t, 1, out=ac.zeros(2, dtype=np.float32), casting="safe")
    np.add(t, 1, out=whole, casting="unsafe")
    np.testing.assert_array_equal(whole, [2, 3])
    with pytest.raises(ValueError, match="shape"):
        np.add(t, 1, out=ac.zeros(3))


def test_out_of_reductions_and_the_rest():
    x = R(2, 3)
    t = ac.tensor(x, requires_grad=True)
    for name in (
        "sum",
        "prod",
        "mean",
        "max",
        "min",
        "std",
        "var",
        "median",
        "cumsum",
        "nanmean",
        "nanmax",
        "argmax",
        "any",
    ):
        expected = getattr(np, name)(x, axis=0)
        out = ac.zeros(expected.shape, dtype=expected.dtype)
        assert getattr(np, name)(t, axis=0, out=out) is out
        np.testing.assert_allclose(out.numpy(), expected)
    for call, shape in [
        (lambda a, out: np.take(a, [0, 1], axis=1, out=out), (2, 2)),
        (lambda a, out: np.matmul(a, a.T, out=out), (2, 2)),
        (lambda a, out: np.dot(a, a.T, out=out), (2, 2)),
        (lambda a, out: np.outer(a[0], a[1], out=out), (3, 3)),
        (lambda a, out: np.stack([a, a], out=out), (2, 2, 3)),
        (lambda a, out: np.concatenate([a, a], out=out), (4, 3)),
        (lambda a, out: np.einsum("ij->i", a, out=out), (2,)),
        (lambda a, out: np.clip(a, 0.5, 1.0, out=out), (2, 3)),
        (lambda a, out: np.round(a, 1, out=out), (2, 3)),
        (lambda a, out: np.fix(a, out=out), (2, 3)),
        (lambda a, out: np.trace(a, out=out), ()),
        (lambda a, out: np.quantile(a, 0.3, axis=0, out=out), (3,)),
        (lambda a, out: np.nanmedian(a, axis=1, out=out), (2,)),
        (lambda a, out: np.choose([[0, 1, 0]], [a, 1.0], out=out), (2, 3)),
        (lambda a, out: np.compress([True], a, axis=0, out=out), (1, 3)),
        (lambda a, out: np.cumprod(a, axis=1, out=out), (2, 3)),
        (lambda a, out: np.add.reduce(a, out=out), (3,)),
        (lambda a, out: np.add.accumulate(a, out=out), (2, 3)),
        (lambda a, out: np.add.reduceat(a, [0, 1], out=out), (2, 3)),
    ]:
        out = ac.zeros(shape)
        assert call(t, out) is out
        assert out.requires_grad
        expected = np.zeros(shape)
        call(x, expected)
        np.testing.assert_allclose(out.numpy(), expected)


# --- methods of universal functions ----------------------------------------------------------------------------

FOLDED = [np.add, np.multiply, np.maximum, np.fmin, np.subtract, np.divide, np.logaddexp, np.hypot]


def _fold(ufunc, rows):
    total = rows[0]
    for row in rows[1:]:
        total = ufunc(total, row)
    return total


@pytest.mark.parametrize("ufunc", [np.power, np.arctan2, np.fmod, np.copysign], ids=lambda u: u.__name__)
@pytest.mark.parametrize("axis", [0, 1])
def test_functions_are_folded_in_order(ufunc, axis):
    """By definition: NumPy's own vectorised power.reduce reads, on some processors, what it has yet to write."""
    x = R(3, 4)
    rows = list(np.moveaxis(x, axis, 0))
    np.testing.assert_allclose(ufunc.reduce(ac.tensor(x), axis), _fold(ufunc, rows), rtol=1e-12)
    last = ufunc.accumulate(ac.tensor(x), axis).numpy().take(-1, axis)
    np.testing.assert_allclose(last, _fold(ufunc, rows), rtol=1e-12)
    ac.testing.check_vjp(lambda a: getattr(ac, ufunc.__name__).reduce(a, axis), x + 0.1)


@pytest.mark.parametrize("ufunc", FOLDED, ids=lambda u: u.__name__)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_methods_of_functions_of_two_arguments(ufunc, axis):
    x = R(3, 4)
    t, ours = ac.tensor(x), getattr(ac, ufunc.__name__)
    assert (ours.nin, ours.nout, ours.identity) == (ufunc.nin, ufunc.nout, ufunc.identity)
    calls = [
        lambda f, a: f.reduce(a, axis),
        lambda f, a: f.reduce(a, axis=axis, keepdims=True),
        lambda f, a: f.accumulate(a, axis),
        lambda f, a: f.reduceat(a, [0, 2, 1], axis),
        lambda f, a: f.outer(a[:2, 0], a[:, 1:3]),
    ]
    if ufunc in (np.add, np.multiply, np.maximum, np.fmin, np.logaddexp, np.hypot):
        calls += [
            lambda f, a: f.reduce(a, axis=None),
            lambda f, a: f.reduce(a, axis=(0, 1), initial=0.7),
            lambda f, a: f.reduce(a, axis, initial=0.9, where=np.array([[True, False, True, True]])),
        ]
    for call in calls:
        expected = call(ufunc, x)
        for result in (call(ufunc, t), call(ours, x)):
            assert isinstance(result, ac.Tensor)
            assert result.shape == np.shape(expected)
            np.testing.assert_allclose(result, expected, rtol=1e-12)
        ac.testing.check_vjp(lambda a, call=call: call(ours, a), x)


@pytest.mark.parametrize("ufunc", [*FOLDED, np.power, np.negative, np.sqrt], ids=lambda u: u.__name__)
@pytest.mark.parametrize("indices", [[0, 2], [1, 0, 1, 1], (np.array([0, 2, 0]), np.array([1, 1, 1])), slice(0, 2), 1])
def test_at(ufunc, indices):
    x = R(3, 2)
    shape = x[indices].shape
    operands = [R(*shape)] if ufunc.nin == 2 else []
    expected = x.copy()
    ufunc.at(expected, indices, *operands)
    target = ac.tensor(x)
    ufunc.at(target, indices, *[ac.tensor(v) for v in operands])
    np.testing.assert_allclose(target, expected, rtol=1e-12)

    def changed(a, *values):
        a = a * 1.0
        getattr(ac, ufunc.__name__).at(a, indices, *values)
        return a

    ac.testing.check_vjp(changed, x, *operands)


def test_methods_of_functions_without_derivative():
    x = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 1.0]])
    t = ac.tensor(x, requires_grad=True)
    for call in (
        lambda f, a: np.logical_and.reduce(a, axis=1),
        lambda f, a: np.less.outer(a[0], a[1]),
        lambda f, a: np.logical_or.accumulate(a, axis=1),
        lambda f, a: np.greater.outer(a, 1.0),
    ):
        result = call(None, t)
        assert not result.requires_grad
        np.testing.assert_array_equal(result, call(None, x))
    bits = ac.tensor(np.array([1, 2, 4]))
    assert np.bitwise_or.reduce(bits).item() == 7
    np.bitwise_xor.at(bits, [0, 0, 1], 3)
    np.testing.assert_array_equal(bits, [1, 1, 4])
    with pytest.raises(ValueError, match="reduce"):
        np.divmod.reduce(t)


def test_running_extremes_with_nan_and_ties():
    x = np.array([1.0, 1.0, 3.0, np.nan, 2.0, 5.0])
    for ufunc in (np.maximum, np.fmax, np.minimum, np.fmin):
        np.testing.assert_array_equal(ufunc.accumulate(ac.tensor(x)), ufunc.accumulate(x))
        np.testing.assert_array_equal(ufunc.reduce(ac.tensor(x)), ufunc.reduce(x))
    t = ac.tensor(x[:3], requires_grad=True)
    np.maximum.accumulate(t).sum().backward()
    np.testing.assert_array_equal(t.grad, [2, 0, 1])  # the first of equal ones
    assert np.maximum.accumulate(ac.tensor([1, 3, 2])).tolist() == [1, 3, 3]
    assert np.fmax.reduce(ac.tensor([np.nan, 2.0, np.nan])).item() == 2
    assert np.isnan(np.fmax.reduce(ac.tensor([np.nan, np.nan])).item())


# --- methods of Tensors ----------------------------------------------------------------------------------------


def test_methods_of_tensors():
    x = R(3, 4)
    for call in (
        lambda a: a.sum(0, None, None, True),
        lambda a: a.sum(axis=1, initial=2.0, where=np.array([True, False, True, True])),
        lambda a: a.mean(1, where=np.array([True, False, True, True])),
        lambda a: a.var(0, None, None, 1),
        lambda a: a.std(axis=1, ddof=1, keepdims=True),
        lambda a: a.prod(1, keepdims=True),
        lambda a: a.max(axis=0, initial=0.0),
        lambda a: a.min(1, where=np.array([True, False, True, True]), initial=9.0),
        lambda a: a.cumsum(1, np.float64),
        lambda a: a.cumprod(0),
        lambda a: a.clip(0.5, 1.0),
        lambda a: a.compress([True, False, True], 0),
        lambda a: a.take([0, 5], mode="wrap"),
        lambda a: a.trace(1),
        lambda a: a.ravel("F"),
        lambda a: a.flatten("F"),
        lambda a: a.reshape(4, 3, order="F"),
        lambda a: a.conjugate(),
        lambda a: a.dot(a.T),
        lambda a: a.argmax(1, keepdims=True),
        lambda a: a.argsort(0, kind="stable"),
        lambda a: a.any(1, keepdims=True),
        lambda a: a[0].searchsorted(1.0),
        lambda a: a.astype(int).choose([1.0, 2.0, 3.0]),
    ):
        result, expected = call(ac.tensor(x)), np.asarray(call(x))
        assert isinstance(result, ac.Tensor)
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result, expected)

    for change in (
        lambda a: a.sort(0),
        lambda a: a.sort(),
        lambda a: a.partition(2),
        lambda a: a.put([0, 5], [7.0, 8.0]),
        lambda a: a.fill(2.0),
        lambda a: a.flat.__setitem__(5, 7.0),
        lambda a: a.flat.__setitem__(slice(1, 9, 3), [7.0, 8.0, 9.0]),
        lambda a: setattr(a, "flat", [1.5, 2.5]),
    ):
        target, expected = ac.tensor(x), x.copy()
        change(target)
        change(expected)
        np.testing.assert_array_equal(target, expected)

        def changed(a, change=change):
            a = a * 1.0
            change(a)
            return a

        ac.testing.check_vjp(changed, x)
    assert ac.tensor(x).argpartition(1, axis=0).shape == x.shape
    t = ac.tensor(x, requires_grad=True)
    assert len(t.flat) == 12
    assert [v.item() for v in t.flat] == list(x.flat)
    (t.flat[5] * t.flat[2:4].sum()).backward()
    assert np.count_nonzero(t.grad) == 3
    assert t.tobytes() == x.tobytes()
    with pytest.raises(TypeError, match=r"Tensor\.astype: casting='safe' does not convert float64 to float32"):
        t.astype(np.float32, casting="safe")


def test_an_out_that_is_larger_is_filled_by_broadcasting():
    for store in (
        lambda t, out: np.exp(t, out=out),
        lambda t, out: ac.exp(t, out),
        lambda t, out: ac.exp(t, out=(out,)),
    ):
        t, out = ac.tensor([0.0, 1.0], requires_grad=True), ac.zeros((3, 2))
        store(t, out)
        np.testing.assert_allclose(out.numpy(), np.broadcast_to(np.exp([0.0, 1.0]), (3, 2)))
        out.sum().backward()
        np.testing.assert_allclose(t.grad, 3 * np.exp([0.0, 1.0]))
