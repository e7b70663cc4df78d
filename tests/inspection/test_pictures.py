"""Arrays as pictures: decoded again, and compared with the values."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograd_conv.inspection.pictures import describe, legend, picture


def decode(uri):
    """Red, green and blue of each pixel of an indexed PNG file, shape (height, width, 3)."""
    content = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + length
    width, height, depth, color, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, color) == (8, 3)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows[:, 1:]].astype(int)


def test_signs_are_colours():
    image = decode(picture(np.array([[1.0, -1.0, 0.0], [0.5, -0.5, 1e-30]]))["src"])
    red, blue = image[..., 0] - image[..., 2], image[..., 2] - image[..., 0]
    assert red[0, 0] > red[1, 0] > 0
    assert blue[0, 1] > blue[1, 1] > 0
    assert image[0, 2].tolist() == [255, 255, 255]
    assert image[1, 2].tolist() != [255, 255, 255]  # nothing but zero looks like zero


def test_what_is_not_finite_is_seen():
    shown = picture(np.array([[np.nan, np.inf], [-np.inf, 2.0]]))
    image = decode(shown["src"])
    assert image[0, 0].tolist() == [0, 0, 0]
    assert len({tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}) == 4
    assert shown["bad"] == 3
    assert shown["greatest"] == "2"


@pytest.mark.parametrize("value", [np.full(3, np.nan), np.full((2, 2), np.inf), np.zeros((3, 4)), np.zeros((2, 0))])
def test_nothing_to_scale_by(value):
    assert picture(value)["shape"] == str(value.shape)


def test_tiles_stand_in_rows_and_columns():
    values = np.arange(1.0, 2 * 3 * 2 * 2 + 1).reshape(2, 3, 2, 2)
    image = decode(picture(values)["src"])
    assert image.shape[:2] == (2 * 3 - 1, 3 * 3 - 1)
    red = image[..., 0] - image[..., 2]
    tile = red[3:5, 6:8]  # values[1, 2]: the largest
    assert tile[1, 1] == red.max()
    assert (np.diff(tile.ravel()) >= 0).all()


def test_bars_go_up_and_down():
    image = decode(picture(np.array([1.0, -0.5]))["src"])
    white = (image == 255).all(axis=2)
    up, down = image[: image.shape[0] // 2], image[image.shape[0] // 2 + 1 :]
    width = image.shape[1] // 2
    assert (~white[: len(up), : width - 1]).all()
    assert white[: len(up), width:].all()
    assert white[len(up) + 1 :, :width].all()
    assert 0 < (~white[len(up) + 1 :, width]).sum() < len(down)


def test_large_arrays_are_cut_and_it_is_said():
    shown = picture(np.ones((64, 64, 50, 50)), pixels=5000)
    assert len(shown["src"]) < 12_000
    assert "tiles" in shown["note"]
    assert "every" in picture(np.ones((3000, 3000)))["note"]
    peak = np.zeros(100_000)
    peak[77_777] = -3
    shown = picture(peak)
    assert "largest of" in shown["note"]
    image = decode(shown["src"])
    assert (image[..., 2] - image[..., 0]).max() > 100  # the one peak is there
    assert "bands" in picture(np.ones((4, 1024)))["note"]


@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.complex64, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9),
    )
)
def test_any_array_has_a_picture(array):
    shown = picture(array, 2000)
    if "src" in shown:
        height, width = decode(shown["src"]).shape[:2]
        assert shown["width"] >= width
        assert shown["height"] >= height
    else:
        assert array.size <= 1


def test_facts_do_not_overflow():
    assert describe(np.array([3e300, 4e300]))["norm"] == "5e+300"
    assert describe(np.array([3 + 4j]))["norm"] == "5"


def test_the_legend_runs_from_blue_to_red():
    image = decode(legend())[0]
    assert image[0, 2] > image[0, 0]
    assert image[-1, 0] > image[-1, 2]


def test_many_tiles_of_a_sample_are_broken_into_rows():
    values = np.zeros((2, 64, 4, 4))
    values[1, 63, 3, 3] = 1
    shown = picture(values)
    image = decode(shown["src"])
    assert shown["note"].endswith("rows of tiles for each index of the axis before")
    rows = int(shown["note"].split()[0])
    assert image.shape[:2] == (2 * rows * 5 - 1, 64 // rows * 5 - 1)
    red = image[..., 0] - image[..., 2]
    assert np.argwhere(red > 50).tolist() == [[image.shape[0] - 1, image.shape[1] - 1]]
