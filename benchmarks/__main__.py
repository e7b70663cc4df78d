"""``python -m benchmarks``: measure, print tables, write JSON and pictures; ``--readme`` regenerates the README's."""

import argparse
import importlib.util
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import environment
from .errors import BenchmarkError

if TYPE_CHECKING:
    from .contenders import Contender

ROOT = Path(__file__).resolve().parent.parent
JSON, PICTURES, README = ROOT / "benchmarks" / "results.json", ROOT / "benchmarks" / "results", ROOT / "README.md"
# Pictures that README.md shows.
SHOWN = ROOT / "docs" / "benchmarks"

# How long to measure a pair, and how many turns to take at least.
SECONDS, ROUNDS = 0.2, 3
QUICK_SECONDS, QUICK_ROUNDS = 0.005, 2

# What is longer is measured for so many times as long: a step of training, a convolution with both gradients.
TRAINING_FACTOR, GROWTH_FACTOR = 6, 1.5

# The sections of a run: `report.SECTIONS`, which cannot be imported before the environment is prepared.
SECTIONS = ("layers", "roofline", "training", "memory", "recording", "startup", "growth", "others", "methods")

# With --quick every so many layers: of different kinds.
QUICK_STRIDE = 4

# With whom other layers are compared.
OTHERS_PEERS = ("torch", "numpy", "loops")


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
        description="Measure convolution, training, memory and start-up against PyTorch, JAX, MyGrad, autograd and "
        "SciPy (each where it is installed), NumPy and plain Python loops, as ratios. A whole run also writes "
        "benchmarks/results.json and pictures to benchmarks/results/; with --readme, tables and pictures in README.md.",
    )
    add = result.add_argument
    add("--quick", action="store_true", help="tiny layers, few turns: checks that everything runs, not how fast")
    add("--only", metavar="PATTERN", action="append", default=[], help="layers whose name holds this (repeatable)")
    add(
        "--section",
        choices=SECTIONS,
        action="append",
        default=[],
        help="part of the run (repeatable; default: all; with --only, --against or --subject those of layers)",
    )
    add("--against", metavar="NAME", action="append", default=[], help="peers to compare with (repeatable)")
    add("--subject", metavar="NAME", help="what layers are compared with theirs (default: autograd_conv)")
    add("--seconds", type=_seconds, metavar="S", help=f"how long to measure each pair (default: {SECONDS})")
    add("--threads", type=_count, metavar="N", help="threads of every contender (default: all CPUs)")
    add("--json", type=Path, metavar="PATH", help="write the figures there")
    add("--pictures", type=Path, metavar="DIR", help="draw the figures there, a picture for each section that has one")
    add(
        "--readme",
        action="store_true",
        help="rewrite what stands between the markers in README.md, and the pictures there; with --section, the other "
        "sections are taken from benchmarks/results.json, if they were measured on the same machine",
    )
    add("--print-only", action="store_true", help="a whole run writes only the files that are asked for")
    add("--from", dest="source", type=Path, metavar="PATH", help="measure nothing: take the figures of this JSON file")
    add("--list", action="store_true", help="list layers, networks and contenders, and end")
    return result


def _listing() -> str:
    from .contenders import CONTENDERS, METHODS
    from .networks import NETWORKS
    from .shapes import FORMULATIONS, LAYERS, OTHERS, names

    width = max(map(len, names()))
    lines = [f"{layer.name:{width}}  {layer.description}" for layer in (*LAYERS, *OTHERS)]
    lines += [f"{layer.name:{width}}  {layer.description}: {', '.join(methods)}" for layer, methods in FORMULATIONS]
    lines += [f"{network.name:{width}}  {network.title}" for network in NETWORKS]
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
        return ["layers", "others"]
    return ["layers", "others", "methods"] if options.only else list(SECTIONS)


