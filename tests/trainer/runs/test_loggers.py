"""Runs in loggers beside TensorBoard, in their local modes."""

import json
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shards.errors import InvalidValue
from shards.reporting import shortened
from shards.text.json_fields import shown
from trainer.config.options import TrainConfig
from trainer.errors import TrainError
from trainer.runs import folder as run_folder
from trainer.runs.loggers.base import Logging
from trainer.runtime.progress import EpochReport, Silent
from trainer.training.start import resume, train

# 24 patches in batches of 5 are 5 steps an epoch.
FAST: dict[str, Any] = {"model": "test_resnet", "device": "cpu", "loader": "torch", "threads": 1, "batch_size": 5}
FAST |= {"epochs": 1, "log_steps": 2}


class Told(Silent):
    """Keeps what is said, and calls a function after an epoch."""

    def __init__(self, after_epoch: Callable[[], object] = lambda: None) -> None:
        self.lines: list[str] = []
        self._after_epoch = after_epoch

    def say(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)

    def epoch(self, report: EpochReport) -> None:
        """Call the function."""
        self._after_epoch()


def in_mlflow(place: Path, run_id: str) -> tuple[dict[str, dict[int, float]], dict[str, Any]]:
    from mlflow import MlflowClient

    client = MlflowClient()
    run = client.get_run(run_id)
    assert [found.info.run_id for found in client.search_runs([run.info.experiment_id])] == [run_id]
    assert run.info.status == "FINISHED"
    options: dict[str, Any] = {}
    for key, value in run.data.params.items():
        table, _, name = key.partition(".")
        options.setdefault(table, {})[name] = value
    metrics = {name: {m.step: m.value for m in client.get_metric_history(run_id, name)} for name in run.data.metrics}
    return metrics, options


def log_records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's format, after the 7 bytes in front of it."""
    assert content[:4] == b":W&B"
    place, whole = 7, b""
    while place < len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # Whole, or the last part of one.
            yield whole
            whole = b""


def in_wandb(place: Path, run_id: str) -> tuple[dict[str, dict[int, float]], dict[str, Any]]:
    from wandb.proto import wandb_internal_pb2

    metrics: dict[str, dict[int, float]] = {}
    options: dict[str, Any] = {}
    files = sorted(place.glob(f"run/wandb/offline-run-*-{run_id}/run-{run_id}.wandb"))
    assert len(files) == 2, "one for each start"
    for file in files:
        exits = []
        for content in log_records(file.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(content)
            if record.HasField("history"):
                items = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
                }
                for name, value in items.items():
                    metrics.setdefault(name, {})[items["step"]] = value
            if record.HasField("run"):
                options |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            if record.HasField("exit"):
                exits.append(record.exit.exit_code)
        assert exits == [0]
    return metrics, options


READERS = {"mlflow": in_mlflow, "wandb": in_wandb}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder where the loggers keep what they receive."""
    for variable, value in {
        "WANDB_MODE": "offline",
        "MLFLOW_TRACKING_URI": f"file://{tmp_path}/mlflow",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }.items():
        monkeypatch.setenv(variable, value)
    return tmp_path


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_a_run_is_logged_and_resumed(tiny: Path, place: Path, name: str) -> None:
    """A logger has other numbers than TensorBoard, or a resumed run is two runs in it."""
    pytest.importorskip(name)
    config = TrainConfig.of(shards=tiny, out=place / "run", logger=name, **FAST)
    train(config)
    known = run_folder.read_json(config.run.out / run_folder.LOGGER)
    told = Told()
    resume(config.run.out, told, epochs=2)
    opening = f"opening the run in {name}; a server that does not answer is waited for"
    assert [line for line in told.lines if name in line] == [opening]
    assert run_folder.read_json(config.run.out / run_folder.LOGGER) == known
    metrics, options = READERS[name](place, known[name])
    events = EventAccumulator(str(config.run.out)).Reload()
    tags = events.Tags()["scalars"]
    assert {"train/loss", "validation/ap_macro"} < set(tags)
    assert {key for key in metrics if key[0] != "_"} - {"step"} == {
        tag.replace(",", "") if name == "mlflow" else tag for tag in tags
    }
    for tag in ("train/loss", "train/lr", "train/epoch_loss", "validation/ap_macro"):
        shown = {event.step: event.value for event in events.Scalars(tag)}
        assert metrics[tag] == pytest.approx(shown, rel=1e-6)
    assert metrics["train/loss"].keys() == {2, 4, 6, 8, 10}
    assert str(options["optimisation"]["batch_size"]) == "5"
    assert options["model"]["model"] == "test_resnet"


@pytest.mark.long
def test_a_logger_that_fails_does_not_end_the_run(tiny: Path, place: Path) -> None:
    """Training ends since a server is gone, or it is logged no more and nobody knows."""
    pytest.importorskip("mlflow")
    told = Told(lambda: shutil.rmtree(place / "mlflow", ignore_errors=True))
    config = TrainConfig.of(shards=tiny, out=place / "run", logger="mlflow", **FAST | {"epochs": 2})
    assert train(config, told).stopped_by is None
    first, line = [line for line in told.lines if "mlflow" in line]
    assert first == "opening the run in mlflow; a server that does not answer is waited for"
    assert line.startswith("mlflow logs no more of this run: ")
    assert line.endswith("; the training continues")


def test_a_folder_for_wandb_is_taken(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WANDB_DIR is set for a whole cluster, and the files lie in the folder of the run all the same."""
    pytest.importorskip("wandb")
    (place / "run").mkdir()
    (place / "chosen").mkdir()
    monkeypatch.setenv("WANDB_DIR", str(place / "chosen"))
    with Logging(place / "run", "wandb", {}, print):
        known = run_folder.read_json(place / "run" / run_folder.LOGGER)["wandb"]
    assert len(list(place.glob(f"chosen/wandb/offline-run-*-{known}"))) == 1
    assert [path.name for path in (place / "run").iterdir()] == [run_folder.LOGGER]


