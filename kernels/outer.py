"""The weight gradient as one matrix product, computed in register tiles.

``gw[(tap, c), o] = sum over pixels of x[place(pixel, tap), c] * gy[pixel, o]``: a product whose terms are pixels, with
a row for each tap and input channel and a column for each output channel. A tile (`tile.outer_tile`) keeps R rows by V
vectors of columns in registers while it goes through a block of pixels. Three things make it fast:

- **Constant distances.** A block of pixels is a box of the output. What its windows read lies in `x`, or in a copy
  with padding filled in as zeros, the *slab*, such that row ``(tap, c)`` of pixel ``k`` is found at
  ``place(k) + move(tap, c)``: one table of places serves all rows, and the rows of a tile may belong to any taps.
- **Packed operands.** `gy` is read in order: as it lies, or in *panels* as wide as a tile. Packing is also where the
  operand of the columns is transposed, L by L numbers at a time, if its channels are first (those of rows may lie
  anywhere): no array is converted as a whole, and what is packed is still in the second-level cache when it is
  multiplied.
- **Few lanes idle.** The shape of the tile is chosen for the numbers that lie side by side: those of a tap, or of a
  kernel row. And where there are few output channels, or transposing `x` is less than transposing `gy`, the two
  operands change roles: rows are output channels, and columns are taps and input channels (`cutting.Form.swapped`).

Blocking, from the inside outwards:

1. a tile: R rows of `gw` by V vectors;
2. a block of pixels, whose slab and panels stay in the second-level cache while all tiles go over them; meanwhile the
   elements of the next block are fetched, a cache line each step. Sums of a block begin with zero and are added to
   those before: many short sums round less than one long one;
3. a chunk: some blocks, with sums of their own, that are added up at the end. How many chunks there are depends on
   shapes alone, so that results do not depend on the number of threads;
4. a part: a rectangle of `gw` and a chunk. Parts own their sums, and pack for themselves.

`cutting` and `blocking` decide on all of it. Groups of few channels have loops of their own: `grouped` and `planes`.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import contiguous
from .blocking import plan
from .cutting import Form
from .emitter import lanes
from .geometry import Window
from .jit import INNER, kernel
from .moving import add_vectors, copy_rows, transpose_rows, transpose_table
from .products import FLOP_PER_NANOSECOND
from .threads import parallel_for, threads_for
from .tile import outer_tile
from .transposition import channels_second
from .workspace import scratch

Array = NDArray[Any]


# ---------------------------------------------------------------- packing


def _make_move(itemsize: int) -> Any:
    length = lanes(itemsize)
    few = min(4, length)
    copy, transpose = copy_rows(itemsize, length), transpose_rows(itemsize, length)
    transpose_few = transpose_rows(itemsize, few)

    @kernel(**INNER)
    def move(
        across: int, source: int, source_stride: int, target: int, target_stride: int, rows: int, columns: int,
        width: int,
    ) -> None:  # fmt: skip
        """Write `rows` rows of `width` numbers: `columns` numbers from `source`, then zeros.

        Whole vectors are written: what is beyond the end of a row is lost. Distances of rows are in bytes; if `across`,
        they are rows of the transposed source, whose columns are `source_stride` apart.
        """
        if across != 0 and width <= few:
            for row in range(0, rows, few):
                transpose_few(
                    source + row * itemsize, source_stride, target + row * target_stride, target_stride, columns,
                    min(few, rows - row),
                )  # fmt: skip
            return
        c = (width - 1) // length * length
        while c >= 0:
            here, there, left = source + c * itemsize, target + c * itemsize, max(0, min(length, columns - c))
            if across == 0:
                copy(here, source_stride, there, target_stride, rows, left)
            else:
                here = source + c * source_stride
                for row in range(0, rows, length):
                    transpose(
                        here + row * itemsize, source_stride, there + row * target_stride, target_stride, left,
                        min(length, rows - row),
                    )  # fmt: skip
            c -= length

    return move


_MOVE = {itemsize: _make_move(itemsize) for itemsize in (4, 8)}


# ---------------------------------------------------------------- the product


@functools.cache
def _make(form: Form) -> Any:
    shape = form.shape
    tile, move = outer_tile(*form), _MOVE[shape.itemsize]
    tile_bytes = shape.rows * shape.columns * shape.itemsize
    row_bytes = shape.rows // form.beside * 8
    swapped = form.swapped

    @kernel
    def outers(
        start: int, stop: int, x: Array, gy: Array, memory: Array, parts: Array, blocks: Array, moves: Array,
        table: Array, rows_at: Array, columns_at: Array, fetch: Array, lines: Array, sizes: Any, shares: int,
    ) -> None:  # fmt: skip
        """Compute shares ``start <= share < stop`` of the sums (chunks, groups, panels, tiles, R, columns of a panel).

        Assumptions: see `blocking.Plan`. A share is some parts; `memory` is that of the sums, and then ``sizes.work``
        bytes for each share.
        """
        last = fetch.shape[0] - 1
        for share in range(start, stop):
            slab = memory.ctypes.data + sizes.memory + share * sizes.work
            panels = slab + sizes.panels
            for part in range(share * parts.shape[0] // shares, (share + 1) * parts.shape[0] // shares):
                begin, end, left, right = parts[part, 0], parts[part, 1], parts[part, 4], parts[part, 5]
                x_group, gy_group = x.ctypes.data + parts[part, 6], gy.ctypes.data + parts[part, 7]
                target = memory.ctypes.data + parts[part, 8]
                n, i = begin // sizes.blocks * sizes.images, begin % sizes.blocks
                for block in range(begin, end):
                    a, b = x_group + n * sizes.x_image, gy_group + n * sizes.gy_image
                    count = min(sizes.images, sizes.batch - n)
                    for image in range(count):
                        for m in range(blocks[i, 3], blocks[i, 4]):
                            panel = moves[m, 0]
                            if panel < 0 or (left <= panel and panel < right):
                                source, goal = a + image * sizes.x_image, slab + image * sizes.slab_image
                                if moves[m, 1] != 0:
                                    source, goal = b + image * sizes.gy_image, panels + image * sizes.panels_image
                                move(
                                    moves[m, 2], source + moves[m, 3], moves[m, 4], goal + moves[m, 5], moves[m, 6],
                                    moves[m, 7], moves[m, 8], moves[m, 9],
                                )  # fmt: skip
                    a = slab if sizes.x_packed != 0 else a + blocks[i, 0]
                    b = panels if sizes.gy_packed != 0 else b + blocks[i, 1]
                    if swapped:
                        a, b = b, a
                    steps = blocks[i, 2] * count
                    i += 1
                    if i == sizes.blocks:
                        n, i = n + sizes.images, 0
                    # What calls of the tile fetch, if there is a next block.
                    x_next = x_group + n * sizes.x_image + blocks[i, 0]
                    gy_next = gy_group + n * sizes.gy_image + blocks[i, 1]
                    call = 0 if n < sizes.batch else last
                    for panel in range(left, right):
                        for row in range(parts[part, 2], parts[part, 3]):
                            kind = fetch[call, 0]
                            ahead = x_next if kind == 1 else gy_next
                            tile(
                                a, table.ctypes.data, steps, rows_at.ctypes.data + row * row_bytes,
                                b + columns_at[panel], sizes.gy_pixel,
                                target + (panel * sizes.tiles + row) * tile_bytes, block == begin,
                                ahead + fetch[call, 1], ahead + fetch[call, 2],
                                lines.ctypes.data + kind * lines.shape[1] * 8,
                            )  # fmt: skip
                            if call < last:
                                call += 1

    return outers


def _make_unpack(itemsize: int) -> Any:
    add, transpose, length = add_vectors(itemsize), transpose_table(itemsize), lanes(itemsize)

    @kernel
    def unpack(
        start: int, stop: int, sums: Array, gw: Array, rows: Array, columns: Array, check: Array, groups: int,
        chunks: int, sums_of_group: int, outputs_first: bool, swapped: bool,
    ) -> None:  # fmt: skip
        """Add up the chunks of `sums`, and write blocks ``start <= item < stop`` of up to L outputs of `gw`.

        Item ``group * blocks + block``. Element (q, o) of a group lies at ``rows[q] + columns[o]``, in bytes; the
        outputs of a block lie side by side, unless `swapped`. `gw` has the order (G, O, q) if `outputs_first`, else
        (q, G, O). Vector `item` of `check` (items, L) becomes NaN where a result is not finite.
        """
        count, outputs = rows.size - length, columns.size
        blocks = (outputs + length - 1) // length
        # Distances of outputs and rows in gw.
        along, down = itemsize, groups * outputs * itemsize
        if outputs_first:
            along, down = count * itemsize, itemsize
        together = 1 if swapped else length
        in_place = outputs_first and not swapped
        for item in range(start, stop):
            group, first = item // blocks, item % blocks * length
            stop_at = min(first + length, outputs)
            source = sums.ctypes.data + group * sums_of_group * itemsize
            target = gw.ctypes.data + group * outputs * along
            found = check.ctypes.data + item * length * itemsize
            for o in range(first, stop_at, together):
                for q in range(count):
                    here = source + rows[q] + columns[o]
                    there = here if in_place else target + o * along + q * down
                    add(here, groups * sums_of_group * itemsize, chunks, there, 1 if swapped else stop_at - o, found)
            if in_place:
                for q in range(0, count, length):
                    transpose(
                        source + columns[first], rows.ctypes.data + q * 8, target + first * along + q * itemsize, along,
                        stop_at - first, min(length, count - q),
                    )  # fmt: skip

    return unpack


_UNPACK = {itemsize: _make_unpack(itemsize) for itemsize in (4, 8)}


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
    dtype, outputs = x.dtype, gy.shape[4] // groups
    per_group = x.shape[4] // groups
    x_first, gy_first = _lies_first(x), _lies_first(gy)
    x = contiguous(channels_second(x) if x_first else x, dtype)
    gy = contiguous(channels_second(gy) if gy_first else gy, dtype)
    nanoseconds = 2 * gy.size * window.taps * per_group / FLOP_PER_NANOSECOND
    threads = threads_for(nanoseconds)
    found = plan(x.itemsize, x.shape[0], per_group, outputs, groups, window, x_first, gy_first, outputs_first, threads)
    sizes, length = found.sizes, lanes(x.itemsize)
    shares = min(threads, len(found.parts))
    items = groups * -(-outputs // length)
    order = (groups * outputs, per_group, *window.kernel)
    if not outputs_first:
        order = (*window.kernel, per_group, groups * outputs)
    gw, check = np.empty(order, dtype), np.zeros((items, length), dtype)
    with scratch(((sizes.memory + shares * sizes.work) // x.itemsize,), dtype) as memory:
        parallel_for(
            _make(found.form),
            shares,
            x.reshape(-1),
            gy.reshape(-1),
            memory,
            *found[2:10],
            sizes,
            shares,
            nanoseconds=nanoseconds,
        )
        parallel_for(
            _UNPACK[x.itemsize], items, memory, gw.reshape(-1), found.rows, found.columns, check, groups,
            found.chunks, found.sums, outputs_first, found.form.swapped, nanoseconds=gw.size,
        )  # fmt: skip
    # Padding is zeros: its product with infinity or NaN would show.
    if found.padded and check.any():
        return None
    return gw.transpose(2, 3, 4, 1, 0) if outputs_first else gw
