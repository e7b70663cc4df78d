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

    def rest(self, seconds):
        assert 0 < seconds < 0.1
        self.calls.append(".")


def test_ratio_is_that_of_b_to_a(bench):
    clock = Clock()
    timing = bench("measure").compare(clock.function("a", 1.0), clock.function("b", 3.0), 20.0, 3, clock, clock.rest)
    assert (timing.ratio, timing.low, timing.high) == (3.0, 3.0, 3.0)
    assert (timing.seconds_a, timing.seconds_b, timing.rounds) == (1.0, 3.0, 5)


def test_turns_alternate_and_the_least_number_is_kept_to(bench):
    clock = Clock()
    bench("measure").compare(clock.function("a", 1.0), clock.function("b", 1.0), 0.5, 4, clock, clock.rest)
    # The first two find out how long a call takes. Before each sample the other's threads may fall asleep.
    assert "".join(clock.calls) == "ab" + ".a.b" + ".b.a" + ".a.b" + ".b.a"


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
    for layer in (*shapes.LAYERS, *shapes.OTHERS):
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


def test_names_of_layers_differ_and_what_has_a_name_has_its_shape(bench):
    shapes = bench("shapes")
    layers = [*shapes.LAYERS, *shapes.OTHERS]
    known = {layer.name: layer for layer in layers}
    assert len(known) == len(layers)
    for layer, _ in shapes.FORMULATIONS:
        assert known.get(layer.name, layer) == layer


def test_layers_are_selected_by_parts_of_names_and_by_patterns(bench):
    shapes = bench("shapes")
    assert shapes.selection([]) == set(shapes.names())
    assert shapes.selection(["digits"]) == {"digits-first"}
    assert shapes.selection(["avg*", "digits"]) == {"digits-first", "avg-2x2", "avg-3x3-stride2"}
    with pytest.raises(bench("errors").BenchmarkError, match="no layer is called 'xyz'"):
        shapes.selection(["digits", "xyz"])


def test_arithmetic_and_memory_of_a_layer(bench):
    layer = bench("shapes").Convolution("conv", 2, 4, (5, 6), 6, (3, 2), (2, 1), (1, 0), 2)
    assert layer.y_shape == (2, 6, 3, 5)
    assert layer.flop == 2 * (2 * 6 * 3 * 5) * (2 * 3 * 2)
    assert layer.bytes == 4 * (2 * 4 * 5 * 6 + 6 * 2 * 3 * 2 + 2 * 6 * 3 * 5)


def test_slow_peers_get_reduced_layers_and_every_layer_its_control(bench):
    shapes, suite, contenders = bench("shapes"), bench("suite"), bench("contenders")
    peers = [contenders.CONTENDERS[name] for name in contenders.PEERS]
    (layer,) = (layer for layer in shapes.LAYERS if layer.name == "lenet-5x5")
    plan = suite.plan([layer], peers)
    seen = [(item.operation, item.peer_name, item.reduced, item.layer == layer) for item in plan]
    assert seen == [
        ("forward", "numpy", False, True), ("forward", "loops", True, False),
        ("gx", "numpy", False, True), ("gx", "loops", True, False),
        ("gw", "numpy", False, True), ("gw", "loops", True, False),
        ("forward", "control", False, True),
    ]  # fmt: skip
    assert all(item.layer.work <= 2 * suite.QUICK_WORK for item in suite.plan([layer], peers, quick=True))


def test_both_orders_of_memory_and_what_a_peer_cannot_do(bench):
    shapes, suite, contenders = bench("shapes"), bench("suite"), bench("contenders")
    torch, mygrad, scipy = (contenders.CONTENDERS[name] for name in ("torch", "mygrad", "scipy"))
    layer = shapes.Convolution("grouped", 1, 4, (5, 5), 4, (3, 3), groups=2)
    plan = suite.plan([layer], [torch, mygrad, scipy], layouts=contenders.LAYOUTS)
    assert [(item.operation, item.peer_name, item.layout) for item in plan] == [
        *((operation, "torch", layout) for layout in ("NCHW", "NHWC") for operation in ("forward", "gx", "gw")),
        ("forward", "control", "NCHW"),
    ]
    assert mygrad.cannot(layer) == "it has no groups"
    assert scipy.cannot(layer) == "it has no strides and no groups"


def test_channels_last_cases_hold_the_same_numbers(bench):
    shapes, contenders = bench("shapes"), bench("contenders")
    layer = shapes.Convolution("conv", 2, 4, (5, 6), 6, (3, 2))
    first, last = (contenders.make_case(layer, layout) for layout in contenders.LAYOUTS)
    np.testing.assert_array_equal(first.x, last.x)
    np.testing.assert_array_equal(first.gy, last.gy)
    assert first.x.flags.c_contiguous
    assert last.x.transpose(0, 2, 3, 1).flags.c_contiguous


def test_wrong_results_are_not_timed(bench):
    shapes, suite, contenders = bench("shapes"), bench("suite"), bench("contenders")
    numpy = contenders.CONTENDERS["numpy"]
    calls = []

    class Wrong(contenders.Contender):
        name, title, about = "wrong", "Wrong", "wrong in one element"
        by = 0.0

        def prepare(self, case, operation):
            def job():
                calls.append(operation)
                result = numpy.prepare(case, operation)().copy()
                result[0, 1, 2, 0] += self.by
                return result

            return job

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


