"""What becomes of the figures: tables with the sentences about them, and the JSON file.

A report is a dictionary that JSON can hold, so that tables, README and pictures can be made again of a file, without
measuring anything. Each section that was measured has a key of its own (`SECTIONS`); ``peers`` says of each contender
how it is called and what it is, ``measured`` of each section by which command, and when.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from .contenders import NCHW, SUBJECT
from .errors import BenchmarkError
from .recording import WATCHING
from .suite import CONTROL
from .tables import bytes_text, markdown, ratio_text, seconds_text

Report = dict[str, Any]

FORMAT = 3

# What a run consists of, in the order of measuring and of the tables.
SECTIONS = (
    "layers", "roofline", "training", "memory", "recording", "startup", "growth", "others", "methods",
)  # fmt: skip

OPERATIONS = ("forward", "gx", "gw")
NOTHING = "–"

# The subject is faster where a ratio is larger than 1.
HOW_TO_READ = "how many times as long the other takes as"


def title(report: Report, name: str) -> str:
    """Return how a contender is called."""
    return str(report["peers"].get(name, {}).get("title", name))


# ---------------------------------------------------------------- layers


def compared(rows: Iterable[dict[str, Any]], layout: str | None = None) -> list[dict[str, Any]]:
    """Return the rows that compare with others, in one order of memory if one is given."""
    return [row for row in rows if row["peer"] != CONTROL and layout in (None, row["layout"])]


def _ratios(report: Report, rows: list[dict[str, Any]], shapes: str, mean: bool = True) -> str:
    """Return a table: a line for each layer, a column for each peer, in it the ratios of the layer's operations."""
    peers = [name for name in report["peers"] if any(row["peer"] == name for row in rows)]
    peers += [name for name in dict.fromkeys(row["peer"] for row in rows) if name not in peers]
    ratios = {(row["layer"], row["peer"], row["operation"]): row["ratio"] for row in rows}

    def cell(values: list[float | None]) -> str:
        return " / ".join(NOTHING if v is None else ratio_text(v) for v in values) if any(values) else NOTHING

    cells = [["layer", shapes, *(title(report, peer) for peer in peers)]]
    for layer in dict.fromkeys(row["layer"] for row in rows):
        shape = next(row["shape"] for row in rows if row["layer"] == layer)
        operations = [o for o in OPERATIONS if any(row["layer"] == layer and row["operation"] == o for row in rows)]
        cells.append(
            [layer, shape, *(cell([ratios.get((layer, peer, o)) for o in operations]) for peer in peers)],
        )
    if mean:
        by_peer = {peer: [row for row in rows if row["peer"] == peer] for peer in peers}

        def means(peer: str) -> list[float | None]:
            values = [[row["ratio"] for row in by_peer[peer] if row["operation"] == o] for o in OPERATIONS]
            return [geometric_mean(v) if v else None for v in values]

        cells.append(["geometric mean", "", *(cell(means(peer)) for peer in peers)])
        together = [ratio_text(geometric_mean(row["ratio"] for row in by_peer[peer])) for peer in peers]
        cells.append(["... of all three", "", *together])
        cells.append(["smallest", "", *(ratio_text(min(row["ratio"] for row in by_peer[peer])) for peer in peers)])
    return markdown(cells, {0, 1})


def _about(report: Report, rows: list[dict[str, Any]]) -> str:
    taking_part = {report["subject"], *(row["peer"] for row in rows)}
    described = [peer for name, peer in report["peers"].items() if name in taking_part]
    return "; ".join(f"{peer['title']}: {peer['about']}" for peer in described) + "."


def _layer_tables(report: Report, rows: list[dict[str, Any]]) -> list[str]:
    parts = []
    for layout in dict.fromkeys(row["layout"] for row in compared(rows)):
        here = compared(rows, layout)
        where = "plain NCHW arrays" if layout == NCHW else "arrays whose channels lie last in memory"
        full = [row for row in here if not row["reduced"]]
        if full:
            parts += [f"With {where}:", _ratios(report, full, "shape")]
        small = [row for row in here if row["reduced"]]
        if small:
            whose = "On smaller cases of the layers, for those who are slow" if full else f"With {where}, reduced"
            parts += [f"{whose}:", _ratios(report, small, "reduced shape")]
    return parts


