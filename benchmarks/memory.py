"""Memory: the peak of a training step, and what a record holds.

Each figure comes from a process of its own (``python -m benchmarks.memory step torch vgg NCHW``), and counts all memory
of the process, whoever allocated it: what Linux calls the resident set.

*Peak of a step.* Parameters, images and optimizer are made, and one step with a single image loads all code. That is
the baseline. Then come some steps; before the last one the kernel is told to forget the peak so far (a 5 written to
``/proc/self/clear_refs``), and after it the peak is read (``VmHWM``). What is reported is the peak less the baseline:
activations, gradients, optimizer state, buffers that are kept.

*Bytes of a record.* Operations on three elements are recorded one after the other, and kept alive by their last
result; reported is by how much the process grew, for each, the array of three elements included.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from .contenders import SUBJECT
from .progress import Progress

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

WARM_STEPS = 3
RECORDS = 60_000


def missing() -> str | None:
    """Return why memory cannot be measured here, or None if it can."""
    return None if FORGET.exists() else "it takes Linux's /proc"


def read_kibibytes(field: str) -> int:
    """Return a field of ``/proc/self/status``: "VmRSS", what is resident now; "VmHWM", the peak of it."""
    found = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def step_peak(library: str, name: str, layout: str, quick: bool) -> dict[str, int]:
    """Return peak and baseline, in bytes, of this process; to be called in a fresh one."""
    from . import training
    from .contenders import find

    network = next(network for network in training.chosen(quick) if network.name == name)
    contender = find(library)
    alone = replace(network, batch=1)
    contender.training_step(alone, alone.parameters(), *alone.data(), layout)()
    images, labels = network.data()
    step = contender.training_step(network, network.parameters(), images, labels, layout)
    gc.collect()
    baseline = read_kibibytes("VmRSS")
    for _ in range(WARM_STEPS):
        step()
    FORGET.write_text("5")
    step()
    peak = read_kibibytes("VmHWM")
    return {"bytes": 1024 * max(0, peak - baseline), "process": 1024 * peak}


def record_bytes(library: str) -> dict[str, float]:
    """Return the bytes of a recorded operation, in this process; to be called in a fresh one."""
    from .recording import X

    if library == "autograd_conv":
        import autograd_conv as ac

        x: Any = ac.tensor(X, requires_grad=True)
    elif library == "torch":
        import torch

        x = torch.from_numpy(X.copy()).requires_grad_()
    else:
        import mygrad

        x = mygrad.tensor(X)
    y = x
    for _ in range(1000):
        y = y * x
    gc.collect()
    before = read_kibibytes("VmRSS")
    for _ in range(RECORDS):
        y = y * x
    after = read_kibibytes("VmRSS")
    return {"bytes": 1024 * (after - before) / RECORDS}


def plan(peers: list[str], quick: bool) -> list[tuple[str, ...]]:
    """Return the command lines, without what is common to them: ours first."""
    from .training import chosen

    libraries = [(SUBJECT, "NCHW"), *(("torch", layout) for layout in ("NCHW", "NHWC") if "torch" in peers)]
    steps = [("step", library, network.name, layout) for network in chosen(quick) for library, layout in libraries]
    return [*steps, *(("record", name) for name in (SUBJECT, "torch", "mygrad") if name in [SUBJECT, *peers])]


def run(peers: list[str], quick: bool, progress: Progress) -> list[dict[str, Any]]:
    """Measure all of `plan`; return a row for each."""
    from .interpreter import python

    rows = []
    for words in plan(peers, quick):
        progress.begin(f"memory: {' '.join(words)}")
        result = python(["-m", "benchmarks.memory", *words, *(["--quick"] if quick else [])])
        keys = ("what", "library", "network", "layout")
        rows.append({**dict(zip(keys, words)), **result})
        progress.step()
    return rows


def main(words: list[str]) -> None:
    """Measure what `words` say, and print it as JSON."""
    quick = "--quick" in words
    what, *rest = (word for word in words if word != "--quick")
    if what == "step":
        library, name, layout = rest
        print(json.dumps(step_peak(library, name, layout, quick)))
        return
    print(json.dumps(record_bytes(rest[0])), flush=True)
    os._exit(0)  # some libraries take a graph of so many records apart by recursion: end without doing so


if __name__ == "__main__":
    main(sys.argv[1:])
