"""The drawn graph: everything on the tape is in it, nothing lies on anything else, and any text can stand in it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.demo.digits import initial_parameters, network
from autograd_conv.inspection.layout import arrange

SVG = "{http://www.w3.org/2000/svg}"


def boxes(picture):
    """Class, texts and rectangle of each box, by its id."""
    root = ET.fromstring(picture)
    found = {}
    for group in root.iter(f"{SVG}g"):
        kind = group.get("class", "").split()
        if kind[:1] == ["box"]:
            bounds = next(rect for rect in group.iter(f"{SVG}rect") if rect.get("class") == "bounds")
            x, y, w, h = (float(bounds.get(name)) for name in ("x", "y", "width", "height"))
            texts = [part.text for part in group.iter() if part.tag in (f"{SVG}tspan", f"{SVG}text") and part.text]
            assert group.get("id") not in found
            found[group.get("id")] = (kind[1], texts, (x, y, x + w, y + h))
    return found


def edges(picture):
    groups = [group for group in ET.fromstring(picture).iter(f"{SVG}g") if group.get("class") == "edge"]
    return [(group.get("data-from"), group.get("data-to")) for group in groups]


def check_drawing(picture, tape):
    """Well-formed; all records; no box over another or outside the paper; every line has its ends."""
    root = ET.fromstring(picture)
    paper = float(root.get("width")), float(root.get("height"))
    found = boxes(picture)
    assert [f"record-{k}" in found for k in range(len(tape))] == [True] * len(tape)
    for k, record in enumerate(tape):
        assert found[f"record-{k}"][1][0].startswith(f"#{k} {record.name}")
    for (one, (_, _, a)), (other, (_, _, b)) in combinations(found.items(), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], f"{one} overlaps {other}"
    for _, _, (left, top, right, bottom) in found.values():
        assert left >= 0
        assert top >= 0
        assert right <= paper[0] + 1
        assert bottom <= paper[1] + 1
    for source, target in edges(picture):
        assert found[source][2][3] <= found[target][2][1], f"the line from {source} to {target} does not run down"
    return found


def block(rng):
    """A residual block with a shortcut; its tape and its parameters."""

    def weight(*shape):
        return ac.tensor(rng.standard_normal(shape) / 3, dtype=np.float32, requires_grad=True)

    p = {"w1": weight(8, 4, 3, 3), "w2": weight(8, 8, 3, 3), "shortcut": weight(8, 4, 1, 1)}
    p |= {name: weight(8) for name in ("gamma1", "beta1", "gamma2", "beta2")}
    x = ac.tensor(rng.standard_normal((2, 4, 8, 8)), dtype=np.float32)
    with ac.Tape() as tape:
        h = nn.conv2d(x, p["w1"], padding=1)
        h = nn.relu(nn.batch_norm(h, None, None, p["gamma1"], p["beta1"], training=True))
        h = nn.batch_norm(nn.conv2d(h, p["w2"], padding=1), None, None, p["gamma2"], p["beta2"], training=True)
        y = nn.relu(h + nn.conv2d(x, p["shortcut"]))
    return tape, p, y


def test_a_residual_block(rng, tmp_path):
    tape, p, y = block(rng)
    picture = tape.plot(tmp_path / "tape.svg", names={**p, "y": y})
    assert (tmp_path / "tape.svg").read_text(encoding="utf-8") == picture
    found = check_drawing(picture, tape)
    kinds = [kind for kind, _, _ in found.values()]
    assert kinds.count("parameter") == 7
    assert kinds.count("activation") == len(tape)
    titles = {texts[0] for kind, texts, _ in found.values() if kind == "parameter"}
    assert titles == set(p)
    (last,) = [
        found[f"record-{len(tape) - 1}"][1],
    ]
    assert last[0].endswith("relu = y")
    assert "(2,8,8,8) float32" in last
    assert any("saves w, x" in text for _, texts, _ in found.values() for text in texts)


def test_edges_are_those_of_the_tape(rng):
    tape, _, _ = block(rng)
    picture = tape.plot()
    index = {record.number: k for k, record in enumerate(tape)}
    parents = [node.number for record in tape for node in record.parents if node is not None]
    leaves = list(dict.fromkeys(number for number in parents if number not in index))  # in order of appearance
    expected = sorted(
        (
            f"record-{index[parent.number]}" if parent.number in index else f"leaf-{leaves.index(parent.number)}",
            f"record-{k}",
        )
        for k, record in enumerate(tape)
        for parent in record.parents
        if parent is not None
    )
    assert sorted(edge for edge in edges(picture) if not edge[0].startswith("constant")) == expected


def test_the_digits_network_with_its_gradients(rng):
    p = initial_parameters(rng)
    images = ac.tensor(rng.random((2, 1, 8, 8)), dtype=np.float32)
    with ac.Tape() as tape:
        loss = nn.cross_entropy(network(p, images), np.array([3, 5]))
    before = tape.plot(names=p)
    assert "grad: norm" not in before
    loss.backward()
    picture = tape.plot(names=p)
    found = check_drawing(picture, tape)
    for name, parameter in p.items():
        (texts,) = [texts for kind, texts, _ in found.values() if kind == "parameter" and texts[0] == name]
        assert f"grad: norm {np.linalg.norm(parameter.grad.ravel()):.3g}" in texts


def test_records_of_a_sweep_are_told_apart(rng):
    x = ac.tensor(rng.standard_normal(4), requires_grad=True)
    with ac.Tape() as tape:
        y = ac.sum(ac.sin(x) * x)
        forward = len(tape)
        (g,) = ac.grad(y, x, create_graph=True)
        sweep = len(tape)
        ac.sum(g * g)
    found = check_drawing(tape.plot(), tape)
    kinds = [found[f"record-{k}"][0] for k in range(len(tape))]
    assert kinds == ["activation"] * forward + ["gradient"] * (sweep - forward) + ["activation"] * (len(tape) - sweep)
    assert tape.in_sweep == [kind == "gradient" for kind in kinds]


def test_a_users_own_rule_counts_as_sweep(rng):
    @ac.primitive
    def twice(x):
        return 2 * x

    def rule(g):
        return ac.multiply(g, 2)

    twice.defvjp(x=rule)
    x = ac.tensor(rng.standard_normal(3), requires_grad=True)
    with ac.Tape() as tape:
        y = twice(x).sum()
        (g,) = ac.grad(y, x, grad_outputs=ac.tensor(1.0, requires_grad=True), create_graph=True)
    assert g.requires_grad
    assert tape.in_sweep[:2] == [False, False]
    assert all(tape.in_sweep[2:])
    assert len(tape) > 2


def test_several_outputs_outside_records_and_constants(rng):
    x = ac.tensor(rng.standard_normal((3, 3)), requires_grad=True)
    before = ac.exp(x)
    with ac.Tape() as tape:
        q, r = ac.linalg.qr(before)
        ac.sum(q * np.ones((3, 3))) + ac.sum(r)
    found = check_drawing(tape.plot(), tape)
    (outside,) = [texts for kind, texts, _ in found.values() if kind == "outside"]
    assert outside[0] == "exp"
    assert any(kind == "constant" for kind, _, _ in found.values())
    (qr,) = [texts for _, texts, _ in found.values() if texts[0].endswith("qr")]
    assert [text[:2] for text in qr[1:3]] == [".0", ".1"]


def test_checkpointed_and_freed_records(rng):
    x = ac.tensor(rng.standard_normal(3), requires_grad=True)
    with ac.Tape() as tape:
        ac.checkpoint(lambda t: ac.sin(ac.exp(t)))(x).sum()
    texts = [text for _, texts, _ in check_drawing(tape.plot(), tape).values() for text in texts]
    assert texts.count("saved: recalled") == 2
    assert tape[0].saved is None  # to be looked at changes nothing


def test_an_empty_tape_and_a_long_one():
    with ac.Tape() as tape:
        pass
    assert not boxes(tape.plot())
    x = w = ac.tensor(1.0, requires_grad=True)
    with ac.Tape() as tape:
        for _ in range(300):  # a recurrent network: lines from w pass all layers
            x = x * w
    found = check_drawing(tape.plot(names={"w": w}), tape)
    again = [texts for kind, texts, _ in found.values() if kind == "parameter"]
    assert {texts[0] for texts in again} == {"w", "w (again)"}
    assert len(again) == 24


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", '"quoted"', "\x00\x1b]]>\ufffe", "Größe ∂"])
def test_any_name_can_stand_in_it(name):
    x = ac.tensor([1.0], requires_grad=True)
    with ac.Tape() as tape:
        x * x
    picture = tape.plot(names={name: x})
    (leaf,) = [texts for kind, texts, _ in check_drawing(picture, tape).values() if kind == "parameter"]
    assert "<script" not in picture
    assert leaf[0] == "".join("\ufffd" if c in "\x00\x1b\ufffe" else c for c in name)


def test_bad_names():
    tape = ac.Tape()
    with pytest.raises(TypeError, match=r"Tape\.plot: argument 'names' is a list"):
        tape.plot(names=[1])
    with pytest.raises(TypeError, match=r"Tape\.plot: names\['a'\] is a ndarray; it must be a Tensor"):
        tape.plot(names={"a": np.ones(2)})


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 14))
    sizes = draw(st.lists(st.tuples(st.floats(10, 200), st.floats(10, 80)), min_size=count, max_size=count))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    return sizes, draw(st.lists(st.sampled_from(pairs), max_size=25)) if pairs else []


@given(graphs())
def test_layout_of_any_graph(graph):
    """No overlaps; lines run downwards, and pass boxes without touching them."""
    sizes, lines = graph
    layout = arrange(sizes, lines)
    rectangles = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(layout.positions, sizes)]
    for a, b in combinations(rectangles, 2):
        assert a[2] <= b[0] + 1e-6 or b[2] <= a[0] + 1e-6 or a[3] <= b[1] + 1e-6 or b[3] <= a[1] + 1e-6
    for (source, target), route in zip(lines, layout.routes):
        assert route[0][1] == pytest.approx(rectangles[source][3])
        assert route[-1][1] == rectangles[target][1]
        assert rectangles[target][0] <= route[-1][0] <= rectangles[target][2]
        assert all(a[1] <= b[1] + 1e-6 for a, b in pairwise(route))
        for (x, top), (same, bottom) in zip(route[1:-1:2], route[2:-1:2]):
            assert x == same
            for left, up, right, down in rectangles:
                assert x <= left or x >= right or bottom <= up or top >= down
    for x0, y0, x1, y1 in rectangles:
        assert x0 >= 0
        assert y0 >= 0
        assert x1 <= layout.width + 1e-6
        assert y1 <= layout.height + 1e-6
