"""Layers: what is measured of them, and the measuring. Three sections of a run are made of it.

The subject is compared with each peer, on every operation of every layer, in every order of memory that the peer has;
and with itself, prepared a second time: that control shows how far a ratio of the run may be from 1 by chance. The
formulations of a convolution (``method=``) are compared with the one that is used when none is asked for, on a few
small layers.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .contenders import METHODS, NCHW, NHWC, Array, Case, Contender, make_case
from .errors import WrongResultError
from .measure import compare
from .progress import Progress
from .shapes import Convolution, Layer

CONTROL = "control"

# Slow contenders (1 or 2 microseconds for each product) need a tenth of a second or two for so many.
REDUCED_WORK = 100_000
# With --quick, everything is measured on layers like this.
QUICK_WORK = 5_000

# Results may differ by so much of the largest element. Sums of 50,000 float32 products, in any order, do not.
TOLERANCE = 1e-4

# Where one call of a peer takes longer than this, two turns have to do.
SLOW_SECONDS = 0.5


@dataclass(frozen=True)
class Comparison:
    """One measurement to make: `subject` against `peer` (None: against itself) on `operation` of `layer`.

    `reduced` says whether the layer is smaller than the one it is named after.
    """

    layer: Layer
    operation: str
    peer: Contender | None
    reduced: bool
    layout: str = NCHW

    @property
    def peer_name(self) -> str:
        return CONTROL if self.peer is None else self.peer.name


def plan(
    layers: Sequence[Layer], peers: Sequence[Contender], quick: bool = False, layouts: Sequence[str] = (NCHW,)
) -> list[Comparison]:
    """Return what to measure, layer by layer; layers are reduced for slow peers, and all of them if `quick`.

    With several `layouts`, peers that have only NCHW are compared in that one only.
    """
    comparisons = []
    for layer in layers:
        for layout in layouts:
            for operation in layer.operations:
                for peer in peers:
                    work = QUICK_WORK if quick else REDUCED_WORK
                    small = quick or peer.slow
                    chosen = layer.reduced(work) if small else layer
                    if peer.cannot(layer) or peer.cannot(chosen) or layout not in peer.layouts:
                        continue
                    comparisons.append(Comparison(chosen, operation, peer, small, layout))
        control = layer.reduced(QUICK_WORK) if quick else layer
        comparisons.append(Comparison(control, layer.operations[0], None, quick))
    return comparisons


def plan_formulations(layers: Sequence[tuple[Convolution, Sequence[str]]], quick: bool = False) -> list[Comparison]:
    """Return what to measure of the formulations: for each layer the operations of those that are named with it."""
    return [
        Comparison(layer.reduced(QUICK_WORK) if quick else layer, operation, METHODS[method], quick)
        for layer, methods in layers
        for operation in layer.operations
        for method in methods
    ]


def largest_error(result: Array, expected: Array, what: str) -> float:
    """Return by how much `result` is off, as a part of the largest element of `expected`.

    Raises
    ------
    WrongResultError
        If it is more than `TOLERANCE`, or shape or dtype differ; `what` says whose result it is.
    """
    if result.shape != expected.shape or result.dtype != expected.dtype:
        raise WrongResultError(
            f"{what}: {result.dtype} {result.shape} is not comparable with {expected.dtype} {expected.shape}"
        )
    difference = np.abs(result.astype(np.float64) - expected)
    worst = np.unravel_index(np.argmax(difference), difference.shape)
    error = float(difference[worst]) / max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))
    if not error <= TOLERANCE:  # so that NaN is an error, too
        place = tuple(int(index) for index in worst)
        raise WrongResultError(f"{what}: the results differ at {place}: {result[worst]} and {expected[worst]}")
    return error


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """Return what `function` returns, and the seconds that it took."""
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


def measure(comparison: Comparison, case: Case, subject: Contender, seconds: float, rounds: int) -> dict[str, Any]:
    """Prepare, check, and time one comparison; return what there is to say of it, as JSON can hold it.

    Raises
    ------
    WrongResultError
        If the results differ. Nothing is timed then.
    """
    operation, peer = comparison.operation, comparison.peer or subject
    ours, prepared = timed(subject.prepare, case, operation)
    result, first_call = timed(ours)
    theirs = peer.prepare(case, operation)
    their_result, their_seconds = timed(theirs)
    error = largest_error(
        subject.array(result, case, operation),
        peer.array(their_result, case, operation),
        f"{comparison.layer.name} {operation}, {subject.name} and {peer.name}",
    )
    del result, their_result
    slow = their_seconds > SLOW_SECONDS
    timing = compare(ours, theirs, seconds, 2 if slow else rounds, slow=slow)
    return {
        "layer": comparison.layer.name,
        "shape": comparison.layer.description,
        "reduced": comparison.reduced,
        "layout": comparison.layout,
        "operation": operation,
        "peer": comparison.peer_name,
        "error": error,
        **_amounts(comparison.layer),
        "first_call_seconds": prepared + first_call,
        **asdict(timing),
    }


def _amounts(layer: Layer) -> dict[str, int]:
    """Return arithmetic and memory of a convolution; of other layers nothing."""
    return {"flop": layer.flop, "bytes": layer.bytes} if isinstance(layer, Convolution) else {}


def run(
    comparisons: Sequence[Comparison], subject: Contender, seconds: float, rounds: int, progress: Progress
) -> list[dict[str, Any]]:
    """Measure everything, one after the other; arrays are made once for neighbours with the same layer."""
    rows: list[dict[str, Any]] = []
    cases: dict[tuple[Layer, str], Case] = {}
    try:
        for comparison in comparisons:
            where = " channels-last" if comparison.layout == NHWC else ""
            progress.begin(f"{comparison.layer.name}{where} {comparison.operation}, {comparison.peer_name}")
            key = comparison.layer, comparison.layout
            if key not in cases:
                if all(comparison.layer.name != layer.name for layer, _ in cases):
                    cases.clear()
                cases[key] = make_case(*key)
            rows.append(measure(comparison, cases[key], subject, seconds, rounds))
            # Garbage is collected before each measurement. With large libraries loaded that takes a quarter of a
            # second; what is there now need not be looked through again.
            gc.freeze()
            progress.step()
    finally:
        gc.unfreeze()
    return rows
