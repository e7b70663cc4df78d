"""Time and bytes of each primitive, forward and backward."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..primitive import Primitive
from ..tape import Record
from ..tensor import raw
from .instrument import Probe, active
from .table import layout

__all__ = ["Event", "Profile", "profile"]


class Event(NamedTuple):
    """One run of a forward, or of the rules of a record.

    Attributes
    ----------
    name : str
        Of the primitive.
    phase : {"forward", "backward"}
    start, total, own : float
        Seconds: when, since the profile began; how long, and how much of that in no primitive within.
    bytes : int
        Of the arrays that came out.
    flop : int
        Floating-point operations, where the primitive is a convolution; else 0.
    """

    name: str
    phase: str
    start: float
    total: float
    own: float
    bytes: int
    flop: int


def _nbytes(values: Any) -> int:
    total = 0
    for value in values if isinstance(values, (tuple, list)) else (values,):
        array = raw(value)
        if isinstance(array, (np.ndarray, np.generic)):
            total += array.nbytes
        elif isinstance(array, (tuple, list)):
            total += _nbytes(array)
    return total


def _flop(name: str, args: tuple[Any, ...], settings: dict[str, Any], result: Any) -> int:
    """Of the three primitives of convolution: two for each output, tap and pair of channels."""
    if not name.startswith("correlate"):
        return 0
    setup = settings["setup"]
    last = setup.layout.channels_last
    if name == "correlate_weight_gradient":
        gy, w = args[1], result
    else:
        gy, w = (result if name in ("correlate", "correlate_relu") else args[0]), args[1]
    outputs = w.shape[-1] if last else w.shape[0]
    return 2 * int(gy.size) * int(w.size) // max(1, int(outputs))


class _Recorder(Probe):
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.begin = time.perf_counter()
        self._within: list[float] = []  # for each run that is going on, the time spent in runs inside it

    def _measure(self, name: str, phase: str, run: Callable[[], Any], flop: Callable[[Any], int]) -> Any:
        self._within.append(0.0)
        start = time.perf_counter()
        try:
            result = run()
        finally:
            total = time.perf_counter() - start
            inside = self._within.pop()
            if self._within:
                self._within[-1] += total
        outputs = [cotangent for _, cotangent in result] if phase == "backward" else result
        self.events.append(
            Event(name, phase, start - self.begin, total, total - inside, _nbytes(outputs), flop(result))
        )
        return result

    def forward(self, primitive: Primitive, run: Callable[..., Any], args: tuple[Any, ...], settings: Any) -> Any:
        phase = "forward"
        if self._within and self._in_backward:
            phase = "in backward"
        return self._measure(
            primitive.name, phase, lambda: run(*args, **settings), lambda y: _flop(primitive.name, args, settings, y)
        )

    _in_backward = 0

    def pull_back(self, record: Record, run: Callable[..., Any], *args: Any) -> list[tuple[Any, Any]]:
        self._in_backward += 1
        try:
            result: list[tuple[Any, Any]] = self._measure(
                record.name, "backward", lambda: run(record, *args), lambda _: 0
            )
        finally:
            self._in_backward -= 1
        return result


class Profile:
    """What `profile` measured.

    Attributes
    ----------
    events : list of Event
        In the order in which they ended.
    seconds : float
        From the beginning to the end of the ``with`` block.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.seconds = 0.0
        self._stack: ExitStack | None = None
        self._recorder: _Recorder | None = None

    def __enter__(self) -> Profile:
        self._recorder = _Recorder()
        self._stack = ExitStack()
        self._stack.enter_context(active(self._recorder))
        return self

    def __exit__(self, *exception: Any) -> None:
        assert self._stack is not None
        assert self._recorder is not None
        self._stack.close()
        self.seconds = time.perf_counter() - self._recorder.begin
        self.events = self._recorder.events

    def totals(self) -> list[dict[str, Any]]:
        """For each primitive and phase: calls, seconds (in no primitive within), bytes, and FLOP; longest first.

        The phase "in backward" is that of primitives which rules of others call: the gradients of a convolution, say.
        """
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for event in self.events:
            row = rows.setdefault(
                (event.name, event.phase),
                {"name": event.name, "phase": event.phase, "calls": 0, "seconds": 0.0, "bytes": 0, "flop": 0},
            )
            row["calls"] += 1
            row["seconds"] += event.own
            row["bytes"] += event.bytes
            row["flop"] += event.flop
        return sorted(rows.values(), key=lambda row: -row["seconds"])

    def table(self, roofline: bool = False) -> str:
        """The totals as text.

        Parameters
        ----------
        roofline : bool
            Whether to measure what this machine can do at most (half a second), and to say what fraction of it the
            convolutions reach. Minimal filtering needs fewer operations than it is credited with, so it may exceed 1.
        """
        limit = _peak() if roofline else 0.0
        rows = [["primitive", "phase", "calls", "ms", "share", "MB", "GFLOP/s", *(["of the peak"] if roofline else [])]]
        for row in self.totals():
            seconds = row["seconds"]
            rate = row["flop"] / seconds if row["flop"] and seconds else 0.0
            cells = [
                row["name"], row["phase"], str(row["calls"]), f"{1e3 * seconds:.3f}",
                f"{100 * seconds / self.seconds:.0f} %" if self.seconds else "", f"{row['bytes'] / 1e6:.2f}",
                f"{rate / 1e9:.1f}" if rate else "",
            ]  # fmt: skip
            rows.append([*cells, *([f"{rate / limit:.2f}" if rate else ""] if roofline else [])])
        inside = sum(row["seconds"] for row in self.totals())
        rest = max(0.0, self.seconds - inside)
        share = f"{100 * rest / self.seconds:.0f} %" if self.seconds else ""
        rows.append(["between primitives", "", "", f"{1e3 * rest:.3f}", share, "", "", *([""] if roofline else [])])
        return layout(rows, right=tuple(range(2, len(rows[0]))))

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<Profile of {len(self.events)} events, {1e3 * self.seconds:.1f} ms>"

    def chrome_trace(self, path: str | os.PathLike[str] | None = None) -> str:
        """The events as JSON for Chrome's trace viewer (chrome://tracing, https://ui.perfetto.dev).

        Parameters
        ----------
        path : path-like, optional
            Where to write it.

        Returns
        -------
        str
        """
        events = [
            {
                "name": event.name, "cat": event.phase, "ph": "X", "ts": 1e6 * event.start, "dur": 1e6 * event.total,
                "pid": os.getpid(), "tid": threading.get_ident() % 1_000_000,
                "args": {"bytes": event.bytes, "flop": event.flop},
            }
            for event in self.events
        ]  # fmt: skip
        text = json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def plot(self, path: str | os.PathLike[str] | None = None, rows: int = 20) -> str:
        """The totals as bars: an SVG picture.

        Parameters
        ----------
        path : path-like, optional
            Where to write it.
        rows : int
            How many of the longest.

        Returns
        -------
        str
        """
        text = _bars(self.totals()[:rows], self.seconds)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


