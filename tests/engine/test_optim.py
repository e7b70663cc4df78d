"""Optimizers against the formulas of their papers, written out here, and against PyTorch where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv import optim


def leaf(values, dtype=float):
    return ac.tensor(values, dtype=dtype, requires_grad=True)


def descend(optimizer, p, steps=5):
    """Steps on the loss sum(p**2 * (1..n)), whose gradient is 2 p (1..n)."""
    scale = np.arange(1, p.size + 1, dtype=p.dtype).reshape(p.shape)
    for _ in range(steps):
        optimizer.zero_grad()
        (p * p * scale).sum().backward()
        optimizer.step()
    return p.data


def test_plain_sgd():
    p = leaf([1.0, -2.0])
    scale = np.array([1.0, 2.0])
    q = p.numpy()
    for _ in range(5):
        q = q - 0.1 * 2 * q * scale
    np.testing.assert_allclose(descend(optim.SGD([p], lr=0.1), p), q)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_and_decay(nesterov):
    p = leaf([1.0, -2.0])
    q, v = p.numpy(), None
    for _ in range(5):
        g = 2 * q * np.array([1.0, 2.0]) + 0.05 * q
        v = g if v is None else 0.9 * v + g
        q = q - 0.1 * (g + 0.9 * v if nesterov else v)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.05, nesterov=nesterov)
    np.testing.assert_allclose(descend(optimizer, p), q)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(decoupled):
    p = leaf([1.0, -2.0])
    q, m, s = p.numpy(), 0.0, 0.0
    for t in range(1, 6):
        g = 2 * q * np.array([1.0, 2.0])
        if decoupled:
            q = q - 0.1 * 0.3 * q
        else:
            g = g + 0.3 * q
        m, s = 0.8 * m + 0.2 * g, 0.95 * s + 0.05 * g * g
        q = q - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(s / (1 - 0.95**t)) + 1e-8)
    kind = optim.AdamW if decoupled else optim.Adam
    np.testing.assert_allclose(descend(kind([p], lr=0.1, betas=(0.8, 0.95), weight_decay=0.3), p), q)


CASES = [
    (optim.SGD, "SGD", {"lr": 0.05}),
    (optim.SGD, "SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    (optim.SGD, "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (optim.Adam, "Adam", {"lr": 0.05, "weight_decay": 0.1}),
    (optim.AdamW, "AdamW", {"lr": 0.05}),
]


@pytest.mark.parametrize(("kind", "name", "settings"), CASES)
def test_agrees_with_pytorch(kind, name, settings, rng):
    torch = pytest.importorskip("torch", reason="PyTorch is an optional oracle")
    start = rng.standard_normal((3, 2))
    p = leaf(start)
    ours = descend(kind([p], **settings), p, 10)
    q = torch.tensor(start, requires_grad=True)
    theirs = getattr(torch.optim, name)([q], **settings)
    for _ in range(10):
        theirs.zero_grad()
        (q * q * torch.arange(1.0, 7.0, dtype=torch.float64).reshape(3, 2)).sum().backward()
        theirs.step()
    np.testing.assert_allclose(ours, q.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize(("kind", "_name", "settings"), CASES)
def test_state_survives_saving_and_loading(kind, _name, settings, tmp_path, rng):
    start = rng.standard_normal(4)
    p = leaf(start)
    whole = descend(kind([p], **settings), p, 6).copy()
    q = leaf(start)
    first = kind([q], **settings)
    descend(first, q, 3)
    ac.save(tmp_path / "state.npz", first.state_dict())
    ac.save(tmp_path / "p.npz", {"q": q})
    r = leaf(ac.load(tmp_path / "p.npz")["q"])
    second = kind([r], lr=1.0)
    second.load_state_dict(ac.load(tmp_path / "state.npz"))
    np.testing.assert_array_equal(descend(second, r, 3), whole)


def test_float32_stays_float32():
    for kind in (optim.SGD, optim.Adam, optim.AdamW):
        p = leaf([1.0, 2.0], np.float32)
        optimizer = kind([p], lr=0.1, weight_decay=0.1)
        descend(optimizer, p)
        assert p.dtype == np.float32
        assert all(a.dtype in (np.float32, np.int64) for state in optimizer.state for a in state.values())


def test_parameters_without_a_gradient_are_left_alone():
    p, q = leaf([1.0]), leaf([1.0])
    optimizer = optim.Adam([p, q])
    (p * 2).backward()
    optimizer.step()
    assert q.data[0] == 1.0
    assert p.data[0] != 1.0


def test_mistakes_are_named():
    p = leaf([1.0])
    for make, error, message in [
        (lambda: optim.SGD([]), ValueError, "SGD: params is empty"),
        (lambda: optim.SGD(p), TypeError, "pass a list"),
        (lambda: optim.Adam([p, p]), ValueError, "given twice"),
        (lambda: optim.Adam([np.ones(1)]), TypeError, r"params\[0\] is a ndarray"),
        (lambda: optim.Adam([p * 2]), ValueError, "must be a leaf"),
        (lambda: optim.Adam([ac.tensor([1.0])]), ValueError, "must be a leaf"),
        (lambda: optim.SGD([p], lr=-1.0), ValueError, "lr=-1.0"),
        (lambda: optim.SGD([p], lr=float("nan")), ValueError, "lr=nan"),
        (lambda: optim.SGD([p], lr="fast"), TypeError, "lr is a str"),
        (lambda: optim.SGD([p], nesterov=True), ValueError, "nesterov=True needs momentum > 0"),
        (lambda: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "betas"),
        (lambda: optim.AdamW([p], weight_decay=-0.1), ValueError, "weight_decay=-0.1"),
    ]:
        with pytest.raises(error, match=message):
            make()


def test_a_wrong_state_changes_nothing():
    p = leaf([1.0, 2.0])
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    descend(optimizer, p, 1)
    good = optimizer.state_dict()
    before = optimizer.state[0]["momentum"].copy()
    for bad, message in [
        ({**good, "lr": 5.0, "0.momentum": np.ones(3)}, r"shape \(3,\)"),
        ({**good, "1.momentum": np.ones(2)}, "means nothing here"),
        ({**good, "0.other": np.ones(2)}, "means nothing here"),
        ({k: v for k, v in good.items() if k != "lr"}, "'lr' is missing"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(bad)
    assert optimizer.lr == 0.1
    np.testing.assert_array_equal(optimizer.state[0]["momentum"], before)


def with_numbers(kind, settings, start, gradients, compiled, monkeypatch):
    """Values and state after steps along `gradients`, by the compiled loops or by NumPy."""
    monkeypatch.setattr(optim, "_COMPILED_FROM", 0 if compiled else 1 << 62)
    monkeypatch.setattr(optim, "_CALL_OPERATIONS", 0)
    p = ac.tensor(start, requires_grad=True)
    optimizer = kind([p], **settings)
    for g in gradients:
        p.grad = g
        optimizer.step()
    return [p.numpy(), *[optimizer.state[0][slot] for slot in sorted(optimizer.state[0])]]


FURTHER = [
    (optim.SGD, "SGD", {"lr": 0.05, "weight_decay": 0.1}),
    (optim.SGD, "SGD", {"lr": 0.05, "momentum": 0.9}),
    (optim.SGD, "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (optim.Adam, "Adam", {"lr": 0.05, "eps": 0.1}),
    (optim.AdamW, "AdamW", {"lr": 0.05, "weight_decay": 0.0}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (37,), (5, 7), (40_000,)])
@pytest.mark.parametrize(("kind", "_name", "settings"), CASES + FURTHER)
def test_the_compiled_loops_do_bit_for_bit_what_numpy_does(kind, _name, settings, shape, dtype, monkeypatch, rng):
    start = rng.standard_normal(shape).astype(dtype)
    gradients = rng.standard_normal((4, *shape)).astype(dtype)
    if start.size > 30:
        start.flat[[3, 8]] = np.nan, -0.0
        gradients.flat[[5, 11, 17, 18, 36]] = np.inf, -np.inf, 1e-40, -0.0, np.nan
    with np.errstate(all="ignore"):
        ours, plain = [
            with_numbers(kind, settings, start, gradients, compiled, monkeypatch) for compiled in (True, False)
        ]
    for ours_array, plain_array in zip(ours, plain, strict=True):
        assert ours_array.dtype == plain_array.dtype
        np.testing.assert_array_equal(ours_array, plain_array)
        if ours_array.dtype.kind == "f":
            number = ~np.isnan(plain_array)
            np.testing.assert_array_equal(np.signbit(ours_array)[number], np.signbit(plain_array)[number])


@pytest.mark.parametrize(("kind", "name", "settings"), CASES + FURTHER)
def test_the_compiled_loops_agree_with_pytorch(kind, name, settings, monkeypatch, rng):
    torch = pytest.importorskip("torch", reason="PyTorch is an optional oracle")
    start, gradients = rng.standard_normal((30, 7)), rng.standard_normal((6, 30, 7))
    ours, *_ = with_numbers(kind, settings, start, gradients, True, monkeypatch)
    q = torch.tensor(start, requires_grad=True)
    theirs = getattr(torch.optim, name)([q], **settings)
    for g in gradients:
        q.grad = torch.tensor(g)
        theirs.step()
    np.testing.assert_allclose(ours, q.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_any_layout_of_parameter_and_gradient_is_stepped(kind, monkeypatch, rng):
    monkeypatch.setattr(optim, "_COMPILED_FROM", 0)
    monkeypatch.setattr(optim, "_CALL_OPERATIONS", 0)
    start, g = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    results = []
    for parameter_order, gradient_order in ["CC", "CF", "FC", "FF"]:
        p = ac.tensor(start, requires_grad=True)
        p._array = np.array(start, order=parameter_order)
        optimizer = kind([p], lr=0.1, weight_decay=0.1)
        for _ in range(2):
            p._leaf.grad = np.array(g, order=gradient_order)
            optimizer.step()
        results.append(p.numpy())
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
@pytest.mark.parametrize(("kind", "_name", "settings"), CASES)
def test_a_parameter_of_any_shape_descends(kind, _name, settings, shape):
    p = leaf(np.full(shape, 2.0))
    descend(kind([p], **settings), p)
    assert p.shape == shape
    assert (np.abs(p.data) < 2.0).all()


def test_few_parameters_compile_nothing(monkeypatch):
    p = leaf([1.0, 2.0])
    monkeypatch.setattr(optim.kernels.steps, "_run", lambda *args: pytest.fail("compiled"))
    descend(optim.Adam([p]), p)
