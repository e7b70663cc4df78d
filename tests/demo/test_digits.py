"""The demo, from its command line: what it writes, what it says, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autograd_conv as ac
from autograd_conv.__main__ import main
from autograd_conv.demo import digits


def run(capsys, *arguments):
    """Call the command line; return exit code, standard output and standard error."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder that an epoch on one thread was written to, in a folder that was not there."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "run"
    assert main(["digits", "--epochs", "1", "--threads", "1", "--output", str(folder)]) == 0
    return folder


def test_an_epoch_learns_and_writes_everything(finished):
    facts = json.loads((finished / "history.json").read_text(encoding="utf-8"))
    assert facts["test_accuracy"] > 0.7
    assert facts["history"]["test_accuracy"] == [facts["test_accuracy"]]
    assert facts["history"]["epoch"] == [1.0]
    assert facts["settings"]["epochs"] == 1
    assert facts["settings"]["threads"] == 1
    assert sorted(p.name for p in finished.iterdir()) == ["digits.png", "history.json", "parameters.npz"]


def test_the_picture_is_a_png(finished):
    import matplotlib.image

    content = (finished / "digits.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    picture = matplotlib.image.imread(finished / "digits.png")
    assert picture.ndim == 3
    assert min(picture.shape[:2]) > 500
    assert picture.std() > 0.05


def test_saved_parameters_reproduce_the_accuracy(finished):
    parameters = {name: ac.tensor(array) for name, array in ac.load(finished / "parameters.npz").items()}
    assert all(p.dtype == np.float32 for p in parameters.values())
    data = digits.load_data(np.random.default_rng(digits.Settings().seed))
    loss, probabilities = digits.evaluate(parameters, data.test_images, data.test_labels)
    facts = json.loads((finished / "history.json").read_text(encoding="utf-8"))
    assert np.mean(probabilities.argmax(axis=1) == data.test_labels) == facts["test_accuracy"]
    assert loss == facts["history"]["test_loss"][-1]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_result_does_not_depend_on_the_number_of_threads(finished, tmp_path, capsys):
    before = ac.get_num_threads()
    code, out, err = run(capsys, "digits", "--epochs", 1, "--threads", 3, "--output", tmp_path)
    assert (code, err) == (0, "")
    assert ac.get_num_threads() == before
    one, three = ac.load(finished / "parameters.npz"), ac.load(tmp_path / "parameters.npz")
    assert one.keys() == three.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], three[name], err_msg=name)
    # Not a terminal: a line for each epoch, then the table.
    assert "threads 3" in out
    assert sum(line.startswith("epoch ") for line in out.splitlines()) == 1
    assert "images/s" in out
    assert "read as" in out
    assert "test accuracy" in out.splitlines()[-2]
    assert str(tmp_path) in out.splitlines()[-1]
    assert "\r" not in out


def test_another_seed_is_another_split():
    first, second = (digits.load_data(np.random.default_rng(seed)) for seed in (0, 1))
    assert first.test_images.shape == second.test_images.shape
    assert not np.array_equal(first.test_images, second.test_images)


def test_the_split_is_stratified_and_disjoint():
    data = digits.load_data(np.random.default_rng(0))
    assert len(data.train_labels) + len(data.test_labels) == 1797
    assert data.train_images.dtype == np.float32
    assert data.train_images.max() == 1
    for digit in range(10):
        held_back = np.sum(data.test_labels == digit)
        assert held_back == round(0.2 * (held_back + np.sum(data.train_labels == digit)))
    # No image twice, except for the few that are equal in the data set itself.
    seen = {image.tobytes() for image in data.train_images}
    assert sum(image.tobytes() in seen for image in data.test_images) <= 2


def test_augmentation_without_distortion_changes_nothing():
    rng = np.random.default_rng(3)
    images = rng.random((5, 1, 8, 8)).astype(np.float32)
    same = digits.augment(images, rng, turn=0, zoom=0, shift=0)
    assert same.dtype == np.float32
    np.testing.assert_allclose(same, images, atol=1e-6)


def test_augmentation_keeps_images_where_they_are():
    rng = np.random.default_rng(4)
    images = np.zeros((200, 1, 8, 8), np.float32)
    images[:, :, 3:5, 3:5] = 1
    new = digits.augment(images, rng)
    assert new.shape == images.shape
    assert new.min() >= 0
    assert new.max() <= 1 + 1e-6
    np.testing.assert_allclose(new.mean(axis=0), images.mean(axis=0), atol=0.35)
    np.testing.assert_allclose(new.sum(axis=(1, 2, 3)), 4, atol=1.0)
    assert not np.array_equal(new[0], new[1])


def test_initial_parameters_are_reproducible():
    first, second = (digits.initial_parameters(np.random.default_rng(5)) for _ in range(2))
    for name, p in first.items():
        assert p.requires_grad
        assert p.dtype == np.float32
        np.testing.assert_array_equal(p.numpy(), second[name].numpy())


def test_a_loss_that_is_no_number_ends_in_one_line(tmp_path, capsys):
    code, _, err = run(capsys, "digits", "--epochs", 1, "--lr", "1e30", "--output", tmp_path)
    assert code == 1
    assert_one_line(err, "the loss became", "--learning-rate")
    assert not (tmp_path / "parameters.npz").exists()


