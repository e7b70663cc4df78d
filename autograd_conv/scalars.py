"""Zero and one as arrays of any dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["ONES", "ZEROS"]


class _Constants(dict[Any, np.ndarray]):
    """A number as an array without axes, by dtype: beside a small array it costs half of what a Python number does."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __missing__(self, dtype: Any) -> np.ndarray:
        constant = self[dtype] = np.array(self.value, dtype)
        constant.flags.writeable = False
        return constant


ZEROS, ONES = _Constants(0), _Constants(1)
