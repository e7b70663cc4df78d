"""How fast is it, and compared with what: ``python -m benchmarks``, from the root of the repository.

Speed is measured in ratios: two contenders do the same work, in turns, in one process, and the median of the
quotients of their times is what is reported. Before anything is timed, their results are compared.

| module | what it holds |
|---|---|
| ``shapes`` | the table of named layers |
| ``contenders`` | who can be measured, and how each sets up an operation of a layer |
| ``im2col`` | convolution and pooling in NumPy alone: the peer |
| ``loops`` | plain Python loops for what ``autograd_conv.kernels.naive`` has none for |
| ``measure`` | how two callables are timed against each other |
| ``suite`` | what is measured in a run, and the run |
| ``startup``, ``first_gradient`` | import, compilation, recording |
| ``report``, ``picture`` | what becomes of the figures: table, JSON, README; PNG |
| ``environment`` | threads, machine, versions |
| ``progress`` | the progress bar |

To measure another library, add a contender to ``contenders.CONTENDERS``, and if it is not always installed, its name
to ``contenders.OPTIONAL_PEERS``; another layer, a line to ``shapes.LAYERS``; another kind of work, a class beside
``shapes.Convolution``, which contenders then prepare; another formulation of convolutions, a line to
``contenders.METHODS``, and its name in ``shapes.FORMULATIONS``.
"""
