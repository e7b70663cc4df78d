"""Tape-based reverse-mode automatic differentiation for NumPy, with Numba-JIT convolution and pooling.

NumPy's functions live here under their own names and act on Tensors; neural functions in `autograd_conv.nn`,
optimizers in `autograd_conv.optim`, gradient checking in `autograd_conv.testing`.

Examples
--------
>>> import autograd_conv as ac
>>> x = ac.tensor([0.0, 1.0], requires_grad=True)
>>> ac.sum(ac.exp(2 * x)).backward()
>>> x.grad
array([ 2.        , 14.7781122])
"""

# ruff: noqa: F403, I001
from .ops.conversion import *
from .ops.creation import *
from .ops.cumulative import *
from .ops.diagonals import *
from .ops.einsum import *
from .ops.elementwise import *
from .ops.extremes import *
from .ops.indexing import *
from .ops.joining import *
from .ops.linalg import *
from .ops.ordering import *
from .ops.padding import *
from .ops.reduction import *
from .ops.shape import *
from . import explain as explain
from . import nn as nn
from . import optim as optim
from . import testing as testing
from ._version import __version__ as __version__
from .dispatch import register_numpy as register_numpy
from .errors import AutodiffError as AutodiffError
from .gradient import grad as grad
from .kernels.threads import get_num_threads as get_num_threads, set_num_threads as set_num_threads
from .nn.methods import is_exact as is_exact, set_exact as set_exact
from .primitive import Primitive as Primitive, primitive as primitive
from .serialization import load as load, save as save
from .startup import warmup as warmup
from .tape import Tape as Tape, enable_grad as enable_grad, is_grad_enabled as is_grad_enabled, no_grad as no_grad
from .tensor import Tensor as Tensor, tensor as tensor