def test_a_folder_for_mlflow_says_what_to_set(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is about MLflow's future, and is cut before the variable that has to be set."""
    file_store = pytest.importorskip("mlflow.environment_variables")
    if not hasattr(file_store, "MLFLOW_ALLOW_FILE_STORE"):
        pytest.skip("this MLflow writes to folders as it is")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    with pytest.raises(TrainError, match="only where MLFLOW_ALLOW_FILE_STORE=true is set; set that, or MLFLOW_TRACK"):
        Logging(place, "mlflow", {}, print)


@pytest.mark.parametrize("own", [None, "0"])
def test_mlflow_is_waited_for_as_long_as_wandb(place: Path, monkeypatch: pytest.MonkeyPatch, own: str | None) -> None:
    """MLflow tries a server that is not there for four minutes, before the first step."""
    pytest.importorskip("mlflow")
    from trainer.runs.loggers import mlflow_tracking

    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    if own is not None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", own)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrainError, match="Max retries exceeded"):
        Logging(place, "mlflow", {}, print)
    assert os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES") == own
    with mlflow_tracking.waits():
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == (own or "4")


def unreachable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a logger have no server, or none that it may log to."""
    pytest.importorskip(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setenv("NETRC", "absent")
    monkeypatch.setenv("WANDB_CONFIG_DIR", "absent")


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_a_logger_that_cannot_be_opened_is_one_line(
    tiny: Path, place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A run trains for hours and is logged nowhere, or a folder of one that never began is in the way of the next."""
    config = TrainConfig.of(shards=tiny, out=place / "run", logger=name, **FAST)
    with monkeypatch.context() as patched:
        unreachable(patched, name)
        with pytest.raises(
            TrainError, match=rf"^{name} cannot log the run: .*`logger=none` trains without it$"
        ) as caught:
            train(config)
        assert "\n" not in str(caught.value)
        assert not config.run.out.exists()
        config.run.out.mkdir()
        with pytest.raises(TrainError, match=f"^{name} cannot log the run: "):
            train(config)
        assert not list(config.run.out.iterdir()), "a folder that was there stays, and is empty again"
    assert train(config.replace(logger=None)).stopped_by is None
    with monkeypatch.context() as patched:
        unreachable(patched, name)
        with pytest.raises(TrainError, match=f"^{name} cannot log the run: "):
            resume(config.run.out, epochs=2, logger=name)
    assert (config.run.out / run_folder.LAST).exists(), "a run that has begun is no longer removed"
    assert resume(config.run.out, epochs=2).stopped_by is None


@pytest.mark.parametrize("seconds", ["half a minute", "", "nan", "0", "-5", "inf"])
def test_a_wait_that_is_no_number_is_one_line(place: Path, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    """The line is about a float that nobody typed, and does not name the variable that has to be changed."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", seconds)
    with pytest.raises(TrainError) as caught:
        Logging(place, "wandb", {}, print)
    assert str(caught.value) == (
        f"wandb cannot log the run: the variable WANDB_INIT_TIMEOUT is {shown(seconds)}, expected seconds to wait for "
        "the server; `logger=none` trains without it"
    )


def test_a_reason_is_cut_between_words(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """A line ends within a word, and nobody sees that something is missing."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:9/{'long/' * 60}")
    with pytest.raises(TrainError) as caught:
        Logging(place, "mlflow", {}, print)
    reason = str(caught.value).removesuffix("; `logger=none` trains without it")
    assert reason.endswith(" …")
    assert shortened("one two  three", 13) == "one two three"
    assert shortened("one two three four", 16) == "one two three …"
    assert shortened(f"one {'a' * 20}", 12) == f"one {'a' * 7}…"


def test_a_database_of_mlflow_needs_more_than_the_extra(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is installed, no server is named, and the error speaks of registries and schemes of addresses."""
    pytest.importorskip("mlflow")
    if find_spec("sqlalchemy") is not None:
        pytest.skip("the whole of MLflow is installed")
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
    for address in (None, f"sqlite:///{place}/runs.db"):
        if address:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(
            TrainError, match=r"^mlflow cannot log the run: its database sqlite:.* or pip install mlflow;"
        ):
            Logging(place, "mlflow", {}, print)


@pytest.mark.parametrize("name", READERS)
def test_a_library_that_is_not_installed_is_named(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A traceback, or a folder of a run that was never trained."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidValue, match=rf"needs {name}, which is not installed: pip install '.*\[{name}\]'"):
        train(TrainConfig.of(shards=tiny, out=tmp_path / "run", logger=name, **FAST))
    assert not (tmp_path / "run").exists()
