"""NumPy's functions for Tensors, by family."""

from . import conversion as conversion
from . import creation as creation
from . import cumulative as cumulative
from . import diagonals as diagonals
from . import einsum as einsum
from . import elementwise as elementwise
from . import extremes as extremes
from . import indexing as indexing
from . import joining as joining
from . import linalg as linalg
from . import ordering as ordering
from . import padding as padding
from . import reduction as reduction
from . import shape as shape
