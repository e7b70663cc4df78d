"""What a long computation owes whoever waits for it: a progress bar, and a way to end it early."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

__all__ = ["Progress", "StopRequest", "duration"]

BAR_WIDTH = 20
REDRAW_SECONDS = 0.1


def duration(seconds: float) -> str:
    """Minutes and seconds, as a clock shows them.

    Examples
    --------
    >>> duration(64.8)
    '1:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class Progress:
    """A line that says how far training is, how good, how fast, and how long it will take.

    On a terminal it is one line with a bar, drawn anew all the time. In a file or a pipe it is one line for
    each epoch.

    Parameters
    ----------
    stream : text stream
        Where to write.
    epochs : int
        How often training goes through all images.
    images : int
        How many images that are.
    """

    def __init__(self, stream: TextIO, epochs: int, images: int) -> None:
        self._stream = stream
        self._epochs = epochs
        self._images = images
        self._terminal = stream.isatty()
        self._blocks = _blocks(stream)
        self._start = self._drawn = time.perf_counter()
        self._length = 0
        self._tested = ""

    @contextlib.contextmanager
    def waiting(self, message: str, patience: float = 0.7) -> Iterator[None]:
        """Show `message` once, if what is done inside takes longer than `patience` seconds. Starts the clock after."""
        timer = threading.Timer(patience, self.say, [message])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
        self._start = self._drawn = time.perf_counter()

    def say(self, message: str) -> None:
        """Write a line of text; the bar, if there is one, goes on below."""
        self._replace(message)
        self._stream.write("\n")
        self._stream.flush()
        self._length = 0

    def step(self, epoch: int, done: int, loss: float, accuracy: float) -> None:
        """Draw the bar, if it is time to.

        Parameters
        ----------
        epoch : int
            The current one, from 1.
        done : int
            Images seen in it.
        loss, accuracy : float
            Means over these images.
        """
        if self._terminal and time.perf_counter() - self._drawn >= REDRAW_SECONDS:
            self._draw(epoch, done, loss, accuracy)

    def epoch(self, epoch: int, done: int, loss: float, accuracy: float, test_accuracy: float) -> None:
        """Show the results of an epoch, which may have ended early. Parameters as for `step`."""
        self._tested = f"  test {test_accuracy:7.2%}"
        if self._terminal:
            self._draw(epoch, done, loss, accuracy)
        else:
            width = len(str(self._epochs))
            self.say(f"epoch {epoch:{width}}/{self._epochs}  {self._results(epoch, done, loss, accuracy)}")

    def close(self) -> None:
        """Leave the line as it is; what is written next begins below it."""
        if self._length:
            self._stream.write("\n")
            self._stream.flush()
            self._length = 0

    def _draw(self, epoch: int, done: int, loss: float, accuracy: float) -> None:
        seen = (epoch - 1) * self._images + done
        filled = round(BAR_WIDTH * seen / (self._epochs * self._images))
        full, empty = self._blocks
        bar = full * filled + empty * (BAR_WIDTH - filled)
        self._replace(f"{bar} {epoch}/{self._epochs}  {self._results(epoch, done, loss, accuracy)}")
        self._stream.flush()
        self._drawn = time.perf_counter()

    def _results(self, epoch: int, done: int, loss: float, accuracy: float) -> str:
        seen = (epoch - 1) * self._images + done
        speed = seen / max(time.perf_counter() - self._start, 1e-9)
        left = (self._epochs * self._images - seen) / speed
        return f"loss {loss:.4f}  train {accuracy:7.2%}{self._tested}  {speed:5.0f} images/s" + (
            f"  {duration(left)} left" if left else ""
        )

    def _replace(self, line: str) -> None:
        """Write over the current line. Blanks, unlike escape sequences, clear the rest of it everywhere."""
        if self._terminal:
            line = line[: shutil.get_terminal_size().columns - 1]
            self._stream.write("\r" + line.ljust(self._length))
            self._length = len(line)
        else:
            self._stream.write(line)


def _blocks(stream: TextIO) -> tuple[str, str]:
    """The characters that a bar is made of: plain ones where the encoding has no others."""
    try:
        "█░".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#", "."
    return "█", "░"


class StopRequest:
    """Inside the ``with`` block the first Ctrl-C only sets `made`; the second interrupts, as ever.

    Examples
    --------
    >>> with StopRequest() as stop:
    ...     for step in range(3):
    ...         if stop.made:
    ...             break
    """

    def __init__(self) -> None:
        self.made = False
        self._previous: Any = None

    def __enter__(self) -> StopRequest:
        # Only the main thread may say what a signal does, and a process that was started to ignore Ctrl-C (in the
        # background, say) goes on ignoring it.
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self._previous = signal.signal(signal.SIGINT, self._make)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _make(self, number: int, frame: FrameType | None) -> None:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