def _measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Run what `options` ask for and return the report."""
    from autograd_conv.kernels import peak

    from . import growth, memory, recording, startup, suite, training
    from .contenders import CONTENDERS, LAYOUTS, METHODS, SUBJECT, default_peers, find
    from .progress import Progress
    from .report import FORMAT
    from .shapes import FORMULATIONS, LAYERS, OTHERS, selection

    sections, quick = _sections(options), options.quick
    names, sparse = selection(options.only), slice(None, None, QUICK_STRIDE if quick and not options.only else None)
    subject = find(options.subject or SUBJECT)
    peers = [find(name) for name in dict.fromkeys(options.against or default_peers())]
    peer_names = [peer.name for peer in peers]
    seconds = options.seconds or (QUICK_SECONDS if quick else SECONDS)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    others = [peer for peer in peers if options.against or peer.name in OTHERS_PEERS]

    # Of each section, how many steps it takes, and what makes them.
    layers = suite.plan([layer for layer in LAYERS[sparse] if layer.name in names], peers, quick, LAYOUTS)
    more = suite.plan([layer for layer in OTHERS[sparse] if layer.name in names], others, quick)
    formulations = suite.plan_formulations([pair for pair in FORMULATIONS[sparse] if pair[0].name in names], quick)
    steps = training.plan(peers, quick)
    torch = next((peer for peer in peers if peer.name == "torch"), None)
    with_memory = memory.plan(peer_names, quick) if memory.missing() is None else []
    counts = {
        "layers": len(layers), "others": len(more), "methods": len(formulations), "training": len(steps),
        "recording": len(recording.plan(peer_names)), "memory": len(with_memory), "startup": startup.STEPS,
        "growth": len(growth.plan(quick, threads)), "roofline": 1,
    }  # fmt: skip
    if not any(counts[section] for section in sections):
        raise BenchmarkError("there is nothing to measure: no layer of that name is in that section")
    taking_part = [CONTENDERS[SUBJECT], subject, *peers]
    versions = {name: number for contender in taking_part for name, number in contender.distributions.items()}
    machine = environment.describe(threads, versions)
    if not quick and environment.busy():
        print(
            f"benchmarks: {machine['load']:.1f} of {machine['cores']} CPUs were busy in the last minute; "
            "what else runs now makes the ratios wrong",
            file=sys.stderr,
        )
    command = " ".join(["python -m benchmarks", *_settings(options)])
    report: dict[str, Any] = {
        "format": FORMAT,
        "whole": _is_whole(options),
        "machine": machine,
        "subject": subject.name,
        "peers": {contender.name: _described(contender) for contender in taking_part},
        "measured": {section: {"command": command, "date": machine["date"]} for section in sections},
    }

    def measured(section: str, progress: Progress) -> Any:
        match section:
            case "layers":
                return suite.run(layers, subject, seconds, rounds, progress)
            case "others":
                return suite.run(more, subject, seconds, rounds, progress)
            case "methods":
                used = {comparison.peer_name for comparison in formulations}
                return {
                    "peers": {name: _described(METHODS[name]) for name in METHODS if name in used},
                    "rows": suite.run(formulations, find(SUBJECT), seconds, rounds, progress),
                }
            case "training":
                return training.run(steps, find(SUBJECT), TRAINING_FACTOR * seconds, rounds, progress)
            case "recording":
                return recording.run(peer_names, seconds, rounds, progress)
            case "memory":
                return memory.run(peer_names, quick, progress)
            case "startup":
                return startup.run(peer_names, quick, progress)
            case "growth":
                return growth.run(quick, find(SUBJECT), torch, GROWTH_FACTOR * seconds, rounds, progress)
            case _:
                progress.begin("what the machine can do")
                peaks = peak.measure(threads, quick)
                progress.step()
                return peaks

    with Progress(sum(counts[section] for section in sections)) as progress:
        for section in sections:
            if counts[section]:
                start = time.perf_counter()
                report[section] = measured(section, progress)
                report["measured"][section]["seconds"] = time.perf_counter() - start
    return report


def _described(contender: "Contender") -> dict[str, str]:
    return {"title": contender.title, "about": contender.about}


def _is_whole(options: argparse.Namespace) -> bool:
    """Return whether everything is measured, as in a run without options."""
    return not (options.quick or options.only or options.section or options.against or options.subject)


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
    from .pictures import check_matplotlib
    from .readme import read_readme

    if options.json is not None and options.json.is_dir():
        raise BenchmarkError(f"cannot write {options.json}: it is a directory")
    if options.pictures is not None and options.pictures.is_file():
        raise BenchmarkError(f"cannot write to {options.pictures}: it is no directory")
    for path in (options.json, options.pictures):
        if path is not None and not path.parent.is_dir():
            raise BenchmarkError(f"cannot write {path}: there is no directory {path.parent}")
    if options.pictures is not None or options.readme:
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

    from .report import merged, read_json, table, write_json

    report = earlier = None
    if options.source is not None:
        settings = _settings(options)
        if settings:
            raise BenchmarkError(f"--from measures nothing, so that {settings[0]} has no meaning")
        report = read_json(options.source)
        whole = report["whole"]
    else:
        whole = _is_whole(options)
        if options.readme and not whole:
            if options.quick or options.only or options.against or options.subject:
                raise BenchmarkError("--readme: what README.md shows are whole sections, with all peers")
            earlier = read_json(JSON)
            whole = True
    if options.readme and not whole:
        raise BenchmarkError("--readme: what README.md shows is a whole run, not a part of one")
    if whole and options.source is None and not options.print_only:
        options.json, options.pictures = options.json or JSON, options.pictures or PICTURES
    _check_outputs(options)
    if report is None:
        report = _measure(options, threads)
        if earlier is not None:
            report = merged(earlier, report)
    print(table(report))
    if options.json is not None:
        write_json(report, options.json)
    if options.pictures is not None:
        _draw(report, options.pictures)
    if options.readme:
        _rewrite_readme(report)


def _draw(report: dict[str, Any], directory: Path) -> dict[str, Path]:
    from .pictures import write_pictures

    directory.mkdir(exist_ok=True)
    return write_pictures(report, directory)


def _rewrite_readme(report: dict[str, Any]) -> None:
    from .pictures import PICTURES as DRAWN
    from .readme import write_readme
    from .report import table

    links = {
        section: f"![{DRAWN[section][1]}]({path.relative_to(README.parent).as_posix()})"
        for section, path in _draw(report, SHOWN).items()
    }
    write_readme(table(report, links), README)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` and return the exit status."""
    options = parser().parse_args(arguments)
    try:
        _go(options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except (OSError, ImportError) as error:  # an installed peer may be broken
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
