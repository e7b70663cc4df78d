"""The weight gradient as one matrix product, computed in register tiles.

``gw[(tap, c), o] = sum over pixels of x[place(pixel, tap), c] * gy[pixel, o]``: a product whose terms are pixels, with
a row for each tap and input channel and a column for each output channel. A tile (`tile.outer_tile`) keeps R rows by V
vectors of columns in registers while it goes through a block of pixels. Three things make it fast:

- **Constant distances.** A block of pixels is a box of the output. What its windows read is copied to a *slab*:
  channels innermost, padding filled in as zeros. In the slab, row ``(tap, c)`` of pixel ``k`` lies at
  ``place(k) + move(tap, c)``: one table of places serves all rows, and the rows of a tile may belong to any taps.
- **Packed operands.** `gy` goes into *panels* as wide as a tile, so that it is read in order. Packing is also where
  channels-first arrays are transposed, L by L numbers at a time: no array is converted as a whole, and what is packed
  is still in the second-level cache when it is multiplied.
- **No lane idle.** If a pixel has few channels, and not a multiple of four, the rows of each pixel are *unfolded*:
  written side by side, so that tiles cut through taps. And where there are few output channels, the two operands
  change roles: rows are output channels, and columns are taps and input channels, unfolded (`swapped`).

Blocking, from the inside outwards:

1. a tile: R rows of `gw` by V vectors;
2. a block of pixels, whose slab and panels stay in the second-level cache while all tiles go over them; meanwhile the
   elements of the next block are fetched, a cache line each step. Sums of a block begin with zero and are added to
   those before: many short sums round less than one long one;
3. a part: a rectangle of `gw`, for a thread. Parts own their outputs, and pack for themselves.

Groups of few channels have loops of their own: `grouped` and `planes`.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import contiguous
from .emitter import Shape, lanes, outer_shape, side
from .geometry import Window
from .jit import INNER, kernel
from .moving import copy_rows, transpose_rows, transpose_table
from .products import FLOP_PER_NANOSECOND, has_padding
from .threads import parallel_for, threads_for
from .tile import outer_tile
from .transposition import channels_second
from .workspace import scratch

Array = NDArray[Any]

# Slab and panels of a block of pixels: a good third of a second-level cache of 1 MiB.
BLOCK_BYTES = 384 * 1024

# At least so many pixels, so that loading and storing a tile is a small part; and at most so many: rounding errors
# grow with the length of a block plus the number of blocks.
LEAST_BLOCK_PIXELS, MOST_BLOCK_PIXELS = 64, 384

# With at least so many channels, those of a pixel are filled up to a multiple of four rather than unfolded.
UNFOLD_BELOW_CHANNELS = 32


class _Plan(NamedTuple):
    """Numbers that describe one weight gradient. Distances are in bytes, extents and counts in elements.

    Attributes
    ----------
    batch, channels, outputs : int
        ``N``; channels of a group.
    size, out : tuple of 3 int
        Extents of `x` and `gy`.
    x_steps : tuple of 5 int
        Distances in `x` along N, D, H, W, C.
    gy_steps : tuple of 3 int
        Distances in `gy` along N, pixels, O.
    grid, origin : tuple of 3 int
        The slab holds the elements of `x` at ``q * grid + origin``: where no window looks between them, stride and
        dilation have a common divisor.
    step, dilation, taps : tuple of 3 int
        Pixel ``i`` and tap ``u`` read the slab at ``i * step + u * dilation``.
    box : tuple of 4 int
        Pixels of a block along N, D, H, W: whole extents but for one, after which all are 1 towards N.
    slab : tuple of 3 int
        Extents of the slab for each image.
    pixel : int
        Distance of neighbouring pixels in the slab.
    unfolded : int
        Distance of neighbouring pixels of the unfolded slab, or 0: rows are read from the slab itself.
    piece : int
        Numbers of a pixel that are unfolded at a time.
    panel : int
        Distance of neighbouring pixels in a panel of `gy`.
    swapped : bool
        Whether rows are output channels.
    places : tuple of 4 int
        Where slab, unfolded slab, panels and a spare block begin in the working memory of a part.
    work : int
        Bytes of that memory.
    panels, tiles : int
        How many panels of columns and tiles of rows there are.
    split : tuple of 3 int
        Into how many parts groups, panels and tiles are divided.
    group_steps : tuple of 2 int
        Distances of groups in `x` and `gy`.
    gy_ahead, x_ahead : tuple of 4 int
        How many calls of the tile fetch elements of the next block, how many go side by side, how far apart those are,
        and how far those that follow them.
    """

    batch: int
    channels: int
    outputs: int
    size: tuple[int, int, int]
    out: tuple[int, int, int]
    x_steps: tuple[int, int, int, int, int]
    gy_steps: tuple[int, int, int]
    grid: tuple[int, int, int]
    origin: tuple[int, int, int]
    step: tuple[int, int, int]
    dilation: tuple[int, int, int]
    taps: tuple[int, int, int]
    box: tuple[int, int, int, int]
    slab: tuple[int, int, int]
    pixel: int
    unfolded: int
    piece: int
    panel: int
    swapped: bool
    places: tuple[int, int, int, int]
    work: int
    panels: int
    tiles: int
    split: tuple[int, int, int]
    group_steps: tuple[int, int]
    gy_ahead: tuple[int, int, int, int]
    x_ahead: tuple[int, int, int, int]


# ---------------------------------------------------------------- packing


@kernel
def _is_read(q: int, count: int, step: int, dilation: int, taps: int) -> bool:
    """Whether one of `count` pixels reads the slab at `q`."""
    for u in range(taps):
        i = q - u * dilation
        if i >= 0 and i % step == 0 and i // step < count:
            return True
    return False


def _make_packing(itemsize: int) -> Any:
    length = lanes(itemsize)
    short, few = max(1, length // 2), min(4, length)
    copy, copy_short = copy_rows(itemsize, length), copy_rows(itemsize, short)
    transpose_whole, transpose_few = transpose_rows(itemsize, length), transpose_rows(itemsize, few)
    whole = length * itemsize

    @kernel(**INNER)
    def transpose(source: int, source_stride: int, target: int, target_stride: int, rows: int, columns: int) -> None:
        """Call the long code of `transpose_rows`, which is compiled once."""
        transpose_whole(source, source_stride, target, target_stride, rows, columns)

    @kernel(**INNER)
    def clear(target: int, count: int) -> None:
        """Write at least `count` bytes of zeros, in whole vectors."""
        copy(target, 0, target, whole, (count + whole - 1) // whole, 0)

    @kernel(**INNER)
    def fill_slab(x: int, slab: int, spare: int, first: Any, count: Any, plan: Any) -> None:
        """Copy to `slab` what `count` pixels from `first` (N, D, H, W) read of the group of images at `x`."""
        step_n, step_d, step_h, step_w, step_c = plan.x_steps
        channels, pixel = plan.channels, plan.pixel
        grid = plan.grid[2]
        extent_d = (count[1] - 1) * plan.step[0] + (plan.taps[0] - 1) * plan.dilation[0] + 1
        extent_h = (count[2] - 1) * plan.step[1] + (plan.taps[1] - 1) * plan.dilation[1] + 1
        extent_w = (count[3] - 1) * plan.step[2] + (plan.taps[2] - 1) * plan.dilation[2] + 1
        origin = first[3] * plan.step[2] * grid + plan.origin[2]
        low = min(extent_w, max(0, (grid - 1 - origin) // grid))
        high = max(low, min(extent_w, (plan.size[2] - 1 - origin) // grid + 1))
        for n in range(count[0]):
            for q_d in range(extent_d):
                if not _is_read(q_d, count[1], plan.step[0], plan.dilation[0], plan.taps[0]):
                    continue
                d = (first[1] * plan.step[0] + q_d) * plan.grid[0] + plan.origin[0]
                for q_h in range(extent_h):
                    if not _is_read(q_h, count[2], plan.step[1], plan.dilation[1], plan.taps[1]):
                        continue
                    h = (first[2] * plan.step[1] + q_h) * plan.grid[1] + plan.origin[1]
                    target = slab + ((n * plan.slab[0] + q_d) * plan.slab[1] + q_h) * plan.slab[2] * pixel
                    if not (0 <= d < plan.size[0] and 0 <= h < plan.size[1]):
                        clear(target, extent_w * pixel)
                        continue
                    clear(target, low * pixel)
                    source = x + (first[0] + n) * step_n + d * step_d + h * step_h
                    source += (origin + low * grid) * step_w
                    inner = target + low * pixel
                    pixels = high - low
                    tail = (channels - 1) // length * length
                    if step_c != itemsize and grid == 1 and channels <= few:  # channels-first, with few of them
                        for q in range(0, pixels, few):
                            transpose_few(
                                source + q * step_w, step_c, inner + q * pixel, pixel, channels, min(few, pixels - q)
                            )
                    elif step_c != itemsize:
                        advance = length // grid if grid < length else 1
                        for q in range(0, pixels, advance):
                            here = source + q * grid * step_w
                            new = min(advance, pixels - q)
                            for c in range(tail, -1, -length):
                                there = inner + q * pixel + c * itemsize
                                # Where pixels are left out, transposed to one side and copied from there.
                                aside = grid > 1
                                transpose(
                                    here + c * step_c, step_c, spare if aside else there, whole if aside else pixel,
                                    min(length, channels - c), (new - 1) * grid + 1,
                                )  # fmt: skip
                                if aside:
                                    copy(spare, grid * whole, there, pixel, new, length)
                    elif pixel == channels * itemsize and step_w * grid == pixel:
                        numbers = pixels * channels
                        copy(source, whole, inner, whole, numbers // length, length)
                        done = numbers // length * whole
                        copy(source + done, whole, inner + done, whole, min(1, numbers % length), numbers % length)
                    else:
                        for c in range(tail, -1, -length):
                            at = c * itemsize
                            copy(source + at, grid * step_w, inner + at, pixel, pixels, min(length, channels - c))
                    clear(target + high * pixel, (extent_w - high) * pixel)

    @kernel(**INNER)
    def unfold(slab: int, target: int, count: Any, plan: Any) -> None:
        """Write what each of `count` pixels reads side by side: rows (tap, c) of `gw` in their order."""
        row_bytes = plan.slab[2] * plan.pixel
        taps_w = 1 if plan.piece > plan.channels else plan.taps[2]
        for n in range(count[0]):
            for d in range(count[1]):
                for h in range(count[2]):
                    there = target
                    for kd in range(plan.taps[0]):
                        q_d = (n * plan.slab[0] + d * plan.step[0] + kd * plan.dilation[0]) * plan.slab[1]
                        for kh in range(plan.taps[1]):
                            here = slab + (q_d + h * plan.step[1] + kh * plan.dilation[1]) * row_bytes
                            for kw in range(taps_w):
                                at = here + kw * plan.dilation[2] * plan.pixel
                                c = 0
                                while plan.piece - c > short:
                                    copy(
                                        at + c * itemsize, plan.step[2] * plan.pixel, there + c * itemsize,
                                        plan.unfolded, count[3], min(length, plan.piece - c),
                                    )  # fmt: skip
                                    c += length
                                if c < plan.piece:
                                    copy_short(
                                        at + c * itemsize, plan.step[2] * plan.pixel, there + c * itemsize,
                                        plan.unfolded, count[3], plan.piece - c,
                                    )  # fmt: skip
                                there += plan.piece * itemsize
                    target += count[3] * plan.unfolded

    @kernel(**INNER)
    def fill_panels(
        gy: int, panels: int, begin: int, end: int, distance: int, first: int, batch: int, pixels: int, plan: Any
    ) -> None:
        """Copy to panels ``begin <= panel < end`` `pixels` pixels of `batch` images, from `first` on."""
        step_n, step_p, step_o = plan.gy_steps
        width = plan.panel // itemsize
        chunk = LEAST_BLOCK_PIXELS
        if step_o == itemsize:  # channels-last: images follow each other without a gap
            pixels, batch = pixels * batch, 1
        else:
            chunk = pixels
        for low in range(0, pixels, chunk):
            rows = min(chunk, pixels - low)
            for panel in range(begin, end):
                for o in range((width - 1) // length * length, -1, -length):
                    column = panel * width + o
                    columns = max(0, min(length, min(width - o, plan.outputs - column)))
                    source = gy + (first + low) * step_p + column * step_o
                    target = panels + panel * distance + low * plan.panel + o * itemsize
                    if step_o == itemsize:
                        copy(source, step_p, target, plan.panel, rows, columns)
                    else:
                        for n in range(batch):
                            for p in range(0, pixels, length):
                                transpose(
                                    source + n * step_n + p * step_p, step_o, target + (n * pixels + p) * plan.panel,
                                    plan.panel, columns, min(length, pixels - p),
                                )  # fmt: skip

    return fill_slab, unfold, fill_panels


_PACKING = {itemsize: _make_packing(itemsize) for itemsize in (4, 8)}


# ---------------------------------------------------------------- the product


@functools.cache
def _make(shape: Shape) -> Any:
    tile = outer_tile(shape)
    rows, columns, itemsize = shape.rows, shape.columns, shape.itemsize
    fill_slab, unfold, fill_panels = _PACKING[itemsize]
    quads = rows // side(rows)

    @kernel
    def outers(
        start: int, stop: int, x: Array, gy: Array, sums: Array, work: Array, table: Array, moves: Array, ahead: Array,
        plan: Any,
    ) -> None:  # fmt: skip
        """Compute parts ``start <= part < stop`` of `sums` (groups, panels, tiles, R, columns of a panel).

        Assumptions: `table` (pixels of a block,) and `moves` (tiles, quads) hold distances in bytes, as
        `tile.outer_tile` takes them, as does `ahead` (3, pixels of a block): lines of `gy`, of `x`, and always the same
        one; `work` is ``plan.work`` bytes for each part.
        """
        out_d, out_h, out_w = plan.out
        box_n, box_d, box_h, box_w = plan.box
        blocks_d, blocks_h, blocks_w = -(-out_d // box_d), -(-out_h // box_h), -(-out_w // box_w)
        blocks = -(-plan.batch // box_n) * blocks_d * blocks_h * blocks_w
        tile_bytes = rows * columns * itemsize
        gy_calls, gy_blocks, gy_far, gy_farther = plan.gy_ahead
        x_calls, x_blocks, x_far, x_farther = plan.x_ahead
        most = box_n * box_d * box_h * box_w
        distance = most * plan.panel
        for part in range(start, stop):
            group = part // (plan.split[1] * plan.split[2])
            across = part // plan.split[2] % plan.split[1]
            along = part % plan.split[2]
            left, right = across * plan.panels // plan.split[1], (across + 1) * plan.panels // plan.split[1]
            top, bottom = along * plan.tiles // plan.split[2], (along + 1) * plan.tiles // plan.split[2]
            x_base = x.ctypes.data + group * plan.group_steps[0]
            gy_base = gy.ctypes.data + group * plan.group_steps[1]
            target = sums.ctypes.data + group * plan.panels * plan.tiles * tile_bytes
            memory = work.ctypes.data + part * plan.work
            slab, unfolded, panels = memory + plan.places[0], memory + plan.places[1], memory + plan.places[2]
            spare = memory + plan.places[3]
            for block in range(blocks):
                w = block % blocks_w * box_w
                rest = block // blocks_w
                h = rest % blocks_h * box_h
                rest = rest // blocks_h
                d = rest % blocks_d * box_d
                n = rest // blocks_d * box_n
                first = (n, d, h, w)
                # Where the next block begins. What calls of the tile fetch is counted in `call`.
                later = min(block + 1, blocks - 1)
                w_later = later % blocks_w * box_w
                rest = later // blocks_w
                h_later = rest % blocks_h * box_h
                rest = rest // blocks_h
                d_later = rest % blocks_d * box_d
                n_later = rest // blocks_d * box_n
                gy_later = (
                    n_later * plan.gy_steps[0] + ((d_later * out_h + h_later) * out_w + w_later) * plan.gy_steps[1]
                )
                x_later = (
                    n_later * plan.x_steps[0]
                    + max(0, d_later * plan.step[0] * plan.grid[0] + plan.origin[0]) * plan.x_steps[1]
                    + max(0, h_later * plan.step[1] * plan.grid[1] + plan.origin[1]) * plan.x_steps[2]
                    + max(0, w_later * plan.step[2] * plan.grid[2] + plan.origin[2]) * plan.x_steps[3]
                )
                call = 0 if block + 1 < blocks else gy_calls + x_calls
                count = min(box_n, plan.batch - n), min(box_d, out_d - d), min(box_h, out_h - h), min(box_w, out_w - w)
                pixels = count[1] * count[2] * count[3]
                steps = count[0] * pixels
                fill_slab(x_base, slab, spare, first, count, plan)
                if plan.unfolded > 0:
                    unfold(slab, unfolded, count, plan)
                source = gy_base + n * plan.gy_steps[0]
                pixel = (d * out_h + h) * out_w + w
                low, high = left, right  # one call: constants as arguments would be compiled apart
                if plan.swapped:
                    low, high = 0, 1
                fill_panels(source, panels, low, high, distance, pixel, count[0], pixels, plan)
                if plan.swapped:
                    a, b, b_stride, b_panel = panels, unfolded, plan.unfolded, columns * itemsize
                else:
                    a = unfolded if plan.unfolded > 0 else slab
                    b, b_stride, b_panel = panels, plan.panel, distance
                fresh = 1 if block == 0 else 0
                for panel in range(left, right):
                    for row in range(top, bottom):
                        if call < gy_calls:
                            fetched = gy_base + gy_later + call % gy_blocks * gy_far + call // gy_blocks * gy_farther
                            lines = ahead[0].ctypes.data
                        elif call < gy_calls + x_calls:
                            turn = call - gy_calls
                            fetched = x_base + x_later + turn % x_blocks * x_far + turn // x_blocks * x_farther
                            lines = ahead[1].ctypes.data
                        else:
                            fetched, lines = memory, ahead[2].ctypes.data
                        call += 1
                        tile(
                            a, table.ctypes.data, steps, moves.ctypes.data + row * quads * 8, b + panel * b_panel,
                            b_stride, target + (panel * plan.tiles + row) * tile_bytes, fresh, fetched, lines,
                        )  # fmt: skip

    return outers


def _make_unpack(itemsize: int) -> Any:
    transpose, length = transpose_table(itemsize), lanes(itemsize)

    @kernel
    def unpack_outputs_first(
        start: int, stop: int, sums: Array, gw: Array, rows: Array, columns: Array, table: Array, regular: bool
    ) -> None:
        """Write blocks ``start <= item < stop`` of L rows of `gw` (G, O, rows), from `sums` (G, anything).

        Element (o, q) lies at ``rows[q] + columns[o]``. If `regular`, so do, side by side, the outputs of a block;
        `table` is `rows` in bytes.
        """
        outputs, count = gw.shape[1], gw.shape[2]
        blocks = (outputs + length - 1) // length
        for item in range(start, stop):
            group, first = item // blocks, item % blocks * length
            last = min(first + length, outputs)
            done = 0
            if regular and last - first == length:
                source = sums[group, columns[first] :].ctypes.data
                done = count - count % length
                for q in range(0, done, length):
                    transpose(source, table[q:].ctypes.data, gw[group, first, q:].ctypes.data, count * itemsize)
            for o in range(first, last):
                for q in range(done, count):
                    gw[group, o, q] = sums[group, rows[q] + columns[o]]

    @kernel
    def unpack(start: int, stop: int, sums: Array, gw: Array, rows: Array, columns: Array, regular: int) -> None:
        """Write rows ``start <= q < stop`` of `gw` (rows, G, O), from `sums` (G, anything).

        Element (q, o) lies at ``rows[q] + columns[o]``. So many outputs as `regular` lie side by side.
        """
        groups, outputs = gw.shape[1], gw.shape[2]
        for q in range(start, stop):
            for group in range(groups):
                for first in range(0, outputs, regular):
                    count = min(regular, outputs - first)
                    begin = rows[q] + columns[first]
                    source, target = sums[group, begin : begin + count], gw[q, group, first : first + count]
                    for o in range(count):
                        target[o] = source[o]

    return unpack_outputs_first, unpack


_UNPACK = {itemsize: _make_unpack(itemsize) for itemsize in (4, 8)}


def _box(out: tuple[int, int, int, int], most: int) -> tuple[int, int, int, int]:
    """Divide the extents `out` (N, D, H, W) into equal boxes of at most `most` pixels that lie side by side."""
    box = [1, 1, 1, 1]
    for axis in (3, 2, 1, 0):
        fitting = max(1, most // math.prod(box))
        box[axis] = -(-out[axis] // -(-out[axis] // fitting))
        if box[axis] < out[axis]:
            break
    return box[0], box[1], box[2], box[3]


def _three(values: Iterable[int]) -> tuple[int, int, int]:
    depth, height, width = values
    return depth, height, width


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@functools.lru_cache(maxsize=256)
def _plan(
    itemsize: int, batch: int, channels: int, outputs: int, groups: int, window: Window, x_first: bool, gy_first: bool,
    threads: int, outputs_first: bool,
) -> tuple[Shape, _Plan, Array, Array, Array, Array, Array]:  # fmt: skip
    """Return the tile's shape, the plan, its tables `table`, `moves`, `ahead`, and `rows` and `columns` for unpacking.

    `x_first` and `gy_first` tell whether the arrays are channels-first; `channels` and `outputs` are those of a group.
    """
    length, pad = lanes(itemsize), 4
    size, out, taps = window.size, window.out, window.kernel
    # Along an axis with one tap only the pixels' own elements are read, with a stride of the grid.
    grid = _three(s if k == 1 else math.gcd(s, d) for k, s, d in zip(taps, window.stride, window.dilation))
    step = _three(s // g for s, g in zip(window.stride, grid))
    dilation = _three(d // g for d, g in zip(window.dilation, grid))
    rows, filled = window.taps * channels, _up(channels, pad)
    plain = outer_shape(itemsize, window.taps * filled, outputs)
    other = outer_shape(itemsize, _up(outputs, pad), rows)
    swapped = outputs < length and _area(other, _up(outputs, pad), rows) < _area(plain, rows, outputs)
    unfold = swapped or (channels % pad > 0 and channels < UNFOLD_BELOW_CHANNELS)
    shape = other if swapped else outer_shape(itemsize, rows if unfold else window.taps * filled, outputs)
    columns = rows if swapped else outputs
    panels = -(-columns // shape.columns)

    # Distances, in numbers. Those of a power of two would crowd a few sets of the caches.
    pixel = channels if unfold else filled
    if not unfold and pixel * itemsize % 128 == 0 and pixel * itemsize >= 256:
        pixel += length
    panel = _up(outputs, pad) if swapped else shape.columns
    merged = unfold and taps[2] > 1 and dilation[2] == 1
    piece = channels * taps[2] if merged else channels
    unfolded = max(_up(rows, shape.columns), rows + length) if unfold else 0

    each = pixel * math.prod(step) + unfolded + (panel if swapped else panels * panel)
    most = max(LEAST_BLOCK_PIXELS, min(MOST_BLOCK_PIXELS, BLOCK_BYTES // (each * itemsize)))
    box = _box((batch, *out), most)
    slab = _three((i - 1) * s + (k - 1) * d + 1 for i, s, k, d in zip(box[1:], step, taps, dilation))
    n, d, h, w = np.ogrid[tuple(map(slice, box))]
    pixels = box[0] * box[1] * box[2] * box[3]
    # Vectors are written whole: behind each buffer there is room for L pixels and a vector.
    lengths = (
        box[0] * math.prod(slab) * pixel + (pixel + 1) * length,
        pixels * unfolded + length,
        (1 if swapped else panels) * pixels * panel + (panel + 1) * length,
        length * length,
    )
    ends = np.cumsum([_up(count * itemsize, 64) for count in lengths]).tolist()

    taps_first = np.arange(rows)  # the order (tap, c)
    if unfold:
        table = np.arange(pixels) * (panel if swapped else unfolded)
        total = _up(outputs if swapped else rows, shape.rows)
        moves = np.arange(0, total, side(shape.rows))
        row = taps_first
    else:
        table = (((n * slab[0] + d * step[0]) * slab[1] + h * step[1]) * slab[2] + w * step[2]).ravel() * pixel
        kd, kh, kw = np.ogrid[tuple(map(slice, taps))]
        tap = ((kd * dilation[0] * slab[1] + kh * dilation[1]) * slab[2] + kw * dilation[2]).reshape(-1, 1) * pixel
        moves = (tap + np.arange(filled)).ravel()[:: side(shape.rows)]
        total = _up(window.taps * filled, shape.rows)
        moves = np.pad(moves, (0, total // side(shape.rows) - moves.size))  # rows that nobody wants
        row = taps_first // channels * filled + taps_first % channels
    along_rows, along_columns = np.arange(total) * shape.columns, np.arange(panels * shape.columns)
    along_columns = along_columns // shape.columns * total * shape.columns + along_columns % shape.columns
    in_rows, in_columns = (along_columns[row], along_rows) if swapped else (along_rows[row], along_columns)
    if outputs_first:
        in_rows = np.ascontiguousarray(in_rows.reshape(window.taps, channels).T).ravel()
    tiles = total // shape.rows

    wide, tall = channels * groups, outputs * groups
    x_plane, gy_plane = math.prod(size) * itemsize, math.prod(out) * itemsize
    x_pixel, x_channel = (itemsize, x_plane) if x_first else (wide * itemsize, itemsize)
    gy_pixel, gy_channel = (itemsize, gy_plane) if gy_first else (tall * itemsize, itemsize)
    across = min(panels, max(1, threads // groups))
    along = min(tiles, max(1, threads // (groups * across)))
    gy_lines, gy_ahead = _ahead(box, outputs, itemsize, (tall * gy_plane, gy_pixel, gy_channel), 1)
    x_lines, x_ahead = _ahead(box, channels, itemsize, (wide * x_plane, x_pixel, x_channel), math.prod(window.stride))
    ahead = np.stack([gy_lines, x_lines, np.zeros_like(x_lines)])
    plan = _Plan(
        batch, channels, outputs, size, out,
        (wide * x_plane, size[1] * size[2] * x_pixel, size[2] * x_pixel, x_pixel, x_channel),
        (tall * gy_plane, gy_pixel, gy_channel), grid, _three(-b for b in window.before), step, dilation, taps, box,
        slab, pixel * itemsize, unfolded * itemsize, piece, panel * itemsize, swapped, (0, *ends[:-1]),
        _up(ends[-1], 4096) + 64, panels, tiles, (groups, across, along),
        (channels * x_channel, outputs * gy_channel), gy_ahead, x_ahead,
    )  # fmt: skip
    return shape, plan, table * itemsize, moves * itemsize, ahead, in_rows, in_columns


def _ahead(
    box: tuple[int, int, int, int], channels: int, itemsize: int, steps: tuple[int, int, int], stride: int
) -> tuple[Array, tuple[int, int, int, int]]:
    """Return where the steps of a call of the tile find lines of an array to fetch, and `_Plan.x_ahead`.

    `steps` are distances along N, pixels and channels; for each pixel of the box the array has `stride`.
    """
    length = lanes(itemsize)
    line = length * itemsize
    inside = math.prod(box[1:])
    k = np.arange(math.prod(box))
    image, k = k // inside * steps[0], k % inside
    if steps[2] == itemsize and channels > 1:  # channels-last: all channels of a pixel, then the next pixel
        calls = -(-channels * stride * itemsize // line)
        return image + k * line, (calls, 1, 0, inside * line)
    blocks = -(-channels // length)
    lines = image + k % length * steps[2] + k // length * line
    return lines, (blocks * stride, blocks, length * steps[2], inside * itemsize)


def _area(shape: Shape, rows: int, columns: int) -> int:
    """Rows times columns that tiles of `shape` compute to cover so many."""
    return _up(rows, shape.rows) * _up(columns, shape.columns)


# ---------------------------------------------------------------- groups of few channels


def _lies_first(array: Array) -> bool:
    """Whether an array (N, ..., C) is a view of a C-contiguous one (N, C, ...)."""
    return array.shape[-1] > 1 and not array.flags.c_contiguous and bool(channels_second(array).flags.c_contiguous)


def correlate_weight_gradient(
    x: Array, gy: Array, window: Window, groups: int, outputs_first: bool = False
) -> Array | None:
    """Return the weight gradient; see `correlation.correlate_weight_gradient`.

    Parameters
    ----------
    x : ndarray, shape (N, D, H, W, C), float32 or float64
        Any strides. Nothing is converted if it is C-contiguous, or the view of an array (N, C, D, H, W) that is.
    gy : ndarray, shape (N, OD, OH, OW, O), dtype of `x`
    window : Window
    groups : int
    outputs_first : bool
        Whether to write the result in the order (O, C // G, KD, KH, KW).

    Returns
    -------
    ndarray, shape (KD, KH, KW, C // G, O)
        Or None if it must be computed in another way: padding is zeros here, whose product with an infinite or NaN
        element of `gy` would not be 0.
    """
    dtype, batch, outputs = x.dtype, x.shape[0], gy.shape[4]
    per_group = x.shape[4] // groups
    x_first, gy_first = _lies_first(x), _lies_first(gy)
    x = contiguous(channels_second(x) if x_first else x, dtype)
    gy = contiguous(channels_second(gy) if gy_first else gy, dtype)
    nanoseconds = 2 * gy.size * window.taps * per_group / FLOP_PER_NANOSECOND
    shape, plan, table, moves, ahead, rows, columns = _plan(
        x.itemsize, batch, per_group, outputs // groups, groups, window, x_first, gy_first,
        threads_for(nanoseconds), outputs_first,
    )  # fmt: skip
    parts, each = math.prod(plan.split), plan.panels * plan.tiles * shape.rows * shape.columns
    unpack_outputs_first, unpack = _UNPACK[x.itemsize]
    with scratch((groups, each), dtype) as sums:
        with scratch((parts * plan.work // x.itemsize,), dtype) as work:
            parallel_for(
                _make(shape), parts, x.reshape(-1), gy.reshape(-1), sums, work, table, moves, ahead, plan,
                nanoseconds=nanoseconds,
            )  # fmt: skip
        if outputs_first:
            gw = np.empty((outputs, per_group, *window.kernel), dtype)
            length = lanes(x.itemsize)
            parallel_for(
                unpack_outputs_first, groups * -(-outputs // groups // length), sums,
                gw.reshape(groups, outputs // groups, rows.size), rows, columns, rows * x.itemsize, not plan.swapped,
                nanoseconds=gw.size,
            )  # fmt: skip
            gw = gw.transpose(2, 3, 4, 1, 0)
        else:
            gw = np.empty((*window.kernel, per_group, outputs), dtype)
            parallel_for(
                unpack, rows.size, sums, gw.reshape(rows.size, groups, outputs // groups), rows, columns,
                1 if plan.swapped else shape.columns, nanoseconds=gw.size,
            )  # fmt: skip
    return gw if _is_trustworthy(gw, gy, window) else None


def _is_trustworthy(gw: Array, gy: Array, window: Window) -> bool:
    """Whether no product of padding with infinity or NaN can have got into `gw`: it would show in the sum of `gw`.

    If all of `gy` is finite there was none: the sum of the smaller array tells.
    """
    with np.errstate(all="ignore"):
        return not has_padding(window) or bool(np.isfinite((gw if gw.size < gy.size else gy).sum()))
