"""Who is measured: one module for each, `base` for what they share.

To measure another library, write a subclass of :class:`base.Contender` and put an instance into `CONTENDERS`; if it is
not always installed, its name into `OPTIONAL_PEERS`.
"""

from ..errors import BenchmarkError
from .base import LAYOUTS, NCHW, NHWC, Array, Case, Contender, Job, make_case
from .compiled import Kernels
from .google_jax import Jax
from .hips_autograd import HipsAutograd
from .numpy_alone import NumPy
from .ours import Method, Public
from .plain_loops import Loops
from .pytorch import PyTorch
from .rsokl_mygrad import MyGrad
from .scipy_signal import SciPy

__all__ = [
    "CONTENDERS", "LAYOUTS", "METHODS", "NCHW", "NHWC", "OPTIONAL_PEERS", "PEERS", "SUBJECT", "Array", "Case",
    "Contender", "Job", "default_peers", "find", "make_case",
]  # fmt: skip

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Public(), Kernels(), PyTorch(), Jax(), MyGrad(), NumPy(), HipsAutograd(), SciPy(), Loops(),
    )
}  # fmt: skip

SUBJECT = Public.name
PEERS = (NumPy.name, Loops.name)
# These take part, too, where they can.
OPTIONAL_PEERS = (PyTorch.name, Jax.name, MyGrad.name, HipsAutograd.name, SciPy.name)

METHODS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Method("direct", "sums over the taps"),
        Method("im2col", "matrix products with unfolded images"),
        Method("padpad", "gradients as correlations with padded and rotated arrays"),
        Method("kronecker", "products with explicit Kronecker matrices"),
    )
}


def default_peers() -> list[str]:
    """Return the names of the peers of a run that names none, in the order of `CONTENDERS`."""
    return [
        name for name in CONTENDERS if name in PEERS or (name in OPTIONAL_PEERS and CONTENDERS[name].missing() is None)
    ]


def find(name: str) -> Contender:
    """Return the contender called `name`.

    Raises
    ------
    BenchmarkError
        If there is none, or if it cannot take part on this machine.
    """
    contender = CONTENDERS.get(name)
    if contender is None:
        raise BenchmarkError(f"there is no contender {name!r}; there are {', '.join(CONTENDERS)}")
    reason = contender.missing()
    if reason is not None:
        raise BenchmarkError(f"{name} cannot be measured: {reason}")
    return contender
