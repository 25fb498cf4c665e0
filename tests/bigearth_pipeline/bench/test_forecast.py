"""Predictions of epochs: that they follow from what was measured."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigearth_pipeline.bench.loader.forecast import DATASETS, Memory, predict
from bigearth_pipeline.bench.loader.measure import SOURCES
from bigearth_pipeline.bench.rate import Rate
from shards.layout.bands import RECORD_BYTES
from trainer.data.stream.cache import SHARE_OF_GPU, SHARE_OF_RAM

PREFIXES = {"ram": "ram_", "gpu-encoded": "gpu_encoded_", "gpu": "gpu_"}
"""Of the names of passes, by place."""
NAMES = [
    "cold_record",
    *(f"{prefix}{layout}" for prefix in ("", *PREFIXES.values()) for layout in ("stacked", "native")),
]
PLENTY = Memory(ram=10**13, gpu=10**13)
passes = st.lists(st.floats(1, 1e6), min_size=1, max_size=4).map(lambda values: Rate(tuple(values)))


@given(
    st.fixed_dictionaries({name: st.one_of(st.none(), passes) for name in NAMES}),
    st.integers(0, 10**12),
    st.one_of(st.none(), st.integers(0, 10**12)),
    st.floats(1, RECORD_BYTES),
)
def test_nothing_is_predicted_that_was_not_measured(
    measured: dict[str, Rate | None], ram: int, gpu: int | None, size: float
) -> None:
    """A time is made up, is of records that there is no room for, or lacks its reason when it is absent."""
    rates = {name: rate for name, rate in measured.items() if rate is not None}
    missing = {name: f"no {name}" for name, rate in measured.items() if rate is None}
    found = predict(SOURCES, rates, missing, size, Memory(ram, gpu))
    assert [(epoch.dataset, epoch.place) for epoch in found] == [
        (dataset, place) for dataset in DATASETS for place in ("disk", "disk, cold", *PREFIXES)
    ]
    for epoch in found:
        room = {
            "disk": epoch.patches * size <= ram,
            "disk, cold": True,
            "ram": epoch.patches * size <= SHARE_OF_RAM * ram,
            "gpu-encoded": epoch.patches * size <= SHARE_OF_GPU * (gpu or 0),
            "gpu": epoch.patches * RECORD_BYTES <= SHARE_OF_GPU * (gpu or 0),
        }[epoch.place]
        prefix = PREFIXES.get(epoch.place, "")
        needed = {f"{prefix}{layout}" for layout in ("stacked", "native")}
        needed |= {"cold_record"} if epoch.place == "disk, cold" else set()
        assert epoch.patches == DATASETS[epoch.dataset]
        assert bool(epoch.seconds) == (epoch.why_not is None) == (room and needed <= rates.keys())
        assert {name for names in epoch.measured_by.values() for name in names} == (needed if epoch.seconds else set())
        for layout, seconds in epoch.seconds.items():
            slowest = min(rates[name].median for name in epoch.measured_by[layout])
            assert seconds == pytest.approx(epoch.patches / slowest)


def best(rates: dict[str, Any], memory: Memory = PLENTY) -> set[str]:
    """Return which places are the best for each dataset, of native images with these passes."""
    found = {name: Rate(tuple(map(float, values))) for name, values in rates.items()}
    found |= {name.replace("native", "stacked"): rate for name, rate in found.items()}
    missing = dict.fromkeys(set(NAMES) - found.keys(), "not measured")
    epochs = predict(SOURCES, found, missing, 100_000, memory)
    places = {
        dataset: [epoch.place for epoch in epochs if epoch.dataset == dataset and epoch.is_best] for dataset in DATASETS
    }
    assert all(len(some) == 1 for some in places.values())
    return {some[0] for some in places.values()}


def test_the_best_place_is_the_fastest_one() -> None:
    """The advice is for a slower place, or for one that takes memory for nothing."""
    rates = {"cold_record": [10, 11, 12], "native": [90, 100, 110], "ram_native": [190, 200, 210]}
    assert best(rates) == {"ram"}
    assert best(rates | {"gpu_native": [400]}) == {"gpu"}
    # As fast, in half of the memory.
    assert best(rates | {"gpu_native": [400], "gpu_encoded_native": [400]}) == {"gpu-encoded"}
    # Within the spread of the passes.
    assert best(rates | {"ram_native": [105, 120, 130]}) == {"disk"}
    assert best(rates | {"ram_native": [111, 120, 130]}) == {"ram"}
    # The page cache has no room for what is read.
    assert best(rates, Memory(ram=10**9, gpu=None)) == {"disk, cold"}
    # Reading is faster than preparing, so nothing is gained in memory.
    assert best(rates | {"cold_record": [300], "ram_native": [95, 100, 105]}, Memory(ram=10**9, gpu=None)) == {
        "disk, cold"
    }


def test_room_is_that_of_cache_auto() -> None:
    """A place is recommended that `--cache auto` would not take, or that ends in a lack of memory."""
    rates = {name: Rate((100.0,)) for name in NAMES}
    size, patches = 100_000, DATASETS["v2 train"]

    def places(ram: float, gpu: float) -> set[str]:
        epochs = predict(SOURCES, rates, {}, size, Memory(int(ram), int(gpu)))
        return {epoch.place for epoch in epochs if epoch.dataset == "v2 train" and epoch.seconds}

    assert places(0, 0) == {"disk, cold"}
    assert places(1.001 * size * patches, 0) == {"disk, cold", "disk"}
    assert places(1.999 * size * patches, 0) == {"disk, cold", "disk"}
    assert places(2.001 * size * patches, 0) == {"disk, cold", "disk", "ram"}
    assert places(0, size * patches / 0.601) == {"disk, cold"}
    assert places(0, size * patches / 0.599) == {"disk, cold", "gpu-encoded"}
    assert places(0, RECORD_BYTES * patches / 0.601) == {"disk, cold", "gpu-encoded"}
    assert places(0, RECORD_BYTES * patches / 0.599) == {"disk, cold", "gpu-encoded", "gpu"}
