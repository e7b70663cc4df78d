"""The progress bar, on terminals and elsewhere, and Ctrl-C."""

import io
import signal
import threading
import time

import pytest

from autograd_conv.demo import progress as progress_module
from autograd_conv.demo.progress import Progress, StopRequest


class Terminal(io.StringIO):
    """Text that is written, with a terminal's answer to isatty."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def lines(self):
        """What a terminal shows in the end."""
        return [line.split("\r")[-1] for line in self.getvalue().split("\n")]


@pytest.fixture
def narrow(monkeypatch):
    def size(columns):
        monkeypatch.setattr("shutil.get_terminal_size", lambda: __import__("os").terminal_size((columns, 24)))

    return size


def test_a_terminal_shows_one_line(monkeypatch, narrow):
    narrow(120)
    monkeypatch.setattr(progress_module, "REDRAW_SECONDS", 0)
    terminal = Terminal()
    bar = Progress(terminal, epochs=2, images=100)
    for epoch in (1, 2):
        for done in (50, 100):
            bar.step(epoch, done, 0.5, 0.9)
        bar.epoch(epoch, 100, 0.25, 0.95, 0.99)
    bar.close()
    bar.close()
    *_, last, end = terminal.lines()
    assert end == ""
    assert terminal.getvalue().count("\n") == 1
    assert last.startswith("█" * 20 + " 2/2")
    for part in ("loss 0.2500", "95.00%", "99.00%", "images/s"):
        assert part in last
    assert "left" not in last
    assert "█████░" in terminal.getvalue().split("\r")[1]
    assert "left" in terminal.getvalue().split("\r")[1]


def test_a_narrow_terminal_is_not_overrun(monkeypatch, narrow):
    narrow(40)
    monkeypatch.setattr(progress_module, "REDRAW_SECONDS", 0)
    terminal = Terminal()
    bar = Progress(terminal, epochs=1, images=10)
    bar.step(1, 5, 1.0, 0.5)
    bar.say("short")
    bar.step(1, 6, 1.0, 0.5)
    assert all(len(line) <= 39 for line in terminal.getvalue().replace("\n", "\r").split("\r"))
    assert terminal.lines()[0].rstrip() == "short"


def test_a_shorter_line_leaves_nothing_of_a_longer_one(narrow):
    narrow(200)
    terminal = Terminal()
    bar = Progress(terminal, epochs=1, images=10)
    bar.epoch(1, 10, 1.0, 0.5, 0.5)
    long = len(terminal.lines()[-1])
    bar.say("short")
    assert terminal.lines()[0] == "short".ljust(long)


def test_redrawing_is_rare(narrow):
    narrow(100)
    terminal = Terminal()
    bar = Progress(terminal, epochs=1, images=1000)
    start = time.perf_counter()
    for done in range(1, 1001):
        bar.step(1, done, 1.0, 0.5)
    assert terminal.getvalue().count("\r") <= (time.perf_counter() - start) / progress_module.REDRAW_SECONDS


def test_plain_characters_where_there_are_no_others(narrow):
    narrow(100)
    terminal = Terminal()
    terminal.encoding = "ascii"
    bar = Progress(terminal, epochs=2, images=10)
    bar.epoch(1, 10, 1.0, 0.5, 0.5)
    assert "##########.......... 1/2" in terminal.getvalue()


def test_a_file_gets_a_line_for_each_epoch():
    file = io.StringIO()
    bar = Progress(file, epochs=10, images=10)
    for epoch in range(1, 11):
        bar.step(epoch, 5, 1.0, 0.5)
        bar.epoch(epoch, 10, 1.0, 0.5, 0.5)
    bar.close()
    lines = file.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("epoch  1/10  loss 1.0000")
    assert lines[-1].startswith("epoch 10/10  loss 1.0000")
    assert "\r" not in file.getvalue()


def test_long_waits_are_announced_once_and_short_ones_not():
    file = io.StringIO()
    bar = Progress(file, epochs=1, images=1)
    with bar.waiting("hold the line", patience=60):
        pass
    assert file.getvalue() == ""
    with bar.waiting("hold the line", patience=0.01):
        time.sleep(0.2)
    assert file.getvalue() == "hold the line\n"


def test_the_first_ctrl_c_asks_and_the_second_interrupts():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopRequest() as stop:
            assert not stop.made
            signal.raise_signal(signal.SIGINT)
            assert stop.made
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_stays_ignored_where_it_is():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_have_no_say_in_signals():
    made = []

    def work():
        with StopRequest() as stop:
            made.append(stop.made)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert made == [False]
