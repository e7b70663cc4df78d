"""How a weight gradient is laid out: blocks of pixels, parts, and where everything lies.

What `outer` computes in compiled loops is laid out here, in Python and once for each layer: tables of distances in
bytes. The loops only add them up, so they are short, and quick to compile. `cutting` chooses the shape of tiles.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cutting import LEAST_BLOCK_PIXELS, Form, best, cuts, up
from .emitter import lanes
from .geometry import Window
from .products import has_padding

Array = NDArray[Any]

# What is packed of a block of pixels: a good third of a second-level cache of 1 MiB.
BLOCK_BYTES = 384 * 1024

# At most so many pixels: rounding errors grow with the length of a block plus the number of blocks.
MOST_BLOCK_PIXELS = 384

# Blocks are divided into at most so many chunks, which threads can work on side by side, each with sums of its own:
# as many as there are, whatever the number of threads, as long as all sums fit into half a second-level cache.
MOST_CHUNKS, CHUNK_BYTES = 8, 512 * 1024


class Sizes(NamedTuple):
    """Numbers for the compiled loops. Distances are in bytes.

    Attributes
    ----------
    batch, images, blocks : int
        ``N``; images of a block, and blocks of an image, one of which is 1.
    tiles : int
        How many tiles of rows a group has.
    x_image, gy_image : int
        Distances of images in `x` and `gy`.
    x_packed, gy_packed : int
        Whether the operands of the tile are copies: a slab of `x`, panels of `gy`.
    slab_image, panels_image : int
        Distances of images in the copies.
    gy_pixel : int
        Distance of pixels in a panel, or in `gy`.
    memory, panels, work : int
        Where the working memory of shares begins; where in it, behind the slab, are the panels; and how much it is.
    """

    batch: int
    images: int
    blocks: int
    tiles: int
    x_image: int
    gy_image: int
    x_packed: int
    gy_packed: int
    slab_image: int
    panels_image: int
    gy_pixel: int
    memory: int
    panels: int
    work: int


class Plan(NamedTuple):
    """One weight gradient. All tables hold int64, distances are in bytes.

    Attributes
    ----------
    form : Form
    sizes : Sizes
    parts : ndarray, shape (parts, 9)
        What each part computes: the blocks ``begin <= block < end`` of all images, the tiles ``top <= tile < bottom``
        and the panels ``left <= panel < right``; and where in `x`, `gy` and the sums its group, and its chunk, begins.
    blocks : ndarray, shape (blocks, 5)
        Of each block of an image: where it begins in `x` and in `gy`, its pixels, its first move and the one after its
        last.
    moves : ndarray, shape (anything, 10)
        What is packed: the panel, or -1 for all parts; whether it is of `gy` rather than `x`; arguments of `outer`'s
        ``move``.
    table : ndarray, shape (pixels of a block,)
        Where pixels lie in the slab, or in `x`.
    rows_at : ndarray, shape (tiles, R // beside)
        Where rows lie, for each pixel.
    columns_at : ndarray, shape (panels,)
        Where columns lie, for each pixel.
    fetch, lines : ndarray, shapes (calls, 3), (3, pixels of a block)
        What calls of the tile fetch of the next block: lines at ``fetch[call, 1:] + lines[kind, step]`` from its
        beginning in `gy` (``kind = fetch[call, 0]`` is 0) or `x` (1). Calls after the last but one fetch what that
        says: always the same line (2).
    rows, columns : ndarray
        Of the result: the element of row q (tap, c) and column o lies ``rows[q] + columns[o]`` bytes behind the first
        of the sums of a group. There are L more rows, to be read and not to be used.
    groups, chunks, sums : int
        ``G``; how many chunks there are; how many sums a group has. They lie in the order (chunks, groups, sums).
    padded : bool
        Whether any window reaches beyond `x`.
    """

    form: Form
    sizes: Sizes
    parts: Array
    blocks: Array
    moves: Array
    table: Array
    rows_at: Array
    columns_at: Array
    fetch: Array
    lines: Array
    rows: Array
    columns: Array
    groups: int
    chunks: int
    sums: int
    padded: bool


def _three(values: Iterable[int]) -> tuple[int, int, int]:
    depth, height, width = values
    return depth, height, width


def _box(out: tuple[int, int, int, int], most: int) -> tuple[int, int, int, int]:
    """Divide the extents `out` (N, D, H, W) into equal boxes of at most `most` pixels that lie side by side."""
    box = [1, 1, 1, 1]
    for axis in (3, 2, 1, 0):
        fitting = max(1, most // math.prod(box))
        box[axis] = -(-out[axis] // -(-out[axis] // fitting))
        if box[axis] < out[axis]:
            break
    return box[0], box[1], box[2], box[3]


def _crowds(distance: int) -> bool:
    """Whether numbers so many bytes apart would crowd a few sets of the caches."""
    return distance >= 256 and distance % 128 == 0


@functools.lru_cache(maxsize=64)
def plan(
    itemsize: int, batch: int, channels: int, outputs: int, groups: int, window: Window, x_first: bool, gy_first: bool,
    outputs_first: bool, threads: int,
) -> Plan:  # fmt: skip
    """Lay out a weight gradient.

    Parameters
    ----------
    itemsize : int
    batch, channels, outputs, groups : int
        ``N``; channels of a group; ``G``.
    window : Window
    x_first, gy_first : bool
        Whether the arrays are channels-first.
    outputs_first : bool
        Whether rows of the result are in the order (c, tap) rather than (tap, c).
    threads : int
        How many there are to share the work.
    """
    length = lanes(itemsize)
    size, out, taps = window.size, window.out, window.kernel
    wide, tall = channels * groups, outputs * groups
    x_plane, gy_plane = math.prod(size) * itemsize, math.prod(out) * itemsize
    x_pixel, x_channel = (itemsize, x_plane) if x_first else (wide * itemsize, itemsize)
    gy_pixel, gy_output = (itemsize, gy_plane) if gy_first else (tall * itemsize, itemsize)
    x_steps = (wide * x_plane, size[1] * size[2] * x_pixel, size[2] * x_pixel, x_pixel)

    # The slab holds the elements of x at q * grid - before. Along an axis with one tap only the pixels' own elements
    # are read, with a stride of the grid; but whole rows of channels-first arrays, which are transposed as they are.
    grid = _three(s if k == 1 else math.gcd(s, d) for k, s, d in zip(taps, window.stride, window.dilation))
    if x_first:
        grid = (grid[0], grid[1], 1)
    step = _three(s // g for s, g in zip(window.stride, grid))
    dilation = _three(d // g for d, g in zip(window.dilation, grid))
    padded = has_padding(window)
    pixels = {up(channels, multiple) for multiple in (1, 4)}
    ways = [(False, False, pixel + length if _crowds(pixel * itemsize) else pixel) for pixel in sorted(pixels)]
    if x_first:
        ways.append((False, True, 1))
    if not padded and (x_first or not _crowds(wide * itemsize)):
        ways.append((True, x_first, 1 if x_first else wide))
    cut = best(
        cut
        for direct, planes, pixel in ways
        for cut in cuts(
            itemsize, channels, outputs, window,
            taps[2] > 1 and (window.dilation if direct else dilation)[2] == 1, x_first, gy_first, direct, planes, pixel,
            _crowds(gy_pixel),
        )
    )  # fmt: skip
    x_packed, gy_packed = not cut.direct, not cut.gy_direct
    if cut.direct:
        grid, step, dilation = (1, 1, 1), window.stride, window.dilation
    form, pixel = cut.form, cut.pixel
    shape, columns = form.shape, form.shape.columns

    # Panels of gy, or gy itself where it is one panel; where its planes are rows, an image at a time.
    width = up(outputs, shape.rows if form.swapped else columns)
    gy_panels = 1 if form.swapped else width // columns
    gy_planes = gy_first and cut.gy_direct
    width //= gy_panels

    each = (channels if cut.planes else pixel) * math.prod(step) + gy_panels * width
    most = max(LEAST_BLOCK_PIXELS, min(MOST_BLOCK_PIXELS, BLOCK_BYTES // (each * itemsize)))
    box = _box((1 if gy_planes else batch, *out), most)
    count = math.prod(box)
    slab = _three((i - 1) * s + (k - 1) * d + 1 for i, s, k, d in zip(box[1:], step, taps, dilation))
    steps, plane = x_steps, x_plane
    if x_packed:
        row = slab[2] * pixel * itemsize
        plane = math.prod(slab) * itemsize + length * itemsize
        image = channels * plane if cut.planes else math.prod(slab[:2]) * row
        steps = (image, slab[1] * row, row, pixel * itemsize)
    n, *places = np.ogrid[tuple(map(slice, box))]
    table: Array = np.asarray(n * steps[0] + sum(i * s * b for i, s, b in zip(places, step, steps[1:])))
    axes = np.ogrid[tuple(map(slice, taps))]
    tap: Array = np.asarray(sum(u * d * b for u, d, b in zip(axes, dilation, steps[1:])))
    runs = (tap[..., :1] if cut.merged else tap).ravel()
    if cut.planes:
        runs = (np.arange(channels)[:, None] * plane + runs).ravel()

    # Where rows and columns lie, and where their sums do: tiles of rows follow each other in panels of columns.
    apart = columns if form.swapped else form.beside
    x_at = (runs[:, None] + np.arange(0, cut.whole, apart) * itemsize).ravel()
    gy_at: Array = np.arange(0, width, form.beside) * itemsize
    if gy_planes:
        gy_at = np.minimum(np.arange(width), outputs - 1) * gy_output
    places_of_tile = shape.rows // form.beside
    rows_at: Array = gy_at
    columns_at: Array = x_at
    if not form.swapped:
        rows_at, columns_at = np.pad(x_at, (0, -x_at.size % places_of_tile)), np.arange(gy_panels)
    rows_at = rows_at.reshape(-1, places_of_tile)  # in the last tile there may be some that nobody wants
    tiles, panels = rows_at.shape[0], columns_at.size
    total = tiles * shape.rows
    sums_of_rows = np.arange(total) * columns * itemsize
    sums_of_columns = np.arange(panels * columns)
    sums_of_columns = (sums_of_columns // columns * total * columns + sums_of_columns % columns) * itemsize
    u, c = np.divmod(np.arange(window.taps * channels), channels)
    if outputs_first:
        c, u = np.divmod(np.arange(window.taps * channels), window.taps)
    merged = taps[2] if cut.merged else 1
    run, inside = u // merged, u % merged * pixel + c
    if cut.planes:
        run, inside = c * (window.taps // merged) + u // merged, u % merged
    place = run * cut.whole + inside
    in_rows, in_columns = sums_of_rows, sums_of_columns
    if form.swapped:
        in_rows, in_columns = sums_of_columns, sums_of_rows
    in_rows = in_rows[place]

    # Vectors are written whole: behind the slab and each panel there is room for L pixels and a vector. And rows or
    # columns that fill up a run are read.
    slab_bytes = up(box[0] * steps[0] + ((pixel + 1) * length + columns) * itemsize, 64) if x_packed else 0
    panel_pixel, panel = width * itemsize, ((count + length) * width + length) * itemsize
    panels_bytes = up(gy_panels * panel, 64)
    if not gy_packed:
        panel_pixel, panel, panels_bytes = gy_pixel, width * itemsize, 0
    if not form.swapped:
        columns_at = columns_at * panel
    sums = panels * columns * total
    everything = -(-batch // box[0]) * math.prod(-(-o // b) for o, b in zip(out, box[1:]))
    chunks = min(everything, MOST_CHUNKS, max(1, CHUNK_BYTES // (groups * sums * itemsize)))
    parts = _parts(groups, chunks, panels, tiles, everything, threads)
    group, chunk = parts[:, :2].T
    starts = [group * channels * x_channel, group * outputs * gy_output, (chunk * groups + group) * sums * itemsize]
    parts = np.concatenate([parts[:, 2:], np.stack(starts, 1)], 1)
    blocks, moves = _blocks(
        itemsize, window, box, (x_steps[1:], x_channel, gy_pixel, gy_output),
        (grid, step, dilation, *steps[1:], channels, plane if cut.planes else 0) if x_packed else None,
        (gy_panels, width, outputs, panel, panel_pixel, gy_first, form.swapped) if gy_packed else None,
    )  # fmt: skip
    sizes = Sizes(
        batch=batch, images=box[0], blocks=len(blocks), tiles=tiles, x_image=x_steps[0], gy_image=tall * gy_plane,
        x_packed=int(x_packed), gy_packed=int(gy_packed), slab_image=steps[0],
        panels_image=math.prod(box[1:]) * panel_pixel, gy_pixel=panel_pixel,
        memory=up(chunks * groups * sums * itemsize, 64), panels=slab_bytes,
        work=up(slab_bytes + panels_bytes, 4096) + 64,
    )  # fmt: skip
    gy_lines, gy_fetch = _ahead(box, outputs, itemsize, (tall * gy_plane, gy_pixel, gy_output), 1)
    x_lines, x_fetch = _ahead(box, channels, itemsize, (x_steps[0], x_pixel, x_channel), math.prod(window.stride))
    fetch = [[kind, *pair] for kind, pairs in enumerate((gy_fetch, x_fetch)) for pair in pairs] + [[2, 0, 0]]
    lines = np.stack([gy_lines, x_lines, np.zeros_like(x_lines)])
    tables = (parts, blocks, moves, table.ravel(), rows_at, columns_at, np.array(fetch), lines)
    in_rows = np.pad(in_rows, (0, length))
    every: list[Any] = [np.ascontiguousarray(t, np.int64) for t in (*tables, in_rows, in_columns[:outputs])]
    return Plan._make((form, sizes, *every, groups, chunks, sums, padded))


def _parts(groups: int, chunks: int, panels: int, tiles: int, blocks: int, threads: int) -> Array:
    """Divide the sums into parts, chunk after chunk: at least one for each thread, if there are so many.

    Returns an array of rows (group, chunk, begin, end, top, bottom, left, right): see `Plan.parts`.
    """
    across = min(panels, -(-threads // (chunks * groups)))
    along = min(tiles, -(-threads // (chunks * groups * across)))
    group, x, y, chunk = (i.ravel() for i in np.indices((groups, across, along, chunks)))
    ranges = ((chunk, chunks, blocks), (y, along, tiles), (x, across, panels))
    ends = [(i + k) * count // parts for i, parts, count in ranges for k in (0, 1)]
    return np.stack([group, chunk, *ends], 1)


def _ahead(
    box: tuple[int, int, int, int], channels: int, itemsize: int, steps: tuple[int, int, int], stride: int
) -> tuple[Array, Array]:
    """Return where the steps of a call of the tile find lines of an array to fetch, and where calls begin.

    `steps` are distances along N, pixels and channels; for each pixel of the box the array has `stride`.
    """
    length = lanes(itemsize)
    line = length * itemsize
    inside = math.prod(box[1:])
    k = np.arange(math.prod(box))
    image, k = k // inside * steps[0], k % inside
    if steps[2] == itemsize and channels > 1:  # channels-last: all channels of a pixel, then the next pixel
        return image + k * line, _pairs(np.arange(-(-channels * stride * itemsize // line)) * inside * line)
    blocks = -(-channels // length)
    lines = image + k % length * steps[2] + k // length * line
    call = np.arange(blocks * stride)
    return lines, _pairs(call % blocks * length * steps[2] + call // blocks * inside * itemsize)


def _pairs(values: Array) -> Array:
    """Neighbours in pairs, shape (half as many, 2); an odd one is its own neighbour."""
    return np.pad(values, (0, values.size % 2), mode="edge").reshape(-1, 2)


def _blocks(
    itemsize: int, window: Window, box: tuple[int, int, int, int], arrays: tuple[Any, ...],
    slab: tuple[Any, ...] | None, panels: tuple[Any, ...] | None,
) -> tuple[Array, Array]:  # fmt: skip
    """Return `Plan.blocks` and `Plan.moves`.

    Parameters
    ----------
    arrays : tuple
        Distances in `x` along (D, H, W), and of channels; of pixels, and of channels, in `gy`.
    slab : tuple or None
        Grid, step, dilation; distances in the slab along D, H, W; channels; their distance if they are first, else 0.
    panels : tuple or None
        How many; numbers of a pixel in one; channels of `gy`; distances of panels, and of pixels in them; whether `gy`
        is channels-first; whether all parts need all panels.
    """
    x_steps, x_channel, gy_pixel, gy_output = arrays
    size, out, taps = window.size, window.out, window.kernel
    axes = [np.arange(-(-o // b)) * b for o, b in zip(out, box[1:])]  # where blocks begin
    firsts = np.stack([f.ravel() for f in np.meshgrid(*axes, indexing="ij")], 1)
    counts = np.minimum(np.array(box[1:]), np.array(out) - firsts)
    origins = firsts * window.stride - np.array(window.before)
    x_at = (np.clip(origins, 0, np.array(size) - 1) * x_steps).sum(1)
    gy_at = ((firsts[:, 0] * out[1] + firsts[:, 1]) * out[2] + firsts[:, 2]) * gy_pixel
    pixels = counts.prod(1)
    found = [(np.zeros(0, np.int64), np.zeros((0, 10), np.int64))]
    if slab is not None:
        across = x_channel != itemsize
        found.append(_slab_moves(itemsize, size, taps, counts, origins, x_steps, x_channel if across else 0, slab))
    if panels is not None:
        found.append(_panel_moves(gy_at, pixels, gy_pixel, gy_output, *panels))
    block, moves = (np.concatenate(arrays) for arrays in zip(*found))
    ends = np.cumsum(np.bincount(block, minlength=len(firsts)))
    begins = np.concatenate([[0], ends[:-1]])
    return np.stack([x_at, gy_at, pixels, begins, ends], 1), moves[np.argsort(block, kind="stable")]


def _panel_moves(
    gy_at: Array, pixels: Array, gy_pixel: int, gy_output: int, panels: int, width: int, outputs: int, distance: int,
    panel_pixel: int, across: bool, shared: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """Return what fills the panels of blocks of so many `pixels` of `gy` from `gy_at` on: the block, and the move.

    Channels-last arrays are read in order, some pixels for all panels. Channels-first ones are transposed.
    """
    chunk = int(pixels.max()) if across else LEAST_BLOCK_PIXELS
    block, first, panel = np.indices((len(pixels), -(-int(pixels.max()) // chunk), panels)).reshape(3, -1)
    first *= chunk
    keep = first < pixels[block]
    block, first, panel = block[keep], first[keep], panel[keep]
    present = np.minimum(width, outputs - panel * width)
    move = [
        -1 if shared else panel, 1, int(across), gy_at[block] + first * gy_pixel + panel * width * gy_output,
        gy_output if across else gy_pixel, panel * distance + first * panel_pixel, panel_pixel,
        np.minimum(chunk, pixels[block] - first), present, width,
    ]  # fmt: skip
    return block, np.stack(np.broadcast_arrays(*move), 1)


def _slab_moves(
    itemsize: int, size: tuple[int, ...], taps: tuple[int, ...], counts: Array, origins: Array,
    x_steps: tuple[int, ...], x_channel: int, slab: tuple[Any, ...],
) -> tuple[Array, Array]:  # fmt: skip
    """Return what fills the slabs of blocks of `counts` pixels that read `x` from `origins` on: block and move.

    A row of the slab that is read is some zeros, elements of `x`, and zeros again. `x_channel` is 0 if `x` is
    channels-last.
    """
    grid, step, dilation = (np.array(values) for values in slab[:3])
    depth, line, pixel, channels, plane = slab[3:]
    length = lanes(itemsize)
    whole = length * itemsize
    extents = (counts - 1) * step + (np.array(taps) - 1) * dilation + 1
    d, h = (np.arange(extents[:, axis].max()) for axis in (0, 1))
    wanted = [
        _read(q, counts[:, axis], int(step[axis]), int(dilation[axis]), taps[axis]) for axis, q in ((0, d), (1, h))
    ]
    at = [origins[:, axis, None] + q * grid[axis] for axis, q in ((0, d), (1, h))]
    inside = [(place >= 0) & (place < size[axis]) for axis, place in enumerate(at)]
    block, q_d, q_h = np.nonzero(wanted[0][:, :, None] & wanted[1][:, None, :])
    present = inside[0][block, q_d] & inside[1][block, q_h]
    # Along the width: elements low <= q < high are in x.
    low = np.clip(-(origins[:, 2] // grid[2]), 0, extents[:, 2])
    high = np.clip((size[2] - 1 - origins[:, 2]) // grid[2] + 1, low, extents[:, 2])
    low, high, extent = np.where(present, low[block], 0), np.where(present, high[block], 0), extents[block, 2]
    target = q_d * depth + q_h * line
    source = at[0][block, q_d] * x_steps[0] + at[1][block, q_h] * x_steps[1]
    source += (origins[block, 2] + low * grid[2]) * x_steps[2]
    inner, count = target + low * pixel, high - low

    def zeros(place: Array, pixels: Array) -> list[Any]:
        if plane:
            return [0, 0, 0, place, plane, channels, 0, pixels]
        return [0, 0, 0, place, whole, -(-pixels * pixel // whole), 0, length]

    pixels_apart = grid[2] * x_steps[2]
    if plane:
        copies = [[0, source, x_channel, inner, plane, channels, count, count]]
    elif x_channel:
        copies = [[1, source, x_channel, inner, pixel, count, channels, channels]]
    elif pixel == channels * itemsize == pixels_apart:  # one line of numbers
        vectors, rest = np.divmod(count * channels, length)
        copies = [
            [0, source, whole, inner, whole, vectors, length, length],
            [0, source + vectors * whole, whole, inner + vectors * whole, whole, np.sign(rest), rest, length],
        ]
    else:
        copies = [[0, source, pixels_apart, inner, pixel, count, channels, channels]]
    columns = [zeros(target, low), *copies, zeros(target + high * pixel, extent - high)]
    rows = np.stack([np.stack(np.broadcast_arrays(-1, 0, *column), 1) for column in columns], 1)  # (rows, moves, 10)
    needed = (rows[:, :, 7] > 0) & (rows[:, :, 9] > 0)
    return np.repeat(block, needed.sum(1)), rows[needed]


def _read(q: Array, counts: Array, step: int, dilation: int, taps: int) -> Array:
    """Whether any of the first `counts` pixels of each block reads places `q` along an axis, shape (blocks, q)."""
    i = q[:, None] - np.arange(taps) * dilation
    reads = (i >= 0) & (i % step == 0) & (i // step < counts[:, None, None])
    return np.asarray(reads.any(2))
