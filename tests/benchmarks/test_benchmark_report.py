"""The table, the README, the JSON file: what is written is what was measured, and nothing else is touched."""

import re
import sys

import pytest

README = "# Title\n\ntext  \n<!-- benchmarks:begin -->\nold | table\n<!-- benchmarks:end -->\n\nafter\ttabs"


def test_table_holds_the_ratios_the_shapes_and_the_means(bench, make_report):
    lines = bench("report").table(make_report()).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:5]]
    assert cells[0] == ["layer", "shape", "NumPy: forward", "NumPy: gw", "Loops: forward", "shape for Loops"]
    assert cells[2] == ["conv", "shape of conv", "2.0", "0.50", "1,200", "small conv"]
    assert cells[3] == ["pool", "shape of pool", "8.0", "", "", ""]
    assert cells[4] == ["geometric mean", "", "4.0", "0.50", "1,200", ""]
    assert len({len(line) for line in lines[:5]}) == 1  # aligned
    below = " ".join(lines[5:])
    for part in (
        "Ours is faster",
        "Control, Ours against itself: median 1.01",
        "1.8 s",
        "Abacus, 2 threads",
        "NumPy 2.9",
    ):
        assert part in below


def test_formulations_and_start_up_have_tables_of_their_own(bench, make_report):
    report = bench("report")
    text = report.table(make_report())
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert ["layer", "shape", "Folded: forward", "Folded: gx"] in lines
    assert ["twist", "shape of twist", "3.0", "4.0"] in lines
    assert ["to wake up", "250 ms", "to blink", "20 µs", "12,000"] in lines
    assert text.endswith("NumPy with someblas 1.0.")
    part = report.table(make_report(rows=[], methods={}))
    assert part.count("| layer") == 0
    assert "to wake up" in part
    assert "Control" not in part
    assert report.table(make_report(methods={}, startup=[])).count("\n|:") == 1


def test_a_run_of_reduced_layers_says_that_it_proves_nothing(bench, make_report):
    report = make_report()
    for row in report["rows"]:
        row["reduced"] = True
    assert "the figures show that everything runs, and no more" in bench("report").caption(report)


def test_readme_is_replaced_between_the_markers_only(bench, make_report, tmp_path):
    report, path = bench("report"), tmp_path / "README.md"
    path.write_text(README)
    report.write_readme(make_report(), path)
    once = path.read_text()
    assert once.startswith("# Title\n\ntext  \n<!-- benchmarks:begin -->\n\n| layer")
    assert once.endswith("someblas 1.0.\n\n<!-- benchmarks:end -->\n\nafter\ttabs")
    assert "old | table" not in once
    report.write_readme(make_report(), path)
    assert path.read_text() == once


def test_line_ends_of_the_readme_stay(bench, make_report, tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(README.replace("\n", "\r\n").encode())
    bench("report").write_readme(make_report(), path)
    assert not re.search(rb"(?<!\r)\n", path.read_bytes())


@pytest.mark.parametrize(
    "text",
    [
        "no markers",
        "<!-- benchmarks:begin -->",
        "<!-- benchmarks:end --> <!-- benchmarks:begin -->",
        README + README,
    ],
)
def test_readme_without_a_place_for_the_table_is_left_alone(bench, make_report, tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(bench("errors").BenchmarkError, match=r"README\.md must hold"):
        bench("report").write_readme(make_report(), path)
    assert path.read_text() == text


def test_json_is_read_as_it_was_written(bench, make_report, tmp_path):
    report, path = bench("report"), tmp_path / "figures.json"
    report.write_json(make_report(), path)
    assert report.read_json(path) == make_report()


@pytest.mark.parametrize("text", [None, "{", "[]", '{"format": 0, "rows": [1]}', '{"format": 2, "rows": []}'])
def test_other_files_are_no_reports(bench, tmp_path, text):
    path = tmp_path / "figures.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(bench("errors").BenchmarkError, match=r"figures\.json"):
        bench("report").read_json(path)


def test_without_matplotlib_one_line_says_what_to_do(bench, make_report, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(bench("errors").BenchmarkError, match=r"autograd-conv\[bench\]"):
        bench("picture").write_png(make_report(), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
