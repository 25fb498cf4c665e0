"""Work that a GPU would have to do for a batch, counted from the graphs that are built."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import fn
from nvidia.dali.backend import RegisteredGPUOps
from nvidia.dali.pipeline import Pipeline
from nvidia.dali.types import DALIDataType

from shards import BANDS
from tools.gpu.predict.counts import Cost, TorchCost, run_graph, schemas_of
from tools.gpu.predict.encoded import ENCODED_BYTES
from tools.gpu.predict.engines import (
    CARDS,
    CASES,
    ENGINES,
    PATCHES,
    Case,
    Found,
    by_cache,
    by_dali,
    by_encoded,
    by_encoded_cache,
    by_triton,
    target,
)
from tools.gpu.predict.launches import render, render_operators
from trainer.data.batch import Layout
from trainer.data.prepare.dali.pipeline import DaliPreparation, _pipeline
from trainer.data.prepare.dali.record_graph import RecordGraph
from trainer.definition.augmentation import RECIPES
from trainer.definition.choices import Interpolation

MOST_LAUNCHES = 40
MOST_BYTES = 1.6e6
"""A patch."""
MOST_REST = {"stacked": 7, "native": 11}
"""Launches after the images: erased boxes, labels, MixUp and CutMix."""

CPU = torch.device("cpu")


@pytest.mark.product
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.recipe}-{case.layout}-{case.interpolation}")
def test_dali_launches_and_moves_little(case: Case) -> None:
    """An operator that launches once for each patch disturbs every training step, or bytes are moved once more."""
    found = by_dali(case)
    assert found.images.launches + found.rest.launches <= MOST_LAUNCHES
    assert found.images.device_bytes / PATCHES <= MOST_BYTES
    assert 160_000 <= found.images.bus_bytes / PATCHES < 161_000
    assert found.rest.launches <= MOST_REST[case.layout]
    assert found.rest.device_bytes / PATCHES <= 1.4e6
    # Where it is not the kernel that erases, patches are too large once they are mixed.
    if (case.recipe, case.interpolation) != ("strong", "nearest"):
        assert (found.images.device_bytes + found.rest.device_bytes) / PATCHES <= MOST_BYTES


def test_boxes_are_blended_in_float32_only() -> None:
    """DALI has learned to enlarge with bilinear pixels into 16 bits a value, and `RecordGraph` is needed no longer.

    What its operators return for uint16 is uint16, in steps that are coarser than what images may be off by, or
    float32: 160 kB from the host, 691 kB written and read, and 346 kB of an image are more than the bound.
    """
    record, pixels = 160_000, len(BANDS) * 120**2
    assert record + 2 * 4 * pixels + 2 * pixels > MOST_BYTES

    def resized(**options: Any) -> np.ndarray[Any, Any]:
        values = np.array([[[0, 1], [1, 2]]] * 2, np.uint16).repeat(2, 0)
        pipe = Pipeline(batch_size=1, num_threads=1, device_id=None)
        with pipe:
            bands = fn.external_source(source=lambda: [values], layout="CHW")
            pipe.set_outputs(fn.resize(bands, size=[3, 3], antialias=False, **options))
        return np.asarray(pipe.run()[0].at(0))

    assert resized(dtype=DALIDataType.FLOAT).dtype == np.float32
    assert resized().dtype == np.uint16
    with pytest.raises(RuntimeError, match="original type or float"):
        resized(dtype=DALIDataType.FLOAT16)
    with pytest.raises(RuntimeError, match="Unsupported input/output types"):
        count(lambda values: warped(values, DALIDataType.FLOAT16), 1)


def warped(values: Any, dtype: DALIDataType) -> Any:
    """Define a bilinear warp of (2, 4, 4) uint16 as int16."""
    volume = fn.reinterpret(values, dtype=DALIDataType.INT16, shape=[2, 4, 4, 1], layout="DHWC")
    return fn.warp_affine(volume, matrix=[1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], dtype=dtype)


@pytest.mark.product
@pytest.mark.parametrize("bands", [BANDS[::-1], tuple(sorted(BANDS))], ids=["reversed", "sorted"])
@pytest.mark.parametrize(
    ("recipe", "interpolation"),
    [("standard", "nearest"), ("standard", "bilinear"), ("strong", "nearest"), ("strong", "bilinear")],
)
def test_bands_in_any_order_launch_little(recipe: str, interpolation: Interpolation, bands: tuple[str, ...]) -> None:
    """Bands that are not in the order of the record cost operators of their own, or a pass over the whole image."""
    found = by_dali(Case(recipe, "stacked", interpolation, bands)).images
    assert found.launches <= MOST_LAUNCHES
    assert found.device_bytes / PATCHES <= MOST_BYTES


@pytest.mark.product
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_what_is_counted_is_what_is_built(recipe: str, interpolation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operators that are counted are others than those that prepare batches."""
    case = Case(recipe, "stacked", interpolation)
    built = DaliPreparation(
        case.normalisation,
        batch_size=2,
        device=CPU,
        num_threads=1,
        interpolation=interpolation,
        augmentation=RECIPES[recipe],
        batched=True,
    )
    seen: list[list[str]] = []

    def watched(*arguments: Any) -> Any:
        operators, returned = run_graph(*arguments)
        seen.append(sorted(one.schema for one in operators if one.schema != "ExternalSource"))
        return operators, returned

    monkeypatch.setattr("tools.gpu.predict.engines.run_graph", watched)
    by_dali(case)
    assert seen == [schemas_of(built._pipeline)]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_all_operators_are_on_the_gpu(recipe: str, interpolation: Any) -> None:
    """An operator is one for the CPU, or pixels go back to the host, where no test on a CPU would see it."""
    case = Case(recipe, "stacked", interpolation)
    graph = case.graph(CPU)
    options = {"batch_size": PATCHES, "num_threads": 1, "device_id": 0, "exec_dynamic": True}
    pipe = _pipeline(lambda: None, graph.feeds(case.draws()), graph, **options)
    # This is as far as DALI goes without a GPU: operators are checked, and know their devices.
    pipe._build_graph()
    operators = [op for op in pipe._ops if type(op._op).__name__ != "ExternalSource"]
    assert bool(operators) != isinstance(graph, RecordGraph)
    assert {output.device for op in operators for output in op.outputs} <= {"gpu"}
    assert {type(op._op).__name__ for op in operators} <= set(RegisteredGPUOps())
    assert all(output.device == "gpu" for output in pipe._graph_outputs)


