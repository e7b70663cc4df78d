"""How time grows: one convolution and its gradients, with one of batch, channels, image size and threads changing.

Ours against PyTorch (both in NCHW), paired; ours alone where PyTorch is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import environment
from .contenders import Contender, make_case
from .measure import compare
from .progress import Progress
from .shapes import Convolution

BASE = {"batch": 8, "channels": 64, "size": 28}
VALUES = {
    "batch": (1, 2, 4, 8, 16, 32),
    "channels": (4, 8, 16, 32, 64, 128, 256),
    "size": (4, 7, 14, 28, 56, 112),
}
QUICK_BASE = {"batch": 1, "channels": 4, "size": 6}
QUICK_VALUES = {"batch": (1, 2), "channels": (2, 4), "size": (4, 6)}

OPERATIONS = ("forward", "gx", "gw")


def layer(batch: int, channels: int, size: int) -> Convolution:
    """Return the layer: 3 x 3 with padding, as many output channels as input channels."""
    return Convolution("growth", batch, channels, (size, size), channels, (3, 3), padding=(1, 1))


def threads_to_try(most: int) -> list[int]:
    """Return 1, 2, 4, ... and `most`."""
    powers = [2**k for k in range(most.bit_length()) if 2**k < most]
    return [*powers, most]


def plan(quick: bool, threads: int) -> list[tuple[str, int, Convolution, int]]:
    """Return what to measure: what changes, its value, the layer, the number of threads."""
    base, values = (QUICK_BASE, QUICK_VALUES) if quick else (BASE, VALUES)
    points = [
        (axis, value, layer(**{**base, axis: value}), threads) for axis, listed in values.items() for value in listed
    ]
    return [*points, *(("threads", n, layer(**base), n) for n in threads_to_try(threads))]


def _jobs(contender: Contender, point: Convolution) -> Callable[[], None]:
    """Return a callable that does all of `OPERATIONS`."""
    case = make_case(point)
    jobs = [contender.prepare(case, operation) for operation in OPERATIONS]

    def run() -> None:
        for job in jobs:
            job()

    run()
    return run


def run(
    quick: bool, subject: Contender, peer: Contender | None, seconds: float, rounds: int, progress: Progress
) -> list[dict[str, Any]]:
    """Measure all of `plan`; return a row for each, as JSON can hold it."""
    rows = []
    threads = environment.threads()
    try:
        for axis, value, point, number in plan(quick, threads):
            progress.begin(f"growth: {axis} {value}")
            _set_threads(number, peer)
            ours = _jobs(subject, point)
            theirs = ours if peer is None else _jobs(peer, point)
            _set_threads(number, peer)  # preparing sets them anew
            timing = compare(ours, theirs, seconds, rounds)
            flop = len(OPERATIONS) * point.flop
            rows.append(
                {
                    "axis": axis, "value": value, "flop": flop, "seconds": timing.seconds_a,
                    "peer_seconds": None if peer is None else timing.seconds_b, "ratio": timing.ratio,
                }
            )  # fmt: skip
            progress.step()
    finally:
        _set_threads(threads, peer)
    return rows


def _set_threads(number: int, peer: Contender | None) -> None:
    import autograd_conv as ac

    ac.set_num_threads(number)
    if peer is not None:
        import torch

        torch.set_num_threads(number)


def series(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each axis with its rows."""
    for axis in dict.fromkeys(row["axis"] for row in rows):
        yield axis, [row for row in rows if row["axis"] == axis]