@pytest.mark.parametrize("name", ["autograd_conv", "kernels", "loops", "torch", "jax", "mygrad", "autograd", "scipy"])
def test_contenders_agree_with_numpy(bench, name):
    shapes, suite, contenders = bench("shapes"), bench("suite"), bench("contenders")
    if contenders.CONTENDERS[name].missing() is not None:
        pytest.skip(f"{name} is not installed")
    ours, numpy = contenders.find(name), contenders.find("numpy")
    plain = shapes.Convolution("plain", 2, 3, (5, 6), 4, (3, 2), padding=(1, 0))
    compared = 0
    for layer in (plain, *small_layers(shapes)):
        if ours.cannot(layer) is not None:
            continue
        for layout in ours.layouts if len(layer.size) == 2 else ("NCHW",):
            case = contenders.make_case(layer, layout)
            for operation in layer.operations:
                results = [c.array(c.prepare(case, operation)(), case, operation) for c in (ours, numpy)]
                assert suite.largest_error(*results, layer.name) < 1e-5
            with pytest.raises(bench("errors").BenchmarkError, match="cannot do 'backwards'"):
                ours.prepare(case, "backwards")
            compared += 1
    assert compared >= 1


def test_an_optional_peer_is_one_only_where_it_can_be_imported(bench, monkeypatch):
    contenders = bench("contenders")
    for name in ("torch", "jax", "mygrad", "autograd", "scipy"):
        monkeypatch.setitem(sys.modules, name, None)
    assert contenders.default_peers() == ["numpy", "loops"]
    with pytest.raises(bench("errors").BenchmarkError, match="torch cannot be measured: there is no module torch"):
        contenders.find("torch")
    assert "PyTorch" not in bench("environment").describe(1)["versions"]


def test_the_chain_of_operations_is_differentiated_right(bench):
    recording, progress = bench("recording"), bench("progress").Progress(9, io.StringIO())
    x, step = np.array([0.5, -0.25, 0.125]), 1e-6
    numeric = (recording.chain(x + step, np.tanh) - recording.chain(x - step, np.tanh)) / (2 * step)
    np.testing.assert_allclose(recording.chain_gradient(x), numeric, rtol=1e-6)
    peers = bench("contenders").default_peers()
    rows = recording.run(peers, 0.001, 2, progress)  # compares the gradients
    assert [row["peer"] for row in rows] == recording.plan(peers)
    assert recording.plan([]) == ["numpy", *recording.WATCHING]
    assert all(row["ratio"] > 0 for row in rows)


def test_an_interpreter_that_fails_is_one_line(bench):
    with pytest.raises(bench("errors").BenchmarkError, match=r"^a fresh interpreter failed: ValueError: no$"):
        bench("interpreter").python(["-c", "raise ValueError('no')"])


def test_growth_changes_one_thing_at_a_time(bench):
    growth = bench("growth")
    assert growth.threads_to_try(1) == [1]
    assert growth.threads_to_try(2) == [1, 2]
    assert growth.threads_to_try(6) == [1, 2, 4, 6]
    base = growth.layer(**growth.BASE)
    for axis, value, point, number in growth.plan(False, 6):
        if axis == "threads":
            assert (point, number) == (base, value)
            continue
        changed = {"batch": point.batch, "channels": point.channels, "size": point.size[0]}
        assert {**growth.BASE, axis: value} == changed
        assert number == 6


def test_what_the_machine_can_do_is_more_than_nothing(bench):
    from autograd_conv.kernels import peak as module

    peak = module.measure(1, quick=True)
    assert min(peak[key] for key in peak if key.endswith("_per_second")) > 1e6


def test_the_tile_that_measures_the_peak_multiplies_matrices():
    from autograd_conv.kernels import peak

    rows, vectors, lanes = 3, 2, 4
    rng = np.random.default_rng(0)
    a = rng.standard_normal((peak.STEPS, rows)).astype(np.float32)
    b = rng.standard_normal((peak.STEPS, vectors * lanes)).astype(np.float32)
    c = np.ones((rows, vectors * lanes), np.float32)
    peak._arithmetic_loop(rows, vectors, lanes)(0, 1, a.ravel(), b.ravel(), c.ravel())
    np.testing.assert_allclose(c, 1 + a.T @ b, rtol=1e-4, atol=1e-4)


def test_memory_of_a_step_is_measured_in_a_process_of_its_own(bench):
    memory = bench("memory")
    if memory.missing() is not None:
        pytest.skip(memory.missing())
    result = bench("interpreter").python(
        ["-m", "benchmarks.memory", "step", "autograd_conv", "lenet", "NCHW", "--quick"]
    )
    assert 0 <= result["bytes"] < result["process"]
    grown = bench("interpreter").python(["-m", "benchmarks.memory", "record", "autograd_conv"])["bytes"]
    assert 100 < grown < 10_000  # an array of three elements, a Tensor, a record


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
