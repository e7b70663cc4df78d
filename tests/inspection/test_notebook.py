"""Tensors and tapes as HTML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

import autograd_conv as ac


def texts(html):
    """The texts of well-formed HTML."""
    root = ET.fromstring(html.replace("&minus;", "-"))
    return [text.strip() for text in root.itertext() if text.strip()]


@pytest.mark.parametrize(
    "value",
    [
        3.0,
        [],
        np.zeros((0, 3)),
        np.arange(1000),
        np.eye(2) * 1j,
        np.full((2, 2), np.nan),
        [True, False],
        np.ones((2,) * 6),
    ],
    ids=range(8),
)
def test_any_tensor(value):
    x = ac.tensor(value)
    found = texts(x._repr_html_())
    assert f"{x.shape} {x.dtype}, {x.nbytes} B" in found
    assert "no: a constant" in found


def test_what_a_tensor_tells(rng):
    x = ac.tensor(rng.standard_normal((20, 30)), requires_grad=True)
    y = ac.sin(x)
    q, _ = ac.linalg.qr(x)
    assert "yes: a leaf" in texts(x._repr_html_())
    assert "yes: made by sin" in texts(y._repr_html_())
    assert "yes: made by qr, output 0" in texts(q._repr_html_())
    assert "..." in x._repr_html_()
    assert len(x._repr_html_()) < 10_000 + 4000
    y.sum().backward()
    assert f"norm {np.linalg.norm(x.grad):.4g}" in texts(x._repr_html_())


def test_looking_at_a_tensor_lets_nobody_write_to_it(rng):
    x = ac.tensor(rng.standard_normal((3, 3)), requires_grad=True)
    y = ac.sin(x)
    x._repr_html_(), y._repr_html_()
    assert not x._exposed
    assert not y._exposed


def test_a_tape(rng):
    x = ac.tensor(rng.standard_normal(3), requires_grad=True)
    with ac.Tape() as tape:
        ac.sin(x).sum()
    html = tape._repr_html_()
    found = texts(html)
    assert {"primitive", "sin", "sum", "leaf(3,)"} <= set(found)
    assert "<svg" in html
    with ac.Tape() as long:
        for _ in range(300):
            x = ac.sin(x)
    html = long._repr_html_()
    assert "the first 200 of them" in html
    assert "<svg" not in html
    assert html.count("<tr>") == 201
    assert texts(ac.Tape()._repr_html_())[0] == "Tape of 0 records"


def test_names_are_escaped():
    @ac.primitive(name="<script>")
    def odd(x):
        return x + 1

    odd.defvjp(x=lambda g: g)
    x = ac.tensor([1.0], requires_grad=True)
    with ac.Tape() as tape:
        y = odd(x)
    assert "<script" not in tape._repr_html_()
    assert "<script" not in y._repr_html_()