def count(define: Callable[[Any], Any], num: int) -> Cost:
    """Return the cost of a graph on (2, 4, 4) uint16 of `num` patches."""
    records = np.zeros((num, 32), np.uint16)
    operators, _ = run_graph(
        lambda values, _: (define(fn.reshape(values, shape=[2, 4, 4], layout="CHW")),), {"records": records}
    )
    return sum((operator.cost for operator in operators), Cost())


def test_operators_that_launch_for_each_patch_are_seen() -> None:
    """The operators that made DALI slow come back and count as one launch."""

    def resized(values: Any, **options: Any) -> Any:
        return fn.resize(values, size=[8, 8], dtype=DALIDataType.FLOAT, antialias=False, **options)

    assert count(lambda values: fn.flip(values), 50) == Cost(50, 0, 50 * 128)
    # 100 bands in minibatches of 32; 4 × 8 floats a band lie between the two passes.
    assert count(resized, 50) == Cost(16, 0, 50 * (64 + 2 * 2 * 32 * 4 + 512))
    assert count(lambda values: resized(values, minibatch_size=100), 50).launches == 4
    with pytest.raises(KeyError, match="Transpose"):
        count(lambda values: fn.transpose(values, perm=[0, 2, 1]), 2)


def test_torch_is_counted_on_a_gpu_that_is_not_there() -> None:
    """A pass over memory goes uncounted, a view or an allocation is counted, or what is repeated counts in full."""
    with TorchCost() as made:
        device = torch.device("cuda", 0)
        values = torch.empty((4, 6), device=device)
        values.view(24).unflatten(0, (4, 6)).expand(3, 4, 6)
        assert made.cost == Cost()
        torch.ones(5).pin_memory().to(device, non_blocking=True)
        assert made.cost == Cost(1, 20, 20)
        values.expand(10, 4, 6) + 1
        assert made.cost == Cost(2, 20, 20 + 96 + 960)
        torch.add(values, torch.empty_like(values)[:1], out=torch.empty_like(values))
        assert made.cost == Cost(3, 20, 20 + 96 + 960 + 96 + 24 + 96)
        values.mul_(2)
        assert made.cost.device_bytes == 20 + 96 + 960 + 96 + 24 + 96 + 192


def test_what_an_operator_reads_twice_counts_once() -> None:
    """Neighbours are taken for memory of their own, or the target of a copy for an input of it."""
    with TorchCost() as made:
        device = torch.device("cuda", 0)
        values, weights = torch.empty((4, 6), device=device), torch.empty((4, 5), device=device)
        torch.lerp(values[:, :-1], values[:, 1:], weights)
        assert made.cost == Cost(1, 0, 96 + 80 + 80)
        torch.add(values[:2, :2], values[2:, 4:])
        assert made.cost == Cost(2, 0, 256 + 16 + 16 + 16)
        weights.copy_(values[:, 1:])
        assert made.cost == Cost(3, 0, 304 + 80 + 80)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.recipe}-{case.layout}-{case.interpolation}")
def test_the_kernel_is_launched_once_an_image(case: Case) -> None:
    """The kernel needs more of a GPU than one pass over records and images, with two copies before it."""
    images = by_triton(case).images
    assert images.launches == (3 if case.layout == "stacked" else 5)
    # Records arrive (160 kB), and are read where bands show; images are written in float16.
    assert images.device_bytes / PATCHES < 680_000


