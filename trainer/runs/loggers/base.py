"""The protocol of a logger, and the run's use of it: it may fail at any time, and the training goes to its end."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from shards.reporting import one_line, shortened
from trainer.definition.choices import LoggerName
from trainer.errors import TrainError
from trainer.runs import folder as run_folder
from trainer.runs.scalars import epoch_scalars, window_scalars
from trainer.runtime.progress import EpochReport, StepReport, WindowReport

MODULES: Final[dict[LoggerName, str]] = {
    "wandb": "trainer.runs.loggers.weights_and_biases",
    "mlflow": "trainer.runs.loggers.mlflow_tracking",
}
"""The module of each logger; it has `open_logger`, of the type `Opener`."""
_REASON: Final = 400
"""Characters of a library's reason in a line."""


class Logger(Protocol):
    """A run, as a logger has it.

    Attributes:
        id: by which the logger knows the run.
    """

    id: str

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Log numbers by name, at a number of steps since the run began."""

    def end(self, *, failed: bool) -> None:
        """Log that the process ends, and release all resources."""


Opener = Callable[[Path, dict[str, Any], str | None], Logger]
"""Opens a logger for the run in a folder, with its options by table, and with its id if it was logged before."""


class Logging:
    """Hands the reports of a run to its logger; a `trainer.runtime.progress.Progress`, and a context manager.

    A logger that fails, as when a server is gone, is not asked again: a line says so, and the training continues.
    """

    def __init__(
        self, folder: Path, name: LoggerName | None, options: dict[str, Any], say: Callable[[str], None]
    ) -> None:
        """Open the logger.

        Args:
            folder: of the run.
            name: of the logger; None for none.
            options: of the run, by table.
            say: receives a line before the logger is opened, which can take long, and one on a failure.

        Raises:
            TrainError: it cannot be opened.
        """
        self._name, self._say = name, say
        self._logger: Logger | None = None
        if name is None:
            return
        say(f"opening the run in {name}; a server that does not answer is waited for")
        path = folder / run_folder.LOGGER
        ids = run_folder.read_json(path) if path.exists() else {}
        try:
            opener: Opener = importlib.import_module(MODULES[name]).open_logger
            self._logger = opener(folder, options, ids.get(name))
        except Exception as err:  # Of any class: these libraries have many, and some are bare.
            raise TrainError(f"{name} cannot log the run: {_reason(err)}; `logger=none` trains without it") from err
        if ids.get(name) != self._logger.id:
            with run_folder.written(folder, path):
                run_folder.write_json(path, ids | {name: self._logger.id})

    def __enter__(self) -> "Logging":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._try(lambda logger: logger.end(failed=kind is not None))

    def say(self, text: str) -> None:
        """Do nothing: loggers show numbers."""

    def step(self, report: StepReport) -> None:
        """Do nothing: these come by the clock, and steps are logged by their number."""

    def window(self, report: WindowReport) -> None:
        """Log the report of a logged step."""
        self._try(lambda logger: logger.log(window_scalars(report), report.step))

    def epoch(self, report: EpochReport) -> None:
        """Log the report of an epoch."""
        self._try(lambda logger: logger.log(epoch_scalars(report), report.step))

    def _try(self, act: Callable[[Logger], None]) -> None:
        if self._logger is None:
            return
        try:
            act(self._logger)
        except Exception as err:
            self._logger = None
            self._say(f"{self._name} logs no more of this run: {_reason(err)}; the training continues")


def _reason(err: Exception) -> str:
    text = one_line(err) or f"{type(err).__name__}: {err}"
    return shortened(text, _REASON)
