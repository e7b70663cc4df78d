"""Anomalies and checks: they find what was planted, and accuse nothing else."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.primitive import PRIMITIVES

RNG = np.random.default_rng(0)
V = RNG.standard_normal(5)


def here(offset=0):
    import inspect

    return f"test_questions.py:{inspect.currentframe().f_back.f_lineno + offset}"


# --- anomalies -------------------------------------------------------------------------------------------


def test_a_nan_born_in_a_forward():
    x = ac.tensor([4.0, -1.0, 9.0], requires_grad=True)
    line = here(2)
    with ac.detect_anomaly(), pytest.raises(ac.AutodiffError) as caught:
        np.log(x)
    assert all(word in str(caught.value) for word in ("'log'", "nan at (1,)", "shape (3,)", line))


def test_an_infinity_born_in_a_vjp_names_the_forward_call():
    x = ac.tensor([1.0, 0.0], requires_grad=True)
    with ac.detect_anomaly():
        line = here(1)
        y = np.sqrt(x).sum()
        with pytest.raises(ac.AutodiffError) as caught:
            y.backward()
    assert all(word in str(caught.value) for word in ("VJP of 'sqrt'", "'x'", "inf at (1,)", line))
    assert x.grad is None


def test_what_comes_in_is_no_anomaly():
    x = ac.tensor([np.nan, np.inf, 1.0], requires_grad=True)
    with ac.detect_anomaly():
        (np.exp(x) * 2).sum().backward()
    assert np.isnan(x.grad[0])
    with ac.detect_anomaly(check_infinity=False):
        np.sqrt(ac.tensor([0.0], requires_grad=True)).backward()  # only NaN counts
    with pytest.raises(TypeError, match="'check_infinity' is 3"):
        ac.detect_anomaly(3)


def test_as_a_decorator_nested_and_for_higher_orders():
    @ac.detect_anomaly()
    def first_of(x):
        (g,) = ac.grad((x**1.5).sum(), x, create_graph=True)
        return g

    x = ac.tensor([0.0, 1.0], requires_grad=True)
    g = first_of(x)
    with ac.detect_anomaly(), ac.detect_anomaly(), pytest.raises(ac.AutodiffError, match="VJP of"):
        ac.grad(g.sum(), x)


def test_nothing_is_left_behind():
    before = {prim: prim.forward for prim in PRIMITIVES}
    with pytest.raises(KeyError), ac.detect_anomaly():
        raise KeyError("inside")
    assert all(prim.forward is forward for prim, forward in before.items())
    assert not any("pull_back" in prim.__dict__ for prim in PRIMITIVES)


def test_other_threads_are_left_alone():
    found = []

    def other():
        with np.errstate(all="ignore"):
            found.append(np.log(ac.tensor([-1.0], requires_grad=True)).item())

    with ac.detect_anomaly():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert np.isnan(found[0])


# --- checks of a tape ------------------------------------------------------------------------------------

WRONG = {
    "another derivative": (lambda x: x**3, lambda g, x: 2 * x * g),
    "one per cent off": (np.sin, lambda g, x: g * np.cos(x) * 1.01),
    "another place": (lambda x: x[::-1].copy(), lambda g: g),
    "half of it": (lambda x: np.asarray(x @ x), lambda g, x: g * x),
    "one element": (lambda x: x * 1, lambda g: np.where(np.arange(g.size) == 2, 0, g)),
    "the wrong sign": (np.exp, lambda g, ans: -g * ans),
    "a constant": (np.tanh, lambda g: None),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_found_and_the_right_ones_beside_it_are_not(name):
    forward, rule = WRONG[name]
    planted = ac.primitive(forward, name="planted", arguments=["x"]).defvjp(x=rule)
    x = ac.tensor(V, requires_grad=True)
    with ac.Tape() as tape:
        y = np.sin(x) * x
        line = here(1)
        z = planted(y)
        np.exp(-z * z).sum()
    (suspicion,) = tape.check(directions=12)
    assert (suspicion.record, suspicion.primitive, suspicion.argument) == (2, "planted", "x")
    assert suspicion.line.endswith(line)
    assert "central differences" in suspicion.reason
    assert str(suspicion).startswith("#2 planted, argument 'x'")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_right_rule_is_accused(dtype):
    x = ac.tensor(RNG.standard_normal((2, 3, 8, 8)), dtype=dtype, requires_grad=True)
    w = ac.tensor(RNG.standard_normal((4, 3, 3, 3)), dtype=dtype, requires_grad=True)
    v = ac.tensor(RNG.standard_normal((5, 36)), dtype=dtype, requires_grad=True)
    a = ac.tensor(RNG.standard_normal((4, 4)), dtype=dtype, requires_grad=True)
    with ac.Tape() as tape:
        h = nn.max_pool2d(nn.relu(nn.conv2d(x, w)), 2)
        h = nn.avg_pool2d(nn.batch_norm(h, None, None, None, None, True), 1)
        z = nn.linear(nn.flatten(h), v)
        nn.cross_entropy(z, [1, 2])
        abs(z).sum() + np.linalg.norm(z) + np.sort(z).sum() + np.exp(z[0]).prod() + np.max(z)
        np.linalg.eigh(a + a.T)[0] + np.linalg.svd(a)[1] + np.linalg.det(a) + np.cumsum(np.tanh(a))[:4]
        abs(np.fft.rfft(a)).sum() + np.where(a > 0, a, a * a).sum() + np.clip(a, -0.5, 0.5).mean()
        nn.gelu(a) * nn.softmax(a, 1) + nn.layer_norm(a, 4)
        a[0] = a[1] * 2
        np.concatenate([a, np.pad(a, 1)[:, 1:5]]).std()
    assert [str(suspicion) for suspicion in tape.check()] == []


def test_kinks_are_not_accused():
    x = ac.tensor([0.0, 1.0, -2.0], requires_grad=True)
    with ac.Tape() as tape:
        abs(x).sum() + nn.relu(x).sum() + np.maximum(x, 0).sum() + np.max(np.stack([x, x]))
    assert tape.check() == []


def test_a_change_in_place_and_a_rule_that_fails():
    x = ac.tensor(V, requires_grad=True)
    failing = ac.primitive(lambda x: x * 2, name="failing").defvjp(x=lambda g: g[:, None] @ g[:3])
    with ac.Tape() as tape:
        held = x.data
        np.exp(np.square(x))
        failing(x)
    held += 1
    reasons = [suspicion.reason for suspicion in tape.check()]
    assert any("changed in place" in reason for reason in reasons)
    assert any("the VJP failed" in reason for reason in reasons)
    with ac.Tape(values=False) as bare:
        np.sin(x)
    with pytest.raises(ValueError, match="values=False"):
        bare.check()


def test_checkpointed_and_complex_records():
    x = ac.tensor(V, requires_grad=True)
    z = ac.tensor(V + 1j, requires_grad=True)
    with ac.Tape() as tape:
        ac.checkpoint(lambda v: np.sin(np.exp(v)))(x).sum()
        abs(np.exp(z) * z.conj()).sum()
    assert tape.check() == []


def test_errors_of_the_sweep_name_the_line_where_somebody_watches():
    x = ac.tensor(V, requires_grad=True)
    with ac.detect_anomaly():
        line = here(1)
        y = np.exp(x)
        y.sum().backward()
        with pytest.raises(ac.AutodiffError, match="freed") as caught:
            y.sum().backward()
    assert line in str(caught.value)
    with ac.Tape():
        held = x.data
        line = here(1)
        z = np.square(x)
    held += 1
    with pytest.raises(ac.AutodiffError, match="changed in place") as caught:
        z.sum().backward()
    assert line in str(caught.value)


def test_unused_parameters_are_named_with_their_line():
    with ac.detect_anomaly():
        line = here(1)
        unused = ac.tensor(V, requires_grad=True)
        used = ac.tensor(V, requires_grad=True)
        loss = (used * used).sum()
        with pytest.raises(ac.AutodiffError, match=r"inputs\[1\] \(shape \(5,\)") as caught:
            ac.grad(loss, [used, unused], retain_graph=True)
        assert line in str(caught.value)
        loss.backward()
        with pytest.raises(ac.AutodiffError, match=r"SGD\.step: a parameter of shape") as caught:
            ac.optim.SGD([used, unused], lr=0.1).step()
        assert line in str(caught.value)
    assert ac.grad((used * used).sum(), unused)[0].data.tolist() == [0] * 5  # elsewhere, zeros
