"""What it costs to record an operation: a chain of operations on three elements, forward and backward.

The arithmetic takes next to no time, so that what is left is what a library does for each operation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .measure import compare
from .progress import Progress
from .suite import largest_error

Array = NDArray[Any]

# A row of three operations, so often: y = tanh(y * x + x).
CHAIN = 10
OPERATIONS = 3 * CHAIN

X = np.array([0.5, -0.25, 0.125], np.float32)


def chain(x: Any, tanh: Callable[[Any], Any]) -> Any:
    """Return the result of `OPERATIONS` operations on `x`, a Tensor or an array."""
    y = x
    for _ in range(CHAIN):
        y = tanh(y * x + x)
    return y


def chain_gradient(x: Array) -> Array:
    """Return the derivative of each element of ``chain(x)`` by the same element of `x`, by the chain rule forwards."""
    y, derivative = x, np.ones_like(x)
    for _ in range(CHAIN):
        following = np.tanh(y * x + x)
        derivative = (1 - following**2) * (derivative * x + y + 1)
        y = following
    return derivative


def _ours() -> tuple[Callable[[], Any], Callable[[], Array]]:
    import autograd_conv as ac

    x, gy = ac.tensor(X, requires_grad=True), np.ones_like(X)

    def gradient() -> Array:
        x.grad = None
        chain(x, ac.tanh).backward(gy)
        array: Any = x.grad
        return array

    return lambda: chain(x, ac.tanh).numpy(), gradient


def _torch() -> tuple[Callable[[], Any], Callable[[], Array]]:
    import torch

    x, gy = torch.from_numpy(X.copy()).requires_grad_(), torch.ones(X.size)

    def gradient() -> Array:
        x.grad = None
        chain(x, torch.tanh).backward(gy)
        assert x.grad is not None
        array: Array = x.grad.numpy()
        return array

    return lambda: chain(x, torch.tanh).detach().numpy(), gradient


def _mygrad() -> tuple[Callable[[], Any], Callable[[], Array]]:
    import mygrad

    x, gy = mygrad.tensor(X), np.ones_like(X)

    def gradient() -> Array:
        x.null_grad()
        chain(x, mygrad.tanh).backward(gy)
        array: Array = x.grad
        return array

    return lambda: chain(x, mygrad.tanh).data, gradient


def _autograd() -> tuple[Callable[[], Any], Callable[[], Array]]:
    import autograd
    import autograd.numpy as anp

    make, gy = autograd.make_vjp(lambda x: chain(x, anp.tanh)), np.ones_like(X)

    def gradient() -> Array:
        array: Array = make(X)[0](gy)
        return array

    return lambda: make(X)[1], gradient


LIBRARIES: dict[str, Callable[[], tuple[Callable[[], Any], Callable[[], Array]]]] = {
    "autograd_conv": _ours,
    "torch": _torch,
    "mygrad": _mygrad,
    "autograd": _autograd,
}


def _looked_at(tool: str) -> Callable[[], Any]:
    """The gradient of ours while somebody looks; for "nobody any more", after all tools were used and put away."""
    import autograd_conv as ac

    x, gy = ac.tensor(X, requires_grad=True), np.ones_like(X)

    def gradient() -> None:
        x.grad = None
        chain(x, ac.tanh).backward(gy)

    tools: dict[str, Callable[[], Any]] = {
        "in a Tape": lambda: ac.Tape(values=False), "in detect_anomaly": ac.detect_anomaly, "in profile": ac.profile,
    }  # fmt: skip
    if tool in tools:

        def watched() -> None:
            with tools[tool]():
                gradient()

        return watched
    for make in tools.values():
        with make():
            gradient()
    x.register_hook(lambda g: None).remove()
    return gradient


# Who looks: see `autograd_conv.inspection`.
WATCHING = ("nobody any more", "in a Tape", "in detect_anomaly", "in profile")


def run(peers: list[str], seconds: float, rounds: int, progress: Progress) -> list[dict[str, Any]]:
    """Measure ours against NumPy without recording, and against those of `peers` that can record.

    Raises
    ------
    WrongResultError
        If a gradient is wrong. Nothing is timed then.
    """
    values, gradient = chain(X, np.tanh), chain_gradient(X)
    jobs = {}
    for name in ("autograd_conv", *plan(peers)):
        if name in LIBRARIES:
            forward, backward = LIBRARIES[name]()
            largest_error(np.asarray(forward()), values, f"recorded operations of {name}, forward")
            largest_error(np.asarray(backward()), gradient, f"recorded operations of {name}, gradient")
            jobs[name] = backward
    jobs["numpy"] = lambda: chain(X, np.tanh)
    jobs.update({tool: _looked_at(tool) for tool in WATCHING})
    rows = []
    for name in plan(peers):
        progress.begin(f"recorded operations, {name}")
        timing = asdict(compare(jobs["autograd_conv"], jobs[name], seconds, rounds))
        for key in ("seconds_a", "seconds_b"):
            timing[key] /= OPERATIONS
        rows.append({"peer": name, **timing})
        progress.step()
    return rows


def plan(peers: list[str]) -> list[str]:
    """Return what to compare with: NumPy, which records nothing; those of `peers` that record; ours, looked at."""
    return ["numpy", *(name for name in LIBRARIES if name in peers), *WATCHING]
