"""What the Python Array API standard asks of a namespace beside its functions.

The functions are those of the main namespace, whose names and signatures are NumPy's, and so the standard's.
There is one device, ``"cpu"``.

References
----------
Consortium for Python Data API Standards, Python array API standard, https://data-apis.org/array-api/2024.12.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["__array_api_version__", "__array_namespace_info__", "check_device"]

__array_api_version__ = "2024.12"

_DTYPES = {
    "bool": ["bool"],
    "signed integer": ["int8", "int16", "int32", "int64"],
    "unsigned integer": ["uint8", "uint16", "uint32", "uint64"],
    "real floating": ["float32", "float64"],
    "complex floating": ["complex64", "complex128"],
}
_DTYPES["integral"] = _DTYPES["signed integer"] + _DTYPES["unsigned integer"]
_DTYPES["numeric"] = _DTYPES["integral"] + _DTYPES["real floating"] + _DTYPES["complex floating"]


def check_device(function: str, device: Any) -> None:
    """Raise ValueError for any device but None and "cpu"."""
    if device not in (None, "cpu"):
        raise ValueError(f"{function}: argument 'device' is {device!r}; there is one device, \"cpu\"")


class __array_namespace_info__:  # the standard's name
    """What this namespace offers, as the standard wants to be told."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean indexing and shapes that depend on data are there; so are arrays of any number of axes NumPy has."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """The one device."""
        return "cpu"

    def devices(self) -> list[str]:
        """All devices."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype[Any]]:
        """Types of arrays made from Python numbers."""
        check_device("default_dtypes", device)
        return {
            "real floating": np.dtype(np.float64),
            "complex floating": np.dtype(np.complex128),
            "integral": np.dtype(np.int64),
            "indexing": np.dtype(np.int64),
        }

    def dtypes(self, *, device: Any = None, kind: str | tuple[str, ...] | None = None) -> dict[str, np.dtype[Any]]:
        """Types of the standard by name, of one kind or of several (None: all).

        Raises
        ------
        ValueError
            If there is no such kind.
        """
        check_device("dtypes", device)
        kinds = ("bool", "numeric") if kind is None else (kind,) if isinstance(kind, str) else tuple(kind)
        unknown = [one for one in kinds if one not in _DTYPES]
        if unknown:
            raise ValueError(
                f"dtypes: argument 'kind' is {unknown[0]!r}; it must be one of {', '.join(map(repr, _DTYPES))}"
            )
        return {name: np.dtype(name) for one in kinds for name in _DTYPES[one]}
