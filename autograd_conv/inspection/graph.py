"""A tape as a graph: boxes for records, leaves, constants and what comes from outside, and edges between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..plans import ARGUMENT
from ..tape import Leaf, Output, Record, Tape
from ..tensor import Tensor
from .table import saved_names, shape_text, short_line, state_of

__all__ = ["Box", "Edge", "Graph", "byte_text", "graph_of", "names_of"]

# What a box stands for, as drawn: its class, and its name in the legend.
KINDS = {
    "parameter": "leaf (parameter)",
    "activation": "record (activation)",
    "gradient": "record of a sweep (gradient)",
    "outside": "made off this tape",
    "constant": "constant",
}


@dataclass
class Box:
    """A box of the drawing.

    Attributes
    ----------
    key : str
        Unique: ``record-<position on the tape>``, ``leaf-<number>`` (with ``-<copy>``) and ``outside-<number>``,
        counted as they appear; ``constant-<record>-<argument>``.
    kind : str
        One of `KINDS`.
    title : str
    lines : list of str
        Below the title.
    grad : str
        What the leaf's gradient is, if it has one.
    note : str
        What a pointer that rests on the box is told.
    """

    key: str
    kind: str
    title: str
    lines: list[str]
    grad: str = ""
    note: str = ""


@dataclass
class Edge:
    """From the box `source` to the box `target`, as its argument `label`."""

    source: str
    target: str
    label: str


@dataclass
class Graph:
    """Boxes, those that edges leave before those that they reach, and edges."""

    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def byte_text(count: int) -> str:
    """Bytes for readers.

    Examples
    --------
    >>> byte_text(160), byte_text(16384), byte_text(5 * 2**20)
    ('160 B', '16.0 KiB', '5.0 MiB')
    """
    if count < 10_000:
        return f"{count} B"
    units = ("KiB", "MiB", "GiB", "TiB")
    power = min(len(units), max(1, (count.bit_length() - 1) // 10))
    return f"{count / 1024**power:.1f} {units[power - 1]}"


def names_of(function: str, names: Mapping[str, Tensor] | None) -> dict[Any, str]:
    """Names by the number of the node that they stand for; ``(number, index)`` for one of several outputs."""
    found: dict[Any, str] = {}
    if names is None:
        return found
    if not isinstance(names, Mapping):
        raise TypeError(f"{function}: argument 'names' is a {type(names).__name__}; it must map names to Tensors")
    for name, tensor in names.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{function}: names[{name!r}] is a {type(tensor).__name__}; it must be a Tensor")
        node = tensor._node
        if node is not None:
            found[key_of(node)] = str(name)
    return found


def key_of(node: Any) -> Any:
    """The number of a node; with that of the output, if its record has several."""
    return (node.number, node.index) if isinstance(node, Output) else node.number


def output_text(record: Record) -> str:
    """Shape and dtype of the output, or of each."""
    if type(record.dtype) is tuple:
        return ", ".join(f"{shape_text(shape)} {dtype}" for shape, dtype in zip(record.shape, record.dtype))
    return f"{shape_text(record.shape)} {record.dtype}"


def argument_name(record: Record, argnum: int) -> str:
    """Name of an argument of the record's primitive; numbered, if it takes any number of arrays."""
    primitive: Any = record.primitive
    if argnum < len(primitive.arguments):
        name: str = primitive.arguments[argnum]
        return name
    return f"{primitive.variadic or 'argument'}[{argnum - len(primitive.arguments)}]"


def known_arguments(tape: Tape, record: Record) -> dict[int, Any]:
    """Values of the arguments by their number: all, if the tape keeps values, else those that the record needs."""
    if record.number in tape.arguments:
        return {k: value for k, value in enumerate(tape.arguments[record.number]) if value is not None}
    found: dict[int, Any] = {}
    fixed = len(record.plan.primitive.arguments)
    for (kind, which), value in zip(record.plan.saves, record.saved or ()):
        if kind != ARGUMENT:
            continue
        places = [(which, value)] if which >= 0 else [(fixed + k, part) for k, part in enumerate(value)]
        for argnum, array in places:
            if array is not None and argnum < len(record.parents):
                found[argnum] = array
    return found


