"""``python -m benchmarks``: measure, print a table, write JSON and PNG; ``--readme`` regenerates the README's."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import environment
from .errors import BenchmarkError

if TYPE_CHECKING:
    from .contenders import Contender

HERE = Path(__file__).resolve().parent
JSON, PNG, README = HERE / "results.json", HERE / "results.png", HERE.parent / "README.md"

# What else a machine may do, in CPUs for each that there is, before the user is told. A BLAS whose threads have to
# wait for a CPU takes up to a hundred times as long.
MOST_LOAD = 0.2

# How long to measure a pair, and how many turns to take at least.
SECONDS, ROUNDS = 0.8, 5
QUICK_SECONDS, QUICK_ROUNDS = 0.02, 2

# What a run consists of.
SECTIONS = ("layers", "methods", "startup")


def _positive(kind: type, text: str) -> Any:
    value = kind(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def _count(text: str) -> int:
    """Parse a positive integer; a plain ValueError is what argparse reports in its own words."""
    return int(_positive(int, text))


def _seconds(text: str) -> float:
    return float(_positive(float, text))


_count.__name__, _seconds.__name__ = "positive integer", "positive number of seconds"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure convolution and pooling against plain Python loops, NumPy and, where it is installed, "
        "PyTorch, as ratios; the ways to compute a convolution against each other; import and compilation. A whole run "
        "also writes benchmarks/results.json and results.png, and with --readme the table in README.md.",
    )
    add = result.add_argument
    add("--quick", action="store_true", help="tiny layers, few turns: checks that everything runs, not how fast")
    add("--only", metavar="PATTERN", action="append", default=[], help="layers whose name holds this (repeatable)")
    add(
        "--section",
        choices=SECTIONS,
        action="append",
        default=[],
        help="part of the run (repeatable; default: all; with --only layers and methods, with other choices layers)",
    )
    add("--against", metavar="NAME", action="append", default=[], help="peers to compare layers with (repeatable)")
    add("--subject", metavar="NAME", help="what is compared with them (default: autograd_conv)")
    add("--seconds", type=_seconds, metavar="S", help=f"how long to measure each pair (default: {SECONDS})")
    add("--threads", type=_count, metavar="N", help="threads of every contender (default: all CPUs)")
    add("--json", type=Path, metavar="PATH", help="write the figures there")
    add("--png", type=Path, metavar="PATH", help="draw the figures there")
    add("--readme", action="store_true", help="rewrite the table between the markers in README.md")
    add("--print-only", action="store_true", help="a whole run writes only the files that are asked for")
    add("--from", dest="source", type=Path, metavar="PATH", help="measure nothing: take the figures of this JSON file")
    add("--list", action="store_true", help="list layers and contenders, and end")
    return result


def _listing() -> str:
    from .contenders import CONTENDERS, METHODS
    from .shapes import FORMULATIONS, LAYERS

    names = [layer.name for layer in (*LAYERS, *(layer for layer, _ in FORMULATIONS))]
    width = max(map(len, names))
    lines = [f"{layer.name:{width}}  {layer.description}" for layer in LAYERS]
    lines += [f"{layer.name:{width}}  {layer.description}: {', '.join(methods)}" for layer, methods in FORMULATIONS]
    for contender in CONTENDERS.values():
        reason = contender.missing()
        lines.append(f"{contender.name:{width}}  {contender.title}{'' if reason is None else f' (missing: {reason})'}")
    lines += [f"{method.name:{width}}  {method.about}" for method in METHODS.values()]
    return "\n".join(lines)


def _sections(options: argparse.Namespace) -> list[str]:
    """Return which parts of a run are asked for."""
    if options.section:
        return [name for name in SECTIONS if name in options.section]
    if options.against or options.subject:
        return ["layers"]
    return ["layers", "methods"] if options.only else list(SECTIONS)


def _measure(options: argparse.Namespace, threads: int, whole: bool) -> dict[str, Any]:
    """Run what `options` ask for and return the report."""
    from . import startup
    from .contenders import DISTRIBUTIONS, METHODS, SUBJECT, default_peers, find
    from .progress import Progress
    from .report import FORMAT
    from .shapes import select
    from .suite import plan, plan_formulations, run

    sections = _sections(options)
    layers, formulations = select(options.only)
    layers, formulations = layers if "layers" in sections else (), formulations if "methods" in sections else ()
    steps = startup.STEPS if "startup" in sections else 0
    if not layers and not formulations and not steps:
        raise BenchmarkError("there is nothing to measure: no layer of that name is in that section")
    if not layers and options.png is not None:
        raise BenchmarkError("--png draws the section 'layers', of which nothing is to be measured")
    subject = find(options.subject or SUBJECT)
    names = options.against or (default_peers() if layers else [])
    peers = [find(name) for name in dict.fromkeys(names)]
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    comparisons = plan(layers, peers, options.quick)
    of_methods = plan_formulations(formulations, options.quick)
    others = {name: number for peer in peers for name, number in DISTRIBUTIONS.get(peer.name, {}).items()}
    machine = environment.describe(threads, others)
    if not options.quick and (machine["load"] or 0) > MOST_LOAD * machine["cores"]:
        print(
            f"benchmarks: {machine['load']:.1f} of {machine['cores']} CPUs were busy in the last minute; "
            "what else runs now makes the ratios wrong, those of matrix products above all",
            file=sys.stderr,
        )
    methods = {}
    with Progress(len(comparisons) + len(of_methods) + steps) as progress:
        rows = run(comparisons, subject, seconds, rounds, progress)
        if of_methods:
            used = dict.fromkeys(comparison.peer_name for comparison in of_methods)
            methods = {
                "peers": {name: _described(METHODS[name]) for name in METHODS if name in used},
                "rows": run(of_methods, find(SUBJECT), seconds, rounds, progress),
            }
        beginning = startup.run(options.quick, seconds, rounds, progress) if steps else []
    return {
        "format": FORMAT,
        "command": " ".join(["python -m benchmarks", *_settings(options)]),
        "whole": whole,
        "seconds": seconds,
        "machine": machine,
        "subject": {"name": subject.name, **_described(subject)},
        "peers": {peer.name: _described(peer) for peer in peers},
        "rows": rows,
        "methods": methods,
        "startup": beginning,
    }


def _described(contender: "Contender") -> dict[str, str]:
    return {"title": contender.title, "about": contender.about}


def _settings(options: argparse.Namespace) -> list[str]:
    """Return the options that decide what is measured, as they would be typed."""
    words = ["--quick"] if options.quick else []
    for name in ("only", "section", "against"):
        words += [f"--{name} {value}" for value in getattr(options, name)]
    for name in ("subject", "seconds", "threads"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name} {value}"]
    return words


def _check_outputs(options: argparse.Namespace) -> None:
    """Raise BenchmarkError for whatever could only fail after the measurements."""
    from .picture import check_matplotlib
    from .report import read_readme

    for path in (options.json, options.png):
        if path is not None and path.is_dir():
            raise BenchmarkError(f"cannot write {path}: it is a directory")
        if path is not None and not path.parent.is_dir():
            raise BenchmarkError(f"cannot write {path}: there is no directory {path.parent}")
    if options.png is not None:
        check_matplotlib()
    if options.readme:
        read_readme(README)


def _go(options: argparse.Namespace) -> None:
    threads = options.threads or environment.cores()
    environment.prepare(threads)
    if importlib.util.find_spec("autograd_conv.kernels") is None:
        raise BenchmarkError("autograd_conv is not installed: pip install -e '.[bench]'")
    if options.list:
        print(_listing())
        return

    from .picture import write_png
    from .report import read_json, table, write_json, write_readme

    report = None
    if options.source is not None:
        settings = _settings(options)
        if settings:
            raise BenchmarkError(f"--from measures nothing, so that {settings[0]} has no meaning")
        report = read_json(options.source)
        whole = report["whole"]
        if options.png is not None and not report["rows"]:
            raise BenchmarkError(f"--png draws the section 'layers', of which {options.source} has nothing")
    else:
        whole = not (options.quick or options.only or options.section or options.against or options.subject)
    if options.readme and not whole:
        raise BenchmarkError("--readme: the table in README.md is that of a whole run, not of a part of one")
    if whole and report is None and not options.print_only:
        options.json, options.png = options.json or JSON, options.png or PNG
    _check_outputs(options)
    if report is None:
        report = _measure(options, threads, whole)
    print(table(report))
    if options.json is not None:
        write_json(report, options.json)
    if options.png is not None:
        write_png(report, options.png)
    if options.readme:
        write_readme(report, README)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` and return the exit status."""
    options = parser().parse_args(arguments)
    try:
        _go(options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
