"""A tape as a picture: SVG, written without any other program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from ..tape import Tape
from .graph import KINDS, Box, Graph, graph_of, names_of
from .layout import Layout, Point, arrange

__all__ = ["Drawing", "clean", "draw", "plot"]

FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
CHARACTER = 0.62  # width of a monospaced character, in its height; fonts differ by some 3 %
TITLE_SIZE, TEXT_SIZE, LABEL_SIZE = 13.0, 11.0, 9.5
LINE_HEIGHT = 16.0
PADDING = 9.0
SLANT = 12.0  # by which a parameter's sides lean out
CORNER = 9.0  # which is cut from a gradient's box

# Fill, border and text of each kind of box.
COLORS = {
    "parameter": ("#e6f4ea", "#2e7d4f", "#17422a"),
    "activation": ("#e8f0fb", "#3d6fb0", "#16325c"),
    "gradient": ("#fdecdf", "#c2410c", "#6b2407"),
    "outside": ("#f7f7f8", "#7d8590", "#3f4651"),
    "constant": ("#f3f3f4", "#b4b8bf", "#3f4651"),
}

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Drawing(str):
    """The text of an SVG picture, which notebooks show as a picture."""

    def _repr_svg_(self) -> str:
        return str(self)


def clean(text: str) -> str:
    """Text that may stand in XML and HTML: marked-up characters escaped, characters that XML has not replaced."""
    return escape(_UNPRINTABLE.sub("\ufffd", text))


def plot(tape: Tape, path: str | PathLike[str] | None, names: Any) -> Drawing:
    """See `Tape.plot`."""
    picture = draw(graph_of(tape, names_of("Tape.plot", names)))
    if path is not None:
        Path(path).write_text(picture, encoding="utf-8")
    return picture


@dataclass
class _Sized:
    box: Box
    width: float
    height: float


def _measure(box: Box, arriving: Sequence[float]) -> _Sized:
    """How much room a box needs for its text, and for the lines that arrive with their labels."""
    texts = [*box.lines, *([box.grad] if box.grad else [])]
    width = max([len(box.title) * TITLE_SIZE, *(len(text) * TEXT_SIZE for text in texts)]) * CHARACTER
    side = PADDING + (SLANT if box.kind == "parameter" else 0)
    return _Sized(
        box, max(width + 2 * side, sum(arriving) + 12.0, 56.0), (1 + len(texts)) * LINE_HEIGHT + 2 * PADDING - 3
    )


def draw(graph: Graph) -> Drawing:
    """The SVG text of a graph."""
    room = [len(edge.label) * LABEL_SIZE * CHARACTER + 9 for edge in graph.edges]
    arriving: dict[str, list[float]] = {}
    for edge, width in zip(graph.edges, room):
        arriving.setdefault(edge.target, []).append(width)
    sized = [_measure(box, arriving.get(box.key, [])) for box in graph.boxes]
    place = {box.key: k for k, box in enumerate(graph.boxes)}
    edges = [(place[edge.source], place[edge.target]) for edge in graph.edges]
    strong = [edge.source.startswith("record") for edge in graph.edges]
    layout = arrange([(one.width, one.height) for one in sized], edges, strong, room)
    legend, legend_width, legend_height = _legend(graph)
    width, height = max(layout.width, legend_width), layout.height + legend_height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tape" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}">',
        f"<title>A tape of {sum(box.key.startswith('record') for box in graph.boxes)} records</title>",
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        legend,
        f'<g transform="translate({(width - layout.width) / 2:.1f},{legend_height:.0f})">',
        *_lines(graph, layout),
        *[_box(one, layout.positions[k]) for k, one in enumerate(sized)],
        "</g>",
        "</svg>",
    ]
    return Drawing("\n".join(parts) + "\n")


def _lines(graph: Graph, layout: Layout) -> list[str]:
    several: dict[str, int] = {}
    for edge in graph.edges:
        several[edge.target] = several.get(edge.target, 0) + 1
    parts = []
    for edge, route in zip(graph.edges, layout.routes):
        color = COLORS["parameter"][1] if edge.source.startswith("leaf") else "#8a929e"
        x, y = route[-1]
        parts.append(f'<g class="edge" data-from="{edge.source}" data-to="{edge.target}">')
        parts.append(f'<path d="{_curve(route)}" fill="none" stroke="{color}" stroke-width="1.4"/>')
        parts.append(f'<path d="M{x:.1f},{y:.1f} l-3.6,-7.5 h7.2 z" fill="{color}"/>')
        if several[edge.target] > 1 or " ." in edge.label:
            parts.append(
                f'<text x="{x + 5:.1f}" y="{y - 5:.1f}" font-size="{LABEL_SIZE}" fill="#5b6370" stroke="#ffffff" '
                f'stroke-width="3" paint-order="stroke">{clean(edge.label)}</text>'
            )
        parts.append("</g>")
    return parts


def _curve(route: Sequence[Point]) -> str:
    """Straight past layers, curved between them; the end is short, under the arrow head."""
    points = [*route[:-1], (route[-1][0], route[-1][1] - 6)]
    x, y = points[0]
    text = f"M{x:.1f},{y:.1f}"
    for k, (to_x, to_y) in enumerate(points[1:]):
        if k % 2 == 0:
            middle = (y + to_y) / 2
            text += f" C{x:.1f},{middle:.1f} {to_x:.1f},{middle:.1f} {to_x:.1f},{to_y:.1f}"
        else:
            text += f" V{to_y:.1f}"
        x, y = to_x, to_y
    return text


def _outline(kind: str, x: float, y: float, width: float, height: float) -> str:
    """The shape of a box: one for each kind, so that colours are not needed to tell them apart."""
    fill, border, _ = COLORS[kind]
    style = f'fill="{fill}" stroke="{border}" stroke-width="1.5"'
    if kind == "parameter":
        points = [
            (x, y + height / 2), (x + SLANT, y), (x + width - SLANT, y), (x + width, y + height / 2),
            (x + width - SLANT, y + height), (x + SLANT, y + height),
        ]  # fmt: skip
    elif kind == "gradient":
        right, low = x + width, y + height
        points = [
            (x + CORNER, y), (right - CORNER, y), (right, y + CORNER), (right, low - CORNER), (right - CORNER, low),
            (x + CORNER, low), (x, low - CORNER), (x, y + CORNER),
        ]  # fmt: skip
    else:
        dashes = ' stroke-dasharray="5 3"' if kind == "outside" else ""
        corner = 0 if kind == "constant" else 6
        return (
            f'<rect class="shape" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{corner}" '
            f"{style}{dashes}/>"
        )
    return f'<path class="shape" d="M{" L".join(f"{a:.1f},{b:.1f}" for a, b in points)} Z" {style}/>'


def _box(one: _Sized, corner: Point) -> str:
    box, (x, y) = one.box, corner
    middle = x + one.width / 2
    color = COLORS[box.kind][2]
    parts = [
        f'<g class="box {box.kind}" id="{box.key}">',
        f"<title>{clean(box.note)}</title>" if box.note else "",
        f'<rect class="bounds" x="{x:.1f}" y="{y:.1f}" width="{one.width:.1f}" height="{one.height:.1f}" rx="6" '
        'fill="none" stroke="none"/>',
        _outline(box.kind, x, y, one.width, one.height),
        f'<text text-anchor="middle" fill="{color}">',
        f'<tspan x="{middle:.1f}" y="{y + PADDING + 11:.1f}" font-size="{TITLE_SIZE:g}" font-weight="bold">'
        f"{clean(box.title)}</tspan>",
    ]
    down = y + PADDING + 11
    for line in box.lines:
        down += LINE_HEIGHT
        parts.append(f'<tspan x="{middle:.1f}" y="{down:.1f}" font-size="{TEXT_SIZE:g}">{clean(line)}</tspan>')
    parts.append("</text>")
    if box.grad:
        down += LINE_HEIGHT
        fill, border, ink = COLORS["gradient"]
        width = len(box.grad) * TEXT_SIZE * CHARACTER + 10
        parts.append(
            f'<path d="M{middle - width / 2:.1f},{down - 11:.1f} h{width:.1f} v15 h{-width:.1f} Z" fill="{fill}" '
            f'stroke="{border}" stroke-width="0.8"/><text x="{middle:.1f}" y="{down:.1f}" text-anchor="middle" '
            f'font-size="{TEXT_SIZE:g}" fill="{ink}">{clean(box.grad)}</text>'
        )
    parts.append("</g>")
    return "".join(parts)


def _legend(graph: Graph) -> tuple[str, float, float]:
    """A box and a word for each kind that the graph has; its width and height."""
    present = {box.kind for box in graph.boxes}
    entries = [(kind, text) for kind, text in KINDS.items() if kind in present]
    if any(box.grad for box in graph.boxes):
        entries.append(("grad", "grad of a leaf"))
    x, parts = 16.0, ['<g class="legend">']
    for kind, text in entries:
        if kind == "grad":
            fill, border, _ = COLORS["gradient"]
            parts.append(f'<path d="M{x:.1f},13 h24 v12 h-24 Z" fill="{fill}" stroke="{border}" stroke-width="0.8"/>')
        else:
            parts.append(_outline(kind, x, 10, 24, 18).replace('class="shape" ', "").replace('rx="6"', 'rx="4"'))
        parts.append(f'<text x="{x + 31:.1f}" y="23" font-size="11" fill="#3f4651">{clean(text)}</text>')
        x += 31 + len(text) * 11 * CHARACTER + 18
    return "\n".join([*parts, "</g>"]), x, 34.0 if entries else 0.0
