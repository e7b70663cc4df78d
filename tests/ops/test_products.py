"""Matrix products and Einstein sums."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac

MATMUL = [
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (4, 3, 2)),
    ((1, 2, 3), (4, 3, 2)),
    ((2, 0), (0, 3)),
    ((0, 2), (2, 3)),
    ((4, 0, 2), (2, 3)),
]


@pytest.mark.parametrize(("left", "right"), MATMUL)
def test_matmul(agrees, rng, left, right):
    agrees(ac.matmul, np.matmul, rng.standard_normal(left), rng.standard_normal(right))


@pytest.mark.parametrize(
    ("name", "shapes", "settings"),
    [
        ("dot", [(), (2, 3)], {}),
        ("dot", [(3,), (3,)], {}),
        ("dot", [(2, 3), (3, 2)], {}),
        ("dot", [(2, 3, 4), (4,)], {}),
        ("dot", [(4,), (3, 4, 2)], {}),
        ("dot", [(2, 3, 4), (5, 4, 2)], {}),
        ("inner", [(2, 3), (4, 3)], {}),
        ("inner", [(), (4, 3)], {}),
        ("outer", [(2, 3), (4,)], {}),
        ("vdot", [(2, 3), (3, 2)], {}),
        ("vecdot", [(2, 3), (4, 1, 3)], {}),
        ("vecdot", [(3, 2), (3, 1)], {"axis": 0}),
        ("kron", [(2, 3), (3, 2)], {}),
        ("kron", [(2,), (3, 2)], {}),
        ("cross", [(2, 3), (3,)], {}),
        ("cross", [(3, 2), (3, 1)], {"axis": 0}),
        ("tensordot", [(2, 3, 4), (3, 4, 5)], {}),
        ("tensordot", [(2, 3), (4,)], {"axes": 0}),
        ("tensordot", [(2, 3, 4), (4, 5, 2)], {"axes": ([0, -1], [2, 0])}),
        ("tensordot", [(2, 3), (3, 4)], {"axes": (1, 0)}),
        ("tensordot", [(2, 0), (0, 4)], {"axes": 1}),
    ],
)
def test_products(agrees, rng, name, shapes, settings):
    if name == "cross" and settings:
        a, b = rng.standard_normal(shapes[0]), rng.standard_normal(shapes[1])
        np.testing.assert_allclose(ac.cross(a, b, axis=0).numpy(), np.cross(a.T, b.T).T)
        return
    agrees(getattr(ac, name), getattr(np, name), *[rng.standard_normal(s) for s in shapes], **settings)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ii->", [(3, 3)]),
        ("ii", [(3, 3)]),
        ("ii->i", [(3, 3)]),
        ("iii->i", [(3, 3, 3)]),
        ("ba", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ij->j", [(2, 3)]),
        ("i...->...", [(2, 3, 4)]),
        ("...ij->...ji", [(5, 2, 3)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("i,j->", [(2,), (3,)]),
        ("i,i", [(4,), (4,)]),
        (" i j , j k -> i k ", [(2, 3), (3, 4)]),
        ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
        ("...,...", [(3, 1), (2, 3, 4)]),
        ("...i,i->...", [(2, 3, 4), (4,)]),
        ("ij,ij->i", [(2, 3), (1, 3)]),
        ("ij,j->i", [(2, 3), (1,)]),
        (",i", [(), (3,)]),
        ("iij,jk->ik", [(2, 2, 3), (3, 4)]),
        ("ijk,k->", [(2, 3, 4), (4,)]),
        ("ij,kj,il->kl", [(2, 3), (4, 3), (2, 5)]),
        ("i,i,i->i", [(3,), (3,), (3,)]),
        ("ij,jk,kl,lm->im", [(2, 3), (3, 2), (2, 3), (3, 2)]),
        ("ij,jk", [(2, 0), (0, 3)]),
    ],
)
def test_einsum(agrees, rng, subscripts, shapes):
    operands = [rng.standard_normal(shape) for shape in shapes]
    agrees(lambda *a: ac.einsum(subscripts, *a), lambda *a: np.einsum(subscripts, *a), *operands, rtol=1e-10)


def test_einsum_third_order(rng):
    ac.testing.check_vjp(lambda x, y: ac.einsum("ij,jk,ik->", x, y, x), rng.random((2, 2)), rng.random((2, 2)), order=3)


def test_einsum_with_lists_of_labels(rng):
    x, y = rng.standard_normal((2, 3)), rng.standard_normal((3, 4))
    for args in ((x, [0, 1], y, [1, 2]), (x, [0, 1], y, [1, 2], [2, 0]), (x, [..., 5], [5, ...])):
        np.testing.assert_allclose(ac.einsum(*args).numpy(), np.einsum(*args))


def test_einsum_by_planned_contraction_agrees(rng):
    x, y = rng.standard_normal((40, 50)), rng.standard_normal((50, 60))
    np.testing.assert_allclose(ac.einsum("ij,jk->ik", x, y).numpy(), x @ y)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("ij->ik", np.ones((2, 2))), "'k' of the output occurs in no operand"),
        (("ij->ii", np.ones((2, 2))), "'i' of the output occurs in it more than once"),
        (("ij", np.ones(2)), r"operand 0 has shape \(2,\)"),
        (("i", np.ones((2, 2))), r"operand 0 has shape \(2, 2\)"),
        (("ij,jk", np.ones((2, 2))), "2 operands are described, but 1"),
        (("i?", np.ones((2, 2))), "'\\?' is no label"),
        (("......", np.ones((2, 2))), "more than one ellipsis"),
        (("...i->i", np.ones((2, 2))), "output has no ellipsis"),
        (("ij,jk", np.ones((2, 3)), np.ones((2, 3))), "einsum"),
        ((), "no subscripts"),
    ],
)
def test_einsum_refuses(args, message):
    with pytest.raises(ValueError, match=message):
        ac.einsum(*args)


@pytest.mark.parametrize(
    ("function", "args", "message"),
    [
        (ac.matmul, [np.ones((2, 3)), np.ones((2, 3))], r"matmul\(x: float64 \(2, 3\), y: float64 \(2, 3\)\)"),
        (ac.matmul, [np.ones(()), np.ones(3)], "matmul"),
        (ac.tensordot, [np.ones((2, 3)), np.ones((2, 3)), 1], "tensordot: .*must be equal"),
        (ac.tensordot, [np.ones((2, 3)), np.ones((2, 3)), (5, 0)], "axis 5 of a"),
        (ac.vecdot, [np.ones(3), np.ones(4)], "vecdot"),
        (ac.cross, [np.ones(3), np.ones(4)], r"cross: b has shape \(4,\)"),
    ],
)
def test_products_refuse(function, args, message):
    with pytest.raises(ValueError, match=message):
        function(*args)


def test_matmul_operator_takes_arrays_and_lists_on_both_sides(rng):
    x = ac.tensor(rng.standard_normal((2, 2)), requires_grad=True)
    a = rng.standard_normal((2, 2))
    for result, expected in [
        (x @ a, x.numpy() @ a),
        (a @ x, a @ x.numpy()),
        (x @ a.tolist(), x.numpy() @ a),
        (a.tolist() @ x, a @ x.numpy()),
        (np.matmul(a, x), a @ x.numpy()),
        (np.dot(a, x), a @ x.numpy()),
    ]:
        assert result.requires_grad
        np.testing.assert_allclose(result.numpy(), expected)


def test_product_of_integers_promotes(rng):
    x = ac.tensor(rng.random((2, 3)).astype(np.float32), requires_grad=True)
    y = x @ np.ones((3, 2), np.int64)
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32
    assert (ac.tensor([1, 2]) @ ac.tensor([3, 4])).item() == 11


def test_matmul_keeps_only_what_its_vjp_needs(rng):
    x = ac.tensor(rng.random((2, 3)), requires_grad=True)
    with ac.Tape() as tape:
        x @ rng.random((3, 4))
    (saved,) = [value for value in tape[0].saved if isinstance(value, np.ndarray)]
    assert saved.shape == (3, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_products_and_their_gradients(rng, dtype):
    x, y = (rng.standard_normal(shape).astype(dtype) for shape in ((2, 70, 170), (170, 200)))
    g = rng.standard_normal((2, 70, 200)).astype(dtype)
    left, right = ac.tensor(x, requires_grad=True), ac.tensor(y.T, requires_grad=True)
    result = left @ right.T
    result.backward(g)
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    x, y, g = x.astype(float), y.astype(float), g.astype(float)
    for found, expected in (
        (result.data, np.matmul(x, y)), (left.grad, np.matmul(g, y.T)), (right.grad, np.einsum("nik,nij->jk", x, g)),
    ):  # fmt: skip
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("bqhd,bkhd->bhqk", [(2, 30, 3, 8), (2, 25, 3, 8)]),
        ("ijk,lkj->li", [(30, 8, 9), (40, 9, 8)]),
        ("nab,ncb->cna", [(4, 20, 30), (4, 21, 30)]),
        ("ab,bc->c", [(40, 30), (30, 20)]),
        ("aab,bc->ac", [(20, 20, 30), (30, 20)]),
        ("ab,bc->abc", [(30, 30), (30, 20)]),
        ("ab,ab->a", [(200, 100), (200, 100)]),
        ("ab,cb->ac", [(200, 1), (100, 30)]),
    ],
)
def test_einsum_of_two_large_operands(rng, subscripts, shapes):
    x, y = (rng.standard_normal(shape) for shape in shapes)
    expected = np.einsum(subscripts, x, y, optimize=False)
    np.testing.assert_allclose(ac.einsum(subscripts, x, y).data, expected, rtol=0, atol=1e-11)
    g = rng.standard_normal(expected.shape)
    left, right = ac.tensor(x, requires_grad=True), ac.tensor(y, requires_grad=True)
    ac.einsum(subscripts, left, right).backward(g)
    # The sum of g times the result is linear in each operand, and the gradient its coefficients.
    for gradient, operands in (
        (left.grad, (rng.standard_normal(x.shape), y)), (right.grad, (x, rng.standard_normal(y.shape))),
    ):  # fmt: skip
        moved = operands[0] if gradient is left.grad else operands[1]
        change = np.sum(g * np.einsum(subscripts, *operands, optimize=False))
        np.testing.assert_allclose(np.sum(gradient * moved), change, rtol=1e-9, atol=1e-8)
