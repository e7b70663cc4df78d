"""What can go wrong in a benchmark, as a sentence for whoever started it."""


class BenchmarkError(Exception):
    """A run that cannot go on; its message is one line, and is all that is shown."""


class WrongResultError(BenchmarkError):
    """Two contenders disagree: times of wrong results are not measured."""
