"""The table, the README, the JSON file: what is written is what was measured, and nothing else is touched."""

import re
import sys

import pytest

README = "# Title\n\ntext  \n<!-- benchmarks:begin -->\nold | table\n<!-- benchmarks:end -->\n\nafter\ttabs"


def cells_of(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_layers_have_a_table_for_each_order_of_memory(bench, make_report):
    report = make_report()
    text = bench("report").table({key: value for key, value in report.items() if key != "roofline"})
    cells = cells_of(text)
    assert cells[:7] == [
        ["layer", "shape", "PyTorch"],
        [":" + "-" * 17, ":" + "-" * 14, "-" * 17 + ":"],
        ["conv", "shape of conv", "2.0 / 3.0 / 0.50"],
        ["deep", "shape of deep", "8.0"],
        ["geometric mean", "", "4.0 / 3.0 / 0.50"],
        ["... of all three", "", "2.2"],
        ["smallest", "", "0.50"],
    ]
    assert ["layer", "reduced shape", "Loops"] in cells
    assert ["conv", "small conv", "1,200"] in cells
    assert ["conv", "shape of conv", "7.0"] in cells
    assert "Control, Ours against itself: median 1.01" in text
    assert "Ours: about Ours; PyTorch: about PyTorch; Loops: about Loops." in text
    assert text.endswith("NumPy with someblas 1.0.")
    assert "python -m benchmarks, 2030-01-02: Abacus, 2 threads, Python 3.13.0, NumPy 2.9" in text


def test_every_section_has_its_text(bench, make_report):
    module = bench("report")
    assert set(module.TEXTS) == set(module.SECTIONS) == set(bench("__main__").SECTIONS)
    cells = cells_of(module.table(make_report()))
    for line in (
        ["conv", "0.20 / 0.20 / 0.20", "0.20 / – / –", "0.10 / 0.07 / 0.40", "0.03 / – / –"],
        ["training step", "Ours", "PyTorch NCHW", "PyTorch NHWC"],
        ["Net a", "1.0 ms", "4.0", "2.0"],
        ["Net b", "1.0 ms", "8.0", "–"],
        ["a", "8.0 MB", "12 MB (1.5×)"],
        ["MyGrad", "5.0 ms", "5.0"],
        ["import NumPy", "80 ms"],
        ["the same, 2 kernels compiled", "5.0 s"],
        ["pool", "shape of pool", "8.0 / 9.0"],
        ["twist", "shape of twist", "3.0 / 4.0"],
    ):
        assert line in cells
    text = module.table(make_report())
    for part in (
        "faster: geometric mean 4.00, smallest 2.00.",
        "Ours 470 B.",
        "`c.d` 1.5 s, `a.b` 500 ms.",
        "batch 1: 2.0, 2: 4.0; threads 1: 2.0, 2: 4.0.",
        "10 GFLOP/s in float32 (a register tile of 3 rows, all data in the first-level cache), reads 2 GB/s",
    ):
        assert part in text


def test_what_was_not_measured_is_not_mentioned(bench, make_report):
    module = bench("report")
    report = make_report()
    for section in module.SECTIONS:
        part = {key: value for key, value in report.items() if key not in module.SECTIONS or key == section}
        assert module.table(part).count("\n|:") <= 4
    text = module.table({key: value for key, value in report.items() if key not in module.SECTIONS or key == "startup"})
    assert "Control" not in text
    assert "quartiles" not in text


def test_a_run_of_reduced_layers_says_that_it_proves_nothing(bench, make_report):
    report = make_report()
    for row in report["layers"]:
        row["reduced"] = True
    assert "the figures show that everything runs, and no more" in bench("report").table(report)


def test_pictures_stand_before_their_sections(bench, make_report):
    text = bench("report").table(make_report(), {"training": "![steps](steps.png)"})
    assert text.index("![steps]") < text.index("Whole training steps") < text.index("peak memory")


def test_sections_measured_later_replace_the_earlier_ones(bench, make_report):
    module = bench("report")
    old, new = make_report(), make_report(whole=False)
    for section in module.SECTIONS:
        if section != "recording":
            del new[section], new["measured"][section]
    new["recording"] = [{**new["recording"][0], "ratio": 77.0}]
    new["measured"]["recording"] = {"command": "python -m benchmarks --section recording", "date": "2031-01-01"}
    new["machine"]["versions"] = {"NumPy": "2.9", "MyGrad": "9"}
    both = module.merged(old, new)
    assert both["whole"]
    assert both["recording"][0]["ratio"] == 77.0
    assert both["layers"] == old["layers"]
    text = module.table(both)
    assert "python -m benchmarks, 2030-01-02; python -m benchmarks --section recording, 2031-01-01: Abacus" in text
    assert "NumPy 2.9, MyGrad 9" in text
    for key, value in (("cpu", "Other"), ("threads", 1), ("versions", {"NumPy": "3"})):
        other = make_report(machine={**old["machine"], key: value})
        with pytest.raises(bench("errors").BenchmarkError, match=f"measured with another {key}"):
            module.merged(old, other)


@pytest.mark.parametrize("layouts", [1, 2])
def test_pictures_are_drawn_of_what_was_measured(bench, make_report, tmp_path, layouts):
    report = make_report()
    if layouts == 1:
        report["layers"] = [row for row in report["layers"] if row["layout"] == "NCHW"]
        for row in report["growth"]:
            row["peer_seconds"] = None
    paths = bench("pictures").write_pictures(report, tmp_path)
    assert set(paths) == {"layers", "roofline", "training", "growth"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths.values())
    alone = {key: value for key, value in report.items() if key not in bench("report").SECTIONS or key == "roofline"}
    (tmp_path / "part").mkdir()
    assert set(bench("pictures").write_pictures(alone, tmp_path / "part")) == {"roofline"}


def test_readme_is_replaced_between_the_markers_only(bench, tmp_path):
    readme, path = bench("readme"), tmp_path / "README.md"
    path.write_text(README)
    readme.write_readme("\n| new |\nend.\n", path)
    once = path.read_text()
    assert (
        once
        == "# Title\n\ntext  \n<!-- benchmarks:begin -->\n\n| new |\nend.\n\n<!-- benchmarks:end -->\n\nafter\ttabs"
    )
    readme.write_readme("| new |\nend.", path)
    assert path.read_text() == once


def test_line_ends_of_the_readme_stay(bench, tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(README.replace("\n", "\r\n").encode())
    bench("readme").write_readme("| new |\n", path)
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
def test_readme_without_a_place_for_the_table_is_left_alone(bench, tmp_path, text):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(bench("errors").BenchmarkError, match=r"README\.md must hold"):
        bench("readme").write_readme("| new |\n", path)
    assert path.read_text() == text


def test_json_is_read_as_it_was_written(bench, make_report, tmp_path):
    report, path = bench("report"), tmp_path / "figures.json"
    report.write_json(make_report(), path)
    assert report.read_json(path) == make_report()


@pytest.mark.parametrize("text", [None, "{", "[]", '{"format": 0, "layers": [1]}', '{"format": 3, "layers": []}'])
def test_other_files_are_no_reports(bench, tmp_path, text):
    path = tmp_path / "figures.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(bench("errors").BenchmarkError, match=r"figures\.json"):
        bench("report").read_json(path)


def test_without_matplotlib_one_line_says_what_to_do(bench, make_report, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(bench("errors").BenchmarkError, match=r"autograd-conv\[bench\]"):
        bench("pictures").write_pictures(make_report(), tmp_path)
    assert not list(tmp_path.iterdir())
