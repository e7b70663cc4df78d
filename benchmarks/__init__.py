"""How fast is it, and compared with what: ``python -m benchmarks``, from the root of the repository.

Speed is measured in ratios: two contenders do the same work, in turns, in one process, and the median of the
quotients of their times is what is reported. Before anything is timed, their results are compared.

| module | what it holds |
|---|---|
| ``shapes``, ``networks`` | the named layers, and the networks that are trained |
| ``contenders`` | who can be measured, a module each, and how each sets up a layer or a step of training |
| ``im2col`` | convolution and pooling in NumPy alone: a peer |
| ``loops`` | plain Python loops for what ``autograd_conv.kernels.naive`` has none for |
| ``measure`` | how two callables are timed against each other |
| ``suite`` | sections ``layers``, ``others``, ``methods``: operations of layers |
| ``training`` | section ``training``: whole steps |
| ``recording`` | section ``recording``: the cost of a recorded operation |
| ``memory`` | section ``memory``: the peak of a training step, bytes of a record |
| ``startup``, ``first_gradient`` | section ``startup``: import, compilation |
| ``growth`` | section ``growth``: batch, channels, size, threads |
| ``interpreter`` | fresh processes, for what can be measured only once in one |
| ``report``, ``tables``, ``readme``, ``pictures`` | what becomes of the figures |
| ``environment`` | threads, machine, versions |
| ``progress`` | the progress bar |

To measure another library, add a contender (``contenders``); another layer, a line to ``shapes.LAYERS`` or
``shapes.OTHERS``; another network, one to ``networks.NETWORKS``; another kind of work, a class beside
``shapes.Convolution``, which contenders then prepare; another formulation of convolutions, a line to
``contenders.METHODS``, and its name in ``shapes.FORMULATIONS``; another section, its name in ``report.SECTIONS`` and
``__main__.SECTIONS``, what runs it in ``__main__``, its text in ``report.TEXTS``.
"""
