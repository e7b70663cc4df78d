"""Saving and loading of named arrays: parameters, optimizer state."""

from __future__ import annotations

import os
import threading
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .tensor import raw

__all__ = ["load", "save"]


def save(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Save named Tensors and arrays to one file, in NumPy's npz format.

    Parameters
    ----------
    path : path
        Written whole or not at all: a file that was there before survives any failure.
    arrays : mapping of str to array_like
        Tensors, arrays or numbers; a ``state_dict()`` too.

    Raises
    ------
    TypeError
        If a name is no string, or a value is no array of numbers (nothing is pickled).
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, autograd_conv as ac
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ac.save(folder + "/p.npz", {"w": ac.tensor([1.0, 2.0])})
    ...     ac.load(folder + "/p.npz")
    {'w': array([1., 2.])}
    """
    checked: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        if not isinstance(name, str):
            raise TypeError(f"save: the name {name!r} is a {type(name).__name__}; names must be strings")
        array = np.asarray(raw(value))
        if array.dtype.kind not in "biufc":
            raise TypeError(f"save: {name!r} has dtype {array.dtype}; only arrays of numbers can be saved")
        checked[name] = array
    target = Path(path)
    temporary = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        # zipfile takes any name, unlike the keyword arguments of np.savez ("file" is one of its own).
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in checked.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Load what `save` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to ndarray
        In the order in which they were saved. Assign them to parameters: ``p.data = loaded["p"]``.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no such file.
    """
    arrays: dict[str, np.ndarray] = {}
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for member in archive.namelist():
                    with archive.open(member) as content:
                        array = np.lib.format.read_array(content, allow_pickle=False)
                    arrays[member.removesuffix(".npy")] = array
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
            raise ValueError(f"load: {os.fspath(path)!r} is no file written by save: {error}") from error
    return arrays
