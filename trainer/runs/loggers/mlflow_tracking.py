"""MLflow: address and experiment come from its own settings (`MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME`)."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mlflow import MlflowClient, get_tracking_uri
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from trainer.errors import TrainError

EXPERIMENT: Final = "bigearthnet"
"""Name of the experiment unless MLFLOW_EXPERIMENT_NAME says otherwise."""
_NOT_IN_NAMES: Final = re.compile(r"[^\w\-. :/]")
"""Characters that MLflow takes in no name of a metric, such as the commas of classes."""
_DATABASES: Final = ("sqlite", "mysql", "postgresql", "mssql")
"""Schemes of addresses of databases."""
_LONGEST: Final = 6000
"""Characters of a parameter."""
_AT_ONCE: Final = 100
"""Parameters of a request."""
_FILE_STORE: Final = "MLFLOW_ALLOW_FILE_STORE"
"""Variable without which recent versions of MLflow write to no folder."""
_RETRIES: Final = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_MOST_RETRIES: Final = "4"
"""Further attempts to reach a server, after 2, 4, 8 and 16 s. By itself MLflow tries for four minutes."""


class MlflowLogger:
    """A run of MLflow."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.id = run_id
        self._client = client

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """See `Logger`."""
        now = int(time.time() * 1000)
        metrics = [Metric(_NOT_IN_NAMES.sub("", name), value, now, step) for name, value in scalars.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def end(self, *, failed: bool) -> None:
        """See `Logger`."""
        self._client.set_terminated(self.id, "FAILED" if failed else "FINISHED")


def open_logger(folder: Path, options: dict[str, Any], known: str | None) -> MlflowLogger:
    """See `Opener`.

    Raises:
        TrainError: MLflow keeps its runs in a database, which an installation of `mlflow-skinny` cannot reach, or in
            a folder, which it writes to only where a variable allows it.
    """
    address = get_tracking_uri()
    if urlsplit(address).scheme.partition("+")[0] in _DATABASES and find_spec("sqlalchemy") is None:
        raise TrainError(
            f"its database {address} needs more than the extra: set MLFLOW_TRACKING_URI to a server, such as "
            "http://host:5000, or pip install mlflow"
        )
    with waits():
        try:
            return _opened(folder, options, known)
        except MlflowException as err:
            if _FILE_STORE not in str(err):
                raise
            raise TrainError(
                f"it writes to folders such as {address} only where {_FILE_STORE}=true is set; set that, or "
                "MLFLOW_TRACKING_URI to a server, such as http://host:5000"
            ) from err


@contextmanager
def waits() -> Iterator[None]:
    """Let MLflow wait half a minute for a server while a run is opened, unless its own setting says otherwise."""
    if _RETRIES in os.environ:
        yield
        return
    os.environ[_RETRIES] = _MOST_RETRIES
    try:
        yield
    finally:
        del os.environ[_RETRIES]


def _opened(folder: Path, options: dict[str, Any], known: str | None) -> MlflowLogger:
    client = MlflowClient()
    if known is not None:
        client.update_run(known, status="RUNNING")
        return MlflowLogger(client, known)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found is not None else client.create_experiment(name)
    run_id = client.create_run(experiment, run_name=folder.name).info.run_id
    params = [
        Param(f"{table}.{key}", str(value)[:_LONGEST])
        for table, values in options.items()
        for key, value in values.items()
    ]
    for first in range(0, len(params), _AT_ONCE):
        client.log_batch(run_id, params=params[first : first + _AT_ONCE])
    return MlflowLogger(client, run_id)
