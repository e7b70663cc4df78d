"""Networks of the benchmarks: every library trains the same one."""

import io

import numpy as np
import pytest


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_losses_agree_and_are_compared(bench, name, monkeypatch):
    contenders, networks, training = bench("contenders"), bench("networks"), bench("training")
    peer = contenders.CONTENDERS[name]
    if peer.missing() is not None:
        pytest.skip(f"{name} is not installed")
    body = (networks.Conv("a", 4, 4, 3, padding=1, bias=False), networks.Norm("n", 4))
    parts = (
        networks.Conv("stem", 2, 4, 3, stride=2), networks.Relu(), networks.Residual(body), networks.MaxPool(),
        networks.Residual(body[:1], (networks.Conv("s", 4, 4, 1),)), networks.Flatten(), networks.Linear("f", 16, 10),
    )  # fmt: skip
    average = (networks.Conv("stem", 2, 5, 3), networks.GlobalAverage(), networks.Linear("f", 5, 10))
    small, other = (networks.Network("small", "Small", 3, 2, 9, some) for some in (parts, average))
    plan = [*((small, peer, layout) for layout in peer.layouts), (other, peer, "NHWC")]
    progress = bench("progress").Progress(len(plan), io.StringIO())
    rows = training.run(plan, contenders.find("autograd_conv"), 0.001, 2, progress)
    assert [row["layout"] for row in rows] == ["NCHW", "NHWC", "NHWC"]
    assert all(row["ratio"] > 0 for row in rows)
    monkeypatch.setattr(bench(type(peer).__module__.removeprefix("benchmarks.")), "LEARNING_RATE", 1.0)
    with pytest.raises(bench("errors").WrongResultError, match=f"small, autograd_conv and {name} NCHW: the losses are"):
        training.run(plan[:1], contenders.find("autograd_conv"), 0.001, 2, progress)


def test_networks_are_what_they_are_called(bench):
    networks = bench("networks")
    found = {network.name: network for network in networks.NETWORKS}
    counts = {
        name: sum(isinstance(part, networks.Conv) and part.kernel > 1 for part in networks.flat(network.parts))
        for name, network in found.items()
    }
    assert counts == {"lenet": 2, "cnn": 2, "vgg": 6, "resnet20": 19}
    sizes = {name: sum(array.size for array in network.parameters().values()) for name, network in found.items()}
    assert sizes["lenet"] == 61_706  # LeNet-5, as it is known
    assert abs(sizes["resnet20"] - 272_474) < 4_000  # He et al. 2016, table 6: 0.27 million; their shortcuts have none
    for network in found.values():
        first, again = network.parameters(), network.parameters()
        assert all(np.array_equal(first[name], again[name]) and first[name] is not again[name] for name in first)