def _layers(report: Report) -> list[str]:
    rows = report["layers"]
    subject = title(report, report["subject"])
    lines = [
        f"Convolutions: {HOW_TO_READ} {subject}, for the forward computation / the input gradient / the weight "
        f"gradient (above 1, {subject} is faster; {NOTHING}: not applicable). Medians of ratios of neighbouring "
        "measurements in one process, float32, after comparing the results; gradients alone, without the forward "
        "computation.",
        _about(report, rows),
    ]
    if all(row["reduced"] for row in rows):
        lines.append("All layers are reduced to almost nothing: the figures show that everything runs, and no more.")
    control = [row["ratio"] for row in rows if row["peer"] == CONTROL]
    if control:
        lines.append(
            f"Control, {subject} against itself: median {median(control):.2f}, from {min(control):.2f} "
            f"to {max(control):.2f}."
        )
    return [*_layer_tables(report, rows), "\n".join(lines)]


def _others(report: Report) -> list[str]:
    return ["Other layers, in the same way; pooling has no weight gradient.", *_layer_tables(report, report["others"])]


def _methods(report: Report) -> list[str]:
    methods = report["methods"]
    about = "; ".join(f"{peer['title']}: {peer['about']}" for peer in methods["peers"].values())
    return [
        'The formulations of a convolution, `method=`, as ratios to `method="auto"`: above 1, "auto" is faster. '
        f"{about}.",
        _ratios({"peers": methods["peers"]}, methods["rows"], "shape", mean=False),
    ]


# ---------------------------------------------------------------- networks


