"""The tape: order, depth, lifetime, recording state."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv.tape import Record


@pytest.fixture
def no_garbage_collector():
    """What dies in the test dies by reference counting alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(values, dtype=float):
    return ac.tensor(values, dtype=dtype, requires_grad=True)


def test_a_diamond_adds_up_its_paths(rng):
    x = leaf(rng.standard_normal(3))
    y = x * x
    z = y * x + y
    v = rng.standard_normal(3)
    z.backward(v)
    np.testing.assert_allclose(x.grad, v * (3 * x.data**2 + 2 * x.data))


def test_gradients_accumulate_until_they_are_reset():
    x = leaf([2.0])
    (x * x).backward()
    (x * x).backward()
    np.testing.assert_array_equal(x.grad, [8.0])
    x.grad = None
    (x * x).backward()
    np.testing.assert_array_equal(x.grad, [4.0])


def test_backward_of_a_leaf_gives_the_seed():
    x = leaf([1.0, 2.0])
    seed = np.array([3.0, 4.0])
    x.backward(seed)
    np.testing.assert_array_equal(x.grad, seed)
    seed[:] = 0
    np.testing.assert_array_equal(x.grad, [3.0, 4.0])


def test_non_scalar_without_a_seed_is_an_error_that_names_the_shape():
    y = leaf([[1.0, 2.0]]) * 2
    with pytest.raises(ac.AutodiffError, match=r"shape \(1, 2\).*seed"):
        y.backward()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_element_needs_no_seed(shape):
    x = leaf(np.full(shape, 3.0))
    (x * x).backward()
    np.testing.assert_array_equal(x.grad, np.full(shape, 6.0))


def test_a_seed_of_another_shape_or_kind_is_refused():
    y = leaf([1.0, 2.0]) * 2
    with pytest.raises(ValueError, match=r"seed has shape \(3,\).*shape \(2,\)"):
        y.backward(np.ones(3))
    with pytest.raises(TypeError, match="seed has dtype complex128"):
        y.backward(np.ones(2, complex))


def test_a_tensor_without_history_cannot_go_backward():
    with pytest.raises(ac.AutodiffError, match="does not require grad"):
        ac.tensor([1.0]).backward()


def test_second_backward_names_the_operation_and_the_remedy():
    x = leaf([1.0, 2.0])
    y = ac.exp(x)
    y.backward(np.ones(2))
    with pytest.raises(ac.AutodiffError, match=r"'exp'.*retain_graph=True"):
        y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, np.exp([1.0, 2.0]))


def test_retain_graph_allows_a_second_backward():
    x = leaf([1.0, 2.0])
    y = x * x
    y.backward(np.ones(2), retain_graph=True)
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [4.0, 8.0])


def test_a_failing_sweep_changes_no_gradient(rng):
    bad = ac.primitive(lambda x: x * 1.0, name="bad").defvjp(x=lambda g: 1 / 0)
    a, b = leaf([1.0]), leaf([2.0])
    y = bad(a) * b
    with pytest.raises(ZeroDivisionError, match="VJP of 'bad' for argument 'x'"):
        y.backward()
    assert a.grad is None
    assert b.grad is None


@pytest.mark.usefixtures("no_garbage_collector")
def test_a_hundred_thousand_operations_deep():
    x = leaf([1.0, 2.0])
    y = x
    for _ in range(100_000):
        y = y + 1.0
    first = weakref.ref(y._node.parents[0])
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])
    del y
    assert first() is None


@pytest.mark.usefixtures("no_garbage_collector")
def test_a_dropped_deep_graph_dies_without_a_sweep():
    x = leaf([1.0])
    y = x
    for _ in range(100_000):
        y = y * 1.0
    node = y._node
    for _ in range(50_000):
        node = node.parents[0]
    middle = weakref.ref(node)
    del y, node
    assert middle() is None


@pytest.mark.usefixtures("no_garbage_collector")
def test_a_dropped_loss_frees_its_arrays():
    x = leaf(np.ones(1000))
    hidden = ac.exp(x)
    array = weakref.ref(hidden._array)
    loss = (hidden * hidden).sum()
    del hidden
    assert array() is not None
    del loss
    assert array() is None


