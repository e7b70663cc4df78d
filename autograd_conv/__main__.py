"""The command line: ``python -m autograd_conv``.

Exit codes: 0 if all went well; 1 if a run failed on the way (a disk that is full, a loss that is no longer a
number); 2 if nothing was begun (unknown options, values out of range, an output folder that cannot be written,
missing packages); 130 if Ctrl-C ended it. Results go to standard output, errors, one line each, to standard error.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .demo.digits import DemoError, Settings, run
from .demo.show import ShowSettings, show

NAME = "autograd_conv"
EXIT_CODES = "exit codes: 0 done, 1 failed on the way, 2 nothing begun (options, folder, packages), 130 ended by Ctrl-C"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{NAME}: {message}; see {self.prog} --help\n")


def _integer(minimum: int) -> Any:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, not {value}")
        return value

    return parse


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not (0 < value < math.inf):
        raise argparse.ArgumentTypeError(f"must be above 0 and finite, not {text}")
    return value


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must be the name of a folder, not empty")
    return Path(text)


def _file(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must be the name of a file, not empty")
    return Path(text)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands and options."""
    defaults = Settings()
    parser = _Parser(
        prog=f"python -m {NAME}",
        description="Reverse-mode automatic differentiation for NumPy, with fast convolution.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    digits = commands.add_parser(
        "digits",
        help="train a small convolutional network to read handwritten digits",
        description="Train a small convolutional network on the handwritten digits that scikit-learn ships; test it on "
        "a fifth that it has never seen; save its parameters, its learning curves, and a picture of what it learned.",
        epilog=f"Ctrl-C ends the training and saves what was learned; pressed twice, it quits at once. {EXIT_CODES}",
    )
    digits.add_argument(
        "--epochs",
        type=_integer(1),
        default=defaults.epochs,
        metavar="N",
        help="how often to go through the training images (default: %(default)s)",
    )
    digits.add_argument(
        "--batch-size",
        type=_integer(1),
        default=defaults.batch_size,
        metavar="N",
        help="images for each step (default: %(default)s)",
    )
    digits.add_argument(
        "--learning-rate",
        "--lr",
        type=_rate,
        default=defaults.learning_rate,
        metavar="RATE",
        help="at the start; it falls to zero along half a cosine (default: %(default)s)",
    )
    digits.add_argument(
        "--seed",
        type=_integer(0),
        default=defaults.seed,
        metavar="N",
        help="same seed, same result, whatever the number of threads (default: %(default)s)",
    )
    digits.add_argument(
        "--threads",
        type=_integer(1),
        default=defaults.threads,
        metavar="N",
        help="threads for the kernels (default: AUTOGRAD_CONV_NUM_THREADS, or as many as there are CPUs)",
    )
    digits.add_argument(
        "--output",
        type=_folder,
        default=defaults.output,
        metavar="FOLDER",
        help="where to write; made if it is not there (default: %(default)s)",
    )
    _add_show(commands)
    return parser


def _add_show(commands: Any) -> None:
    """The command that shows a tape."""
    defaults = ShowSettings()
    command = commands.add_parser(
        "show",
        help="step through the backward sweep of the digits network in a browser",
        description="Write an HTML page on which one steps through the backward sweep of the digits network, record by "
        "record: the graph, each cotangent as a picture, the rule that made it and its formula. The page is one file.",
        epilog=EXIT_CODES,
    )
    command.add_argument(
        "--digits",
        type=_integer(1),
        default=defaults.digits,
        metavar="N",
        help="how many images the network is shown (default: %(default)s)",
    )
    command.add_argument(
        "--epochs",
        type=_integer(0),
        default=defaults.epochs,
        metavar="N",
        help="how often it goes through the training images before (default: %(default)s)",
    )
    command.add_argument(
        "--seed",
        type=_integer(0),
        default=defaults.seed,
        metavar="N",
        help="of the images and the parameters (default: %(default)s)",
    )
    command.add_argument(
        "--output",
        type=_file,
        default=defaults.output,
        metavar="FILE",
        help="the page to write (default: %(default)s)",
    )
    command.add_argument(
        "--no-browser", dest="browser", action="store_false", help="only write the page, do not open it"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process, if omitted.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version``, with code 0; if the arguments are wrong, with code 2.
    """
    parser = make_parser()
    options = vars(parser.parse_args(arguments))
    command = options.pop("command")
    if command is None:
        parser.print_help()
        return 0
    try:
        return show(ShowSettings(**options), sys.stdout) if command == "show" else run(Settings(**options), sys.stdout)
    except DemoError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the output has gone. Python is not to try again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"\n{NAME}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
