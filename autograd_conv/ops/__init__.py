"""NumPy's functions for Tensors, by family."""

from . import creation as creation
from . import elementwise as elementwise
from . import indexing as indexing
from . import linalg as linalg
from . import padding as padding
from . import reduction as reduction
from . import shape as shape
