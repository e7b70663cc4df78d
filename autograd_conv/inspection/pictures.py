"""Arrays as small pictures: PNG files in text form, written with NumPy and zlib alone.

Red is positive, blue negative, white 0; the darkest red and blue are the largest magnitude of the array. What is not
finite is not hidden: NaN is black, infinities are violet (positive) and green (negative). The last two axes make an
image; the axes before them make tiles, the last of these side by side.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from typing import Any

import numpy as np

__all__ = ["describe", "legend", "picture", "png"]

STEPS = 120  # colours of each sign
NAN, PLUS_INFINITY, MINUS_INFINITY, GAP = range(2 * STEPS + 1, 2 * STEPS + 5)
BLUE, WHITE, RED = (0x15, 0x4B, 0xA1), (0xFF, 0xFF, 0xFF), (0xB0, 0x1E, 0x16)
OTHERS = [(0, 0, 0), (0x9C, 0x27, 0xB0), (0x00, 0x96, 0x51), (0xE2, 0xE5, 0xEA)]
LARGEST_SIDE, LARGEST_HEIGHT = 640, 250  # pixels of a drawn picture, about; small arrays are enlarged by whole factors
LARGEST_PIXEL = 22
BAND = 8  # an image that is so many times as wide as high is broken
BAR_HEIGHT = 72
BARS = 240


def _palette() -> bytes:
    """Red, green and blue of each index: from blue over white to red, a little quicker at first."""
    colors = []
    for k in range(-STEPS, STEPS + 1):
        share = (abs(k) / STEPS) ** 0.75  # small values are to be seen, too
        end = RED if k > 0 else BLUE
        colors.append(tuple(round(a + (b - a) * share) for a, b in zip(WHITE, end)))
    return bytes(part for color in colors + OTHERS for part in color)


_PALETTE = _palette()


def png(indices: np.ndarray) -> str:
    """A data URI of a PNG file with these indices of colours, shape (height, width)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = indices.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = indices
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", _PALETTE)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _colors(values: np.ndarray, largest: float) -> np.ndarray:
    """Index of the colour of each value."""
    finite = np.isfinite(values)
    scaled = np.where(finite, values, 0) * (STEPS / largest if largest else 0.0)
    indices = np.rint(np.clip(scaled, -STEPS, STEPS)).astype(np.int16) + STEPS
    # Nothing that differs from 0 looks like 0.
    indices = np.where((indices == STEPS) & finite & (values != 0), STEPS + np.sign(scaled).astype(np.int16), indices)
    indices[np.isnan(values)] = NAN
    indices[values == np.inf] = PLUS_INFINITY
    indices[values == -np.inf] = MINUS_INFINITY
    return indices


def legend() -> str:
    """A data URI of the scale, from the largest negative to the largest positive value."""
    return png(np.arange(2 * STEPS + 1, dtype=np.int16)[np.newaxis])


def _number(value: float) -> str:
    return f"{value:.4g}"


def describe(array: np.ndarray) -> dict[str, Any]:
    """Shape, dtype, least, greatest, Euclidean norm, and how many elements are not finite, as texts.

    Examples
    --------
    >>> import numpy as np
    >>> describe(np.array([3.0, -4.0]))
    {'shape': '(2,)', 'dtype': 'float64', 'least': '-4', 'greatest': '3', 'norm': '5', 'bad': 0}
    """
    facts: dict[str, Any] = {"shape": str(array.shape), "dtype": str(array.dtype)}
    values = np.abs(array) if array.dtype.kind == "c" else array
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    if finite.size:
        facts["least"], facts["greatest"] = _number(finite.min()), _number(finite.max())
        largest = float(np.abs(finite).max()) or 1.0
        facts["norm"] = _number(largest * math.sqrt(float(np.sum((finite / largest) ** 2))))
    facts["bad"] = values.size - finite.size
    return facts


def picture(value: Any, pixels: int = 40_000) -> dict[str, Any]:
    """What a page shows of an array: a picture, the size to draw it in, facts, and what was left out.

    Parameters
    ----------
    value : array_like
        Numbers; complex ones are shown by their magnitude.
    pixels : int
        How many elements the picture may show; more are left out, which `note` says.

    Returns
    -------
    dict
        The entries of `describe`; ``src``, ``width``, ``height`` unless the array is empty or has a single element,
        whose ``value`` is given; ``note``.

    Examples
    --------
    >>> import numpy as np
    >>> shown = picture(np.eye(3))
    >>> shown["width"], shown["height"], shown["note"]
    (66, 66, '')
    """
    array = np.asarray(value)
    result = describe(array)
    result["note"] = ""
    if array.size <= 1:
        result["value"] = "empty" if not array.size else str(array.reshape(-1)[0])
        return result
    notes = []
    if array.dtype.kind == "c":
        array = np.abs(array)
        notes.append("magnitudes of complex numbers")
    values = array.astype(np.float64)
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    result["largest"] = _number(largest)
    if array.ndim == 1:
        _bars(result, values, largest, notes)
    else:
        _image(result, values, largest, notes, pixels)
    result["note"] = "; ".join(notes)
    return result


