"""Derivative operators against closed forms, central differences and each other."""

from __future__ import annotations

import dataclasses
from collections import namedtuple

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import trees


def differences(function, x, step=1e-6):
    """The Jacobian of a function of one float64 array by central differences."""
    columns = []
    for index in np.ndindex(x.shape):
        moved = np.zeros(x.shape)
        moved[index] = step
        columns.append((np.asarray(function(x + moved)) - np.asarray(function(x - moved))) / (2 * step))
    return np.stack(columns, -1).reshape(np.shape(function(x)) + x.shape)


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def mixed(x):
    return np.tanh(np.outer(x, x)) @ x + np.sin(x[::-1])


POINT = np.array([0.3, -0.7, 1.1])


# --- trees ---------------------------------------------------------------------------------------------

Pair = namedtuple("Pair", "left right")


@dataclasses.dataclass(frozen=True)
class Layer:
    w: object
    b: object
    name: str = "layer"


@pytest.mark.parametrize(
    "tree",
    [
        1.0,
        [],
        (),
        {},
        None,
        [1, (2, [3]), {"a": None, "b": 4}],
        Pair(1, [2]),
        Layer([1, 2], {"c": 3}),
        {(1, 2): [Pair(None, 5)]},
    ],
)
def test_a_tree_comes_back(tree):
    leaves, structure = trees.flatten(tree)
    assert trees.unflatten(structure, leaves) == tree
    assert trees.unflatten(structure, leaves).__class__ is tree.__class__
    assert trees.flatten(tree)[1] == structure
    assert hash(trees.flatten(tree)[1]) == hash(structure)


def test_structures_differ_by_containers_and_labels():
    structures = [trees.flatten(tree)[1] for tree in ([1], (1,), {"a": 1}, {"b": 1}, [1, 2], [[1]], None)]
    assert all((a == b) == (i == j) for i, a in enumerate(structures) for j, b in enumerate(structures))


def test_tree_map():
    assert trees.tree_map(lambda a, b: a + b, {"x": [1, 2]}, {"x": [10, 20]}) == {"x": [11, 22]}
    with pytest.raises(ValueError, match="different structures"):
        trees.tree_map(lambda a, b: a, [1], (1,))


# --- values against differences ------------------------------------------------------------------------


def test_value_and_grad():
    value, gradient = ac.value_and_grad(rosenbrock)(POINT)
    assert value == pytest.approx(rosenbrock(POINT))
    assert isinstance(gradient, np.ndarray)
    np.testing.assert_allclose(gradient, differences(rosenbrock, POINT), rtol=1e-6)
    np.testing.assert_array_equal(ac.grad(rosenbrock)(POINT), gradient)


def test_jacobian():
    np.testing.assert_allclose(ac.jacobian(mixed)(POINT), differences(mixed, POINT), rtol=1e-6, atol=1e-8)


def test_hessian_and_its_products():
    hessian = ac.hessian(rosenbrock)(POINT)
    np.testing.assert_allclose(hessian, differences(ac.grad(rosenbrock), POINT), rtol=1e-5, atol=1e-5)
    vector = np.array([0.2, 3.0, -1.0])
    np.testing.assert_allclose(ac.hvp(rosenbrock)(POINT, vector), hessian @ vector, rtol=1e-12)


def test_vjp_and_jvp_are_transposes():
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal(3), rng.standard_normal(3)
    value, pullback = ac.vjp(mixed, POINT)
    same, tangent = ac.jvp(mixed, (POINT,), (v,))
    np.testing.assert_array_equal(value, mixed(POINT))
    np.testing.assert_array_equal(same, value)
    jacobian = differences(mixed, POINT)
    np.testing.assert_allclose(pullback(u)[0], u @ jacobian, rtol=1e-6)
    np.testing.assert_allclose(tangent, jacobian @ v, rtol=1e-6)
    np.testing.assert_array_equal(pullback(u)[0], pullback(u)[0])  # as often as you like


def test_elementwise_grad():
    np.testing.assert_allclose(ac.elementwise_grad(np.tanh)(POINT), 1 - np.tanh(POINT) ** 2)
    second = ac.elementwise_grad(ac.elementwise_grad(np.sin))
    np.testing.assert_allclose(second(POINT), -np.sin(POINT))
    np.testing.assert_allclose(ac.elementwise_grad(np.multiply, 1)(POINT, 2 * POINT), POINT)


# --- what comes in decides what goes out ---------------------------------------------------------------


