"""Linear algebra, with the names of ``numpy.linalg``, and `expm` and `solve_triangular` as in SciPy.

All functions take stacks of matrices in the last two axes, real or complex.
"""

# ruff: noqa: F403
from numpy.linalg import LinAlgError as LinAlgError

from .factorizations import *
from .functions import *
from .solving import *
from .standard import *
