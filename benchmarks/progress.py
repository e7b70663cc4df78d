"""A progress bar of one line, for terminals; elsewhere it is silent."""

import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

BAR_COLUMNS = 24


def line(done: int, total: int, seconds: float, label: str) -> str:
    """Return the bar as text: how much is done, what is being done, and how long the rest will take."""
    filled = BAR_COLUMNS * done // total if total else BAR_COLUMNS
    left = f"{seconds * (total - done) / done:4.0f} s left" if 0 < done < total else ""
    return f"[{'#' * filled}{'.' * (BAR_COLUMNS - filled)}] {done}/{total} {left} {label}".rstrip()


class Progress:
    """Counts steps on a terminal, in a ``with`` block; leaves an empty line behind.

    Parameters
    ----------
    total : int
        How many steps there are.
    stream : file, optional
        By default the standard error.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = sys.stderr if stream is None else stream
        self.shown = self.stream.isatty()
        self.done = 0
        self.start = time.perf_counter()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write("")

    def begin(self, label: str) -> None:
        """Show what is going to be done now."""
        self._write(line(self.done, self.total, time.perf_counter() - self.start, label))

    def step(self) -> None:
        """Count what was begun as done."""
        self.done += 1

    def _write(self, text: str) -> None:
        if self.shown:
            columns = shutil.get_terminal_size().columns
            self.stream.write(f"\r\x1b[K{text[: columns - 1]}")
            self.stream.flush()