def test_arrays_give_arrays_and_tensors_give_tensors():
    assert isinstance(ac.grad(rosenbrock)(POINT), np.ndarray)
    assert isinstance(ac.grad(rosenbrock)(ac.tensor(POINT)), ac.Tensor)
    assert isinstance(ac.grad(lambda x: x**2)(3.0), np.float64)
    assert ac.grad(lambda x: x**2)(3) == 6.0  # a Python number is a real number
    single = ac.grad(rosenbrock)(POINT.astype(np.float32))
    assert single.dtype == np.float32


def test_arguments_by_number_and_by_keyword():
    def scaled(x, y, *, power):
        return np.sum(x**power * y)

    gx, gy = ac.grad(scaled, argnums=(0, 1))(POINT, 2 * POINT, power=2)
    np.testing.assert_allclose(gx, 4 * POINT**2)
    np.testing.assert_allclose(gy, POINT**2)
    np.testing.assert_array_equal(ac.grad(scaled, -1)(POINT, 2 * POINT, power=2), gy)


def test_nested_structures():
    parameters = {"layers": [Layer(np.array([[1.0, 2.0]]), np.array([0.5])), Layer(np.array([[3.0]]), None)], "c": 2.0}

    def loss(p, x):
        first, second = p["layers"]
        h = np.tanh(first.w @ x + first.b)
        return p["c"] * np.sum(second.w @ h)

    plain = dataclasses.replace(parameters["layers"][0], name=None)
    tree = {**parameters, "layers": [plain, dataclasses.replace(parameters["layers"][1], name=None)]}
    x = np.array([0.1, -0.2])
    value, gradient = ac.value_and_grad(loss)(tree, x)
    assert trees.flatten(gradient)[1] == trees.flatten(tree)[1]
    h = np.tanh(0.1 - 0.4 + 0.5)
    assert value == pytest.approx(6 * h)
    np.testing.assert_allclose(gradient["layers"][1].w, [[2 * h]])
    np.testing.assert_allclose(gradient["layers"][0].w, 6 * (1 - h * h) * x[None])
    assert gradient["layers"][1].b is None


def test_structures_as_results():
    def both(x):
        return {"sum": np.sum(x), "square": (x**2, 3.0)}

    value, pullback = ac.vjp(both, POINT)
    assert value["square"][1] == 3.0
    (gradient,) = pullback({"sum": 1.0, "square": (np.ones(3), 0.0)})
    np.testing.assert_allclose(gradient, 1 + 2 * POINT)
    _, tangent = ac.jvp(both, (POINT,), (np.ones(3),))
    np.testing.assert_allclose(tangent["square"][0], 2 * POINT)
    assert tangent["square"][1] == 0.0
    jacobian = ac.jacobian(lambda x: {"a": x**2, "b": np.sum(x)})(POINT)
    np.testing.assert_allclose(jacobian["a"], np.diag(2 * POINT))
    np.testing.assert_allclose(jacobian["b"], np.ones(3))


def test_auxiliary_values():
    def with_note(x):
        return np.sum(x**2), "note"

    (value, note), gradient = ac.value_and_grad(with_note, has_aux=True)(POINT)
    assert (value, note) == (pytest.approx(np.sum(POINT**2)), "note")
    np.testing.assert_allclose(gradient, 2 * POINT)
    assert ac.grad(with_note, has_aux=True)(POINT)[1] == "note"
    assert ac.vjp(with_note, POINT, has_aux=True)[2] == "note"
    assert ac.jvp(with_note, (POINT,), (POINT,), has_aux=True)[2] == "note"


# --- nesting -------------------------------------------------------------------------------------------


def test_operators_nest_over_plain_numbers():
    assert ac.grad(ac.grad(ac.grad(lambda x: x**4)))(2.0) == pytest.approx(48.0)
    # The inner function closes over the outer variable: the product rule must see both.
    assert ac.grad(lambda y: y * ac.grad(lambda x: x * x * y)(3.0))(2.0) == pytest.approx(24.0)
    assert ac.grad(lambda y: ac.jvp(lambda x: x * x * y, (3.0,), (1.0,))[1])(2.0) == pytest.approx(6.0)
    assert ac.jvp(lambda y: ac.grad(lambda x: x * x * y)(3.0), (2.0,), (1.0,))[1] == pytest.approx(6.0)
    # Arguments of the calls inside are constants to the one outside: numbers in, numbers out.
    assert isinstance(ac.grad(lambda y: y * ac.grad(lambda x: x * x * y)(3.0))(2.0), np.float64)
    assert isinstance(ac.hvp(lambda x: ac.grad(lambda y: x * y**2)(x) ** 2)(3.0, 1.0), np.float64)