@pytest.mark.parametrize("layout", ["stacked", "native"])
def test_records_on_the_device_do_not_come_again(layout: Layout) -> None:
    """Records that are kept are counted, or their places are not; the rest is what the kernel costs with a copy."""
    case = Case("standard", layout, "nearest")
    found, copied = by_cache(case), by_triton(case)
    assert copied.images - found.images == Cost(1, PATCHES * (160_000 - 8), PATCHES * (160_000 - 8))
    assert found.images.device_bytes / PATCHES < 510_000
    assert found.rest == copied.rest
    assert all(found.patches_per_second(card, 512) >= target("cache=gpu") for card in CARDS)


@pytest.mark.parametrize("layout", ["stacked", "native"])
def test_records_that_the_device_decodes_come_in_fewer_bytes(layout: Layout) -> None:
    """Decoding costs nothing, or encoded records are counted with the bytes of decoded ones."""
    case = Case("standard", layout, "nearest")
    cached, encoded = by_cache(case), by_encoded_cache(case)
    decoding = encoded.images - cached.images
    assert decoding.launches == 2
    # Lengths are sent beside places.
    assert decoding.bus_bytes == PATCHES * 8
    assert ENCODED_BYTES + 160_000 < decoding.device_bytes / PATCHES < 1.05 * (ENCODED_BYTES + 160_000)
    assert all(encoded.patches_per_second(card, 512) >= target("cache=gpu-encoded") for card in CARDS)
    streamed = by_encoded(case)
    assert streamed.images - encoded.images == Cost(1, PATCHES * ENCODED_BYTES, PATCHES * ENCODED_BYTES)
    assert by_triton(case).images.bus_bytes / streamed.images.bus_bytes == pytest.approx(
        160_000 / ENCODED_BYTES, rel=0.01
    )
    assert encoded.rest == streamed.rest == cached.rest


@pytest.mark.product
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.recipe}-{case.layout}-{case.interpolation}")
def test_records_go_to_the_kernel_where_boxes_are_blended(case: Case) -> None:
    """The kernel takes work from DALI's operators, or its cost behind DALI is counted as another one than alone."""
    blended = RECIPES[case.recipe].crop == "resized" and case.interpolation == "bilinear"
    assert isinstance(case.graph(CPU), RecordGraph) == blended
    found = by_dali(case)
    assert ((found.images, found.rest) == (by_triton(case).images, by_triton(case).rest)) == blended


def test_the_slowest_part_sets_the_pace() -> None:
    """The rate that is predicted forgets the bus, the memory or the launches."""
    card = CARDS[0]
    for cost, expected in (
        (Cost(1000), 512 / (1000 * 3e-6)),
        (Cost(0, PATCHES * 160_000), 55e9 / 160_000),
        (Cost(0, 0, PATCHES * 1e6), 3.35e12 / 1e6),
    ):
        assert Found(cost, Cost()).patches_per_second(card, 512) == pytest.approx(expected)


def test_the_table_says_that_it_is_no_measurement() -> None:
    """A prediction is read as a figure of a GPU."""
    case = CASES[0]
    text = render({(name, case): find(case) for name, find in ENGINES.items()}, 512)
    assert text.startswith("predicted, not measured")
    assert {"cache=gpu", "cache=gpu-encoded", "dali", "torch", "triton", "triton-bitpack"} == {
        line.split()[0] for line in text.splitlines()[2:]
    }
    # The target is next to the prediction.
    targets = {line.split()[0]: line.split()[-1] for line in text.splitlines()[1:]}
    assert targets == {"engine": "target"} | dict.fromkeys(
        ("cache=gpu", "cache=gpu-encoded"), "500,000/s"
    ) | dict.fromkeys(("dali", "torch", "triton", "triton-bitpack"), "60,000/s")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (("standard", "native", "bilinear"), ["WarpAffine", "Slice", "torch"]),
        (("strong", "native", "nearest"), ["WarpAffine", "torch"]),
        (("strong", "native", "bilinear"), ["kernel"]),
    ],
)
def test_operators_add_up_to_the_graph(kind: tuple[str, Layout, Interpolation], names: list[str]) -> None:
    """The bytes of an operator are left out, or stand in another row."""
    case = Case(*kind)
    found = by_dali(case)
    text = render_operators({("dali", case): found, ("triton", case): by_triton(case)})
    assert text.startswith("predicted, not measured")
    rows = [line.split()[4:] for line in text.splitlines()[2:]]
    assert [" ".join(row[:-2]) for row in rows] == ["copy to the device", *names]
    assert sum(int(row[-2]) for row in rows) == found.images.launches
    whole = found.images.device_bytes / PATCHES / 1e3
    assert sum(float(row[-1].replace(",", "")) for row in rows) == pytest.approx(whole, abs=len(rows))
