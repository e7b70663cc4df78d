"""What becomes of the figures: the table, the JSON file, the README.

A report is a dictionary that JSON can hold, so that table, README and picture can be made again of a file, without
measuring anything. Its sections are ``rows`` with ``peers`` (the layers), ``methods`` (a dictionary with the same two
keys) and ``startup`` (a list of rows); what was not measured is empty.
"""

import json
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from .errors import BenchmarkError
from .suite import CONTROL

Report = dict[str, Any]

FORMAT = 2

SECTIONS = ("rows", "methods", "startup")

BEGIN = "<!-- benchmarks:begin -->"
END = "<!-- benchmarks:end -->"


# ---------------------------------------------------------------- table


def ratio_text(ratio: float) -> str:
    """Return a ratio with about two digits.

    Examples
    --------
    >>> [ratio_text(r) for r in (0.123, 1.26, 9.97, 12.6, 2345.6)]
    ['0.12', '1.3', '10', '13', '2,300']
    """
    if ratio < 0.995:
        return f"{ratio:.2f}"
    if ratio < 9.95:
        return f"{ratio:.1f}"
    if ratio < 99.5:
        return f"{ratio:.0f}"
    return f"{float(f'{ratio:.1e}'):,.0f}"


def seconds_text(seconds: float) -> str:
    """Return a time with about two digits.

    Examples
    --------
    >>> [seconds_text(s) for s in (3.21e-7, 4.56e-5, 0.0321, 0.456, 12.34)]
    ['0.32 µs', '46 µs', '32 ms', '460 ms', '12 s']
    """
    factor, unit = (1e6, "µs") if seconds < 0.995e-3 else (1e3, "ms") if seconds < 0.995 else (1.0, "s")
    return f"{ratio_text(seconds * factor)} {unit}"


def columns(report: Report) -> list[tuple[str, str]]:
    """Return the (peer, operation) pairs that were measured, peer by peer in the order of the report."""
    operations = list(dict.fromkeys(row["operation"] for row in report["rows"]))
    measured = {(row["peer"], row["operation"]) for row in report["rows"]}
    return [(peer, operation) for peer in report["peers"] for operation in operations if (peer, operation) in measured]


def _cells(report: Report, mean: bool = True) -> list[list[str]]:
    """Return the table as text, the heading first, and with `mean` the geometric means last."""
    pairs = columns(report)
    ratios = {(row["layer"], row["peer"], row["operation"]): row["ratio"] for row in report["rows"]}
    shapes = {(row["layer"], row["reduced"]): row["shape"] for row in report["rows"]}
    reduced = any(small for _, small in shapes)
    full = any(not small for _, small in shapes)
    titles = {name: peer["title"] for name, peer in report["peers"].items()}
    heading = ["layer", *(["shape"] if full else []), *(f"{titles[peer]}: {operation}" for peer, operation in pairs)]
    if reduced:
        of_peers = {row["peer"] for row in report["rows"] if row["reduced"] and row["peer"] in titles}
        whose = ", ".join(titles[peer] for peer in titles if peer in of_peers)
        heading.append(f"shape for {whose}" if full else "shape")
    cells = [heading]
    for layer in dict.fromkeys(row["layer"] for row in report["rows"]):
        line = [layer, *([shapes.get((layer, False), "")] if full else [])]
        for peer, operation in pairs:
            ratio = ratios.get((layer, peer, operation))
            line.append("" if ratio is None else ratio_text(ratio))
        cells.append([*line, *([shapes.get((layer, True), "")] if reduced else [])])
    if not mean:
        return cells
    means = [
        ratio_text(geometric_mean(r["ratio"] for r in report["rows"] if (r["peer"], r["operation"]) == pair))
        for pair in pairs
    ]
    cells.append(["geometric mean", *([""] if full else []), *means, *([""] if reduced else [])])
    return cells


