"""Saving and loading."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_conv as ac


def test_what_was_saved_comes_back(tmp_path, rng):
    arrays = {
        "layer.weight": ac.tensor(rng.standard_normal((3, 2)), dtype=np.float32, requires_grad=True),
        "file": np.arange(3),
        "empty": np.zeros((0, 2)),
        "flag": np.array([True, False]),
        "rate": 0.5,
    }
    ac.save(tmp_path / "parameters", arrays)
    loaded = ac.load(tmp_path / "parameters")
    assert list(loaded) == list(arrays)
    for name, value in arrays.items():
        expected = value.numpy() if isinstance(value, ac.Tensor) else np.asarray(value)
        np.testing.assert_array_equal(loaded[name], expected)
        assert loaded[name].dtype == expected.dtype
    assert [p.name for p in tmp_path.iterdir()] == ["parameters"]


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "p.npz"
    ac.save(path, {"a": np.ones(2)})
    with pytest.raises(TypeError, match="'b' has dtype object"):
        ac.save(path, {"a": np.zeros(2), "b": object()})
    with pytest.raises(TypeError, match="names must be strings"):
        ac.save(path, {1: np.zeros(2)})
    np.testing.assert_array_equal(ac.load(path)["a"], np.ones(2))
    with pytest.raises(FileNotFoundError):
        ac.save(tmp_path / "missing" / "p.npz", {"a": np.ones(2)})
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_foreign_files_are_refused(tmp_path):
    for content in (b"", b"nonsense", b"PK\x03\x04 broken"):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(ValueError, match="no file written by save"):
            ac.load(tmp_path / "bad")
    np.save(tmp_path / "single.npy", np.ones(2))
    with pytest.raises(ValueError, match="no file written by save"):
        ac.load(tmp_path / "single.npy")
    with pytest.raises(FileNotFoundError):
        ac.load(tmp_path / "missing")