@pytest.mark.usefixtures("no_garbage_collector")
def test_the_sweep_frees_what_it_has_used():
    x = leaf(np.ones(1000))
    hidden = ac.exp(x)
    array = weakref.ref(hidden._array)
    loss = (hidden * hidden).sum()
    del hidden
    loss.backward()
    assert array() is None, "the loss is alive, but the sweep has let go of what was saved"


@pytest.mark.usefixtures("no_garbage_collector")
def test_higher_order_graphs_make_no_reference_cycles():
    x = leaf(np.ones(10))
    y = ac.exp(x) * x
    (first,) = ac.grad(y.sum(), x, create_graph=True)
    watched = [weakref.ref(t._node) for t in (y, first)]
    ac.grad(first.sum(), x)
    del y, first
    assert [w() for w in watched] == [None, None]


def test_no_leak_over_many_steps():
    x = leaf(np.ones(3))

    def step():
        (ac.exp(x) * x).sum().backward()
        x.grad = None

    step()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(100):
        step()
    gc.collect()
    assert len(gc.get_objects()) - before < 20


# --- recording state ----------------------------------------------------------------------------------------


def test_no_grad_and_enable_grad_nest_and_restore():
    x = leaf([1.0])
    with ac.no_grad():
        assert not (x * 2).requires_grad
        with ac.enable_grad():
            assert (x * 2).requires_grad
        assert not ac.is_grad_enabled()
    assert (x * 2).requires_grad


def test_no_grad_is_restored_by_an_exception():
    with pytest.raises(KeyError), ac.no_grad():
        raise KeyError
    assert ac.is_grad_enabled()


def test_no_grad_decorates_also_recursive_functions():
    x = leaf([1.0])

    @ac.no_grad()
    def evaluate(depth):
        return x * 2 if depth == 0 else evaluate(depth - 1)

    assert not evaluate(3).requires_grad
    assert ac.is_grad_enabled()


def test_recording_state_is_per_thread():
    x = leaf([1.0])
    seen = []
    with ac.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_recording_state_is_per_async_task():
    x = leaf([1.0])

    async def silent(started, go):
        with ac.no_grad():
            started.set()
            await go.wait()
            return (x * 2).requires_grad

    async def main():
        started, go = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(silent(started, go))
        await started.wait()
        here = (x * 2).requires_grad
        go.set()
        return here, await task

    assert asyncio.run(main()) == (True, False)


def test_eight_threads_at_once(rng):
    shared = leaf(rng.standard_normal(50))
    constants = [rng.standard_normal(50) for _ in range(8)]
    failures = []

    def work(constant):
        try:
            for _ in range(50):
                mine = ac.tensor(constant, requires_grad=True)
                (ac.sin(mine * shared) * shared).sum().backward()
                expected = np.cos(constant * shared._array) * shared._array**2
                np.testing.assert_allclose(mine.grad, expected)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(c,)) for c in constants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    s = shared.data
    total = sum(50 * (c * s * np.cos(c * s) + np.sin(c * s)) for c in constants)
    np.testing.assert_allclose(shared.grad, total, rtol=1e-10)


# --- Tape -----------------------------------------------------------------------------------------------------


def test_a_tape_keeps_its_records_in_order_and_whole():
    x = leaf([1.0, 2.0])
    with ac.Tape() as tape:
        y = (ac.exp(x) * x).sum()
    outside = x * 2
    assert [record.name for record in tape] == ["exp", "multiply", "sum"]
    y.backward()
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * np.exp([1.0, 2.0]) * (1 + np.array([1.0, 2.0])))
    assert len(tape) == 3
    assert tape[0].saved is not None
    assert outside.requires_grad


def test_a_tape_prints_as_a_table():
    x = leaf([1.0, 2.0])
    with ac.Tape() as tape:
        (ac.exp(x) * 3.0).sum()
    lines = str(tape).splitlines()
    assert [line.split()[1] for line in lines] == ["primitive", "exp", "multiply", "sum"]
    assert "leaf" in lines[1]
    assert "16" in lines[1], "exp saves its output of two float64"


def test_clearing_a_tape_lets_sweeps_free_again():
    x = leaf([1.0])
    with ac.Tape() as tape:
        y = x * x
    tape.clear()
    y.backward()
    with pytest.raises(ac.AutodiffError, match="retain_graph"):
        y.backward()


