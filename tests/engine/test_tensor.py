"""Tensors: construction, operators, conversions, NumPy's protocols."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy as np
import pytest

import autograd_conv as ac


def leaf(values, dtype=float):
    return ac.tensor(values, dtype=dtype, requires_grad=True)


def test_attributes_are_those_of_the_array():
    x = ac.tensor([[1.0, 2.0, 3.0]], dtype=np.float32)
    assert (x.shape, x.ndim, x.size, x.dtype, x.nbytes, len(x)) == ((1, 3), 2, 3, np.float32, 12, 1)
    assert x.T.shape == (3, 1)
    assert type(x.data) is np.ndarray
    assert x.grad is None
    assert not x.requires_grad


def test_numbers_that_have_no_gradient_are_refused():
    with pytest.raises(TypeError, match="dtype int64 has no gradient"):
        ac.tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="'array' has dtype"):
        ac.tensor(["a"])
    with pytest.raises(TypeError, match="'array' has dtype object"):
        ac.tensor([object()])


def test_repr_shows_values_dtype_and_what_made_it():
    x = leaf([1.0, 2.0])
    assert repr(x) == "Tensor([1., 2.], dtype=float64, requires_grad=True)"
    assert repr(ac.tensor([1, 2])) == "Tensor([1, 2], dtype=int64)"
    assert repr(x * 2) == "Tensor([2., 4.], dtype=float64, made by multiply)"
    assert "shape=(0, 3)" in repr(ac.tensor(np.zeros((0, 3))))
    assert f"{ac.tensor(1.25):.1f}" == "1.2"


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
@pytest.mark.parametrize("other", [2.0, 3, np.float64(1.5), np.array([1.0, 2.0]), [1.0, 2.0], "tensor"])
def test_operators_in_both_orders_with_everything(op, other):
    x = leaf([1.5, 2.5])
    plain = np.array([3.0, 4.0]) if isinstance(other, str) else other
    partner = ac.tensor(plain) if isinstance(other, str) else other
    for values, result in (
        (op(x.numpy(), plain), op(x, partner)),
        (op(np.asarray(plain), x.numpy()), op(partner, x)),
    ):
        assert isinstance(result, ac.Tensor)
        np.testing.assert_allclose(result.data, values)
        assert result.requires_grad
    ac.testing.check_vjp(lambda t: op(t, plain), x)
    ac.testing.check_vjp(lambda t: op(plain, t), x)


def test_matmul_operator_in_both_orders():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal((leaf(a) @ b).data, a @ b)
    np.testing.assert_array_equal((a @ leaf(b)).data, a @ b)


def test_unknown_operands_leave_the_stage_to_the_other_side():
    class Other:
        def __radd__(self, other):
            return "other"

    assert leaf([1.0]) + Other() == "other"
    with pytest.raises(TypeError, match="unsupported operand"):
        leaf([1.0]) + "text"


def test_comparisons_are_element_by_element_and_constant():
    x = leaf([1.0, 2.0, 3.0])
    for op in (operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge):
        result = op(x, 2.0)
        np.testing.assert_array_equal(result.data, op(x.numpy(), 2.0))
        assert result.dtype == bool
        assert not result.requires_grad


def test_integer_and_bit_operators():
    a = ac.tensor([6, 7])
    np.testing.assert_array_equal((a // 4).data, [1, 1])
    np.testing.assert_array_equal((a % 4).data, [2, 3])
    np.testing.assert_array_equal((a & 3).data, [2, 3])
    np.testing.assert_array_equal((1 | a).data, [7, 7])
    np.testing.assert_array_equal((a ^ 1).data, [7, 6])
    np.testing.assert_array_equal((a << 1).data, [12, 14])
    np.testing.assert_array_equal((~a).data, [-7, -8])
    quotient, rest = divmod(a, 4)
    np.testing.assert_array_equal((quotient * 4 + rest).data, a.data)


@pytest.mark.parametrize("other", [2.0, 3, np.float32(2), [1, 2, 3]])
def test_weak_scalars_keep_float32(other):
    x = leaf([1.0, 2.0, 3.0], np.float32)
    y = x * other if not isinstance(other, list) else x * np.array(other, np.float32)
    assert y.dtype == np.float32
    y.backward(np.ones(3))
    assert x.grad.dtype == np.float32


def test_promotion_is_numpys():
    assert (ac.tensor([1]) + 1.5).dtype == np.float64
    assert (ac.tensor([1], dtype=np.float32) + np.float64(1)).dtype == np.float64
    assert (ac.tensor([1], dtype=np.float32) + ac.tensor([1])).dtype == np.float64
    assert (ac.tensor([True]) + ac.tensor([True])).dtype == bool


def test_in_place_operators_change_the_tensor_and_are_recorded():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    alias = y
    y *= 3
    y += x
    assert alias is y
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [4.0, 4.0])


def test_in_place_operators_keep_shape_and_dtype():
    x = ac.tensor([1, 2])
    with pytest.raises(TypeError, match=r"float64.*int64"):
        x += 0.5
    with pytest.raises(ValueError, match=r"shape \(3, 2\).*shape \(2,\)"):
        x += np.ones((3, 2), int)
    np.testing.assert_array_equal(x.data, [1, 2])
    y = ac.tensor([1.0], dtype=np.float32)
    y += np.array([1.0])
    assert y.dtype == np.float32


def test_updates_without_recording_leave_a_leaf_a_leaf():
    p = leaf([1.0, 2.0])
    (p * p).sum().backward()
    with ac.no_grad():
        p -= 0.5 * p.grad
    assert p.is_leaf
    assert p.requires_grad
    np.testing.assert_array_equal(p.data, [0.0, 0.0])


def test_conversions():
    x = ac.tensor([2.5])
    assert (float(x), int(x), x.item(), bool(x), complex(x)) == (2.5, 2, 2.5, True, 2.5)
    assert list(range(5))[ac.tensor(3)] == 3
    assert ac.tensor([[1, 2]]).tolist() == [[1, 2]]
    assert 2.5 in x
    with pytest.raises(ValueError, match="ambiguous"):
        bool(ac.tensor([1.0, 2.0]))
    with pytest.raises(TypeError):
        float(ac.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="without axes"):
        iter(ac.tensor(1.0))


def test_iteration_is_recorded():
    x = leaf([1.0, 2.0])
    first, second = x
    (first * second).backward()
    np.testing.assert_array_equal(x.grad, [2.0, 1.0])


def test_numpy_gives_copies():
    x = ac.tensor([1.0, 2.0])
    for array in (x.numpy(), np.asarray(x), np.array(x)):
        array[0] = 9
    np.testing.assert_array_equal(x.data, [1.0, 2.0])
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert np.array(x, copy=False) is x.data


def test_requires_grad_can_be_switched_on_leaves():
    x = ac.tensor([1.0])
    x.requires_grad = True
    (x * x).backward()
    assert x.grad is not None
    x.requires_grad = False
    assert not (x * x).requires_grad
    y = leaf([1.0]) * 2
    with pytest.raises(ac.AutodiffError, match=r"'multiply'.*detach"):
        y.requires_grad = False


def test_grad_can_be_assigned_on_leaves_only():
    x = leaf([1.0, 2.0])
    x.grad = [3, 4]
    assert x.grad.dtype == np.float64
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        x.grad = np.ones(3)
    with pytest.raises(ac.AutodiffError, match="made by 'multiply'"):
        (x * 2).grad = [1, 2]
    ac.tensor([1.0]).grad = None


def test_detach_has_the_values_without_the_history():
    x = leaf([1.0, 2.0])
    y = (x * x).detach()
    assert not y.requires_grad
    (y * x).backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [1.0, 4.0])


def test_pickle_and_copy():
    x = leaf([1.0, 2.0])
    x.grad = [5.0, 6.0]
    for twin in (pickle.loads(pickle.dumps(x)), copy.copy(x), copy.deepcopy(x)):
        assert twin.requires_grad
        twin.data[0] = 9
        np.testing.assert_array_equal(x.data, [1.0, 2.0])
    np.testing.assert_array_equal(copy.deepcopy(x).grad, x.grad)
    with pytest.raises(TypeError, match=r"multiply.*detach"):
        pickle.dumps(x * 2)


def test_tensors_key_dictionaries_by_identity():
    x, y = ac.tensor([1.0]), ac.tensor([1.0])
    assert {x: 1, y: 2}[x] == 1


# --- NumPy's protocols ------------------------------------------------------------------------------------------


def test_numpys_functions_reach_the_same_primitives():
    x = leaf([1.0, 2.0])
    for result, name in (
        (np.exp(x), "exp"),
        (np.multiply(2.0, x), "multiply"),
        (np.sum(x, axis=0), "sum"),
        (np.concatenate([x, [3.0]]), "concatenate"),
        (np.add.reduce(x), "sum"),
    ):
        assert isinstance(result, ac.Tensor)
        assert result._node.name == name


def test_an_ndarray_on_the_left_is_no_obstacle():
    x = leaf([1.0, 2.0])
    y = np.array([[1.0], [2.0]]) * x
    assert isinstance(y, ac.Tensor)
    y.backward(np.ones((2, 2)))
    np.testing.assert_array_equal(x.grad, [3.0, 3.0])


def test_out_may_be_a_tensor():
    x, out = leaf([1.0, 2.0]), ac.tensor([0.0, 0.0])
    result = np.add(x, 1.0, out=out)
    assert result is out
    out.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


def test_out_as_an_ndarray_would_lose_the_history():
    x, out = leaf([1.0, 2.0]), np.zeros(2)
    with pytest.raises(TypeError, match="out= is an ndarray"):
        np.add(x, 1.0, out=out)
    np.testing.assert_array_equal(out, 0)
    np.add(x.detach(), 1.0, out=out)
    np.testing.assert_array_equal(out, [2.0, 3.0])
    with pytest.raises(TypeError, match="out= is an ndarray"):
        out += x


def test_functions_that_are_not_covered_say_what_to_do():
    with pytest.raises(TypeError, match=r"numpy\.\S*sqrt is not covered.*register_numpy"):
        np.emath.sqrt(leaf([1.0]))
    with pytest.raises(TypeError, match=r"numpy\.asmatrix takes no Tensors: NumPy advises against matrices"):
        ac.dispatch.lookup(np.asmatrix)


def test_a_function_of_ones_own_can_stand_for_numpys():
    before = dict(ac.dispatch.FUNCTIONS)
    spacing = ac.primitive(np.spacing, arguments=("x",)).defvjp(x=lambda g: None)
    try:
        ac.register_numpy(np.spacing, spacing)
        assert isinstance(np.spacing(leaf([1.0])), ac.Tensor)
    finally:
        ac.dispatch.FUNCTIONS.clear()
        ac.dispatch.FUNCTIONS.update(before)
    with pytest.raises(TypeError, match="not callable"):
        ac.register_numpy(np.spacing, 3)


def test_methods_of_ndarray_are_the_functions():
    a = np.arange(1.0, 7.0).reshape(2, 3)
    x = leaf(a)
    calls = {
        "cumprod": (1,), "cumsum": (0,), "argsort": (0,), "repeat": (2, 1), "diagonal": (), "trace": (1,),
        "take": ([1, 0], 1),
        "swapaxes": (0, 1), "squeeze": (), "clip": (2, 4), "prod": (0,), "var": (1,), "round": (), "ravel": (),
    }  # fmt: skip
    for name, arguments in calls.items():
        found = getattr(x, name)(*arguments)
        np.testing.assert_array_equal(found.data, getattr(a, name)(*arguments), err_msg=name)
        assert found.requires_grad == (name != "argsort"), name
    for found, expected in zip((x > 2).nonzero(), (a > 2).nonzero()):
        np.testing.assert_array_equal(found, expected)
