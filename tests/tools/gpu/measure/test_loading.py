"""The rates of a loader that the check asks for, without a GPU."""

import json
from pathlib import Path

import pytest

from shards.errors import InvalidValue
from shards.testing.stores import make_store
from tools.gpu.check.plan import IMAGES
from tools.gpu.measure import loading


def test_only_what_was_asked_for_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check times passes that it has no time for, or a pass that cannot be had ends it without the others."""
    store = make_store(tmp_path / "store", {"train": 8}, codec="bitpack")
    options = ["--device", "cpu", "--batch-size", "4", "--repeats", "2", "--least-seconds", "0"]
    loading.main([str(store), *options, "--passes", *IMAGES, "gpu_encoded_native"])
    found = json.loads(capsys.readouterr().out)
    assert found["rates"].keys() == set(IMAGES)
    assert all(rate["repeats"] == 2 and rate["median"] > 0 for rate in found["rates"].values())
    assert found["missing"] == {"gpu_encoded_native": "not measured here: there is no GPU"}
    assert (found["batch_size"], found["patches"]) == (4, 8)
    with pytest.raises(InvalidValue, match="has no pass 'stackd'; there are read, "):
        loading.main([str(store), *options, "--passes", "stackd"])
