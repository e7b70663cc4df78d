"""Functions that act element by element."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv.dispatch import FUNCTIONS, OPERATORS

# Where a function is smooth, if not on (-2, 2) without the neighbourhood of integers and halves.
DOMAINS = {
    np.log: (0.2, 3),
    np.log2: (0.2, 3),
    np.log10: (0.2, 3),
    np.log1p: (-0.8, 3),
    np.sqrt: (0.2, 3),
    np.cbrt: (0.2, 3),
    np.reciprocal: (0.3, 2),
    np.tan: (-1.3, 1.3),
    np.arcsin: (-0.8, 0.8),
    np.arccos: (-0.8, 0.8),
    np.arctanh: (-0.8, 0.8),
    np.arccosh: (1.3, 3),
    np.true_divide: (0.3, 2),
    np.power: (0.3, 2),
    np.float_power: (0.3, 2),
    np.remainder: (0.3, 2),
    np.fmod: (0.3, 2),
    np.floor_divide: (0.3, 2),
    np.arctan2: (0.3, 2),
    np.hypot: (0.3, 2),
}

# Of integers, booleans or comparisons: no derivative.
DISCRETE = {
    np.isnan, np.isinf, np.isfinite, np.signbit, np.logical_not, np.invert, np.equal, np.not_equal, np.less,
    np.less_equal, np.greater, np.greater_equal, np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and,
    np.bitwise_or, np.bitwise_xor, np.left_shift, np.right_shift, np.gcd, np.lcm, np.bitwise_count,
}  # fmt: skip
ALWAYS_DOUBLE = {np.float_power}
SMOOTH = [ufunc for ufunc in OPERATORS if ufunc not in {*DISCRETE, np.matmul, np.ldexp, np.nextafter}]


def _sample(ufunc, rng, shape):
    low, high = DOMAINS.get(ufunc, (-2, 2))
    x = rng.uniform(low, high, shape)
    # Steps are at integers (and for rint at halves): keep away from both.
    if (low, high) == (-2, 2):
        x = np.floor(2 * x) / 2 + rng.uniform(0.1, 0.4, shape)
    return np.asarray(x)


def _pairs():
    return [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2, 3)), ((2, 3), ()), ((0, 3), (3,)), ((2, 1, 3), (4, 1))]


@pytest.mark.parametrize("ufunc", SMOOTH, ids=lambda ufunc: ufunc.__name__)
def test_smooth_functions(agrees, rng, ufunc):
    shapes = _pairs() if ufunc.nin == 2 else [((3, 4),), ((),), ((0, 2),)]
    for shape in shapes:
        points = [_sample(ufunc, rng, s) for s in shape]
        if ufunc in (np.remainder, np.fmod, np.floor_divide):
            # Quotients between 0.1 and 0.9, or the same above 1: no step in between.
            points[0] = np.asarray(points[0] * 0 + rng.uniform(0.02, 0.25, shape[0]))
        if ufunc in ALWAYS_DOUBLE:
            np.testing.assert_allclose(FUNCTIONS[ufunc](*points).numpy(), ufunc(*points))
            ac.testing.check_vjp(FUNCTIONS[ufunc], *points)
        else:
            agrees(FUNCTIONS[ufunc], ufunc, *points, rtol=1e-12)


@pytest.mark.parametrize("ufunc", [u for u in OPERATORS if u in DISCRETE], ids=lambda ufunc: ufunc.__name__)
def test_discrete_functions(rng, ufunc):
    kinds = [np.array([[0, 1, 2]]), np.array([[True, False, True]]), np.array([[-0.5, 0.0, np.nan]])]
    for values in kinds:
        others = [np.array([[1], [0]]).astype(values.dtype)] if ufunc.nin == 2 else []
        try:
            expected = ufunc(values, *others)
        except TypeError:  # bits of floats
            with pytest.raises(TypeError, match=ufunc.__name__):
                ufunc(ac.tensor(values), *others)
            continue
        requires_grad = values.dtype.kind == "f"
        result = ufunc(ac.tensor(values, requires_grad=requires_grad), *others)
        assert isinstance(result, ac.Tensor)
        assert not result.requires_grad
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result.numpy(), expected)


def test_every_public_name_is_that_of_numpy():
    from autograd_conv.ops import discrete, elementwise

    for name in (*discrete.__all__, *elementwise.__all__):
        assert callable(getattr(ac, name)), name
        numpy_function = getattr(np, name, None)
        if numpy_function is not None and numpy_function in FUNCTIONS:
            assert FUNCTIONS[numpy_function] is getattr(ac, name), name


# --- special values ----------------------------------------------------------------------------------------


def _gradients(function, *values):
    tensors = [ac.tensor(float(v) if np.ndim(v) == 0 else v, requires_grad=True) for v in values]
    result = function(*tensors)
    return [g.numpy() for g in ac.grad(result, tensors, np.ones(result.shape))]


@pytest.mark.parametrize(("exponent", "expected"), [(0, 0), (1, 1), (2, 0), (3, 0)])
def test_power_at_zero(expected, exponent):
    for y in (exponent, float(exponent), np.float64(exponent), np.array(exponent), ac.tensor(float(exponent))):
        x = ac.tensor(0.0, requires_grad=True)
        (x**y).backward()
        assert (0 if x.grad is None else x.grad) == expected  # None: nothing arrived, the derivative is zero
    by_x, by_y = _gradients(ac.power, 0.0, exponent)
    assert (by_x, by_y) == (expected, 0)
    x = ac.tensor(0.0, requires_grad=True)
    (first,) = ac.grad(x**exponent, x, create_graph=True)
    if first.requires_grad:
        (second,) = ac.grad(first, x)
        assert second.item() == (2 if exponent == 2 else 0)


def test_power_of_negative_numbers():
    by_x, _ = _gradients(lambda x, _: x**3 + x ** ac.tensor(2.0), -2.0, 0.0)
    assert by_x == 12 - 4


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_ties_split_evenly(name):
    function = getattr(ac, name)
    x, y = _gradients(function, [1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(x + y, [1, 1, 1])
    assert x[1] == y[1] == 0.5
    assert x[0] == (name in ("minimum", "fmin"))


def test_maximum_with_nan():
    for x, y in ([np.nan, 1.0], [1.0, np.nan]):
        assert np.isnan(ac.maximum(x, y).item())
        assert ac.fmax(x, y).item() == 1
        gx, gy = _gradients(ac.fmax, x, y)
        assert (gx, gy) == (float(not np.isnan(x)), float(not np.isnan(y)))
        gx, gy = _gradients(ac.maximum, x, y)
        assert (gx, gy) == (float(np.isnan(x)), float(np.isnan(y)))


def test_nan_goes_through():
    for name in ("exp", "tanh", "sin", "sqrt", "absolute"):
        x = ac.tensor([np.nan, 1.0], requires_grad=True)
        y = getattr(ac, name)(x)
        assert np.isnan(y.numpy()[0])
        y.sum().backward()
        assert np.isnan(x.grad[0])
        assert np.isfinite(x.grad[1])


def test_log_at_zero():
    x = ac.tensor([0.0, 1.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        y = ac.log(x)
        y.backward([1.0, 1.0])
    np.testing.assert_array_equal(y.numpy(), [-np.inf, 0])
    np.testing.assert_array_equal(x.grad, [np.inf, 1])


def test_where_gives_exactly_zero_on_the_other_side():
    x = ac.tensor([np.inf, np.nan, 1.0], requires_grad=True)
    y = ac.tensor([1.0, 2.0, np.nan], requires_grad=True)
    result = ac.where([False, False, True], x, y)
    result.backward([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(x.grad, [0, 0, 3])
    np.testing.assert_array_equal(y.grad, [1, 2, 0])


def test_where_without_values_and_refusal():
    (positions,) = np.where(ac.tensor([0, 1, 1]))
    np.testing.assert_array_equal(positions, [1, 2])
    with pytest.raises(ValueError, match="where: give both"):
        ac.where([True], 1.0)


def test_saturated_functions():
    x = ac.tensor([-800.0, -40.0, 0.0, 40.0, 800.0], requires_grad=True)
    ac.tanh(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 0, 1, 0, 0])
    x.grad = None
    ac.logaddexp(x, 0.0).sum().backward()
    np.testing.assert_allclose(x.grad, [0, 0, 0.5, 1, 1], atol=1e-15)


def test_absolute_value_at_zero():
    (g,) = _gradients(ac.abs, 0.0)
    assert g == 0


def test_hypot_and_arctan2_along_axes():
    assert _gradients(ac.hypot, 3.0, 4.0) == [0.6, 0.8]
    assert _gradients(ac.arctan2, 0.0, -1.0) == [-1.0, 0.0]


def test_clip(rng):
    x = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    t = ac.tensor(x, requires_grad=True)
    for args, kwargs in [((-1, 1), {}), ((None, 1), {}), ((-1, None), {}), ((), {"min": -1, "max": 1})]:
        t.grad = None
        y = np.clip(t, *args, **kwargs)
        np.testing.assert_array_equal(y.numpy(), np.clip(x, *args, **kwargs))
        y.sum().backward()
        low, high = (*args, kwargs.get("min"), kwargs.get("max"))[:2]
        inside = (x >= (-np.inf if low is None else low)) & (x <= (np.inf if high is None else high))
        np.testing.assert_array_equal(t.grad, inside)
    ac.testing.check_vjp(ac.clip, rng.standard_normal((4, 3)), rng.random(3) - 1.5, rng.random((4, 1)) + 0.5)
    ac.testing.check_vjp(ac.clip, rng.standard_normal((4, 3)), np.array(0.5), np.array(-0.5))
    assert ac.clip(t.astype(np.float32), -1, 1).dtype == np.float32


def test_round_and_nan_to_num():
    x = ac.tensor([1.26, np.nan, np.inf], requires_grad=True)
    np.testing.assert_array_equal(np.round(x, 1).numpy(), [1.3, np.nan, np.inf])
    y = np.nan_to_num(x, posinf=9.0)
    np.testing.assert_array_equal(y.numpy(), [1.26, 0, 9])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [1, 0, 0])


# --- types and operands ------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [np.float32, np.float64, np.int64, np.int8, np.bool_])
@pytest.mark.parametrize("right", [np.float32, np.float64, np.int64, np.int8, np.bool_])
@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.true_divide, np.maximum, np.power])
def test_promotion(ufunc, left, right):
    x, y = np.array([1, 1], left), np.array([1, 1], right)
    try:
        expected = ufunc(x, y).dtype
    except TypeError:
        pytest.skip("NumPy has no such function of these types")
    for result in (
        ufunc(ac.tensor(x), ac.tensor(y)),
        ufunc(x, ac.tensor(y)),
        ufunc(ac.tensor(x), y),
        FUNCTIONS[ufunc](x, y),
    ):
        assert result.dtype == expected
    tensors = [ac.tensor(v, requires_grad=v.dtype.kind == "f") for v in (x, y)]
    result = ufunc(*tensors)
    if result.requires_grad:
        result.sum().backward()
        for t in tensors:
            assert t.grad is None or t.grad.dtype == t.dtype


def test_python_numbers_keep_float32():
    x = ac.tensor(np.ones(2, np.float32), requires_grad=True)
    for y in (
        x + 1,
        1 - x,
        2.5 * x,
        x / 3,
        3 / x,
        x**2,
        x**0.5,
        2**x,
        x % 2,
        ac.maximum(x, 0),
        ac.where(x > 0, x, 0.0),
    ):
        assert y.dtype == np.float32
        x.grad = None
        y.sum().backward()
        assert x.grad.dtype == np.float32
    assert (x + np.float64(1)).dtype == (np.ones(2, np.float32) + np.float64(1)).dtype


@pytest.mark.parametrize(
    "operator",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a**b,
        lambda a, b: a % b,
        lambda a, b: a // b,
        lambda a, b: a < b,
        lambda a, b: a == b,
    ],
)
@pytest.mark.parametrize("other", [np.array([2.0, 3.0]), [2.0, 3.0], (2.0, 3.0), 2.0, 2, np.float64(2), np.array(2.0)])
def test_operands_in_both_orders(operator, other):
    x = ac.tensor([1.5, 2.5], requires_grad=True)
    array = np.asarray(other)
    for result, expected in [
        (operator(x, other), operator(x.numpy(), array)),
        (operator(other, x), operator(array, x.numpy())),
    ]:
        assert isinstance(result, ac.Tensor)
        assert result.requires_grad == (expected.dtype.kind == "f")
        np.testing.assert_allclose(result.numpy(), expected)


def test_lists_of_tensors_as_operands_keep_their_history():
    x, a = ac.tensor([1.0, 2.0], requires_grad=True), ac.tensor(3.0, requires_grad=True)
    for result in (x * [a, 5.0], [a, 5.0] * x, ac.multiply([a, 5.0], x), ac.multiply(x, [a, 5.0])):
        a.grad = x.grad = None
        result.sum().backward()
        assert a.grad == 1
        np.testing.assert_array_equal(x.grad, [3, 5])


def test_out_where_and_dtype(rng):
    t, u = (ac.tensor(rng.random(3), requires_grad=True) for _ in range(2))
    out = ac.zeros(3)
    assert np.add(t, u, out=out) is out
    out.sum().backward()
    np.testing.assert_array_equal(t.grad, np.ones(3))
    with pytest.raises(TypeError, match="out= is an ndarray"):
        np.add(t, u, out=np.zeros(3))
    plain = np.zeros(3)
    np.add(t.detach(), 1, out=plain)
    np.testing.assert_allclose(plain, t.numpy() + 1)

    mask = np.array([True, False, True])
    base = ac.tensor([7.0, 8.0, 9.0], requires_grad=True)
    result = ac.multiply(t, u, where=mask, out=base)
    np.testing.assert_allclose(result.numpy(), np.where(mask, t.numpy() * u.numpy(), [7, 8, 9]))
    t.grad = None
    result.sum().backward()
    np.testing.assert_allclose(t.grad, u.numpy() * mask)
    np.testing.assert_array_equal(base.grad, ~mask)

    assert np.add(t, u, dtype=np.float32).dtype == np.float32
    with pytest.raises(TypeError, match="add: 1 arguments"):
        ac.add(t)


def test_in_place_operators(rng):
    x = ac.tensor(rng.random(3), requires_grad=True)
    y = x * 1
    y += x
    y *= 2
    y -= 1
    y /= x
    ac.testing.check_vjp(lambda x: (2 * (x + x) - 1) / x, rng.random(3) + 0.5)
    (g,) = ac.grad(y.sum(), x)
    np.testing.assert_allclose(g.numpy(), 1 / x.numpy() ** 2)


def test_broadcast_mismatch_names_the_function():
    with pytest.raises(ValueError, match=r"add\(x: float64 \(2,\), y: float64 \(3,\)\)"):
        ac.ones(2) + ac.ones(3)
