"""An HTML page that steps through a backward sweep; see `Tape.page`."""

from __future__ import annotations

import inspect
import json
import linecache
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..tape import Leaf, Output, Record, Tape
from .capture import Step, capture, root_of
from .drawing import clean, draw
from .formulas import formula, rule_source, rules_of
from .graph import argument_name, byte_text, graph_of, key_of, known_arguments, names_of
from .pictures import legend, picture
from .table import kept_once, saved_names, short_line
from .template import TEMPLATE

__all__ = ["Page", "page"]

MOST_STEPS = 500  # records that a page steps through: the last ones of the tape
MOST_PIXELS = 2_500_000  # of all pictures; each takes at most a byte and a third
PIXELS = (300, 40_000)  # of one picture, at least and at most


class Page(str):
    """The text of an HTML page, which notebooks show in a frame."""

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{clean(str(self))}" sandbox="allow-scripts" '
            'style="width:100%;height:820px;border:1px solid #d9dde3"></iframe>'
        )


class _Gallery:
    """Pictures by number, each kept once."""

    def __init__(self, expected: int) -> None:
        self.pixels = int(np.clip(MOST_PIXELS / max(expected, 1), *PIXELS))
        self.pictures: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}

    def add(self, array: Any) -> int:
        entry = picture(array, self.pixels)
        key = json.dumps(entry, sort_keys=True)
        if key not in self._numbers:
            self._numbers[key] = len(self.pictures)
            self.pictures.append(entry)
        return self._numbers[key]


def page(tape: Tape, path: str | PathLike[str] | None, output: Any, grad: Any, names: Any) -> Page:
    """See `Tape.page`."""
    named = names_of("Tape.page", names)
    root, seed = root_of(tape, output, grad)
    part, first = _last_records(tape, root)
    steps, grads = capture(part, root, seed)
    values = _values(part)
    gallery = _Gallery(sum(len(s.arrived) + len(s.returned) for s in steps) * 2 + len(grads))
    entries = [_entry(part, first, step, named, values, gallery) for step in steps]
    entries.append(_gradients(part, grads, named, gallery))
    about = f"{len(tape)} records keep {byte_text(kept_once(tape.records))}; a sweep through {len(steps)} of them"
    if first:
        about += f"; only the records from #{first} on are shown"
    content = {"about": about, "steps": entries, "pictures": gallery.pictures}
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    for mark in "<>&":  # nothing in the data can end the element that it stands in
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    html = TEMPLATE
    # What is put in last may hold anything.
    for place, filling in (
        ("$TITLE", "A backward sweep, step by step"),
        ("$LEGEND", legend()),
        ("$GRAPH", draw(graph_of(part, named, first))),
        ("$DATA", text),
    ):
        html = html.replace(place, filling)
    result = Page(html)
    if path is not None:
        Path(path).write_text(result, encoding="utf-8")
    return result


def _last_records(tape: Tape, root: Any) -> tuple[Tape, int]:
    """A tape of the last records up to the root, and the position of the first of them."""
    end = next((k + 1 for k, record in enumerate(tape.records) if record.number == root.number), len(tape))
    first = max(0, end - MOST_STEPS)
    if not first:
        return tape, 0
    part = Tape()
    part.records, part.lines, part.in_sweep = tape.records[first:end], tape.lines[first:end], tape.in_sweep[first:end]
    part.arguments = tape.arguments
    return part, first


def _values(tape: Tape) -> dict[Any, tuple[np.ndarray, int]]:
    """Results that are arguments of a later record, by the key of their node, and the position of that record."""
    found: dict[Any, tuple[np.ndarray, int]] = {}
    for k, record in enumerate(tape.records):
        for argnum, value in known_arguments(tape, record).items():
            parent = record.parents[argnum]
            if parent is not None and isinstance(value, np.ndarray):
                found.setdefault(key_of(parent), (value, k))
    return found


def _title(record: Record, k: int, names: Mapping[Any, str]) -> str:
    name = names.get(record.number, "")
    return f"#{k} {record.name}" + (f" = {name}" if name else "")


