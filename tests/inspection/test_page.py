"""The page that steps through a sweep: what is in it, and what a real browser makes of it."""

from __future__ import annotations

import importlib.util
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import nn
from autograd_conv.demo.digits import initial_parameters, network
from autograd_conv.errors import AutodiffError
from autograd_conv.inspection import page as page_module
from autograd_conv.inspection.formulas import FORMULAS, rule_source
from autograd_conv.primitive import PRIMITIVES
from autograd_conv.tape import HOOKS

# Imported from its place: the tests are no package.
_spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
driver = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(driver)


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def digits_tape(rng, count=2):
    p = initial_parameters(rng)
    images = ac.tensor(rng.random((count, 1, 8, 8)), dtype=np.float32)
    with ac.Tape() as tape:
        loss = nn.cross_entropy(network(p, images), rng.integers(0, 10, count))
    return tape, p, loss


def facts_of(array):
    values = array.astype(np.float64)
    return str(array.shape), f"{values.min():.4g}", f"{values.max():.4g}", f"{np.linalg.norm(values.ravel()):.4g}"


def facts(picture):
    return picture["shape"], picture["least"], picture["greatest"], picture["norm"]


# --- what it shows ------------------------------------------------------------------------------------------


def test_each_record_is_a_step_in_the_order_of_the_sweep(rng, tmp_path):
    tape, p, loss = digits_tape(rng)
    html = tape.page(tmp_path / "tape.html", names={**p, "loss": loss})
    assert (tmp_path / "tape.html").read_text(encoding="utf-8") == html
    data = data_of(html)
    assert [step["key"] for step in data["steps"]] == [f"record-{k}" for k in range(len(tape) - 1, -1, -1)] + [""]
    assert data["steps"][0]["title"].endswith("= loss")
    for step in data["steps"][:-1]:
        assert all(rule["source"] for rule in step["rules"])
        assert step["line"].startswith("digits.py:") or step["line"].startswith("test_page.py:")
        assert step["code"]
    correlations = [step for step in data["steps"] if " correlate" in step["title"]]
    assert len(correlations) == 3
    for step in correlations:
        assert "padpad" in step["rules"][0]["formula"] or step is correlations[-1]
        assert step["rules"][-1]["title"].startswith("for bias, to the leaf conv")


def test_cotangents_are_those_of_the_sweep(rng):
    """Compared with what ac.grad finds for intermediate results and leaves."""
    x = ac.tensor(rng.standard_normal((3, 4)), requires_grad=True)
    w = ac.tensor(rng.standard_normal((4, 5)), requires_grad=True)
    with ac.Tape() as tape:
        h = x @ w
        s = ac.sin(h)
        y = (s * s).sum() + h.sum()
    data = data_of(tape.page(None, y, names={"x": x, "w": w}))
    by_title = {step["title"].split(" ", 1)[1]: step for step in data["steps"]}
    pictures = data["pictures"]
    for name, tensor in (("matmul", h), ("sin", s)):
        (expected,) = ac.grad(y, tensor, retain_graph=True)
        (shown,) = by_title[name]["arrived"]
        assert shown[0] == "gy"
        assert facts(pictures[shown[1]]) == facts_of(expected.data)
    gx, gw = ac.grad(y, (x, w))
    last = data["steps"][-1]
    assert [name for name, _ in last["arrived"]] == ["x", "w"]
    for (_, number), expected in zip(last["arrived"], (gx, gw)):
        assert facts(pictures[number]) == facts_of(expected.data)
    for rule, expected in zip(by_title["matmul"]["rules"], (gx, gw)):
        assert facts(pictures[rule["pictures"][0][1]]) == facts_of(expected.data)
    assert x.grad is None
    assert w.grad is None


def test_a_seed_and_several_outputs(rng):
    a = ac.tensor(rng.standard_normal((4, 3)), requires_grad=True)
    with ac.Tape() as tape:
        q, r = ac.linalg.qr(a)
        y = q @ r
    seed = rng.standard_normal((4, 3))
    data = data_of(tape.page(grad=seed))
    assert facts(data["pictures"][data["steps"][0]["arrived"][0][1]]) == facts_of(seed)
    assert [name for name, _ in data["steps"][1]["arrived"]] == ["gy, of output 0", "gy, of output 1"]
    with pytest.raises(ValueError, match=r"Tape\.page: the last record, 'matmul', has shape \(4, 3\)"):
        tape.page()
    with pytest.raises(
        ValueError, match=r"Tape\.page: argument 'grad' has shape \(2,\); the output has shape \(4, 3\)"
    ):
        tape.page(grad=[1.0, 2.0])
    with pytest.raises(TypeError, match=r"Tape\.page: argument 'output' is a int"):
        tape.page(output=3)
    with pytest.raises(AutodiffError, match=r"Tape\.page: argument 'output' does not require grad"):
        tape.page(output=ac.tensor(1.0))
    with pytest.raises(ValueError, match=r"Tape\.page: the tape has no records"):
        ac.Tape().page()
    assert y.requires_grad


