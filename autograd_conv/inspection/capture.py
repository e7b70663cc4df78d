"""One backward sweep, watched: which cotangent arrived at each record of a tape, and which its rules returned.

Watching is done with hooks, which are there for this sweep only, and for the thread that runs it. So nothing costs
anything where nobody looks.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import AutodiffError
from ..hooks import hook_node, register_primitive_hook
from ..tape import Leaf, Output, Record, Tape, sweep
from ..tensor import Tensor, raw, seed_for

__all__ = ["Step", "capture", "root_of"]


@dataclass
class Step:
    """What happened at one record.

    Attributes
    ----------
    index : int
        Of the record on the tape.
    arrived : dict
        The cotangent of the output, by None; of several outputs by their number.
    returned : dict
        The cotangents that the rules returned, by the number of the argument.
    """

    index: int
    arrived: dict[int | None, np.ndarray] = field(default_factory=dict)
    returned: dict[int, np.ndarray] = field(default_factory=dict)


def root_of(tape: Tape, output: Any, grad: Any) -> tuple[Any, np.ndarray]:
    """Where the sweep begins, and with which cotangent."""
    if output is not None:
        if not isinstance(output, Tensor):
            raise TypeError(f"Tape.page: argument 'output' is a {type(output).__name__}; it must be a Tensor")
        if output._node is None:
            raise AutodiffError("Tape.page: argument 'output' does not require grad; nothing was recorded for it")
        return output._node, seed_for("Tape.page", output, grad)
    if not tape.records:
        raise ValueError("Tape.page: the tape has no records")
    forward = [record for record, in_sweep in zip(tape.records, tape.in_sweep) if not in_sweep]
    last: Any = (forward or tape.records)[-1]
    if type(last.dtype) is tuple:
        raise ValueError(f"Tape.page: the last record, {last.name!r}, has several outputs; say which with 'output'")
    size = int(np.prod(last.shape, dtype=int))
    if grad is None and size != 1:
        raise ValueError(
            f"Tape.page: the last record, {last.name!r}, has shape {last.shape}; give the cotangent to begin with as "
            "'grad', or a Tensor of one element as 'output'"
        )
    seed = np.ones(last.shape, last.dtype) if grad is None else np.array(raw(grad), last.dtype)
    if seed.shape != last.shape:
        raise ValueError(f"Tape.page: argument 'grad' has shape {seed.shape}; the output has shape {last.shape}")
    return last, seed


def capture(tape: Tape, root: Any, seed: np.ndarray) -> tuple[list[Step], dict[int, np.ndarray]]:
    """The steps of the sweep from the node `root`, in its order, and the cotangents of leaves by their number."""
    index = {record.number: k for k, record in enumerate(tape.records)}
    steps: dict[int, Step] = {}
    me = threading.get_ident()

    def arrive(number: int, which: int | None) -> Any:
        def see(cotangent: Tensor) -> None:
            if threading.get_ident() == me:
                step = steps.setdefault(number, Step(index[number]))
                step.arrived[which] = cotangent._array

        return see

    def returned(record: Record, argnum: int, cotangent: Tensor) -> None:
        if threading.get_ident() == me and record.number in steps:
            steps[record.number].returned[argnum] = cotangent._array

    with ExitStack() as watching:
        for record in tape.records:
            nodes: list[Any] = [record]
            if type(record.dtype) is tuple:
                nodes = [Output(record, k) for k, dtype in enumerate(record.dtype) if dtype.kind in "fc"]
            for node in nodes:
                which = node.index if isinstance(node, Output) else None
                watching.enter_context(hook_node(node, arrive(record.number, which)))
        for primitive in dict.fromkeys(record.plan.primitive for record in tape.records):
            watching.enter_context(register_primitive_hook(primitive, returned))
        leaves, waiting, _ = sweep([(root, seed)], None, retain_graph=True, create_graph=False)
    grads = {leaf.number: np.array(waiting.pop(leaf.number)) for leaf in leaves if isinstance(leaf, Leaf)}
    return list(steps.values()), grads
