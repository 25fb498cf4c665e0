"""Files of ONNX and `torch.export` beside torch, on real patches."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from shards import BANDS, CLASSES
from tests.conftest import real
from tests.support.data.scene import scene_records
from tests.trainer.data.records import standard
from trainer.data.batch import Draws
from trainer.data.prepare.reference import prepare
from trainer.definition.choices import Interpolation
from trainer.export.export import TOLERANCE, Exported
from trainer.export.graph import Graph, Inputs
from trainer.export.programs import call_onnx, call_program, save_onnx, save_program, trace
from trainer.inference import load
from trainer.models.create import ModelSpec, create

FURTHER = (
    "vit_tiny_patch16_224",
    "efficientnet_b0",
    "swin_tiny_patch4_window7_224",
    "mobilevit_s",
    "mixer_s16_224",
    "rdnet_tiny",
)
"""Networks that the README names beside those of `test_networks_that_are_named`."""


@pytest.fixture(scope="module")
def records() -> NDArray[np.uint16]:
    """Eleven windows of the real scene."""
    return scene_records(real("scenes/199U_1099R"), 11)


@pytest.mark.long
def test_files_give_what_predictions_give(exported: Exported, records: NDArray[np.uint16]) -> None:
    """A file normalises, orders bands or averages weights otherwise, or takes batches of one size alone."""
    expected = load(exported.out, device="cpu").probabilities(records)
    assert np.ptp(expected, 0).max() > 1e-3
    for n in (1, 2, 11):
        onnx_file = call_onnx(exported.out / "model.onnx", "records", records[:n])
        program = call_program(exported.out / "model.pt2", "records", records[:n])
        np.testing.assert_allclose(onnx_file, expected[:n], atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(program, expected[:n], atol=TOLERANCE, rtol=0)
    assert exported.differences.keys() == {"model.onnx", "model.pt2"}
    assert all(0 <= value < 1e-5 for value in exported.differences.values())


def test_an_onnx_file_says_what_it_takes(exported: Exported) -> None:
    """Whoever has nothing but the file cannot know inputs, bands, classes or thresholds."""
    model = onnx.load(exported.out / "model.onnx")
    onnx.checker.check_model(model)
    assert model.opset_import[0].version >= 18
    session = onnxruntime.InferenceSession(exported.out / "model.onnx", providers=["CPUExecutionProvider"])
    (records,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (records.name, records.type, records.shape) == ("records", "tensor(uint16)", ["n", 80_000])
    assert (probabilities.name, probabilities.type, probabilities.shape) == (
        "probabilities",
        "tensor(float)",
        ["n", 19],
    )
    facts = session.get_modelmeta().custom_metadata_map
    assert CLASSES[3] in facts["class_names"]
    assert '"B8A"' in facts["bands"]
    assert facts["inputs"] == "records"
    assert facts["thresholds"].startswith("{")


@pytest.mark.long
def test_networks_of_timm_for_some_bands(tmp_path: Path, records: NDArray[np.uint16]) -> None:
    """Upsampling is not in the file, or inputs that no band is seen of are missing."""
    check("test_resnet", ("B04", "B11", "B02"), "groups", "bilinear", tmp_path, records)


@pytest.mark.long
@pytest.mark.parametrize("name", ["bepnet-m", "bepnet-l", "resnet18", "resnet50", "convnextv2_atto"])
def test_networks_that_are_named(name: str, tmp_path: Path, records: NDArray[np.uint16]) -> None:
    """A network of the README cannot be exported, or differs."""
    check(name, BANDS, "groups" if name == "bepnet-m" else "records", "nearest", tmp_path, records)


@pytest.mark.long
@pytest.mark.parametrize("name", FURTHER)
def test_further_kinds_of_networks(name: str, tmp_path: Path, records: NDArray[np.uint16]) -> None:
    """Attention, padding to whole patches, or shifted windows are fixed to the batch of the example."""
    check(name, BANDS, "records", "nearest", tmp_path, records)


def check(
    name: str,
    bands: tuple[str, ...],
    inputs: Inputs,
    interpolation: Interpolation,
    folder: Path,
    records: NDArray[np.uint16],
) -> None:
    """Export a network with random weights, and compare both files with it."""
    torch.manual_seed(1)
    network = create(ModelSpec(name, bands)).eval()
    normalisation = standard(bands)
    if name == "efficientnet_b0":
        # With random weights its features hardly differ between patches.
        for head in network.heads:
            network.state_dict()[head].mul_(50)
    elif name == "mixer_s16_224":
        # Its classifier begins with zeros, so that all probabilities would be a half.
        for head in network.heads:
            network.state_dict()[head].normal_(std=0.1)
    graph = Graph(network, normalisation, interpolation, inputs)
    program = trace(graph)
    save_onnx(program, graph, folder / "a.onnx", {"x": 1})
    save_program(program, folder / "a.pt2", {"x": 1})
    with torch.inference_mode():
        batch = prepare(torch.from_numpy(records), Draws(), normalisation, network.layout, interpolation)
        expected = network(batch).sigmoid().numpy()
    assert np.ptp(expected) > 1e-3
    for found in (call_onnx(folder / "a.onnx", inputs, records), call_program(folder / "a.pt2", inputs, records)):
        np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)