def test_checkpoints_outside_records_and_higher_orders(rng):
    x = ac.tensor(rng.standard_normal(3), requires_grad=True)
    before = ac.exp(x)
    with ac.Tape() as tape:
        y = ac.checkpoint(lambda t: ac.sin(t * t))(before).sum()
        (g,) = ac.grad(y, x, create_graph=True)
        z = (g * g).sum()
    data = data_of(tape.page(output=z))
    assert len(data["steps"]) > 5
    places = [rule["title"] for step in data["steps"] for rule in step["rules"]]
    assert any("a record off this page, exp" in place for place in places)
    (expected,) = ac.grad(z, x)
    assert facts(data["pictures"][data["steps"][-1]["arrived"][0][1]]) == facts_of(expected.data)


# --- what it leaves alone -----------------------------------------------------------------------------------


def test_looking_leaves_no_hooks_behind_even_after_an_error(rng):
    @ac.primitive
    def broken(x):
        return x.copy()

    def rule(g):
        raise RuntimeError("no")

    broken.defvjp(x=rule)
    x = ac.tensor(rng.standard_normal(3), requires_grad=True)
    with ac.Tape() as tape:
        y = broken(ac.sin(x)).sum()
    before = len(HOOKS)
    with pytest.raises(RuntimeError, match="no"):
        tape.page(output=y)
    assert len(HOOKS) == before
    for record in tape:
        assert "pull_back" not in record.primitive.__dict__


def test_hooks_of_the_user_act_once_and_are_seen(rng):
    x = ac.tensor(rng.standard_normal(3), requires_grad=True)
    calls = []
    with ac.Tape() as tape:
        h = ac.sin(x)
        y = h.sum()
    with h.register_hook(lambda g: calls.append(1) or 7 * g):
        data = data_of(tape.page(output=y))
    assert calls == [1]
    assert data["pictures"][data["steps"][1]["arrived"][0][1]]["greatest"] == "7"


def test_other_threads_do_not_get_onto_the_page(rng):
    x = ac.tensor(rng.standard_normal(50), requires_grad=True)
    with ac.Tape() as tape:
        y = ac.sin(ac.exp(x)).sum()
    stop = threading.Event()

    def others():
        other = ac.tensor(rng.standard_normal(50), requires_grad=True)
        while not stop.is_set():
            ac.grad(y, x, grad_outputs=5.0, retain_graph=True)
            ac.grad(ac.sin(ac.exp(other)).sum(), other)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for _ in range(5):
            data = data_of(tape.page(output=y))
            assert data["pictures"][data["steps"][0]["arrived"][0][1]]["value"] == "1.0"
            assert [step["title"] for step in data["steps"][:3]] == ["#2 sum", "#1 sin", "#0 exp"]
    finally:
        stop.set()
        thread.join()