def caption(report: Report) -> str:
    """Return the sentences below the table of the layers: what was compared, and how far to trust it."""
    subject = report["subject"]["title"]
    control = [row["ratio"] for row in report["rows"] if row["peer"] == CONTROL]
    lines = [
        f"Each figure says how many times as long the other takes as {subject}: above 1, {subject} is faster. Medians "
        "of ratios of neighbouring measurements in one process, float32, after comparing the results; gradients "
        "alone, without the forward computation.",
    ]
    whose = {peer["title"]: peer["about"] for peer in (report["subject"], *report["peers"].values())}
    lines.append("; ".join(f"{title}: {about}" for title, about in whose.items()) + ".")
    if all(row["reduced"] for row in report["rows"]):
        lines.append("All layers are reduced to almost nothing: the figures show that everything runs, and no more.")
    elif any(row["reduced"] for row in report["rows"]):
        lines.append("Where a shape of its own is given, both sides were measured on that smaller case of the layer.")
    if control:
        lines.append(
            f"Control, {subject} against itself: median {median(control):.2f}, from {min(control):.2f} "
            f"to {max(control):.2f}."
        )
    return "\n".join(lines)


def origin(report: Report) -> str:
    """Return the last sentences: how far ratios spread; by which command, where and with which versions."""
    machine = report["machine"]
    rows = [*report["rows"], *report["methods"].get("rows", [])]
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
    threads = f"{machine['threads']} thread{'' if machine['threads'] == 1 else 's'}"
    lines.append(
        f"{report['command']}, {machine['date']}: {machine['cpu']}, {threads}, Python {machine['python']}, "
        f"{versions}; NumPy with {machine['blas']}."
    )
    return "\n".join(lines)


def _aligned(cells: list[list[str]], left: set[int]) -> str:
    """Return `cells`, the heading first, as a table in Markdown; the columns `left` begin, all others end, together."""
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]

    def row(line: list[str]) -> str:
        padded = [text.ljust(w) if i in left else text.rjust(w) for i, (text, w) in enumerate(zip(line, widths))]
        return f"| {' | '.join(padded)} |"

    rule = [f":{'-' * (w + 1)}" if i in left else f"{'-' * (w + 1)}:" for i, w in enumerate(widths)]
    return "\n".join([row(cells[0]), f"|{'|'.join(rule)}|", *map(row, cells[1:])])


def _ratios(report: Report, mean: bool = True) -> str:
    cells = _cells(report, mean)
    return _aligned(cells, {0} | {i for i, title in enumerate(cells[0]) if title.startswith("shape")})


def _methods(methods: Report) -> list[str]:
    about = "; ".join(f"{peer['title']}: {peer['about']}" for peer in methods["peers"].values())
    return [
        'The formulations of a convolution, `method=`, as ratios to `method="auto"`: above 1, "auto" is faster. '
        f"{about}.",
        _ratios(methods, mean=False),
    ]


def _startup(rows: list[dict[str, Any]]) -> list[str]:
    cells = [["start-up and recording", "time", "compared with", "time", "ratio"]]
    for row in rows:
        seconds, against = seconds_text(row["seconds"]), seconds_text(row["against_seconds"])
        cells.append([row["what"], seconds, row["against"], against, ratio_text(row["ratio"])])
    return [
        "What comes before the work and besides it, as ratios of the first time to the second: the smaller, the "
        "better.",
        _aligned(cells, {0, 2}),
    ]


def table(report: Report) -> str:
    """Return the tables in Markdown, aligned so that they can be read as they are, with the sentences about them."""
    parts = [_ratios(report), caption(report)] if report["rows"] else []
    if report["methods"]:
        parts += _methods(report["methods"])
    if report["startup"]:
        parts += _startup(report["startup"])
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


# ---------------------------------------------------------------- README


def replace_table(text: str, new: str, name: str = "README.md") -> str:
    """Return `text` with what stands between the two markers replaced by `new`; nothing else changes.

    Raises
    ------
    BenchmarkError
        If the markers are not there exactly once each, in order; `name` is what the message calls the file.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BenchmarkError(f"{name} must hold {BEGIN} and, after it, {END}, each once: the table goes between them")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    newline = "\r\n" if "\r\n" in text else "\n"
    body = new.strip("\n").replace("\n", newline)
    return f"{before}{BEGIN}{newline}{newline}{body}{newline}{newline}{END}{after}"


def read_readme(path: Path) -> str:
    """Return the text of the README, with its line ends as they are, after looking for the markers.

    Raises
    ------
    BenchmarkError
        If there is no such file, or it has no place for the table.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise BenchmarkError(f"cannot read {path.name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{path.name} is not UTF-8: {error.reason}") from error
    replace_table(text, "", path.name)
    return text


def write_readme(report: Report, path: Path) -> None:
    """Replace the table in the README at `path`."""
    path.write_bytes(replace_table(read_readme(path), table(report), path.name).encode("utf-8"))
