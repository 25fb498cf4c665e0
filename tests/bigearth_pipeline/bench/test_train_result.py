"""Limit of training, as its rates show it."""

from dataclasses import replace

import pytest

from bigearth_pipeline.bench.loader.forecast import Memory
from bigearth_pipeline.bench.rate import Rate
from bigearth_pipeline.bench.train.result import TrainBench
from trainer.data.stream.cache import TIERS


def bench(resident: float, fed: float, loader: float, *, waited: float, on_gpu: bool = True) -> TrainBench:
    """Return what was measured with these rates."""
    return TrainBench(
        config={"cache": "none"},
        rates={"resident": Rate((resident,)), "fed": Rate((fed,)), "loader": Rate((loader,))},
        missing={"cold_loader": "not possible"},
        wait_share=waited,
        other_share=0.0,
        idle_share=waited if on_gpu else None,
        host_cores=1.0,
        memory_bytes=1 if on_gpu else None,
        bytes_per_patch=100_000,
        memory=Memory(10**12, None),
        environment={},
    )


@pytest.mark.parametrize(
    ("found", "limit", "says"),
    [
        (bench(100, 99, 400, waited=0.01), "device", "the device is the limit: the loader alone is 4 times"),
        (bench(100, 99, 12_345, waited=0.01), "device", "the loader alone is 123 times as fast"),
        (bench(100, 96, 110, waited=0.04), "device", "1.1 times as fast only"),
        (bench(100, 60, 61, waited=0.4), "loader", "at 61 % of the device's rate"),
        (bench(100, 80, 300, waited=0.19), "host", "take cores from each other"),
        (bench(100, 80, 300, waited=0.01), "host", "too long to ask for a step"),
        (bench(100, 80, 300, waited=0.01, on_gpu=False), "host", "take cores from each other"),
    ],
)
def test_the_limit_is_named(found: TrainBench, limit: str, says: str) -> None:
    """A user buys a faster disk where the device is the limit, or a faster device where the loader is."""
    assert found.limit == limit == found.to_json()["limit"]
    assert says in found.advice


def test_the_limit_follows_the_saturation() -> None:
    """Training that reaches all that the device can do is called limited by the loader, or the other way round."""
    for fed in range(1, 101):
        for loader in (fed, 99, 101, 1000):
            found = bench(100, fed, loader, waited=0.0)
            assert found.saturation == fed / 100
            assert (found.limit == "device") == (fed >= 95)
            assert (found.limit == "loader") == (fed < 95 and loader < 100)


@pytest.mark.parametrize("tier", [tier for tier in TIERS if tier != "none"])
def test_epochs_are_those_of_the_tier_that_the_steps_had(tier: str) -> None:
    """Training with records in memory is predicted for a disk, or for more than the memory has room for, or not."""
    found = replace(bench(200, 100, 300, waited=0.5), config={"cache": tier}, memory=Memory(10**12, 10**12))
    assert [(epoch.dataset, epoch.place, epoch.seconds) for epoch in found.epochs] == [
        ("v2 train", tier, {"steps": 2378.71}),
        ("v1", tier, {"steps": 5903.26}),
    ]
    assert all(not epoch.seconds for epoch in replace(found, memory=Memory(10**9, None)).epochs)


def test_encoded_records_need_less_of_a_gpu_than_decoded_ones() -> None:
    """Epochs are said not to fit into a GPU that `cache=gpu` keeps their encoded records on."""
    # v2 train: 38 GB decoded, 24 GB encoded; 60 % of 50 GB may be taken.
    found = replace(bench(200, 100, 300, waited=0.5), memory=Memory(0, 50 * 10**9))
    places = {tier: replace(found, config={"cache": tier}).epochs[0].why_not for tier in ("gpu", "gpu-encoded")}
    assert places == {
        "gpu": "38.1 GB are too much for 60 % of the 50.0 GB of device memory free",
        "gpu-encoded": None,
    }


def test_a_disk_can_limit_an_epoch() -> None:
    """Rates measured in the page cache are predicted for a dataset that is too large for it."""
    found = replace(bench(200, 100, 300, waited=0.5), memory=Memory(3 * 10**10, None))
    assert [epoch.seconds for epoch in found.epochs] == [{"steps": 2378.71}, {}, {}, {}]
    assert [epoch.why_not for epoch in found.epochs if epoch.place == "disk, cold"] == ["not possible"] * 2
    found = replace(found, rates=found.rates | {"cold_loader": Rate((50.0,))}, missing={})
    assert [epoch.seconds for epoch in found.epochs if epoch.place == "disk, cold"] == [
        {"steps": 2 * 2378.71},
        {"steps": 2 * 5903.26},
    ]