def best_rows(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return, for each network and peer, the row of the order of memory in which the peer is faster."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = row["network"], row["peer"]
        if key not in best or row["ratio"] < best[key]["ratio"]:
            best[key] = row
    return best


def _training(report: Report) -> list[str]:
    rows = report["training"]
    columns = list(dict.fromkeys((row["peer"], row["layout"]) for row in rows))
    ratios = {(row["network"], row["peer"], row["layout"]): row for row in rows}
    subject = title(report, SUBJECT)
    cells = [["training step", subject, *(f"{title(report, peer)} {layout}" for peer, layout in columns)]]
    titles = {row["network"]: row["title"] for row in rows}
    for network, text in titles.items():
        ours = median(row["seconds_a"] for row in rows if row["network"] == network)
        line = [ratios.get((network, *column)) for column in columns]
        cells.append(
            [text, seconds_text(ours), *(NOTHING if row is None else ratio_text(row["ratio"]) for row in line)]
        )
    lines = []
    best = best_rows(rows)
    for peer in dict.fromkeys(row["peer"] for row in rows):
        found = [row["ratio"] for (_, name), row in best.items() if name == peer]
        lines.append(
            f"Against {title(report, peer)} in whichever order of memory it is faster: geometric mean "
            f"{geometric_mean(found):.2f}, smallest {min(found):.2f}."
        )
    return [
        "Whole training steps - forward, cross-entropy, backward, gradient descent with momentum - as time, and "
        f"{HOW_TO_READ} {subject}, which gets plain NCHW arrays. Same parameters, same images; losses were compared.",
        markdown(cells, {0}),
        "\n".join(lines),
    ]


def _memory(report: Report) -> list[str]:
    rows = report["memory"]
    steps, records = ([row for row in rows if row["what"] == what] for what in ("step", "record"))
    subject = title(report, SUBJECT)
    parts = []
    columns = list(dict.fromkeys((row["library"], row["layout"]) for row in steps))
    by_column = {(row["network"], row["library"], row["layout"]): row["bytes"] for row in steps}
    cells = [["peak memory of a training step", *(f"{title(report, name)} {layout}" for name, layout in columns)]]
    for network in dict.fromkeys(row["network"] for row in steps):
        own = by_column[network, SUBJECT, NCHW]
        line = [network]
        for library, layout in columns:
            size = by_column[network, library, layout]
            share = "" if library == SUBJECT else f" ({ratio_text(size / own)}×)" if own else ""
            line.append(bytes_text(size) + share)
        cells.append(line)
    if steps:
        parts += [
            "Memory that a training step needs beyond the process with library, parameters and images loaded (and how "
            f"many times that of {subject}): the peak of the resident set in a step (`VmHWM`, reset before it through "
            "`/proc/self/clear_refs`) less that before the first one; each in a process of its own, after "
            "a step with one image, which loads all code.",
            markdown(cells, {0}),
        ]
    if records:
        text = ", ".join(f"{title(report, row['library'])} {bytes_text(row['bytes'])}" for row in records)
        parts.append(f"Memory of a recorded operation on three elements, its result included: {text}.")
    return parts


# ---------------------------------------------------------------- the rest


def _recording(report: Report) -> list[str]:
    rows = report["recording"]
    subject = title(report, SUBJECT)
    cells = [["one recorded operation on three elements, forward and backward", "time", f"ratio to {subject}"]]
    cells.append([subject, seconds_text(median(row["seconds_a"] for row in rows)), ""])
    for row in rows:
        name = "NumPy, forward alone, recording nothing" if row["peer"] == "numpy" else title(report, row["peer"])
        if row["peer"] in WATCHING:
            name = (
                f"{subject}, looked at by nobody any more" if row["peer"] == WATCHING[0] else f"{subject} {row['peer']}"
            )
        cells.append([name, seconds_text(row["seconds_b"]), ratio_text(row["ratio"])])
    return [markdown(cells, {0})]


def _startup(report: Report) -> list[str]:
    startup = report["startup"]
    gradient, subject = startup["first_gradient"], title(report, SUBJECT)
    cells = [["start-up, in a fresh process", "time"]]
    cells += [[f"import {title(report, name)}", seconds_text(taken)] for name, taken in startup["imports"].items()]
    number = len(gradient["kernels"])
    cells += [
        [
            f"{subject}: import and first gradient of a small network, kernels from the cache",
            seconds_text(gradient["warm"]),
        ],
        [f"the same, {number} kernels compiled", seconds_text(gradient["cold"])],
    ]
    parts = [markdown(cells, {0})]
    if gradient["kernels"]:
        slowest = sorted(gradient["kernels"], key=lambda pair: -pair[1])
        parts.append(
            "Of the compilation: " + ", ".join(f"`{name}` {seconds_text(taken)}" for name, taken in slowest) + "."
        )
    return parts


def _roofline(report: Report) -> list[str]:
    peak = report["roofline"]
    text = (
        f"What the machine can do with {_threads(peak['threads'])}: "
        f"{peak['flop_per_second'] / 1e9:.0f} GFLOP/s in float32 (a register tile of {peak['tile']}, all data in the "
        f"first-level cache), reads {peak['read_bytes_per_second'] / 1e9:.0f} GB/s, copies "
        f"{peak['copy_bytes_per_second'] / 1e9:.0f} GB/s."
    )
    rows = [row for row in report.get("layers", []) if not row["reduced"] and "flop" in row]
    if not rows:
        return [text]
    cells = [["fraction of the peak", *_fraction_heading(report, rows)]]
    for layer in dict.fromkeys(row["layer"] for row in rows):
        cells.append(
            [layer, *(_fractions(rows, layer, peer, layout, peak) for peer, layout in _fraction_columns(rows))]
        )
    return [
        text,
        "Fractions of it that the layers reach, forward / input gradient / weight gradient, counting the "
        "multiplications of the definition: Winograd's method, which does fewer, may exceed 1. Layers with few "
        "operations for each byte, such as depthwise ones, are limited by memory.",
        markdown(cells, {0}),
    ]


def _fraction_columns(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    layouts = list(dict.fromkeys(row["layout"] for row in rows))
    peers = [SUBJECT, *(["torch"] if any(row["peer"] == "torch" for row in rows) else [])]
    return [(peer, layout) for peer in peers for layout in layouts]


def _fraction_heading(report: Report, rows: list[dict[str, Any]]) -> list[str]:
    return [f"{title(report, peer)} {layout}" for peer, layout in _fraction_columns(rows)]


def rates(rows: list[dict[str, Any]], layer: str, peer: str, layout: str, operation: str) -> float | None:
    """Return the operations per second of a contender, the subject included, or None if it was not measured."""
    here = [r for r in rows if (r["layer"], r["layout"], r["operation"]) == (layer, layout, operation) and "flop" in r]
    if peer == SUBJECT:
        found = [row["flop"] / row["seconds_a"] for row in here if not row["reduced"]]
    else:
        found = [row["flop"] / row["seconds_b"] for row in here if row["peer"] == peer]
    return median(found) if found else None


def _fractions(rows: list[dict[str, Any]], layer: str, peer: str, layout: str, peak: dict[str, Any]) -> str:
    found = [rates(rows, layer, peer, layout, operation) for operation in OPERATIONS]
    return " / ".join(NOTHING if rate is None else f"{rate / peak['flop_per_second']:.2f}" for rate in found)


def _growth(report: Report) -> list[str]:
    rows = [row for row in report["growth"] if row["peer_seconds"] is not None]
    if not rows:
        return []
    ranges = []
    for axis in dict.fromkeys(row["axis"] for row in rows):
        here = [row for row in rows if row["axis"] == axis]
        listed = ", ".join(f"{row['value']}: {ratio_text(row['ratio'])}" for row in here)
        ranges.append(f"{axis} {listed}")
    return [
        "How the ratio to PyTorch changes with the size of a 3×3 convolution (forward and both gradients, NCHW; "
        f"otherwise batch 8, 64 channels, 28×28 pixels): {'; '.join(ranges)}."
    ]


TEXTS: dict[str, Callable[[Report], list[str]]] = {
    "layers": _layers,
    "roofline": _roofline,
    "training": _training,
    "memory": _memory,
    "recording": _recording,
    "startup": _startup,
    "growth": _growth,
    "others": _others,
    "methods": _methods,
}


def _threads(number: int) -> str:
    return f"{number} thread{'' if number == 1 else 's'}"


def origin(report: Report) -> str:
    """Return the last sentences: how far ratios spread; by which commands, where and with which versions."""
    machine = report["machine"]
    rows = [*report.get("layers", []), *report.get("others", []), *report.get("methods", {}).get("rows", [])]
    lines = []
    if rows:
        spread = median((row["high"] - row["low"]) / row["ratio"] for row in rows)
        warm_up = sum(row["first_call_seconds"] for row in rows)
        lines.append(f"The quartiles of a ratio between layers lie, in the median, {100 * spread:.0f} % apart.")
        lines.append(
            f"Preparation and first calls, with whatever had to be compiled, took {warm_up:.1f} s; they are in no "
            "figure between layers."
        )
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    commands = "; ".join(dict.fromkeys(f"{how['command']}, {how['date']}" for how in report["measured"].values()))
    waiting = "" if machine["waiting"] == "default" else f", OpenMP threads wait {machine['waiting']}"
    lines.append(
        f"{commands}: {machine['cpu']}, {_threads(machine['threads'])}{waiting}, Python {machine['python']}, "
        f"{versions}; NumPy with {machine['blas']}."
    )
    return "\n".join(lines)


def table(report: Report, pictures: dict[str, str] | None = None) -> str:
    """Return the tables in Markdown, aligned so that they can be read as they are, with the sentences about them.

    Parameters
    ----------
    report : dict
    pictures : dict, optional
        Of sections, the path of a picture that goes before the text; alternative text is what the picture shows.
    """
    parts = []
    for section in SECTIONS:
        if not report.get(section):
            continue
        if pictures and section in pictures:
            parts.append(pictures[section])
        parts += TEXTS[section](report)
    return "\n\n".join([*parts, origin(report)])


# ---------------------------------------------------------------- JSON


def write_json(report: Report, path: Path) -> None:
    """Write the report to `path`."""
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Report:
    """Return the report that :func:`write_json` wrote.

    Raises
    ------
    BenchmarkError
        If there is no such file, or something else is in it.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise BenchmarkError(f"{path} is not JSON: {error}") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT or not any(map(report.get, SECTIONS)):
        raise BenchmarkError(f"{path} is not a report of format {FORMAT} of this benchmark")
    return report


def merged(old: Report, new: Report) -> Report:
    """Return `old` with the sections of `new` in place of its own.

    Raises
    ------
    BenchmarkError
        If they are of different machines, numbers of threads, or versions: they would not be comparable.
    """
    for key in ("cpu", "threads", "python", "versions", "blas"):
        before, now = old["machine"][key], new["machine"][key]
        if key == "versions":  # not everybody takes part in every section
            before, now = ({k: v[k] for k in before.keys() & now.keys()} for v in (before, now))
        if before != now:
            raise BenchmarkError(
                f"the other sections were measured with another {key} ({before}; now {now}): measure them again, too"
            )
    result = {**old, **new}
    result["machine"] = {**new["machine"], "versions": {**old["machine"]["versions"], **new["machine"]["versions"]}}
    for key in ("peers", "measured"):
        result[key] = {**old[key], **new[key]}
    result["whole"] = all(result.get(section) for section in SECTIONS)
    return result
