"""Primitives: registration, what records keep, checks of cotangents, errors."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv.primitive import unbroadcast


def leaf(values, dtype=float):
    return ac.tensor(values, dtype=dtype, requires_grad=True)


def test_called_with_ndarrays_a_primitive_is_its_forward():
    double = ac.primitive(lambda x: 2 * x, name="double")
    result = double(np.ones(2))
    assert type(result) is np.ndarray


def test_a_primitive_keeps_name_and_docstring_of_its_forward():
    @ac.primitive
    def cube(x):
        """x**3."""
        return x**3

    assert (cube.name, cube.__name__, cube.__doc__) == ("cube", "cube", "x**3.")
    assert repr(cube) == "<primitive cube>"


def test_a_record_keeps_only_what_the_requested_rules_name(rng):
    x, y = leaf(rng.standard_normal(3)), ac.tensor(rng.standard_normal(3))
    assert (x * y)._node.saved == (y._array,)
    assert (x + y)._node.saved == ()
    assert (y + x)._node.parents == (None, x._node)
    product = (x * x)._node
    assert len(product.saved) == 2
    out = ac.exp(x)
    assert out._node.saved[0] is out._array


def test_shape_and_dtype_are_kept_without_the_array():
    flatten = ac.primitive(lambda x: x.reshape(-1), name="flat")
    flatten.defvjp(x=lambda g, x_shape, x_dtype: g.reshape(x_shape).astype(x_dtype))
    x = leaf(np.ones((2, 3)))
    y = flatten(x)
    assert y._node.saved == ((2, 3), np.float64)
    y.backward(np.arange(6.0))
    np.testing.assert_array_equal(x.grad, np.arange(6.0).reshape(2, 3))


def test_settings_reach_the_rule_also_by_default():
    @ac.primitive
    def scale(x, *, factor=3.0, shift=0.0):
        return factor * x + shift

    scale.defvjp(x=lambda g, factor: factor * g)
    x = leaf([1.0])
    scale(x).backward()
    scale(x, factor=5.0, shift=1.0).backward()
    np.testing.assert_array_equal(x.grad, [8.0])


def test_residuals_are_saved_for_the_rule_and_hidden_from_the_caller():
    @ac.primitive(residuals="mask")
    def positive_part(x):
        mask = x > 0
        return x * mask, mask

    positive_part.defvjp(x=lambda g, mask: g * mask)
    x = leaf([-1.0, 2.0])
    y = positive_part(x)
    assert y.shape == (2,)
    assert y._node.saved[0].dtype == bool
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [0.0, 1.0])
    ac.testing.check_vjp(positive_part, np.array([-1.0, 2.0]))
    assert positive_part(np.array([-1.0, 2.0])).tolist() == [0.0, 2.0]


def test_variadic_primitives_get_the_index_of_the_argument():
    @ac.primitive
    def weighted(*arrays):
        return sum((k + 1) * a for k, a in enumerate(arrays))

    weighted.defvjp(arrays=lambda g, index: (index + 1) * g)
    x, y = leaf([1.0]), leaf([2.0])
    weighted(x, np.ones(1), y).backward()
    assert (x.grad[0], y.grad[0]) == (1.0, 3.0)

    @ac.primitive
    def product(*arrays):
        return np.prod(arrays, axis=0)

    def product_vjp(g, arrays, index):
        for k, other in enumerate(arrays):
            if k != index:
                g = g * other
        return g

    product.defvjp(arrays=product_vjp)
    ac.testing.check_vjp(product, np.array([2.0]), np.array([3.0]), np.array([5.0]))


def test_joint_rules_share_work_and_learn_what_is_needed():
    calls = []

    @ac.primitive
    def affine(x, w, b):
        return x * w + b

    def affine_vjp(g, x, w, needs):
        calls.append(needs)
        return (g * w if needs[0] else None, g * x if needs[1] else None, g if needs[2] else None)

    affine.defvjp(affine_vjp)
    x, w = leaf([2.0]), leaf([3.0])
    affine(x, w, np.ones(1)).backward()
    assert calls == [(True, True, False)]
    assert (x.grad[0], w.grad[0]) == (3.0, 2.0)
    ac.testing.check_vjp(affine, np.array([2.0]), np.array([3.0]), np.array([4.0]))


def test_several_outputs():
    @ac.primitive(multiple=True)
    def sum_and_difference(x, y):
        return x + y, x - y

    sum_and_difference.defvjp(x=lambda g: g[0] + g[1], y=lambda g: g[0] - g[1])
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    _, d = sum_and_difference(x, y)
    (d * d).sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * (x.data - y.data))
    np.testing.assert_array_equal(y.grad, -2 * (x.data - y.data))
    s2, d2 = sum_and_difference(x, y)
    gs, gd = ac.grad((s2 * s2 * d2).sum(), [s2, d2])
    np.testing.assert_allclose(gs.data, (2 * s2 * d2).data)
    np.testing.assert_allclose(gd.data, (s2 * s2).data)
    ac.testing.check_vjp(sum_and_difference, np.array([1.0, 2.0]), np.array([0.3, 0.4]))


def test_integer_outputs_are_constants():
    @ac.primitive(multiple=True)
    def split(x):
        return np.floor(x).astype(np.int64), x - np.floor(x)

    split.defvjp(x=lambda g: g[1])
    x = leaf([1.5, 2.25])
    whole, fraction = split(x)
    assert not whole.requires_grad
    fraction.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"z": lambda g: g}, "no argument 'z'; its arguments are 'x', 'y'"),
        ({"x": lambda g, nonsense: g}, "asks for 'nonsense'"),
        ({"x": lambda: 0}, "takes no cotangent"),
    ],
)
def test_wrong_registrations_are_refused(rules, message):
    prim = ac.primitive(lambda x, y: x + y, name="prim")
    with pytest.raises(TypeError, match=message):
        prim.defvjp(**rules)


def test_a_missing_rule_is_an_error_that_names_it_and_the_remedy():
    prim = ac.primitive(lambda x, y: x + y, name="prim").defvjp(x=lambda g: g)
    x, y = leaf([1.0]), leaf([2.0])
    prim(x, y.detach()).backward()
    with pytest.raises(ac.AutodiffError, match=r"'prim' has no VJP for argument 'y'; register one with prim.defvjp"):
        prim(x, y).backward()


def test_a_cotangent_of_the_wrong_shape_is_refused():
    prim = ac.primitive(lambda x: x.sum(), name="total").defvjp(x=lambda g: g)
    with pytest.raises(
        ac.AutodiffError, match=r"VJP of 'total' for argument 'x' \(float64, shape \(3,\)\) returned.*shape \(\)"
    ):
        prim(leaf([1.0, 2.0, 3.0])).backward()


def test_a_cotangent_that_does_not_unbroadcast_is_refused():
    prim = ac.primitive(lambda x: x * 2, name="twice", broadcasts=True).defvjp(x=lambda g: np.ones((2, 5)))
    with pytest.raises(ValueError, match=r"VJP of 'twice' for argument 'x'.*\(2, 5\).*\(3,\)"):
        prim(leaf([1.0, 2.0, 3.0])).backward(np.ones(3))


def test_a_joint_rule_must_return_one_cotangent_for_each_argument():
    prim = ac.primitive(lambda x, y: x + y, name="prim").defvjp(lambda g: (g,))
    with pytest.raises(ac.AutodiffError, match="returned 1, not 2 cotangents"):
        prim(leaf([1.0]), leaf([2.0])).backward()


def test_a_rule_may_return_none_for_zero():
    step = ac.primitive(np.floor, name="step", arguments=("x",)).defvjp(x=lambda g: None)
    x = leaf([1.5])
    (step(x) + x).backward()
    np.testing.assert_array_equal(x.grad, [1.0])


def test_an_exception_in_a_forward_names_primitive_and_arguments_and_restores_the_state():
    x = leaf([1.0, 2.0])
    with ac.Tape() as tape:
        with pytest.raises(ValueError, match=r"multiply\(x: float64 \(2,\), y: float64 \(3,\)\)"):
            x * np.ones(3)
        assert ac.is_grad_enabled()
        x * 1.0
    assert len(tape) == 1


def test_an_exception_in_a_recorded_vjp_restores_the_state():
    bad = ac.primitive(lambda x: x * 1.0, name="bad").defvjp(x=lambda g: g.nonsense)
    x = leaf([1.0])
    with ac.no_grad():
        pass
    y = bad(x)
    with ac.no_grad():
        with pytest.raises(AttributeError, match="VJP of 'bad' for argument 'x'"):
            ac.grad(y, x, create_graph=True)
        assert not ac.is_grad_enabled()


def test_exceptions_with_texts_of_their_own_are_not_broken():
    def forward(x):
        raise FileNotFoundError(2, "No such file", "weights.bin")

    prim = ac.primitive(forward, name="reader")
    with pytest.raises(FileNotFoundError, match=r"weights\.bin") as caught:
        prim(leaf([1.0]))
    assert any("reader" in note for note in caught.value.__notes__)


def test_cotangents_are_cast_to_the_dtype_of_the_argument():
    x, y = leaf([1.0, 2.0], np.float32), leaf([3.0, 4.0], np.float64)
    z = x * y
    assert z.dtype == np.float64
    z.backward(np.ones(2))
    assert x.grad.dtype == np.float32
    assert y.grad.dtype == np.float64


def test_unbroadcast_sums_what_was_repeated(rng):
    g = rng.standard_normal((4, 2, 3))
    np.testing.assert_allclose(unbroadcast(g, (2, 3)), g.sum(0))
    np.testing.assert_allclose(unbroadcast(g, (2, 1)), g.sum((0, 2)).reshape(2, 1))
    np.testing.assert_allclose(unbroadcast(g, (1, 2, 3)), g.sum(0, keepdims=True))
    np.testing.assert_allclose(unbroadcast(g, ()), g.sum())
    np.testing.assert_allclose(unbroadcast(np.ones(()), (3,)), np.ones(3))
    np.testing.assert_allclose(unbroadcast(np.ones((0, 3)), (3,)), np.zeros(3))


def test_a_numba_loop_as_a_primitive():
    numba = pytest.importorskip("numba")

    @numba.njit
    def loop(x):
        y = np.empty_like(x)
        for i in range(x.size):
            y[i] = x[i] * x[i] * x[i]
        return y

    cube = ac.primitive(lambda x: loop(x), name="cube").defvjp(x=lambda g, x: 3 * x**2 * g)
    ac.testing.check_vjp(cube, np.array([0.5, -2.0]))
    direct = ac.primitive(loop, name="cube", arguments=("x",)).defvjp(x=lambda g, x: 3 * x**2 * g)
    ac.testing.check_vjp(direct, np.array([0.5, -2.0]))


# --- the short ways of a call -------------------------------------------------------------------------------

add3 = ac.primitive(lambda *arrays: sum(arrays), name="add3").defvjp(arrays=lambda g: g)
halves = ac.primitive(lambda x, *, start=0: x[start::2], name="halves")
halves.defvjp(x=lambda g, x_shape, start: put(g, x_shape, start))


def put(g, shape, start):
    result = np.zeros(shape)
    result[start::2] = g
    return result


def test_a_record_knows_its_parents_however_many(rng):
    x, y = leaf(rng.standard_normal(3)), leaf(rng.standard_normal(3))
    constant = ac.tensor(rng.standard_normal(3))
    a, b = x._node, y._node
    assert ac.sin(x)._node.parents == (a,)
    assert (constant * y)._node.parents == (None, b)
    for parents in [(x,), (x, y), (x, constant, y), (x, y, x, y)]:
        assert add3(*parents)._node.parents == tuple([parent._node for parent in parents])
    assert [output._node.record.parents for output in ac.divmod(x, y)[1:]] == [(a, b)]


def test_a_record_that_saves_nothing_is_one_object_to_the_garbage_collector():
    x, y = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    for result in (x + y, -x):
        record = result._node
        gc.collect()
        held = [part for part in gc.get_referents(record) if type(part) in (tuple, list, dict) and gc.is_tracked(part)]
        assert held == []
        assert record.shape is x._node.shape


def test_short_and_long_ways_agree(rng):
    """`unary` and `binary` on Tensors, arrays and numbers: as the call they unroll."""
    values, other = rng.standard_normal(6), rng.standard_normal(6)
    np.testing.assert_array_equal(halves.unary(values, {"start": 1}), values[1::2])
    x = leaf(values)
    for result in (halves.unary(x, {"start": 1}), halves(x, start=1), halves.apply([x], {"start": 1})):
        g = rng.standard_normal(3)
        (gradient,) = ac.grad(result, x, g)
        np.testing.assert_array_equal(gradient.data, put(g, (6,), 1))
        result.data[0] = 7.0  # the view becomes an array of its own
        np.testing.assert_array_equal(x.data, values)
    multiply = ac.primitive(lambda x, y: x * y, name="times").defvjp(x=lambda g, y: g * y, y=lambda g, x: g * x)
    assert type(multiply.binary(values, other)) is np.ndarray
    assert multiply.binary(2.0, 3.0) == 6.0
    kept = other.copy()
    for result in (multiply.binary(x, other), multiply.binary(other, x)):
        other[:] = 0.0  # the caller's, not the record's
        (gradient,) = ac.grad(result, x, np.ones(6))
        np.testing.assert_array_equal(gradient.data, kept)
        other[:] = kept


def test_failures_on_the_short_ways_name_primitive_and_arguments():
    x = leaf([1.0, 2.0])
    fails = ac.primitive(lambda x: x.reshape(3), name="fails").defvjp(x=lambda g: g)
    for argument in (x, x.numpy()):
        with pytest.raises(ValueError, match=r"fails\(x: float64 \(2,\)\): cannot reshape"):
            fails.unary(argument)
    with pytest.raises(ValueError, match=r"add\(x: float64 \(2,\), y: float64 \(3,\)\)"):
        x + np.ones(3)


def test_residuals_reach_the_rule_on_the_short_way(rng):
    seen = []

    def forward(x):
        return x * 2.0, "first", "second"

    double = ac.primitive(forward, name="double", residuals=("one", "two"))
    double.defvjp(x=lambda g, two, x_shape, one: (seen.append((one, two, x_shape)), 2.0 * g)[1])
    x = leaf(rng.standard_normal(3))
    for result in (double(x), double.unary(x)):
        result.backward(np.ones(3))
    assert seen == [("first", "second", (3,))] * 2
    assert type(double.unary(np.ones(3))) is np.ndarray


def test_integer_outputs_beside_others_are_constants_in_derivatives_of_any_order():
    x = leaf([0.75, 3.0])
    (first,) = ac.grad(ac.frexp(x)[0], x, np.ones(2), create_graph=True)
    np.testing.assert_array_equal(first.data, [1.0, 0.25])
