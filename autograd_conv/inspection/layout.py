"""Where the boxes of a drawn graph stand, and which way its lines run: a layered layout.

Plain geometry, which knows nothing of tapes. Boxes get layers by the longest path, those without predecessors right
above their first successor; a line that passes layers passes them through a point of its own in each, which all lines
from the same box share; barycentres order each layer, and least squares under the condition that nothing overlaps give
the coordinates.

References
----------
K. Sugiyama, S. Tagawa and M. Toda, Methods for visual understanding of hierarchical system structures, IEEE
Transactions on Systems, Man, and Cybernetics 11, 1981. M. Ayer et al., An empirical distribution function for sampling
with incomplete information, 1955: the pool-adjacent-violators algorithm.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Layout", "arrange"]

BETWEEN_BOXES = 28.0  # pixels between neighbours in a layer
BETWEEN_LAYERS = 40.0  # pixels from a layer to the next: room for a curve, its arrow head and a label
LINE_WIDTH = 14.0  # room that a passing line takes in a layer
MARGIN = 16.0
ROUNDS = 12  # of ordering; later ones change next to nothing
PLACING_ROUNDS = 80  # of placing, which converges slowly where lines run past many layers; fewer where there are many
PLACINGS = 100_000  # places times rounds
# How much it matters that a line is straight: most for those that pass layers, least for those of leaves.
PASSING, STRONG, WEAK = 16.0, 8.0, 0.4

Point = tuple[float, float]


@dataclass
class Layout:
    """What `arrange` found.

    Attributes
    ----------
    positions : list of (x, y)
        Upper left corner of each box.
    routes : list of list of (x, y)
        For each edge the points that it runs through, from the lower side of its source to the upper side of its
        target; points 2k + 1 and 2k + 2 have the same x: the line runs straight past layer k.
    width, height : float
        Of the whole.
    """

    positions: list[Point] = field(default_factory=list)
    routes: list[list[Point]] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0


def arrange(
    sizes: Sequence[Point],
    edges: Sequence[tuple[int, int]],
    strong: Sequence[bool] | None = None,
    room: Sequence[float] | None = None,
) -> Layout:
    """Lay out a directed graph without circles, from top to bottom.

    Parameters
    ----------
    sizes : sequence of (width, height)
        Of the boxes, in an order in which sources of edges come before their targets.
    edges : sequence of (source, target)
        Indices of boxes; equal ones may occur.
    strong : sequence of bool, optional
        For each edge whether it is to be straight if that is possible; by default all.
    room : sequence of float, optional
        For each edge how far to the right of its end the next one may come, if its target has several.

    Returns
    -------
    Layout

    Notes
    -----
    Cost: about the number of boxes and passed layers, times the numbers of rounds, times a logarithm.

    Examples
    --------
    >>> layout = arrange([(40, 20), (40, 20)], [(0, 1)])
    >>> layout.positions
    [(16.0, 16.0), (16.0, 76.0)]
    """
    if not sizes:
        return Layout(width=2 * MARGIN, height=2 * MARGIN)
    graph = _Layered(sizes, edges, [True] * len(edges) if strong is None else strong)
    graph.order()
    graph.place()
    return graph.result(edges, [LINE_WIDTH] * len(edges) if room is None else room)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The layer of each box: longest paths, and as far down as its successors allow for those that begin one."""
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    layer = [0] * count
    for node in range(count):
        layer[node] = max((layer[k] + 1 for k in before[node]), default=0)
    for node in range(count):
        if not before[node] and after[node]:
            layer[node] = min(layer[k] for k in after[node]) - 1
    return layer


