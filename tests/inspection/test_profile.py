"""Profiles: what they count is what happened; afterwards nothing is left."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.primitive import PRIMITIVES

RNG = np.random.default_rng(0)


def small_network():
    x = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)
    w = ac.tensor(RNG.standard_normal((4, 3, 3, 3)), dtype=np.float32, requires_grad=True)
    with ac.profile() as measured:
        h = nn.max_pool2d(nn.relu(nn.conv2d(x, w, padding=1)), 2)
        (h * h).sum().backward()
    return measured, w


def test_calls_bytes_and_operations():
    measured, w = small_network()
    rows = {(row["name"], row["phase"]): row for row in measured.totals()}
    assert rows["correlate", "forward"]["calls"] == 1
    assert rows["correlate", "forward"]["bytes"] == 2 * 4 * 8 * 8 * 4
    assert rows["correlate", "forward"]["flop"] == 2 * 2 * 4 * 8 * 8 * 3 * 9
    assert rows["correlate_weight_gradient", "in backward"]["flop"] == 2 * 2 * 4 * 8 * 8 * 3 * 9
    assert rows["correlate", "backward"]["bytes"] == w.grad.nbytes
    assert ("max_pool", "forward") in rows
    assert 0 < sum(row["seconds"] for row in measured.totals()) <= measured.seconds
    for event in measured.events:
        assert 0 <= event.own <= event.total + 1e-9
        assert 0 <= event.start <= measured.seconds


def test_as_text_picture_and_trace(tmp_path):
    measured, _ = small_network()
    text = str(measured)
    assert text.splitlines()[0].split()[:3] == ["primitive", "phase", "calls"]
    assert "between primitives" in text
    assert "of the peak" in measured.table(roofline=True)
    picture = measured.plot(tmp_path / "profile.svg")
    root = ElementTree.fromstring(picture)
    assert (tmp_path / "profile.svg").read_text() == picture
    assert any("correlate x 1" in (element.text or "") for element in root.iter())
    trace = json.loads(measured.chrome_trace(tmp_path / "trace.json"))
    assert len(trace["traceEvents"]) == len(measured.events)
    assert {event["ph"] for event in trace["traceEvents"]} == {"X"}
    assert json.loads((tmp_path / "trace.json").read_text()) == trace


def test_exceptions_and_nesting_leave_nothing_behind():
    before = {prim: prim.forward for prim in PRIMITIVES}
    square, vector = ac.tensor(np.ones((2, 2))), ac.tensor(np.ones(3))
    with ac.profile() as outer, ac.profile() as inner:
        np.sin(vector)
        with pytest.raises(ValueError, match="matmul"):
            square @ vector
    assert [event.name for event in outer.events] == [event.name for event in inner.events]
    assert "sin" in [event.name for event in outer.events]
    assert all(prim.forward is forward for prim, forward in before.items())


def test_higher_orders_and_anomalies_at_once():
    x = ac.tensor([1.0, 2.0], requires_grad=True)
    with ac.profile() as measured, ac.detect_anomaly():
        (g,) = ac.grad((x**3).sum(), x, create_graph=True)
        g.sum().backward()
    assert any(row["phase"] == "backward" and row["name"] == "power" for row in measured.totals())
    np.testing.assert_allclose(x.grad, [6.0, 12.0])