def test_the_size_is_bounded(rng, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_STEPS", 20)
    x = ac.tensor(rng.standard_normal((300, 300)), requires_grad=True)
    with ac.Tape() as tape:
        y = x
        for _ in range(50):
            y = ac.sin(y)
        y = y.sum()
    html = tape.page()
    data = data_of(html)
    assert len(html) < 5_000_000
    assert len(data["steps"]) == 21
    assert "only the records from #31 on are shown" in data["about"]
    assert data["steps"][0]["title"] == "#50 sum"
    assert 'id="record-31"' in html
    assert 'id="record-30"' not in html
    assert any("every" in picture["note"] for picture in data["pictures"])


def test_all_text_is_escaped(rng):
    evil = "</script><img src=x onerror=alert(1)>&$DATA$GRAPH"
    x = ac.tensor(rng.standard_normal(3), requires_grad=True)

    @ac.primitive(name=evil)
    def odd(x):
        """<b>bold</b> text."""
        return x + 1

    odd.defvjp(x=lambda g: g)
    with ac.Tape() as tape:
        y = odd(x).sum()
    html = tape.page(output=y, names={evil: x})
    assert "<img src=x" not in html
    assert "<b>bold" not in html
    assert html.count("</script>") == 2
    assert evil in data_of(html)["steps"][1]["title"]
    assert "<iframe" in html._repr_html_()
    assert "<script" not in html._repr_html_()


# --- formulas -----------------------------------------------------------------------------------------------


# Those of the package: looked up here, before tests have made primitives of their own under the same names.
PACKAGE = [p for p in PRIMITIVES if p.__module__.partition(".")[0] in ("autograd_conv", "numpy")]


def test_formulas_belong_to_primitives_and_their_arguments():
    for name, entries in FORMULAS.items():
        # Several may share a name: the cross entropies of indices and of probabilities do.
        known = {argument for p in PACKAGE if p.name == name for argument in (*p.arguments, p.variadic)}
        assert set(entries) <= known, name


def test_every_rule_has_a_source_text_that_is_its_own():
    for primitive in PACKAGE:
        for rule in [*primitive._rules.values(), *([primitive._joint] if primitive._joint else [])]:
            source = rule_source(rule)
            code = rule.__code__
            for name in code.co_varnames[: code.co_argcount]:
                assert name in source, (primitive, source)
            for name in code.co_names:
                assert name in source or name in ("T",), (primitive, name, source)


def test_two_rules_in_one_line_are_told_apart():
    rules = {"x": lambda g, y: g * y, "y": lambda g, y: g / y}
    assert [rule_source(rule) for rule in rules.values()] == ["lambda g, y: g * y", "lambda g, y: g / y"]
    assert rule_source(eval("lambda g: g")) == ""  # typed in, and nowhere to be read


# --- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture
def browser(tmp_path):
    if driver.missing():
        pytest.skip(driver.missing())
    session = driver.Browser(tmp_path)
    yield session
    session.close()


def state(browser):
    """Heading, step, highlighted boxes, number of pictures that were decoded."""
    return browser.run(
        """return [document.querySelector("h2").textContent, document.getElementById("where").textContent,
        Array.from(document.querySelectorAll(".box.current")).map(box => box.id),
        Array.from(document.querySelectorAll("#record img")).filter(i => i.complete && i.naturalWidth > 0).length,
        document.querySelectorAll("#record img").length]"""
    )


def test_clicking_through_the_digits_network(rng, tmp_path, browser):
    tape, p, loss = digits_tape(rng, count=3)
    tape.page(tmp_path / "tape.html", names={**p, "loss": loss})
    browser.open((tmp_path / "tape.html").as_uri())
    count = len(tape) + 1
    titles = []
    for k in range(count):
        title, step, current, decoded, pictures = state(browser)
        titles.append(title)
        assert step == f"step {k + 1} of {count}"
        assert decoded == pictures
        assert pictures > 0 or k < 2  # the first cotangents are numbers
        if k < count - 1:
            index = count - 2 - k
            assert title.startswith(f"#{index} {tape[index].name}")
            assert current == [f"record-{index}"]
            seen = browser.run(
                """const a = document.querySelector(".box.current").getBoundingClientRect(),
                b = document.getElementById("graph").getBoundingClientRect();
                return a.top >= b.top - 1 && a.bottom <= b.bottom + 1"""
            )
            assert seen, f"the box of {title} is out of sight"
            browser.click("#next")
    assert titles[-1] == "The gradients"
    assert len(set(titles)) == count
    assert browser.run("return document.getElementById('next').disabled")
    assert "rotated by 180" not in browser.run("return document.getElementById('record').textContent")
    browser.press(driver.ARROW_LEFT)
    assert state(browser)[0] == "#0 correlate"
    browser.press(driver.HOME)
    assert state(browser)[1] == f"step 1 of {count}"
    browser.press(driver.ARROW_LEFT)  # nothing comes before
    assert state(browser)[1] == f"step 1 of {count}"
    browser.press(driver.END)
    assert state(browser)[0] == "The gradients"
    browser.click("#first")
    browser.press(driver.ARROW_RIGHT)
    assert state(browser)[1] == f"step 2 of {count}"
    browser.run(
        """const slider = document.getElementById("slider"); slider.value = 6;
        slider.dispatchEvent(new Event("input"))"""
    )
    title = state(browser)[0]
    assert title == "#5 correlate"
    text = browser.run("return document.getElementById('record').textContent")
    assert "padpad(gy)" in text
    assert "input_gradient(gated(g), w, None, setup=setup)" in text
    assert "conv3.weight" in text
    browser.click("#record-8 tspan")
    assert state(browser)[0] == "#8 linear"
    assert not browser.run("return document.documentElement.scrollWidth > window.innerWidth")
    assert browser.messages() == []
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_the_page_asks_for_nothing_and_runs_no_text(rng, tmp_path, browser):
    evil = "<img src=x onerror='window.evil = 1'>"
    x = ac.tensor(rng.standard_normal((2, 3)), requires_grad=True)
    with ac.Tape() as tape:
        y = ac.sin(x).sum()
    tape.page(tmp_path / "tape.html", output=y, names={evil: x})
    browser.open((tmp_path / "tape.html").as_uri())
    browser.press(driver.END)
    assert evil in browser.run("return document.getElementById('record').textContent")
    assert browser.run("return window.evil === undefined")
    assert (
        browser.run("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length")
        == 0
    )
    assert browser.messages() == []


def test_a_notebook_shows_tensors_tapes_and_pages(rng, tmp_path, browser):
    """What a notebook would put into its page."""
    x = ac.tensor(rng.standard_normal((6, 8)), requires_grad=True)
    with ac.Tape() as tape:
        y = ac.sin(x).sum()
    y.backward()
    parts = [x._repr_html_(), y._repr_html_(), tape._repr_html_(), tape.plot()._repr_svg_(), tape.page()._repr_html_()]
    (tmp_path / "notebook.html").write_text("<!DOCTYPE html>" + "\n".join(parts), encoding="utf-8")
    browser.open((tmp_path / "notebook.html").as_uri())
    assert browser.run("return document.images.length") == 1
    assert browser.run("return Array.from(document.images).every(image => image.naturalWidth > 0)")
    assert browser.run("return document.querySelectorAll('svg').length") == 2
    assert browser.run("return document.querySelector('iframe').getBoundingClientRect().height") > 700
    browser.screenshot(tmp_path / "notebook.png")
