"""No write through one array is visible in another Tensor, and the tape notices what it must."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import memory


def leaf(values):
    return ac.tensor(values, dtype=float, requires_grad=True)


# Small cotangents are added in new memory, larger ones in place where that is allowed.
SIZES = pytest.mark.parametrize("n", [4, memory.SMALL + 1])


def changed(match):
    return pytest.raises(ac.AutodiffError, match=match)


def test_an_augmented_assignment_to_data_before_backward_is_noticed():
    x = leaf([1.0, 2.0])
    y = x * x
    x.data -= 1
    with changed(r"argument '[xy]' of 'multiply' \(float64, shape \(2,\)\) was changed in place"):
        y.backward(np.ones(2))
    assert x.grad is None


def test_a_write_to_an_element_is_noticed():
    x = leaf([1.0, 2.0])
    y = ac.sin(x)
    x.data[1] = 7
    with changed("'sin'"):
        y.backward(np.ones(2))


def test_a_write_through_a_handle_from_before_the_operation_is_noticed():
    x = leaf([1.0, 2.0])
    handle = x.data
    y = ac.sin(x)
    handle += 1
    with changed("'sin'"):
        y.backward(np.ones(2))


def test_a_write_through_a_view_of_data_is_noticed():
    x = leaf([1.0, 2.0])
    part = x.data[1:]
    y = ac.sin(x)
    part[...] = 0
    with changed("'sin'"):
        y.backward(np.ones(2))


def test_a_change_of_an_output_that_a_vjp_needs_is_noticed():
    x = leaf([1.0, 2.0])
    y = ac.exp(x)
    y.data[0] = 5
    with changed("the output of 'exp'"):
        y.backward(np.ones(2))


def test_a_change_of_shared_memory_is_noticed_or_harmless():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = ac.sin(x.T)
    x.data -= 1
    with changed("'sin'"):
        y.backward(np.ones((2, 2)))


def test_reading_data_accuses_nobody():
    x = leaf([1.0, 2.0])
    y = x * x
    assert x.data.sum() == 3
    str(x), repr(x), x.numpy(), float(x[0])
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_a_change_before_the_operation_accuses_nobody():
    x = leaf([1.0, 2.0])
    kept_alive = ac.sin(x)
    handle = x.data
    handle += 1
    y = x * x
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [4.0, 6.0])
    with changed("'sin'"):
        kept_alive.backward(np.ones(2))


def test_a_change_that_no_vjp_feels_is_allowed():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = x + y
    x.data -= 1
    z.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])


def test_a_hand_written_training_loop_seals_and_copies_nothing():
    w, x = leaf(np.ones((3, 3))), ac.tensor(np.ones((2, 3)))
    identity = None
    for _ in range(3):
        loss = (x @ w.T).sum()
        loss.backward()
        identity = identity or id(w._array)
        w.data -= 0.1 * w.grad
        w.grad = None
    assert id(w._array) == identity
    assert not memory.SEALS


def test_a_seal_goes_when_nothing_but_its_tensor_holds_the_array():
    x = leaf([1.0, 2.0])
    y = ac.sin(x)
    assert x.data.sum() == 3.0
    assert memory.SEALS
    y.backward(np.ones(2))
    ac.sin(x)
    assert not memory.SEALS


def test_a_change_is_noticed_beside_seals_of_other_arrays():
    x, other = leaf([1.0, 2.0]), leaf([3.0])
    held = ac.sin(other)
    assert other.data.sum() == 3.0
    y = ac.sin(x) * x
    y.backward(np.ones(2), retain_graph=True)
    x.data[0] = 0.0
    with changed("'multiply'"):
        y.backward(np.ones(2))
    held.backward()


def test_data_is_always_the_array_itself():
    x = leaf([1.0, 2.0])
    first, second = x.data, x.data
    assert first is second
    first[0] = 5
    assert x.data[0] == 5


def test_an_array_that_the_tape_saved_is_the_callers_to_change():
    x, constant = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    y = x * constant
    constant[:] = 0
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [3.0, 4.0])


def test_a_tensor_copies_what_it_is_made_of():
    source = np.ones(2)
    x = ac.tensor(source)
    source[0] = 9
    np.testing.assert_array_equal(x.data, [1.0, 1.0])


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t.reshape(4),
        lambda t: t.T,
        lambda t: t[0],
        lambda t: t.detach(),
        lambda t: ac.positive(t),
        lambda t: t.reshape(4).reshape(2, 2),
    ],
)
@pytest.mark.parametrize("write_to_view", [True, False])
@pytest.mark.parametrize("look_first", [True, False])
def test_views_never_let_a_write_through(view, write_to_view, look_first):
    x = ac.tensor([[1.0, 2.0], [3.0, 4.0]])
    handle = x.data if look_first else None
    y = view(x)
    written, other = (y, x) if write_to_view else (x, y)
    before = other.numpy()
    written.data[...] = -1
    np.testing.assert_array_equal(other.data, before)
    assert (written.data == -1).all()
    if handle is not None and not write_to_view:
        assert (handle == -1).all(), "the handle is the Tensor's own array"


def test_a_primitive_that_returns_its_argument_does_not_alias_it():
    same = ac.primitive(lambda x: x, name="same").defvjp(x=lambda g: g)
    x = leaf([1.0, 2.0])
    y = same(x)
    y.data[0] = 5
    np.testing.assert_array_equal(x.data, [1.0, 2.0])


def test_gradients_alias_nothing():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = np.ones(2)
    (x + y).backward(seed)
    x.grad[0] = 99
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])
    np.testing.assert_array_equal(seed, [1.0, 1.0])


def test_a_gradient_handle_is_not_changed_by_the_next_backward():
    x = leaf([1.0, 2.0])
    (x * x).backward(np.ones(2))
    held = x.grad
    (x * x).backward(np.ones(2))
    np.testing.assert_array_equal(held, [2.0, 4.0])
    np.testing.assert_array_equal(x.grad, [4.0, 8.0])


def test_gradients_are_writable_even_of_a_broadcast():
    x = leaf([1.0, 2.0, 3.0])
    x.sum().backward()
    x.grad *= 2
    np.testing.assert_array_equal(x.grad, [2.0, 2.0, 2.0])


def test_cotangents_are_not_changed_by_accumulation(rng):
    seen = []
    spy = ac.primitive(lambda x: x * 1.0, name="spy").defvjp(x=lambda g: (seen.append((g, g.copy())), g)[1])
    x = leaf(rng.standard_normal(3))
    y = spy(x)
    (y + y + y + spy(x)).backward(rng.standard_normal(3))
    for now, then in seen:
        np.testing.assert_array_equal(now, then)


def kept_by_rule(store, give):
    """A primitive y = x whose rule returns ``give(g)`` and remembers it, and what it was."""

    def rule(g):
        cotangent = give(g)
        store.append((cotangent, np.array(cotangent), g, np.array(g)))
        return cotangent

    return ac.primitive(lambda x: x * 1.0, name="kept").defvjp(x=rule)


@pytest.mark.parametrize(
    "give",
    [
        lambda g: g,
        lambda g: g[:],
        lambda g: g[::-1][::-1],
        lambda g: g * 2.0,
        lambda g: np.broadcast_to(g[0], g.shape),
        lambda g: np.lib.stride_tricks.as_strided(g[:1].copy(), g.shape, (0,)),
        lambda g: np.repeat(g, 2)[::2],
    ],
    ids=["identity", "view", "view of a view", "fresh", "broadcast", "writable overlap", "part of a buffer"],
)
@pytest.mark.parametrize("branches", [2, 3, 4])
@pytest.mark.parametrize("first", [True, False])
@SIZES
def test_a_cotangent_that_somebody_holds_is_never_added_to(give, branches, first, n, rng):
    seen, seed, x = [], rng.standard_normal(n), leaf(rng.standard_normal(n))
    kept = kept_by_rule(seen, give)
    h = x * 1.0
    ways = [kept, lambda t: t * 3.0] if first else [lambda t: t * 3.0, kept]
    outputs = [ways[k % 2](h) for k in range(branches)]
    before = seed.copy()
    (gradient,) = ac.grad(outputs, x, [seed] * branches)
    expected = sum(np.asarray(give(before.copy())) if ways[k % 2] is kept else 3.0 * before for k in range(branches))
    np.testing.assert_allclose(gradient.data, expected, rtol=1e-14)
    np.testing.assert_array_equal(seed, before)
    for cotangent, then, g, g_then in seen:
        np.testing.assert_array_equal(cotangent, then)
        np.testing.assert_array_equal(g, g_then)


@pytest.mark.parametrize("give", [lambda g: g * 2.0, lambda g: np.repeat(g, 2)[::2]], ids=["array", "view"])
@SIZES
def test_a_rule_may_hand_out_an_array_that_others_see(give, n, rng):
    table = give(rng.standard_normal(n))
    before = table.copy()
    constant = ac.primitive(lambda x: x * 1.0, name="constant").defvjp(x=lambda g: table)
    x = leaf(rng.standard_normal(n))
    h = x * 1.0
    y = constant(h) + constant(h) + constant(h) + h
    for _ in range(2):
        y.backward(np.ones(n), retain_graph=True)
        np.testing.assert_array_equal(table, before)
    np.testing.assert_allclose(x.grad, 2 * (3 * before + 1))


@SIZES
def test_a_read_only_cotangent_is_not_written_to(rng, n):
    def frozen(g):
        result = g * 2.0
        result.flags.writeable = False
        return result

    double = ac.primitive(lambda x: x * 2.0, name="double").defvjp(x=frozen)
    x = leaf(rng.standard_normal(n))
    h = x * 1.0
    (double(h) + double(h) + double(h)).backward(np.ones(n))
    np.testing.assert_array_equal(x.grad, np.full(n, 6.0))


def test_cotangents_that_the_sweep_alone_holds_are_added_up_in_place(rng):
    seen = []
    probe = ac.primitive(lambda x: x * 1.0, name="probe").defvjp(x=lambda g: (seen.append(id(g)), g * 1.0)[1])

    def rule(g):
        result = g * 2.0
        made.append(id(result))
        return result

    made = []
    double = ac.primitive(lambda x: x * 2.0, name="double").defvjp(x=rule)
    n = memory.SMALL + 1
    x = leaf(rng.standard_normal(n))
    h = probe(x)
    # The rule of an addition hands the seed on, which is the caller's; the latest record comes first.
    for outputs in ([double(h), h + 1.0], [h + 1.0, double(h)], [double(h), double(h), double(h)]):
        made.clear()
        seen.clear()
        ac.grad(outputs, x, [np.ones(n)] * len(outputs), retain_graph=True)
        assert seen[0] in made


def test_a_gradient_that_nobody_holds_is_accumulated_in_place(rng):
    x = leaf(rng.standard_normal(3))
    (x * x).backward(np.ones(3))
    address = x.grad.__array_interface__["data"]
    (x * x).backward(np.ones(3))
    assert x.grad.__array_interface__["data"] == address
    np.testing.assert_allclose(x.grad, 4 * x.data)


def test_assignment_of_data_checks_and_copies():
    x = leaf([1.0, 2.0])
    values = np.array([5, 6])
    x.data = values
    values[0] = 0
    np.testing.assert_array_equal(x.data, [5.0, 6.0])
    assert x.dtype == np.float64
    with pytest.raises(ValueError, match=r"shape \(3,\).*shape \(2,\)"):
        x.data = np.ones(3)
    with pytest.raises(TypeError, match="complex128"):
        x.data = np.ones(2, complex)
    np.testing.assert_array_equal(x.data, [5.0, 6.0])
