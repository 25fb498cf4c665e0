"""A measurement of predicting a scene: what share of the network's rate is left, and how fast windows are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.bench.environment import describe_environment
from bigearth_pipeline.bench.passes import LEAST_SECONDS, take_turns
from bigearth_pipeline.bench.predict.passes import LOOP, PREDICT, READ, RESIDENT, PredictPasses
from bigearth_pipeline.bench.rate import Rate
from bigearth_pipeline.scenes.gdal import gdal_environment
from bigearth_pipeline.scenes.grid.scene import open_scene
from bigearth_pipeline.scenes.grid.windows import windows_of
from bigearth_pipeline.scenes.inputs.description import Description, Known
from bigearth_pipeline.scenes.inputs.find import find
from shards.errors import InvalidValue
from shards.runtime.cores import num_cores
from trainer.definition.choices import DeviceName, Tta
from trainer.inference import load_ensemble, one_thread_a_batch

ROWS: Final = 24
"""Rows of windows of a lap if no number is given."""


@dataclass(frozen=True)
class PredictBench:
    """Results of a measurement.

    Attributes:
        config: networks, batch size, windows of a lap and the like.
        rates: by pass.
        environment: what it was measured on.
    """

    config: dict[str, Any]
    rates: dict[str, Rate]
    environment: dict[str, Any]

    @property
    def share(self) -> float:
        """Rate of windows read and predicted, as a share of that of the network alone."""
        return self.rates[PREDICT].share_of(self.rates[RESIDENT])

    @property
    def times_loop(self) -> float:
        """Rate of windows read and cut, as a multiple of that of the plain loop."""
        return self.rates[READ].share_of(self.rates[LOOP])

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        return {
            "config": self.config,
            "rates": {name: rate.to_json() for name, rate in self.rates.items()},
            "share_of_network": self.share,
            "times_loop": self.times_loop,
            "environment": self.environment,
        }


def bench_predict(
    runs: tuple[Path, ...],
    path: Path,
    *,
    rows: int = ROWS,
    threads: int | None = None,
    batch_size: int | None = None,
    device: DeviceName = "auto",
    tta: Tta = "none",
    repeats: int = 3,
    warm_up: int = 1,
    least_seconds: float = LEAST_SECONDS,
    say: Callable[[str], None] = lambda text: None,
) -> PredictBench:
    """Measure predicting a scene with the runs; nothing is written.

    Args:
        runs: folders of runs.
        path: of the scene.
        rows: rows of windows of a lap, without overlap.
        threads: that predict and read at a time; None for the cores.
        batch_size: windows of a batch at most; None for the default of the device.
        device: `cpu`, `cuda` or `auto`.
        tta: test-time augmentation.
        repeats: timed rounds.
        warm_up: rounds before these.
        least_seconds: timed seconds until which a pass repeats its lap.
        say: receives what is measured now.

    Raises:
        PipelineError: the scene cannot be used.
        TrainError: a run cannot be used.
        InvalidValue: the input is no scene.
    """
    threads = threads or num_cores()
    with gdal_environment(), one_thread_a_batch():
        model = load_ensemble(runs, device=device, tta=tta, batch_size=batch_size)
        # Whatever the offset is, subtracting it takes the same time.
        description = find(path, Known(offset="none"))
        if not isinstance(description, Description):
            raise InvalidValue(f"{path} holds patches, expected a scene")
        scene = open_scene(description, model.bands)
        windows = windows_of(scene, 0.0)
        laps = PredictPasses(scene, windows, model, rows=rows, threads=threads)
        rates = take_turns(laps.passes, repeats=repeats, warm_up=warm_up, least_seconds=least_seconds, say=say)
    return PredictBench(
        config={
            "models": [member["model"] for member in model.about],
            "bands": list(model.bands),
            "tta": tta,
            "batch_size": model.batch_size,
            "threads": threads,
            "windows": laps.count,
            "repeats": repeats,
        },
        rates=rates,
        environment=describe_environment({"scene": path}, model.device),
    )