def _plain_name(name: str) -> str:
    return re.sub(r"\s+", " ", name)


def _leaf_box(place: int, leaf: Leaf, names: Mapping[Any, str]) -> Box:
    grad = "" if leaf.grad is None else f"grad: norm {float(np.linalg.norm(leaf.grad.ravel())):.3g}"
    size = byte_text(int(np.prod(leaf.shape, dtype=int)) * leaf.dtype.itemsize)
    title = _plain_name(names.get(leaf.number, "leaf"))
    return Box(f"leaf-{place}", "parameter", title, [f"{shape_text(leaf.shape)} {leaf.dtype}", size], grad)


def _record_box(k: int, record: Record, line: str, in_sweep: bool, names: Mapping[Any, str]) -> Box:
    name = names.get(record.number, "")
    saved = saved_names(record)
    lines = []
    if type(record.dtype) is tuple:
        for index, (shape, dtype) in enumerate(zip(record.shape, record.dtype)):
            part = names.get((record.number, index), "")
            lines.append(f".{index} {_plain_name(part) + ' ' if part else ''}{shape_text(shape)} {dtype}")
    else:
        lines.append(output_text(record))
    state = state_of(record)
    if record.saved is None:
        lines.append(f"saved: {state}")
    elif saved:
        size = int(state.replace(",", ""))
        lines.append(f"saves {', '.join(saved)}" + (f": {byte_text(size)}" if size else ""))
    else:
        lines.append("saves nothing")
    title = f"#{k} {record.name}" + (f" = {_plain_name(name)}" if name else "")
    note = short_line(line)
    kind = "gradient" if in_sweep else "activation"
    return Box(f"record-{k}", kind, title, lines, note=f"{title} at {note}" if note else title)


REPEATED = 12  # records after which a leaf is drawn again, beside its next use, and not joined by a long line


def graph_of(tape: Tape, names: Mapping[Any, str], first: int = 0) -> Graph:
    """The graph of a tape.

    Parameters
    ----------
    tape : Tape
    names : mapping
        As from `names_of`.
    first : int
        What to count records from.
    """
    index = {record.number: k for k, record in enumerate(tape.records, first)}
    known: set[str] = set()
    drawn: dict[int, tuple[int, int]] = {}  # for each leaf the record that it was last drawn for, and how often again
    places: dict[Any, int] = {}  # of leaves and of what comes from outside
    graph = Graph()
    for k, record in enumerate(tape.records, first):
        values = known_arguments(tape, record)
        for argnum, parent in enumerate(record.parents):
            label = argument_name(record, argnum)
            if parent is None:
                if argnum not in values:
                    continue  # None, or a value that nothing needs: not known here
                value = values[argnum]
                box = Box(f"constant-{k}-{argnum}", "constant", label, [_constant_text(value)])
            elif isinstance(parent, Leaf):
                place = places.setdefault(parent.number, len(places))
                box = _leaf_box(place, parent, names)
                start, copy = drawn.setdefault(place, (k, 0))
                if k - start > REPEATED:
                    copy += 1
                    drawn[place] = k, copy
                if copy:
                    box.key, box.title = f"{box.key}-{copy}", f"{box.title} (again)"
            elif parent.number in index:
                key = f"record-{index[parent.number]}"
                part = f" .{parent.index}" if isinstance(parent, Output) else ""
                graph.edges.append(Edge(key, f"record-{k}", label + part))
                continue
            else:
                made_by = parent.record if isinstance(parent, Output) else parent
                title = _plain_name(names.get(key_of(parent), made_by.name))
                place = places.setdefault(key_of(parent), len(places))
                text = f"{shape_text(parent.shape)} {parent.dtype}"
                box = Box(f"outside-{place}", "outside", title, [text])
            if box.key not in known:
                known.add(box.key)
                graph.boxes.append(box)
            graph.edges.append(Edge(box.key, f"record-{k}", label))
        graph.boxes.append(_record_box(k, record, tape.lines[k - first], tape.in_sweep[k - first], names))
    return graph


def _constant_text(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{shape_text(value.shape)} {value.dtype}"
    return f"{value}"[:24] if isinstance(value, (int, float, complex, np.generic, np.ndarray)) else type(value).__name__