# --- errors before anything is done -------------------------------------------------------------------------


def assert_one_line(err, *parts):
    assert err.startswith("autograd_conv: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["digits", "--colour"], ["--colour", "python -m autograd_conv", "--help"]),
        (["digits", "--epoch", "1"], ["--epoch"]),
        (["letters"], ["letters", "digits"]),
        (["--fast"], ["--fast"]),
        (["digits", "--epochs"], ["--epochs", "expected one argument"]),
        (["digits", "--epochs", "0"], ["--epochs", "at least 1, not 0"]),
        (["digits", "--epochs", "many"], ["--epochs", "'many' is no whole number"]),
        (["digits", "--epochs", "1.5"], ["--epochs", "'1.5' is no whole number"]),
        (["digits", "--batch-size", "-3"], ["--batch-size", "at least 1, not -3"]),
        (["digits", "--learning-rate", "0"], ["--learning-rate", "above 0"]),
        (["digits", "--lr", "nan"], ["--lr", "above 0"]),
        (["digits", "--lr", "inf"], ["--lr", "finite"]),
        (["digits", "--lr", "small"], ["--lr", "'small' is no number"]),
        (["digits", "--threads", "0"], ["--threads", "at least 1"]),
        (["digits", "--seed", "-1"], ["--seed", "at least 0, not -1"]),
        (["digits", "--output", ""], ["--output", "empty"]),
    ],
)
def test_wrong_arguments(arguments, parts, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert_one_line(err, *parts)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_way_of_the_output(below, tmp_path, capsys):
    file = tmp_path / "taken"
    file.write_text("something of value")
    code, out, err = run(capsys, "digits", "--output", file / below)
    assert (code, out) == (2, "")
    assert_one_line(err, str(file / below), "a file is in the way", "--output")
    assert file.read_text() == "something of value"


def test_an_output_folder_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    code, out, err = run(capsys, "digits", "--output", tmp_path)
    assert (code, out) == (2, "")
    assert_one_line(err, str(tmp_path), "Permission denied", "--output")


def test_a_disk_that_is_full_in_the_end(tmp_path, capsys, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ac, "save", refuse)
    code, _, err = run(capsys, "digits", "--epochs", 1, "--batch-size", 500, "--output", tmp_path)
    assert code == 1
    assert_one_line(err, str(tmp_path), "No space left on device")


@pytest.mark.parametrize(
    ("blocked", "package"), [("sklearn", "scikit-learn"), ("matplotlib", "matplotlib"), ("sklearn.datasets", "scikit")]
)
def test_a_missing_package(blocked, package, tmp_path, capsys, monkeypatch):
    for name in [name for name in sys.modules if name == blocked or name.startswith(blocked + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, blocked, None)
    code, out, err = run(capsys, "digits", "--output", tmp_path / "run")
    assert (code, out) == (2, "")
    assert_one_line(err, f"digits needs {package}", 'python -m pip install "autograd-conv[demo]"')
    assert not (tmp_path / "run").exists()


def test_a_strange_environment_variable(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "autograd_conv", "digits", "--output", str(tmp_path)],
        env={**os.environ, "AUTOGRAD_CONV_NUM_THREADS": "all"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert_one_line(result.stderr, "AUTOGRAD_CONV_NUM_THREADS", "'all'")


# --- help ---------------------------------------------------------------------------------------------------


def test_without_arguments_there_is_help(capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert "usage: python -m autograd_conv" in out
    assert "digits" in out
    assert "exit codes" in out


def test_help_names_every_option(capsys):
    code, out, err = run(capsys, "digits", "--help")
    assert (code, err) == (0, "")
    for option in ("--epochs", "--batch-size", "--learning-rate", "--seed", "--threads", "--output"):
        assert option in out


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"autograd_conv {ac.__version__}\n", "")


def test_help_imports_nothing_slow():
    code = (
        "import sys; from autograd_conv.__main__ import main; main([]);"
        "assert not {'numba', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


# --- Ctrl-C -------------------------------------------------------------------------------------------------

# The process that tests run in may ignore SIGINT (in the background of a shell, say), and children inherit that.
INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from autograd_conv.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


def start(folder: Path):
    return subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "digits", "--epochs", "100000", "--output", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_saves_what_was_learned(tmp_path):
    with start(tmp_path) as process:
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, "")
    assert "Ctrl-C: ended after" in out
    assert "saved" in out
    assert "test accuracy" in out
    facts = json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert len(facts["history"]["epoch"]) >= 1
    assert facts["test_accuracy"] > 0.5
    parameters = {name: ac.tensor(array) for name, array in ac.load(tmp_path / "parameters.npz").items()}
    data = digits.load_data(np.random.default_rng(0))
    _, probabilities = digits.evaluate(parameters, data.test_images, data.test_labels)
    assert np.mean(probabilities.argmax(axis=1) == data.test_labels) == facts["test_accuracy"]
    assert (tmp_path / "digits.png").stat().st_size > 10_000


def test_ctrl_c_before_anything_was_learned(tmp_path, capsys, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(digits, "load_data", interrupt)
    before = signal.getsignal(signal.SIGINT)
    code, out, err = run(capsys, "digits", "--output", tmp_path)
    assert (code, out) == (130, "")
    assert "interrupted" in err
    assert signal.getsignal(signal.SIGINT) is before
