"""Comparisons, logic, bits and whole numbers: functions that act element by element and have no derivative."""

from __future__ import annotations

import numpy as np

from .ufunc import ufunc

__all__ = [
    "bitwise_and", "bitwise_count", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "equal", "gcd", "greater", "greater_equal", "invert", "isfinite",
    "isinf", "isnan", "lcm", "left_shift", "less", "less_equal", "logical_and", "logical_not", "logical_or",
    "logical_xor", "not_equal", "right_shift", "signbit",
]  # fmt: skip

isnan = ufunc(np.isnan, "Whether x is NaN.")
isinf = ufunc(np.isinf, "Whether x is infinite.")
isfinite = ufunc(np.isfinite, "Whether x is neither infinite nor NaN.")
signbit = ufunc(np.signbit, "Whether the sign bit of x is set (also of -0.0).")
logical_not = ufunc(np.logical_not, "Whether x is zero.")
invert = ufunc(np.invert, "Bitwise (for booleans: logical) not.")
equal = ufunc(np.equal, "x == y.")
not_equal = ufunc(np.not_equal, "x != y.")
less = ufunc(np.less, "x < y.")
less_equal = ufunc(np.less_equal, "x <= y.")
greater = ufunc(np.greater, "x > y.")
greater_equal = ufunc(np.greater_equal, "x >= y.")
logical_and = ufunc(np.logical_and, "Whether x and y are both not zero.")
logical_or = ufunc(np.logical_or, "Whether x or y is not zero.")
logical_xor = ufunc(np.logical_xor, "Whether one of x and y is not zero.")
bitwise_and = ufunc(np.bitwise_and, "x & y of integers or booleans.")
bitwise_or = ufunc(np.bitwise_or, "x | y of integers or booleans.")
bitwise_xor = ufunc(np.bitwise_xor, "x ^ y of integers or booleans.")
left_shift = ufunc(np.left_shift, "x * 2**y of integers.")
right_shift = ufunc(np.right_shift, "x // 2**y of integers.")
gcd = ufunc(np.gcd, "Greatest common divisor of integers.")
lcm = ufunc(np.lcm, "Least common multiple of integers.")
bitwise_count = ufunc(np.bitwise_count, "Number of ones among the bits of |x|.")

# Second names: of NumPy itself, and of the Python Array API standard.
bitwise_invert = bitwise_not = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