class _Layered:
    """Boxes and passing points ("places") in layers, with the segments between neighbouring layers."""

    def __init__(self, sizes: Sequence[Point], edges: Sequence[tuple[int, int]], strong: Sequence[bool]) -> None:
        self.sizes = sizes
        self.layer = _layers(len(sizes), edges)
        self.width = [size[0] for size in sizes]
        self.up: list[dict[int, float]] = [{} for _ in sizes]  # neighbours above, with the weight of the segment
        self.down: list[dict[int, float]] = [{} for _ in sizes]
        self.trunks: dict[tuple[int, int], int] = {}  # (source, layer) to the place where its lines pass
        for (source, target), straight in zip(edges, strong):
            place = source
            for k in range(self.layer[source] + 1, self.layer[target]):
                place = self._join(place, self._trunk(source, k), PASSING)
            self._join(place, target, STRONG if straight else WEAK)
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
        for place, k in enumerate(self.layer):
            self.rows[k].append(place)
        self.x = [0.0] * len(self.layer)

    def _trunk(self, source: int, layer: int) -> int:
        if (source, layer) not in self.trunks:
            self.trunks[source, layer] = len(self.layer)
            self.layer.append(layer)
            self.width.append(LINE_WIDTH)
            self.up.append({})
            self.down.append({})
        return self.trunks[source, layer]

    def _join(self, above: int, below: int, weight: float) -> int:
        self.down[above][below] = self.up[below][above] = max(weight, self.down[above].get(below, 0.0))
        return below

    # --- order --------------------------------------------------------------------------------------------

    def order(self) -> None:
        """Order each layer so that few lines cross."""
        best, fewest = [list(row) for row in self.rows], self._crossings()
        for k in range(ROUNDS):
            if not fewest:
                break
            downwards = k % 2 == 0
            rows = self.rows[1:] if downwards else self.rows[-2::-1]
            neighbours = self.up if downwards else self.down
            rank = self._ranks()
            for row in rows:
                means = {}
                for place in row:
                    beside = neighbours[place]
                    means[place] = sum(rank[n] for n in beside) / len(beside) if beside else float(rank[place])
                row.sort(key=means.__getitem__)
                for position, place in enumerate(row):
                    rank[place] = position
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
        self.rows = best

    def _ranks(self) -> list[int]:
        rank = [0] * len(self.layer)
        for row in self.rows:
            for position, place in enumerate(row):
                rank[place] = position
        return rank

    def _crossings(self) -> int:
        """How many pairs of segments cross: inversions, counted layer by layer."""
        rank = self._ranks()
        count = 0
        for row in self.rows:
            seen: list[int] = []
            for place in row:
                ends = sorted(rank[n] for n in self.down[place])
                for end in ends:
                    count += len(seen) - bisect_right(seen, end)
                for end in ends:
                    insort(seen, end)
        return count

    # --- coordinates --------------------------------------------------------------------------------------

    def place(self) -> None:
        """Move each place towards its neighbours, in turns from above and from below."""
        for row in self.rows:
            for place, x in zip(row, self._spread(row, [0.0] * len(row), [1.0] * len(row))):
                self.x[place] = x
        rounds = max(ROUNDS, min(PLACING_ROUNDS, PLACINGS // len(self.x)))
        for k in range(rounds):
            last = k >= rounds // 2
            sides = (self.up, self.down) if last else ((self.up,) if k % 2 == 0 else (self.down,))
            for row in self.rows if k % 2 == 0 else self.rows[::-1]:
                targets, weights = [], []
                for place in row:
                    beside = [item for side in sides for item in side[place].items()]
                    weight = sum(w for _, w in beside)
                    targets.append(sum(self.x[n] * w for n, w in beside) / weight if beside else self.x[place])
                    weights.append(weight or 0.1)
                for place, x in zip(row, self._spread(row, targets, weights)):
                    self.x[place] = x

    def _spread(self, row: Sequence[int], targets: Sequence[float], weights: Sequence[float]) -> list[float]:
        """Centres nearest to `targets`, in weighted least squares, that keep the order and the distances of `row`."""
        offset, offsets = 0.0, [0.0]
        for left, right in pairwise(row):
            offset += (self.width[left] + self.width[right]) / 2 + BETWEEN_BOXES
            offsets.append(offset)
        # Without the offsets the centres need only not decrease: pool neighbours that do.
        pools: list[list[float]] = []  # mean, weight, members
        for target, away, weight in zip(targets, offsets, weights):
            pools.append([target - away, weight, 1])
            while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
                mean, heavy, members = pools.pop()
                total = pools[-1][1] + heavy
                pools[-1] = [(pools[-1][0] * pools[-1][1] + mean * heavy) / total, total, pools[-1][2] + members]
        flat = [mean for mean, _, members in pools for _ in range(int(members))]
        return [mean + away for mean, away in zip(flat, offsets)]

    # --- result -------------------------------------------------------------------------------------------

    def result(self, edges: Sequence[tuple[int, int]], room: Sequence[float]) -> Layout:
        """Corners and routes."""
        left = min(x - width / 2 for x, width in zip(self.x, self.width))
        right = max(x + width / 2 for x, width in zip(self.x, self.width))
        heights = [max((self.sizes[p][1] for p in row if p < len(self.sizes)), default=0.0) for row in self.rows]
        tops, top = [], MARGIN
        for height in heights:
            tops.append(top)
            top += height + BETWEEN_LAYERS
        x = [value - left + MARGIN for value in self.x]
        layout = Layout(width=right - left + 2 * MARGIN, height=top - BETWEEN_LAYERS + MARGIN)
        for node, (width, height) in enumerate(self.sizes):
            k = self.layer[node]
            layout.positions.append((x[node] - width / 2, tops[k] + (heights[k] - height) / 2))
        routes: list[list[Point]] = []
        for source, target in edges:
            y = layout.positions[source][1] + self.sizes[source][1]
            route = [(x[source], y)]
            for k in range(self.layer[source] + 1, self.layer[target]):
                place = self.trunks[source, k]
                route += [(x[place], tops[k]), (x[place], tops[k] + heights[k])]
            routes.append(route)
        layout.routes = routes
        self._arrive(layout, edges, room)
        return layout

    def _arrive(self, layout: Layout, edges: Sequence[tuple[int, int]], room: Sequence[float]) -> None:
        """Spread the ends of the lines along the upper side of each box, in the order that they come from."""
        arriving: dict[int, list[int]] = {}
        for k, (_, target) in enumerate(edges):
            arriving.setdefault(target, []).append(k)
        for target, numbers in arriving.items():
            left, y = layout.positions[target]
            width = self.sizes[target][0]
            numbers.sort(key=lambda k: layout.routes[k][-1][0])
            if len(numbers) == 1:
                layout.routes[numbers[0]].append((left + width / 2, y))
                continue
            taken = sum(room[k] for k in numbers)
            share = min(1.0, width / taken) if taken else 1.0
            between = (width - share * taken) / (len(numbers) + 1)
            x = left + between
            for k in numbers:
                layout.routes[k].append((x, y))
                x += share * room[k] + between
