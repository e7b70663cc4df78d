"""Convolution and pooling matrix by matrix: what each formulation computes for a small input, and that they agree.

The functions have the names and parameters of those in `autograd_conv.nn`, and take one image. What they return
prints as a page of text, and has every matrix on it as an attribute.

Examples
--------
>>> import autograd_conv as ac
>>> page = ac.explain.conv2d([[1, 3, 1, 4], [2, 8, 5, 1], [3, 2, 0, 3]], [[1, 0], [-1, 1]])
>>> page.phi.T  # the matrix B of source 002
array([[1, 2, 3, 8, 1, 5],
       [2, 3, 8, 2, 5, 0],
       [3, 8, 1, 5, 4, 1],
       [8, 2, 5, 0, 1, 3]])
>>> print(page)
conv2d of x (3, 4) with w (2, 2) is y (2, 3)
...
"""

from .convolution import Convolution, conv2d
from .pooling import Pooling, avg_pool2d, max_pool2d

__all__ = ["Convolution", "Pooling", "avg_pool2d", "conv2d", "max_pool2d"]
