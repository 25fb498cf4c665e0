"""The benchmark of predictions: its passes read the same windows, and its shares follow from their rates."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bigearth_pipeline.bench.predict.measure import PredictBench
from bigearth_pipeline.bench.predict.passes import LOOP, PREDICT, READ, RESIDENT, PredictPasses, loop
from bigearth_pipeline.bench.rate import Rate
from bigearth_pipeline.cli import main
from bigearth_pipeline.scenes.gdal import gdal_environment
from bigearth_pipeline.scenes.grid.scene import open_scene
from bigearth_pipeline.scenes.grid.windows import windows_of
from bigearth_pipeline.scenes.inputs.description import Description, Known
from bigearth_pipeline.scenes.inputs.find import find
from shards.layout.bands import BANDS
from tests.bigearth_pipeline.scenes.making import random_pixels, write_files
from tests.trainer.conftest import Run
from trainer.inference import load_ensemble


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of 2.5 × 2 windows."""
    return write_files(tmp_path_factory.mktemp("scene") / "scene", random_pixels(50, 40))


def test_the_loop_reads_what_the_scene_is_cut_into(scene: Path, run: Run) -> None:
    """The loop is slow because it reads more, or other windows."""
    with gdal_environment():
        description = find(scene, Known(offset="none"))
        assert isinstance(description, Description)
        opened = open_scene(description, BANDS)
        windows = windows_of(opened, 0)
        model = load_ensemble([run.config.run.out], device="cpu", batch_size=4)
        passes = PredictPasses(opened, windows, model, rows=2, threads=1)
        records: list[np.ndarray] = []
        assert loop(opened, windows, range(2), lambda record: records.append(record)) == 4 == passes.count
        with passes._source() as (source, _):
            found = np.concatenate([part.records for row in range(2) for part in source.parts(row)])
    np.testing.assert_array_equal(np.stack(records), found)


def test_command(scene: Path, run: Run) -> None:
    """A pass is missing, or counts other windows than it handles."""
    command = [
        "bench",
        "predict",
        str(run.config.run.out),
        str(scene),
        "--rows",
        "2",
        "--repeats",
        "1",
        "--threads",
        "2",
    ]
    result = CliRunner().invoke(main, [*command, "--least-seconds", "0", "--device", "cpu", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found["rates"]) == {RESIDENT, PREDICT, READ, LOOP}
    assert {name: rate["patches"] for name, rate in found["rates"].items() if name != RESIDENT} == {
        PREDICT: [4], READ: [4], LOOP: [4]
    }  # fmt: skip


def test_shares() -> None:
    """A share is upside down."""
    rates = {RESIDENT: Rate((100.0,)), PREDICT: Rate((90.0,)), READ: Rate((400.0,)), LOOP: Rate((80.0,))}
    bench = PredictBench(config={}, rates=rates, environment={})
    assert (bench.share, bench.times_loop) == (0.9, 5.0)