def test_a_derivative_of_tensors_joins_their_history():
    x = ac.tensor(POINT, requires_grad=True)
    gradient = ac.grad(lambda v: np.sum(v**3))(x * 2)
    np.testing.assert_allclose(gradient.data, 12 * POINT**2)
    gradient.sum().backward()
    np.testing.assert_allclose(x.grad, 24 * POINT)
    scale = ac.tensor(2.0, requires_grad=True)
    _, pullback = ac.vjp(lambda v: v * scale, POINT)
    (back,) = pullback(np.ones(3))
    np.testing.assert_allclose(ac.grad(back.sum(), scale)[0].data, 3.0)
    hessian_trace = np.trace(ac.hessian(rosenbrock)(x))
    assert ac.grad(hessian_trace, x)[0].shape == (3,)


def test_no_history_where_nobody_recorded():
    x = ac.tensor(POINT, requires_grad=True)
    with ac.no_grad():
        gradient = ac.grad(rosenbrock)(x)
        tangent = ac.jvp(mixed, (x,), (POINT,))[1]
        product = ac.hvp(rosenbrock)(x, POINT)
    assert not any(value.requires_grad for value in (gradient, tangent, product))
    np.testing.assert_allclose(gradient.data, ac.grad(rosenbrock)(POINT))
    np.testing.assert_allclose(product.data, ac.hvp(rosenbrock)(POINT, POINT))
    assert x.grad is None


def test_a_function_that_does_not_depend_on_its_argument():
    assert ac.grad(lambda x: 3.0 + 0 * np.sum(np.ones(2)))(1.0) == 0
    np.testing.assert_array_equal(ac.jacobian(lambda x: ac.tensor([1.0, 2.0]))(POINT), np.zeros((2, 3)))
    np.testing.assert_array_equal(ac.hvp(lambda x: np.sum(x))(POINT, POINT), np.zeros(3))
    assert ac.jvp(lambda x: 5.0, (1.0,), (1.0,)) == (5.0, 0.0)
    np.testing.assert_array_equal(ac.jvp(np.floor, (POINT,), (POINT,))[1], np.zeros(3))


def test_empty_and_zero_dimensional():
    assert ac.jacobian(lambda x: x * 2)(np.zeros((0, 2))).shape == (0, 2, 0, 2)
    assert ac.grad(np.sum)(np.zeros(0)).shape == (0,)
    assert ac.jacobian(lambda x: x**2)(np.array(3.0)) == 6.0


def test_stop_gradient():
    assert ac.grad(lambda x: x * ac.stop_gradient(x))(3.0) == 3.0
    tree = ac.stop_gradient({"a": ac.tensor(1.0, requires_grad=True), "b": "text"})
    assert not tree["a"].requires_grad
    assert tree["b"] == "text"


# --- mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ac.grad(lambda x: x)(POINT), ValueError, r"must return a scalar, it returned shape \(3,\)"),
        (lambda: ac.grad(lambda x: (x, x))(1.0), ValueError, "one scalar, it returned 2 values"),
        (lambda: ac.grad(np.sum)(np.arange(3)), TypeError, "argument 0 is an array of dtype int64"),
        (lambda: ac.grad(np.sum)("text"), TypeError, "argument 0 is a str"),
        (lambda: ac.grad(np.sum, 2)(POINT), ValueError, "positional argument 2"),
        (lambda: ac.grad(np.sum, "x")(POINT), TypeError, "argnums"),
        (lambda: ac.grad(np.sum)(ac.tensor([1, 2])), TypeError, "dtype int64"),
        (lambda: ac.vjp(mixed, POINT)[1]((POINT,)), ValueError, "structure"),
        (lambda: ac.vjp(mixed, POINT)[1](np.ones(2)), ValueError, r"shape \(2,\)"),
        (lambda: ac.vjp(mixed, POINT)[1](np.ones(3) * 1j), TypeError, "cannot be cast"),
        (lambda: ac.jvp(mixed, POINT, POINT), TypeError, "tuple of arguments"),
        (lambda: ac.jvp(mixed, (POINT,), (POINT, POINT)), ValueError, "structure"),
        (lambda: ac.hvp(rosenbrock)(POINT), TypeError, "and then the vector"),
        (lambda: ac.grad(lambda x: x, has_aux=True)(1.0), TypeError, "has_aux"),
        (lambda: ac.grad(ac.tensor(1.0, requires_grad=True)), TypeError, "inputs"),
        (lambda: ac.grad(np.sum, create_graph=True), TypeError, "belong to Tensors"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_an_exception_leaves_the_recording_state():
    def fails(x):
        raise KeyError("inside")

    with ac.no_grad():
        with pytest.raises(KeyError):
            ac.grad(fails)(1.0)
        assert not ac.is_grad_enabled()
