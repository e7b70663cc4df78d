"""Watching primitives at work, at no cost when nobody does.

While a probe is active, the forward function and the pull-back of each primitive are replaced by ones that tell the
probe, as attributes of the primitive; afterwards they are as before. Only the thread, or asynchronous task, that
activated the probe is watched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..primitive import PRIMITIVES, Primitive
from ..tape import Record

__all__ = ["Probe", "active"]


class Probe:
    """What is told of each forward and each pull-back; by default it does nothing but run them."""

    def forward(self, primitive: Primitive, run: Callable[..., Any], args: tuple[Any, ...], settings: Any) -> Any:
        """Run a primitive on arrays, and return what it returned."""
        return run(*args, **settings)

    def pull_back(self, record: Record, run: Callable[..., Any], *args: Any) -> list[tuple[Any, Any]]:
        """Run the rules of a record, and return the pairs of node and cotangent."""
        result: list[tuple[Any, Any]] = run(record, *args)
        return result


_PROBES: ContextVar[tuple[Probe, ...]] = ContextVar("autograd_conv.probes", default=())
_lock = threading.Lock()
_users = 0
_before: list[tuple[Primitive, dict[str, Any]]] = []


def _install(primitive: Primitive) -> None:
    original = primitive.forward
    outer = primitive.__dict__.get("pull_back")
    _before.append((primitive, {"forward": original, "pull_back": outer}))

    def forward(*args: Any, **settings: Any) -> Any:
        def run(probes: tuple[Probe, ...], *args: Any, **settings: Any) -> Any:
            if not probes:
                return original(*args, **settings)
            *rest, probe = probes
            return probe.forward(primitive, lambda *a, **s: run(tuple(rest), *a, **s), args, settings)

        return run(_PROBES.get(), *args, **settings)

    def pull_back(record: Record, *args: Any) -> list[tuple[Any, Any]]:
        def run(probes: tuple[Probe, ...], record: Record, *args: Any) -> Any:
            if not probes:
                return type(primitive).pull_back(primitive, record, *args) if outer is None else outer(record, *args)
            *rest, probe = probes
            return probe.pull_back(record, lambda r, *a: run(tuple(rest), r, *a), *args)

        result: list[tuple[Any, Any]] = run(_PROBES.get(), record, *args)
        return result

    primitive.forward = forward
    primitive.__dict__["pull_back"] = pull_back


def _remove() -> None:
    for primitive, attributes in _before:
        primitive.forward = attributes["forward"]
        if attributes["pull_back"] is None:
            primitive.__dict__.pop("pull_back", None)
        else:
            primitive.__dict__["pull_back"] = attributes["pull_back"]
    _before.clear()


@contextmanager
def active(probe: Probe) -> Iterator[Probe]:
    """Let a probe watch what this thread does inside the ``with`` block."""
    global _users
    with _lock:
        if not _users:
            for primitive in list(PRIMITIVES):
                _install(primitive)
        _users += 1
    token = _PROBES.set((*_PROBES.get(), probe))
    try:
        yield probe
    finally:
        _PROBES.reset(token)
        with _lock:
            _users -= 1
            if not _users:
                _remove()
