"""Hooks on Tensors, on primitives and on saved values; control of tapes."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv.tape import HOOKS

X = np.array([1.0, 2.0, 3.0])


# --- on Tensors ------------------------------------------------------------------------------------------


def test_a_hook_sees_the_whole_cotangent_once():
    x = ac.tensor(X, requires_grad=True)
    y = x * x
    seen = []
    y.register_hook(lambda g: seen.append(g.data.copy()))
    x.register_hook(lambda g: seen.append(g.data.copy()))
    (y.sum() + 2 * y.sum()).backward()  # two cotangents meet at y
    np.testing.assert_array_equal(seen, [[3, 3, 3], 6 * X])
    np.testing.assert_array_equal(x.grad, 6 * X)


def test_a_hook_replaces_and_is_removed():
    x = ac.tensor(X, requires_grad=True)
    handle = x.register_hook(lambda g: g * 10)
    second = x.register_hook(lambda g: g + 1)
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, 20 * X + 1)
    handle.remove()
    handle.remove()
    x.grad = None
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * X + 1)
    with second:
        pass
    assert x._node not in HOOKS


def test_hooks_and_writing_to_what_they_are_shown():
    x = ac.tensor(X, requires_grad=True)
    y = x * 1

    def scribble(g):
        g.data[:] = 99  # its own copy

    y.register_hook(scribble)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, np.ones(3))


def test_hooks_with_higher_orders_and_several_outputs():
    x = ac.tensor(X, requires_grad=True)
    x.register_hook(lambda g: g * 3)
    (first,) = ac.grad((x**3).sum(), x, create_graph=True)
    np.testing.assert_allclose(first.data, 9 * X**2)
    (second,) = ac.grad(first.sum(), x)
    np.testing.assert_allclose(second.data, 3 * 18 * X)  # the hook acts in this sweep too
    a = ac.tensor(np.diag(X), requires_grad=True)
    w, v = ac.linalg.eigh(a)
    v.register_hook(lambda g: g * 0)
    w.register_hook(lambda g: 2 * g)
    (w.sum() + v.sum()).backward()
    np.testing.assert_allclose(a.grad, 2 * np.eye(3), atol=1e-12)


def test_hooks_die_with_their_tensor():
    x = ac.tensor(X, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: None)
    node = weakref.ref(y._node)
    gc.disable()
    try:
        del y
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: ac.tensor(1.0).register_hook(print), ac.AutodiffError, "does not require grad"),
        (lambda x: x.register_hook(3), TypeError, "'hook' is 3"),
    ],
)
def test_mistakes_in_registering(call, error, words):
    with pytest.raises(error, match=words):
        call(ac.tensor(X, requires_grad=True))


def test_mistakes_in_hooks_change_nothing():
    x = ac.tensor(X, requires_grad=True)
    with x.register_hook(lambda g: g[:2]), pytest.raises(ac.AutodiffError, match=r"shape \(2,\)"):
        (x * x).sum().backward()

    def broken(g):
        raise KeyError("inside")

    with x.register_hook(broken), pytest.raises(KeyError):
        (x * x).sum().backward()
    assert x.grad is None


# --- on primitives ---------------------------------------------------------------------------------------


def test_a_hook_on_a_primitive():
    triple = ac.primitive(lambda a, b: a * b, name="product").defvjp(a=lambda g, b: g * b, b=lambda g, a: g * a)
    x, y = ac.tensor(X, requires_grad=True), ac.tensor(2 * X, requires_grad=True)
    seen = []

    def hook(record, argnum, g):
        seen.append((record.name, argnum))
        return g * 2 if argnum == 0 else None

    with triple.register_hook(hook):
        triple(x, y).sum().backward()
    assert seen == [("product", 0), ("product", 1)]
    np.testing.assert_array_equal(x.grad, 4 * X)
    np.testing.assert_array_equal(y.grad, X)
    assert "pull_back" not in triple.__dict__
    triple(x, x).sum().backward()
    np.testing.assert_array_equal(x.grad, 6 * X)


# --- on saved values -------------------------------------------------------------------------------------


def test_saved_values_are_packed_and_unpacked():
    sizes = []

    def pack(a):
        sizes.append(a.nbytes)
        return a.astype(np.float32)

    x = ac.tensor(X, requires_grad=True)
    with ac.saved_tensors_hooks(pack, lambda a: a.astype(np.float64)):
        y = np.exp(np.sin(x * x))
    y.sum().backward()
    np.testing.assert_allclose(x.grad, np.exp(np.sin(X * X)) * np.cos(X * X) * 2 * X, rtol=1e-6)
    assert sizes
    z = ac.tensor(X, requires_grad=True)
    with ac.saved_tensors_hooks(lambda a: a, lambda a: a[:2]):
        w = np.exp(z)
    with pytest.raises(ac.AutodiffError, match="unpack returned"):
        w.sum().backward()


def test_packed_values_and_higher_orders():
    x = ac.tensor(X, requires_grad=True)
    with ac.saved_tensors_hooks(lambda a: a.tobytes(), lambda b: np.frombuffer(b)):
        y = (x**3).sum()
    (first,) = ac.grad(y, x, create_graph=True)
    np.testing.assert_allclose(ac.grad(first.sum(), x)[0].data, 6 * X)


# --- tapes -----------------------------------------------------------------------------------------------


def test_a_paused_tape_keeps_nothing():
    x = ac.tensor(X, requires_grad=True)
    with ac.Tape() as tape:
        y = np.sin(x)
        with tape.pause():
            z = np.cos(y)
        w = z * 2
    assert [record.name for record in tape] == ["sin", "multiply"]
    w.sum().backward()
    np.testing.assert_allclose(x.grad, -2 * np.sin(np.sin(X)) * np.cos(X))


def test_gradients_from_a_tape():
    x, unused = ac.tensor(X), ac.tensor(1.0, requires_grad=True)
    with ac.Tape() as tape:
        tape.watch(x)
        y = x * x
        loss = {"a": y.sum(), "b": np.sin(x).sum()}
    found = tape.gradient(loss, {"x": x, "y": y, "u": unused})
    np.testing.assert_allclose(found["x"].data, 2 * X + np.cos(X))
    np.testing.assert_array_equal(found["y"].data, np.ones(3))
    assert found["u"] is None
    assert tape.gradient(loss, unused, unconnected="zero").item() == 0
    np.testing.assert_allclose(tape.gradient(y, x, X).data, 2 * X * X)
    again = tape.gradient(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(tape.gradient(again.sum(), x).data, 2)
    constant = ac.tensor(3.0)
    assert tape.gradient(loss, [constant]) == [None]
    with pytest.raises(ValueError, match="'all'"):
        tape.gradient(loss, x, unconnected="all")
    with pytest.raises(TypeError, match="'sources' holds a ndarray"):
        tape.gradient(loss, X)
    with pytest.raises(TypeError, match="argument 1 is a float"):
        tape.watch(x, 1.0)
    with pytest.raises(ac.AutodiffError, match="seed"):
        tape.gradient(y, x)


def test_a_tape_names_lines_and_what_is_saved():
    x = ac.tensor(X, requires_grad=True)
    with ac.Tape() as tape:
        y = np.sin(x)
        np.exp(y)
    text = str(tape)
    assert "test_hooks.py:" in text
    line = int(tape.lines[0].rpartition(":")[2])
    assert tape.lines[1].endswith(f":{line + 1}")
    rows = text.splitlines()
    assert rows[0].split() == ["#", "primitive", "arguments", "output", "dtype", "saved", "bytes", "line"]
    assert rows[1].split()[:7] == ["0", "sin", "leaf(3,)", "(3,)", "float64", "x", "24"]
    assert rows[2].split()[2] == "#0(3,)"
    assert tape.summary().splitlines()[-1].split()[-2:] == ["2", "48"]
    tape.clear()
    assert len(tape.lines) == 0


def test_tapes_of_other_threads():
    x = ac.tensor(X, requires_grad=True)
    with ac.Tape() as tape:
        thread = threading.Thread(target=lambda: np.sin(x))
        thread.start()
        thread.join()
    assert len(tape) == 0
