"""Timing with a clock that tells what it is told; and what is planned, reduced, and refused."""

import gc
import io
import sys

import numpy as np
import pytest


class Clock:
    """Stands still but for what the functions under the stop-watch take."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def function(self, name, seconds):
        def call():
            assert not gc.isenabled()
            self.calls.append(name)
            self.now += seconds

        return call


def test_ratio_is_that_of_b_to_a(bench):
    clock = Clock()
    timing = bench("measure").compare(clock.function("a", 1.0), clock.function("b", 3.0), 20.0, 3, clock)
    assert (timing.ratio, timing.low, timing.high) == (3.0, 3.0, 3.0)
    assert (timing.seconds_a, timing.seconds_b, timing.rounds) == (1.0, 3.0, 5)


def test_turns_alternate_and_the_least_number_is_kept_to(bench):
    clock = Clock()
    bench("measure").compare(clock.function("a", 1.0), clock.function("b", 1.0), 0.5, 4, clock)
    assert "".join(clock.calls) == "ab" + "ab" + "ba" + "ab" + "ba"  # the first two find out how long a call takes


def test_short_work_is_repeated(bench):
    clock = Clock()
    timing = bench("measure").compare(clock.function("a", 0.0001), clock.function("b", 1.0), 1.0, 2, clock)
    assert (timing.calls_a, timing.calls_b) == (20, 1)
    assert timing.ratio == pytest.approx(10_000)


def test_collector_is_as_it_was_even_after_an_error(bench):
    measure = bench("measure")

    def fail():
        raise RuntimeError("no")

    assert gc.isenabled()
    with pytest.raises(RuntimeError):
        measure.compare(fail, fail, 1.0, 2)
    assert gc.isenabled()


def test_at_least_two_turns(bench):
    with pytest.raises(ValueError, match="rounds must be at least 2, got 1"):
        bench("measure").compare(int, int, 1.0, 1)


def test_reduced_layers_are_small_and_of_the_same_kind(bench):
    shapes, suite = bench("shapes"), bench("suite")
    for layer in shapes.LAYERS:
        for work in (suite.REDUCED_WORK, suite.QUICK_WORK):
            small = layer.reduced(work)
            assert small.work <= min(2 * work, layer.work)
            assert type(small) is type(layer)
            same = (
                ("name", "out")
                if isinstance(layer, shapes.AdaptivePooling)
                else ("name", "kernel", "stride", "padding")
            )
            assert [getattr(small, name) for name in same] == [getattr(layer, name) for name in same]
            assert small.batch == 1
            assert all(extent > 0 for extent in (*small.x_shape, *small.y_shape))
            assert layer.operations == small.operations
        if isinstance(layer, (shapes.Convolution, shapes.Transposed)):
            assert (small.groups > 1) == (layer.groups > 1)
            assert (small.groups == small.channels) == (layer.groups == layer.channels)


def test_names_of_layers_differ(bench):
    shapes = bench("shapes")
    for layers in (shapes.LAYERS, [layer for layer, _ in shapes.FORMULATIONS]):
        names = [layer.name for layer in layers]
        assert len(set(names)) == len(names)


def test_what_has_the_name_of_a_layer_has_its_shape(bench):
    shapes = bench("shapes")
    known = {layer.name: layer for layer in shapes.LAYERS}
    for layer, _ in shapes.FORMULATIONS:
        assert known.get(layer.name, layer) == layer


def test_layers_are_selected_by_parts_of_names_and_by_patterns(bench):
    shapes = bench("shapes")

    def names(*patterns):
        return [layer.name for layer in shapes.select(patterns)[0]]

    assert names() == [layer.name for layer in shapes.LAYERS]
    assert names("digits") == ["digits-first"]
    assert names("tiny") == []
    assert [layer.name for layer, _ in shapes.select(["tiny"])[1]] == ["tiny-3x3"]
    assert names("avg*", "digits") == ["digits-first", "avg-2x2", "avg-3x3-stride2"]
    with pytest.raises(bench("errors").BenchmarkError, match="no layer is called 'xyz'"):
        names("digits", "xyz")


def test_slow_peers_get_reduced_layers_and_every_layer_its_control(bench):
    shapes, suite, contenders = bench("shapes"), bench("suite"), bench("contenders")
    peers = [contenders.CONTENDERS[name] for name in contenders.PEERS]
    (layer,), _ = shapes.select(["lenet-5x5"])
    plan = suite.plan([layer], peers)
    seen = [(item.operation, item.peer_name, item.reduced, item.layer == layer) for item in plan]
    assert seen == [
        ("forward", "numpy", False, True), ("forward", "loops", True, False),
        ("gx", "numpy", False, True), ("gx", "loops", True, False),
        ("gw", "numpy", False, True), ("gw", "loops", True, False),
        ("forward", "control", False, True),
    ]  # fmt: skip
    assert all(item.layer.work <= 2 * suite.QUICK_WORK for item in suite.plan([layer], peers, quick=True))


def test_wrong_results_are_not_timed(bench):
    shapes, suite, contenders = bench("shapes"), bench("suite"), bench("contenders")
    numpy = contenders.CONTENDERS["numpy"]
    calls = []

    class Wrong:
        name, title, about, slow = "wrong", "Wrong", "wrong in one element", False
        by = 0.0

        def missing(self):
            return None

        def prepare(self, case, operation):
            def job():
                calls.append(operation)
                result = numpy.prepare(case, operation)().copy()
                result[0, 1, 2, 0] += self.by
                return result

            return job

        def array(self, result, case, operation):
            return result

    layer = shapes.Convolution("tiny", 1, 2, (4, 4), 2, (2, 2))
    comparison = suite.Comparison(layer, "forward", Wrong(), False)
    case = contenders.make_case(layer)
    assert suite.measure(comparison, case, numpy, 0.001, 2)["ratio"] > 0
    for by in (0.01, np.nan, np.inf):
        calls.clear()
        Wrong.by = by
        with pytest.raises(
            bench("errors").WrongResultError, match=r"tiny forward, numpy and wrong: .* at \(0, 1, 2, 0\)"
        ):
            suite.measure(comparison, case, numpy, 0.001, 2)
        assert calls == ["forward"]


def test_shapes_must_agree(bench):
    with pytest.raises(bench("errors").WrongResultError, match=r"here: .* not comparable"):
        bench("suite").largest_error(np.zeros(2, np.float32), np.zeros(2), "here")


def test_formulations_are_compared_with_the_default(bench):
    shapes, suite = bench("shapes"), bench("suite")
    plan = suite.plan_formulations(shapes.FORMULATIONS)
    tiny = {(item.operation, item.peer_name) for item in plan if item.layer.name == "tiny-3x3"}
    methods = ("direct", "im2col", "padpad", "kronecker")
    assert tiny == {(operation, method) for operation in ("forward", "gx", "gw") for method in methods}
    assert not any(item.reduced for item in plan)
    assert all(item.reduced for item in suite.plan_formulations(shapes.FORMULATIONS, quick=True))


def small_layers(shapes):
    return [
        shapes.Convolution("conv", 2, 4, (5, 6), 6, (3, 2), (2, 1), (1, 0), 2),
        shapes.Convolution("conv1d", 2, 4, (9,), 6, (3,), (2,), (1,), 2),
        shapes.Convolution("conv3d", 2, 2, (4, 5, 3), 4, (3, 2, 1), (1, 2, 1), (1, 0, 1)),
        shapes.Transposed("transposed", 2, 4, (3, 4), 6, (4, 3), (2, 1), (1, 0), 2),
        shapes.Transposed("transposed1d", 2, 3, (4,), 2, (3,), (2,), (1,)),
        shapes.Pooling("max", "max", 2, 2, (5, 6), (3, 3), (2, 2), (1, 1)),
        shapes.Pooling("avg", "avg", 2, 2, (5, 6), (2, 2), (2, 2)),
        shapes.AdaptivePooling("adaptive-max", "max", 2, 3, (5, 7), (3, 4)),
        shapes.AdaptivePooling("adaptive-avg", "avg", 2, 3, (5, 7), (3, 4)),
        shapes.AdaptivePooling("global-max", "max", 2, 3, (5, 7), (1, 1)),
        shapes.AdaptivePooling("global-avg", "avg", 2, 3, (5,), (1,)),
    ]


@pytest.mark.parametrize("name", ["autograd_conv", "kernels", "loops", "torch"])
def test_contenders_agree_with_numpy(bench, name):
    shapes, suite, contenders = bench("shapes"), bench("suite"), bench("contenders")
    if contenders.CONTENDERS[name].missing() is not None:
        pytest.skip(f"{name} is not installed")
    ours, numpy = contenders.find(name), contenders.find("numpy")
    for layer in small_layers(shapes):
        case = contenders.make_case(layer)
        for operation in layer.operations:
            results = [c.array(c.prepare(case, operation)(), case, operation) for c in (ours, numpy)]
            assert suite.largest_error(*results, layer.name) < 1e-5
        with pytest.raises(bench("errors").BenchmarkError, match="cannot do 'backwards'"):
            ours.prepare(case, "backwards")


def test_an_optional_peer_is_one_only_where_it_can_be_imported(bench, monkeypatch):
    contenders = bench("contenders")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert contenders.default_peers() == ["numpy", "loops"]
    with pytest.raises(bench("errors").BenchmarkError, match="torch cannot be measured: it cannot be imported"):
        contenders.find("torch")
    assert "PyTorch" not in bench("environment").describe(1)["versions"]


def test_the_chain_of_operations_is_differentiated_right(bench):
    startup = bench("startup")
    x, step = np.array([0.5, -0.25, 0.125]), 1e-6
    numeric = (startup.chain(x + step, np.tanh) - startup.chain(x - step, np.tanh)) / (2 * step)
    np.testing.assert_allclose(startup.chain_gradient(x), numeric, rtol=1e-6)
    assert all(row["ratio"] > 0 for row in startup.recording(0.001, 2))


def test_an_interpreter_that_fails_is_one_line(bench):
    with pytest.raises(bench("errors").BenchmarkError, match=r"^a fresh interpreter failed: ValueError: no$"):
        bench("startup")._python(["-c", "raise ValueError('no')"])


def test_progress_shows_itself_only_on_a_terminal(bench):
    progress = bench("progress")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, shown in ((io.StringIO(), False), (Terminal(), True)):
        with progress.Progress(2, stream) as bar:
            bar.begin("first")
            bar.step()
        assert ("0/2" in stream.getvalue()) == shown
    assert progress.line(1, 4, 10.0, "x").startswith("[######..................] 1/4   30 s left x")
    assert progress.line(0, 0, 0.0, "").endswith("0/0")
