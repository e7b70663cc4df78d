"""Whole training steps of small networks (:mod:`.networks`): ours against those of other libraries, paired.

Before anything is timed, the losses of the first steps are compared: same parameters, same images, same optimizer.
Ours gets plain NCHW arrays, and what it does with them is its affair; the others are measured in both orders of memory.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from .contenders import NCHW, Contender
from .errors import WrongResultError
from .measure import compare
from .networks import NETWORKS, Network
from .progress import Progress

# Losses of the steps before the timing may differ by so much: rounding errors grow from step to step.
STEPS, TOLERANCE = 3, 1e-3


def chosen(quick: bool) -> tuple[Network, ...]:
    """Return the networks of a run: with `quick` the smallest, with two images."""
    return (replace(NETWORKS[0], batch=2),) if quick else NETWORKS


def plan(peers: Sequence[Contender], quick: bool) -> list[tuple[Network, Contender, str]]:
    """Return what to compare with: network, peer, and its order of memory."""
    able = [peer for peer in peers if type(peer).training_step is not Contender.training_step]
    return [(network, peer, layout) for network in chosen(quick) for peer in able for layout in peer.layouts]


def _losses(step: Callable[[], float]) -> list[float]:
    return [step() for _ in range(STEPS)]


def run(
    comparisons: Sequence[tuple[Network, Contender, str]],
    subject: Contender,
    seconds: float,
    rounds: int,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Measure all comparisons; return the rows, as JSON can hold them.

    Raises
    ------
    WrongResultError
        If losses differ. Nothing is timed then.
    """
    rows = []
    for network, peer, layout in comparisons:
        progress.begin(f"training step of {network.name}, {peer.name} {layout}")
        images, labels = network.data()
        ours = subject.training_step(network, network.parameters(), images, labels, NCHW)
        theirs = peer.training_step(network, network.parameters(), images, labels, layout)
        losses = _losses(ours), _losses(theirs)
        if any(not abs(a - b) <= TOLERANCE * abs(b) for a, b in zip(*losses)):
            raise WrongResultError(
                f"{network.name}, {subject.name} and {peer.name} {layout}: the losses are {losses[0]} and {losses[1]}"
            )
        rows.append(
            {
                "network": network.name, "title": network.title, "peer": peer.name, "layout": layout,
                **asdict(compare(ours, theirs, seconds, rounds)),
            }
        )  # fmt: skip
        del ours, theirs
        gc.collect()
        progress.step()
    return rows
