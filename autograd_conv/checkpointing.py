"""Checkpoints: functions that keep nothing for the backward sweep, and are computed once more when it comes.

A record of a checkpointed function has let go of what it saved. When the sweep reaches the first of them, the function
is run again under the same recording, and each new record hands what it saved to the old one. So parents, orders of
derivative and results are what they would be without a checkpoint, bit for bit; only time and memory differ.

References
----------
A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 12. T. Chen et al., Training deep
nets with sublinear memory cost, 2016.
"""

from __future__ import annotations

import copy
import functools
import weakref
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import memory
from .errors import AutodiffError
from .tape import RECALLS, STATE, Record, State
from .tensor import Tensor, wrap
from .trees import flatten, unflatten

__all__ = ["checkpoint"]


class _Collector:
    """Takes records in order, as a tape does, without keeping sweeps from freeing them."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def keep(self, record: Record, args: Any) -> None:
        self.records.append(record)


class _Run:
    """One call of a checkpointed function: how to make its records whole again."""

    __slots__ = ("arguments", "checksum", "function", "keywords", "records", "structure")

    def __init__(self, function: Callable[..., Any], args: Sequence[Any], keywords: dict[str, Any]) -> None:
        self.function = function
        leaves, self.structure = flatten([list(args), keywords])
        self.arguments = [_kept(leaf) for leaf in leaves]
        self.records: list[weakref.ref[Record]] = []
        self.checksum = 0

    def call(self, leaves: Sequence[Any], tapes: tuple[Any, ...]) -> tuple[Any, list[Record]]:
        """The result of the function, and its records."""
        collector: Any = _Collector()
        token = STATE.set(State(True, (*tapes, collector)))
        try:
            args, keywords = unflatten(self.structure, leaves)
            result = self.function(*args, **keywords)
        finally:
            STATE.reset(token)
        return result, collector.records

    def forget(self, result: Any, records: Sequence[Record]) -> None:
        """Let the records go of what they saved."""
        self.checksum = _checksum(result)
        self.records = [weakref.ref(record) for record in records]
        for record in records:
            record.saved = None
            RECALLS[record] = self

    def __call__(self) -> None:
        """Run the function again, and hand to the records what they need."""
        name = getattr(self.function, "__name__", repr(self.function))
        result, again = self.call([_kept(leaf) for leaf in self.arguments], ())
        old = [reference() for reference in self.records]
        if len(again) != len(old) or any(
            record is not None and (record.plan is not new.plan or record.shape != new.shape)
            for record, new in zip(old, again)
        ):
            raise AutodiffError(
                f"checkpoint: {name!r} did not do the same when it was run again: {len(old)} operations before, "
                f"{len(again)} now, or others; it must depend on its arguments alone"
            )
        if _checksum(result) != self.checksum:
            raise AutodiffError(
                f"checkpoint: {name!r} gave other values when it was run again: an array that it reads was changed "
                "since, or it draws random numbers (pass it a numpy.random.Generator as an argument, or a seed)"
            )
        for record, new in zip(old, again):
            if record is None or RECALLS.pop(record, None) is not self:
                continue
            record.saved = new.saved
            inner = RECALLS.pop(new, None)
            if inner is not None:  # a checkpoint within: from now on its business
                inner.records = [weakref.ref(record) if r() is new else r for r in inner.records]
                RECALLS[record] = inner


def _kept(leaf: Any) -> Any:
    """A leaf of the arguments that later changes do not reach."""
    if isinstance(leaf, Tensor):
        memory.settle(leaf)
        twin = wrap(memory.share(leaf, leaf._array.view()), leaf._node)
        twin._shared = True
        return twin
    if isinstance(leaf, (np.ndarray, np.random.Generator)):
        return copy.deepcopy(leaf)
    return leaf


def _checksum(result: Any) -> int:
    checksum = 0
    for leaf in flatten(result)[0]:
        if isinstance(leaf, Tensor):
            checksum = zlib.crc32(np.ascontiguousarray(leaf._array).reshape(-1).view(np.uint8).data, checksum)
    return checksum


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that computes the same, saves nothing for the backward sweep, and is run again when that needs it.

    Works as a decorator, or around a call: ``checkpoint(block)(x)``.

    Parameters
    ----------
    function : callable
        Takes and returns Tensors, also in nested structures, and anything else. It may use other Tensors, such as
        parameters, which get their gradients as ever. Run twice on the same arguments it must do the same:
        generators of random numbers among the arguments are put back for the second time.

    Returns
    -------
    callable

    Raises
    ------
    AutodiffError
        In the backward sweep: if the function did something else the second time, because an array that it reads
        was changed since, say. Never a wrong gradient.

    Notes
    -----
    Cost: the forward computation of the function once more. Memory: its arguments, and one record for each operation,
    instead of what the operations save. Around each of k equal blocks, a chain needs about one k-th.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> import numpy as np
    >>> @ac.checkpoint
    ... def block(x):
    ...     return np.sin(np.exp(x))
    >>> x = ac.tensor([0.5, 1.0], requires_grad=True)
    >>> block(x).sum().backward()
    >>> np.allclose(x.grad, np.cos(np.exp(x.data)) * np.exp(x.data))
    True
    """

    @functools.wraps(function)
    def checkpointed(*args: Any, **keywords: Any) -> Any:
        recording, tapes = STATE.get()
        if not recording:
            return function(*args, **keywords)
        run = _Run(function, args, keywords)
        leaves, _ = flatten([list(args), keywords])
        result, records = run.call(leaves, tapes)
        run.forget(result, records)
        return result

    return checkpointed
