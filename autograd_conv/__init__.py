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
from .ops.applying import *
from .ops.bessel import *
from .ops.calculus import *
from .ops.complex_parts import *
from .ops.constants import *
from .ops.conversion import *
from .ops.creation import *
from .ops.cumulative import *
from .ops.diagonals import *
from .ops.discrete import *
from .ops.einsum import *
from .ops.elementwise import *
from .ops.extremes import *
from .ops.filtering import *
from .ops.histograms import *
from .ops.indexing import *
from .ops.joining import *
from .ops.linalg import *
from .ops.nan import *
from .ops.numpy_names import *
from .ops.ordering import *
from .ops.padding import *
from .ops.polynomials import *
from .ops.quantiles import *
from .ops.ranges import *
from .ops.rearranging import *
from .ops.reduction import *
from .ops.selection import *
from .ops.sets import *
from .ops.shape import *
from .ops.statistics import *
from .ops.writing import *
from . import explain as explain
from . import fft as fft
from . import linalg as linalg
from . import nn as nn
from . import optim as optim
from . import special as special
from . import testing as testing
from ._version import __version__ as __version__
from .array_api import (
    __array_api_version__ as __array_api_version__,
    __array_namespace_info__ as __array_namespace_info__,
)
from .checkpointing import checkpoint as checkpoint
from .custom import custom_vjp as custom_vjp
from .derivatives import (
    elementwise_grad as elementwise_grad,
    grad as grad,
    hessian as hessian,
    hvp as hvp,
    jacobian as jacobian,
    jvp as jvp,
    stop_gradient as stop_gradient,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from .dispatch import register_numpy as register_numpy
from .errors import AutodiffError as AutodiffError
from .hooks import saved_tensors_hooks as saved_tensors_hooks
from .inspection.anomaly import detect_anomaly as detect_anomaly
from .inspection.profile import Profile as Profile, profile as profile
from .kernels.threads import get_num_threads as get_num_threads, set_num_threads as set_num_threads
from .nn.methods import is_exact as is_exact, set_exact as set_exact
from .primitive import Primitive as Primitive, primitive as primitive
from .special import logsumexp as logsumexp
from .serialization import load as load, save as save
from .startup import warmup as warmup
from .tape import Tape as Tape, enable_grad as enable_grad, is_grad_enabled as is_grad_enabled, no_grad as no_grad
from .tensor import Tensor as Tensor, tensor as tensor