_COLOURS = {"forward": "#3b6ea5", "backward": "#b5533c", "in backward": "#d99a6c"}


def _bars(rows: list[dict[str, Any]], seconds: float) -> str:
    from xml.sax.saxutils import escape

    height, left, width = 22, 250, 420
    longest = max((row["seconds"] for row in rows), default=0.0) or 1.0
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 110}" height="{height * (len(rows) + 2)}" '
        'font-family="sans-serif" font-size="12">',
        f'<text x="8" y="16">time in each primitive, of {1e3 * seconds:.1f} ms</text>',
    ]
    x = left
    for phase, colour in _COLOURS.items():
        lines.append(f'<rect x="{x}" y="6" width="11" height="11" fill="{colour}"/>')
        lines.append(f'<text x="{x + 16}" y="16">{phase}</text>')
        x += 100
    for k, row in enumerate(rows):
        y = height * (k + 1) + 8
        bar = max(1.0, width * row["seconds"] / longest)
        colour = _COLOURS[row["phase"]]
        lines.append(
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(row["name"])} x {row["calls"]}</text>'
        )
        lines.append(f'<rect x="{left}" y="{y}" width="{bar:.1f}" height="{height - 6}" fill="{colour}"/>')
        lines.append(f'<text x="{left + bar + 6:.1f}" y="{y + 13}">{1e3 * row["seconds"]:.2f} ms</text>')
    return "\n".join([*lines, "</svg>"])


def _peak() -> float:
    """Float32 operations a second that a register tile alone reaches here, on the threads in use."""
    import autograd_conv.kernels as kernels

    threads = kernels.threads.get_num_threads()
    return float(kernels.peak.arithmetic(threads, 5e7)["flop_per_second"])


def profile() -> Profile:
    """Measure what primitives do inside a ``with`` block, on this thread.

    Returns
    -------
    Profile
        To print (a table), to `plot`, or to save as a `chrome_trace`.

    Notes
    -----
    Cost: about three microseconds for each run of a primitive, and nothing outside the block.

    Examples
    --------
    >>> import autograd_conv as ac
    >>> x = ac.tensor([1.0, 2.0], requires_grad=True)
    >>> with ac.profile() as measured:
    ...     ac.sum(ac.exp(x)).backward()
    >>> sorted((row["name"], row["phase"], row["calls"]) for row in measured.totals())
    [('exp', 'backward', 1), ('exp', 'forward', 1), ('sum', 'backward', 1), ('sum', 'forward', 1)]
    """
    return Profile()