def _bars(result: dict[str, Any], values: np.ndarray, largest: float, notes: list[str]) -> None:
    """A bar for each element, up for positive, down for negative."""
    skip = -(-len(values) // BARS)
    if skip > 1:
        # The largest magnitude of each stretch, so that no peak is missed; what is not finite wins.
        order = np.where(np.isfinite(values), np.abs(values), np.inf)
        starts = range(0, len(values), skip)
        values = values[[start + int(order[start : start + skip].argmax()) for start in starts]]
        notes.append(f"each bar is the largest of {skip} elements")
    colors = _colors(values, largest)
    half = BAR_HEIGHT // 2
    lengths = np.rint(np.where(np.isfinite(values), np.abs(values), largest) / (largest or 1.0) * half).astype(int)
    lengths = np.where(np.isfinite(values), np.maximum(lengths, (values != 0).astype(int)), half)
    row = np.arange(BAR_HEIGHT)[:, np.newaxis]
    drawn = np.where(values < 0, (row > half) & (row <= half + lengths), (row < half) & (row >= half - lengths))
    image = np.where(drawn, np.maximum(colors, 0), STEPS)
    image[half] = GAP
    bar = max(2, min(LARGEST_PIXEL, LARGEST_SIDE // len(values)))
    wide = np.repeat(image, bar, axis=1)
    if bar > 3:
        wide[:, bar - 1 :: bar] = np.where(row == half, GAP, STEPS)
    result.update(src=png(wide), width=wide.shape[1], height=BAR_HEIGHT)


def _image(result: dict[str, Any], values: np.ndarray, largest: float, notes: list[str], pixels: int) -> None:
    """Tiles, each an image of the last two axes; a single image that is very wide is broken into bands."""
    outer = [extent for extent in values.shape[:-2] if extent > 1]
    stacked = values.reshape(-1, *values.shape[-2:])
    skip = 1
    while -(-stacked.shape[1] // skip) * -(-stacked.shape[2] // skip) > max(pixels // (1 if not outer else 4), 64):
        skip += 1
    if skip > 1:
        stacked = stacked[:, ::skip, ::skip]
        notes.append(f"every {_ordinal(skip)} row and column")
    height, width = stacked.shape[1:]
    gap = 1 if outer else 0
    if len(outer) > 1:  # a row of tiles for each sample, say
        if len(stacked) // outer[-1] > outer[-1]:
            stacked = stacked.reshape(-1, outer[-1], height, width).swapaxes(0, 1)
            outer = [outer[-1], stacked.shape[1]]
            stacked = stacked.reshape(-1, height, width)
            notes.append("first axis from left to right")
        across = min(outer[-1], max(1, LARGEST_SIDE // (width + gap)))
        down = min(len(stacked) // outer[-1], max(1, pixels // (across * (height + gap) * (width + gap))))
        chosen = stacked.reshape(-1, outer[-1], height, width)[:down, :across].reshape(-1, height, width)
    else:  # tiles in rows, together about twice as wide as high
        count = min(len(stacked), max(1, pixels // ((height + gap) * (width + gap))))
        across = max(1, min(count, round(math.sqrt(2 * count * height / width)), LARGEST_SIDE // (width + gap) or 1))
        chosen, down = stacked[:count], -(-count // across)
    if len(chosen) < len(stacked):
        notes.append(f"{len(chosen)} of {len(stacked)} tiles")
    indices = _colors(chosen, largest)
    lines = _lines_per_sample(down, across, height + gap, width + gap) if len(outer) > 1 else 1
    if lines > 1:
        indices, across = _broken(indices.reshape(down, across, height, width), lines)
        down *= lines
        notes.append(f"{lines} rows of tiles for each index of the axis before")
    if not outer and width > BAND * height and width > LARGEST_PIXEL:
        indices, down = _bands(indices[0], notes)
        across, gap = 1, 1
    tall, wide = indices.shape[1] + gap, indices.shape[2] + gap
    tiles = np.full((down * across, tall, wide), GAP, dtype=np.int16)
    tiles[: len(indices), : tall - gap, : wide - gap] = indices
    image = tiles.reshape(down, across, tall, wide).transpose(0, 2, 1, 3).reshape(down * tall, across * wide)
    image = image[: down * tall - gap, : across * wide - gap]
    scale = max(1, min(LARGEST_PIXEL, LARGEST_SIDE // image.shape[1], LARGEST_HEIGHT // image.shape[0]))
    result.update(src=png(image), width=image.shape[1] * scale, height=image.shape[0] * scale)


def _lines_per_sample(samples: int, tiles: int, height: int, width: int) -> int:
    """In how many rows to break the tiles of each sample, so that pixels can be drawn large."""
    best, pixel = 1, 0
    for lines in (1, 2, 4, 8):
        if tiles % lines and lines > 1:
            break
        size = min(LARGEST_SIDE // (-(-tiles // lines) * width), LARGEST_HEIGHT // (samples * lines * height))
        if size > pixel:
            best, pixel = lines, size
    return best


def _broken(indices: np.ndarray, lines: int) -> tuple[np.ndarray, int]:
    """Tiles (samples, tiles, height, width) in the order of rows, and how many stand in a row."""
    samples, tiles, height, width = indices.shape
    return indices.reshape(samples * tiles, height, width), tiles // lines


def _bands(indices: np.ndarray, notes: list[str]) -> tuple[np.ndarray, int]:
    """A wide image (height, width) as bands (count, height, shorter width), and their count."""
    height, width = indices.shape
    count = max(2, round(math.sqrt(width / (BAND * height))))
    band = -(-width // count)
    padded = np.full((height, count * band), GAP, dtype=indices.dtype)
    padded[:, :width] = indices
    notes.append(f"in {count} bands of {band} columns, one below the other")
    return padded.reshape(height, count, band).transpose(1, 0, 2), count


def _ordinal(number: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(number, f"{number}th")
