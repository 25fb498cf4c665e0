"""Networks as catalogues describe them: what is said of their input is what is done with it."""

from pathlib import Path

import numpy as np
import pytest

from bigearth_pipeline.scenes.members import describe_members
from shards.layout.bands import BAND_SLICES, RECORD_VALUES
from tests.bigearth_pipeline.scenes.conftest import train_two_steps
from trainer.inference import load_ensemble


@pytest.fixture(scope="module")
def runs(small_store: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs of either layout and normalisation."""
    out = tmp_path_factory.mktemp("members") / "stacked"
    options = {"model": "test_resnet", "normalise": "percentile", "interpolation": "bilinear", "bands": ("B04", "B11")}
    return [trained, train_two_steps(small_store, out, **options)]


def test_inputs_are_scaled_as_described(runs: list[Path]) -> None:
    """The item names another normalisation than the network's, so that others feed it wrong numbers."""
    model = load_ensemble(runs, device="cpu")
    # Equal pixels in a band, so that bringing it to another size changes nothing.
    levels = {band: 500.0 * (number + 1) for number, band in enumerate(BAND_SLICES)}
    record = np.zeros(RECORD_VALUES, np.uint16)
    for band, values in BAND_SLICES.items():
        record[values] = levels[band]
    kinds = []
    for member, described in zip(model.members, describe_members(model), strict=True):
        images = member.prepare(record[None])
        for image in described["network"]["images"]:
            found = images[image["name"]][0].float().numpy()
            assert found.shape == tuple(image["input"]["shape"][1:])
            for channel, band, scaling in zip(found, image["bands"], image["value_scaling"], strict=True):
                if scaling["type"] == "z-score":
                    expected = (levels[band] - scaling["mean"]) / scaling["stddev"]
                else:
                    low, high = scaling["minimum"], scaling["maximum"]
                    expected = min(max((levels[band] - low) / (high - low), 0), 1)
                np.testing.assert_allclose(channel, expected, rtol=1e-4, atol=1e-5)
            kinds.append((scaling["type"], image["resize_type"]))
    assert set(kinds) == {("z-score", None), ("min-max", "interpolation-linear")}