def test_nested_tapes_both_see_what_happens_inside():
    x = leaf([1.0])
    with ac.Tape() as outer:
        x * 1.0
        with ac.Tape() as inner:
            x * 2.0
    assert (len(outer), len(inner)) == (2, 1)


# --- grad -----------------------------------------------------------------------------------------------------


def test_grad_of_intermediate_results_and_leaves(rng):
    x = leaf(rng.standard_normal(4))
    y = ac.exp(x)
    z = ac.sin(y)
    v = rng.standard_normal(4)
    gy, gx = ac.grad(z, [y, x], v)
    np.testing.assert_allclose(gy.data, v * np.cos(y.data))
    np.testing.assert_allclose(gx.data, v * np.cos(y.data) * y.data)
    assert x.grad is None


def test_grad_computes_only_what_is_asked_for():
    calls = []
    spy = ac.primitive(lambda x: x + 0.0, name="spy").defvjp(x=lambda g: (calls.append(1), g)[1])
    x, y = leaf([1.0]), leaf([2.0])
    z = spy(x) * y
    ac.grad(z, y, retain_graph=True)
    assert calls == []
    ac.grad(z, x)
    assert calls == [1]


def test_grad_of_an_unused_input_is_zero():
    x, y = leaf([1.0, 2.0]), leaf([[3.0]])
    gx, gy = ac.grad((x * x).sum(), [x, y])
    np.testing.assert_array_equal(gy.data, [[0.0]])
    np.testing.assert_array_equal(gx.data, [2.0, 4.0])


def test_grad_of_several_outputs_adds_up():
    x = leaf([1.0, 2.0])
    (gx,) = ac.grad([(x * x).sum(), x.sum()], x, [2.0, None])
    np.testing.assert_array_equal(gx.data, [5.0, 9.0])


def test_grad_refuses_what_has_no_history():
    x = leaf([1.0])
    with pytest.raises(ac.AutodiffError, match=r"inputs\[0\]"):
        ac.grad(x * 2, ac.tensor([1.0]))
    with pytest.raises(ac.AutodiffError, match=r"outputs\[0\]"):
        ac.grad(ac.tensor([1.0]), x)
    with pytest.raises(TypeError, match=r"inputs\[0\] is a ndarray"):
        ac.grad(x * 2, [np.ones(1)])
    with pytest.raises(ValueError, match="2 grad_outputs for 1 outputs"):
        ac.grad([x * 2], x, [None, None])


def test_every_order_of_derivative():
    x = leaf(0.7)
    y = ac.exp(2 * x)
    for order in range(1, 6):
        (y,) = ac.grad(y, x, create_graph=True)
        np.testing.assert_allclose(y.item(), 2**order * np.exp(1.4))


def test_grad_differentiates_through_its_seed():
    x, v = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (gx,) = ac.grad(x * x, x, v, create_graph=True)
    (gv,) = ac.grad(gx.sum(), v)
    np.testing.assert_array_equal(gv.data, [2.0, 4.0])


def test_create_graph_works_inside_no_grad():
    x = leaf([2.0])
    y = x * x * x
    with ac.no_grad():
        (first,) = ac.grad(y, x, create_graph=True)
    (second,) = ac.grad(first, x)
    np.testing.assert_array_equal(second.data, [12.0])


def test_results_of_grad_have_memory_of_their_own():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    gx, gy = ac.grad((x + y).sum(), [x, y])
    gx.data[0] = 99
    np.testing.assert_array_equal(gy.data, [1.0, 1.0])


@pytest.mark.parametrize(
    "operation", [lambda y, a: y * a, lambda y, a: y + a, lambda y, a: y * 0.5, lambda y, a: ac.sin(y)]
)
def test_a_record_takes_at_most_300_bytes_beyond_the_arrays(operation):
    count = 5000
    a, y = leaf(np.ones(3)), leaf(np.ones(3))
    operation(y, a)  # makes the plan
    tracemalloc.start()
    try:
        for _ in range(count):
            y = operation(y, a)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    arrays, node = {}, y._node
    while isinstance(node, Record):
        arrays.update({id(array): array for array in node.saved if isinstance(array, np.ndarray)})
        node = node.parents[0]
    arrays.pop(id(a._array), None)
    # The object, its shape and strides, and its memory.
    beyond = taken - sum(sys.getsizeof(array) + 16 * array.ndim for array in arrays.values())
    assert beyond <= 300 * count