def _place(parent: Any, tape: Tape, first: int, names: Mapping[Any, str]) -> str:
    """Where a cotangent goes, in words."""
    if isinstance(parent, Leaf):
        return f"the leaf {names.get(parent.number, '')}".rstrip()
    record = parent.record if isinstance(parent, Output) else parent
    part = f", output {parent.index}" if isinstance(parent, Output) else ""
    k = next((k for k, other in enumerate(tape.records) if other is record), None)
    return ("a record off this page, " + record.name if k is None else _title(record, k + first, names)) + part


def _doc(function: Any) -> str:
    """The first paragraph of a docstring that is prose."""
    for paragraph in (inspect.getdoc(function) or "").split("\n\n"):
        if " " in paragraph and not paragraph.split("\n")[0].endswith((")", "---")):
            return " ".join(paragraph.split())
    return ""


def _entry(
    tape: Tape,
    first: int,
    step: Step,
    names: Mapping[Any, str],
    values: Mapping[Any, tuple[np.ndarray, int]],
    gallery: _Gallery,
) -> dict[str, Any]:
    """What the page shows of one record."""
    record, line = tape.records[step.index], tape.lines[step.index]
    file, _, number = line.rpartition(":")
    arrived = [
        ["gy" if which is None else f"gy, of output {which}", gallery.add(array)]
        for which, array in sorted(step.arrived.items(), key=lambda item: item[0] or 0)
    ]
    served: dict[str, list[int]] = {}
    for argnum, parent in enumerate(record.parents):
        if parent is not None and argnum in step.returned:
            served.setdefault(record.plan.primitive._argument(argnum), []).append(argnum)
    rules = []
    for arguments, rule in rules_of(record):
        argnums = [argnum for name in arguments.split(", ") for argnum in served.get(name, [])]
        places = ", ".join(
            f"{argument_name(record, argnum)}, to {_place(record.parents[argnum], tape, first, names)}"
            for argnum in argnums
        )
        texts = [text for text in (formula(record, name) for name in arguments.split(", ")) if text]
        rules.append(
            {
                "title": f"for {places}" if places else f"for {arguments}",
                "formula": "\n".join(texts),
                "source": rule_source(rule),
                "doc": _doc(rule) if rule.__doc__ else "",
                "pictures": [
                    [f"g{argument_name(record, argnum)}", gallery.add(step.returned[argnum])] for argnum in argnums
                ],
            }
        )
    forward, kept = _forward(record, first, values, gallery)
    return {
        "key": f"record-{step.index + first}",
        "title": _title(record, step.index + first, names),
        "line": short_line(line),
        "code": linecache.getline(file, int(number)).strip() if number.isdigit() else "",
        "doc": _doc(record.plan.primitive.forward),
        "arrivedTitle": "The cotangent that arrived",
        "arrived": arrived,
        "rules": rules,
        "forward": forward,
        "kept": kept,
    }


def _forward(
    record: Record, first: int, values: Mapping[Any, tuple[np.ndarray, int]], gallery: _Gallery
) -> tuple[list[list[Any]], list[str]]:
    """Pictures of the arrays that are known, and the rest in words."""
    pictures: list[list[Any]] = []
    words: list[str] = []
    for name, value in zip(saved_names(record), record.saved or ()):
        parts = list(enumerate(value)) if isinstance(value, tuple) else [(None, value)]
        if not any(isinstance(part, np.ndarray) for _, part in parts):
            words.append(f"{name} = {value}"[:120])
            continue
        for index, part in parts:
            if isinstance(part, np.ndarray) and part.dtype.kind in "biufc":
                pictures.append([name if index is None else f"{name}[{index}]", gallery.add(part)])
    if record.number in values and "ans" not in saved_names(record):
        array, k = values[record.number]
        pictures.append([f"y, as #{k + first} reads it", gallery.add(array)])
    return pictures, words


def _gradients(
    tape: Tape, grads: Mapping[int, np.ndarray], names: Mapping[Any, str], gallery: _Gallery
) -> dict[str, Any]:
    """The last step: what arrived at the leaves."""
    return {
        "key": "",
        "title": "The gradients",
        "line": "",
        "code": "",
        "doc": "What arrived at each leaf, from all records that use it.",
        "arrivedTitle": f"{len(grads)} leaves",
        "arrived": [[names.get(number, f"leaf {number}"), gallery.add(grads[number])] for number in sorted(grads)],
        "rules": [],
        "forward": [],
        "kept": [],
    }
