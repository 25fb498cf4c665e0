"""Several processes against one."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from shards.testing.stores import make_store
from tests.support.network.servers import free_port
from tests.support.paths import ROOT
from tests.support.running import commands
from tests.support.running.commands.command import ENVIRONMENT
from trainer.errors import TrainError
from trainer.runs.checkpoint import Checkpoint
from trainer.runtime.ranks import open_ranks

Launch = Callable[..., "subprocess.CompletedProcess[str]"]
OPTIONS = ["--epochs", 2, "--device", "cpu", "--threads", 1, "--augment", "strong", "--lr", 0.01]
OPTIONS += ["--set", "optimisation.optimizer=sgd"]


def torchrun(num_ranks: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bep train` in several processes that `torchrun` starts."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_ranks)]
    return subprocess.run(
        [*launch, "-m", "bigearth_pipeline", "train", *map(str, arguments)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def forked(num_ranks: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bep train` in several processes, with the variables that `torchrun` sets."""
    common = {"WORLD_SIZE": num_ranks, "LOCAL_WORLD_SIZE": num_ranks}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    with ThreadPoolExecutor(num_ranks) as pool:
        environments = [common | {"RANK": rank, "LOCAL_RANK": rank} for rank in range(num_ranks)]
        done = list(
            pool.map(
                lambda more: commands.run(
                    "train", *arguments, env=ENVIRONMENT | {name: str(value) for name, value in more.items()}
                ),
                environments,
            )
        )
    return subprocess.CompletedProcess(
        [*map(str, arguments)],
        max((each.returncode for each in done), key=abs),
        "".join(each.stdout for each in done),
        "".join(each.stderr for each in done),
    )


def train(num_ranks: int, *arguments: object, launch: Launch = forked) -> dict[str, Any]:
    """Run `bep train --json` in several processes and return what it prints."""
    done = launch(num_ranks, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module", params=["bepnet-s", "test_efficientnet"])
def one(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A model and its run in one process; 24 patches in batches of 10: 10, 10 and 4."""
    out = tmp_path_factory.mktemp("ranks") / "one"
    train(1, tiny, "--out", out, "--model", request.param, "--batch-size", 10, *OPTIONS)
    return request.param, out


@pytest.mark.long
@pytest.mark.parametrize("num_ranks", [2, 3])
def test_several_processes_train_what_one_trains(
    tiny: Path, tmp_path: Path, one: tuple[str, Path], num_ranks: int
) -> None:
    """Gradients, BatchNorm or the loss are those of a part of the batch, so results depend on the number of GPUs."""
    model, out = one
    train(num_ranks, tiny, "--out", tmp_path / "run", "--model", model, "--batch-size", 10, *OPTIONS)
    expected, found = (Checkpoint.read(path / "checkpoints/last.pt") for path in (out, tmp_path / "run"))
    assert found.epoch == 2
    moved = 0.0
    for name, values in expected.state.items():
        torch.testing.assert_close(found.state[name], values, rtol=1e-3, atol=1e-4, msg=name)
        moved = max(moved, float((values.float() - values.float().mean()).abs().max()))
    assert moved > 0
    first, other = (json.loads(line) for line in _first_lines(out, tmp_path / "run"))
    assert first["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
    assert first["validation"]["count"] == other["validation"]["count"] == 8
    assert first["validation"]["ap_macro"] == pytest.approx(other["validation"]["ap_macro"], abs=0.02)


def _first_lines(*runs: Path) -> list[str]:
    return [(run / "metrics.jsonl").read_text().splitlines()[0] for run in runs]


@pytest.mark.long
def test_several_processes_stop_and_go_on_together(tiny: Path, tmp_path: Path) -> None:
    """A run of several processes hangs, or loses its place, when its time is up."""
    common = [tiny, "--batch-size", 10, "--device", "cpu", "--threads", 1, "--epochs", 400]
    stopped = train(2, *common, "--out", tmp_path / "run", "--set", "run.max_minutes=0.05", launch=torchrun)
    assert not stopped["finished"]
    before = Checkpoint.read(tmp_path / "run/checkpoints/last.pt")
    again = train(2, "--resume", tmp_path / "run", "--set", "run.max_minutes=0.05")
    assert not again["finished"]
    after = Checkpoint.read(tmp_path / "run/checkpoints/last.pt")
    assert (0, 0) < (before.epoch, before.step) < (after.epoch, after.step)
    lines = [json.loads(line)["epoch"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, after.epoch + 1))


@pytest.mark.long
def test_more_processes_than_patches_are_refused(tmp_path: Path) -> None:
    """Processes without patches hang the others."""
    store = make_store(tmp_path / "store", {"train": 4, "validation": 2, "test": 1})
    done = forked(2, store, "--out", tmp_path / "run", "--test", *OPTIONS)
    assert done.returncode != 0
    assert "2 ranks share the 1 patches of the test split" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training falls back to the CPU without a word, or ends in a traceback."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TrainError, match="there is no GPU that torch can use"), open_ranks("cuda"):
        pass


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"])
@pytest.mark.parametrize("value", ["", "first", "-1", "1.0"])
def test_a_variable_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A variable that another program has set ends in a traceback."""
    monkeypatch.setenv(name, value)
    with pytest.raises(TrainError, match=f"variable {name} is '{value}', expected a number"), open_ranks("cpu"):
        pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[/gloo/gloo/transport/tcp/pair.cc:545] Read error [10.87.0.2]:48855: Connection reset by peer. GLHF!",
            TrainError,
        ),
        ("[/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer [fe80::1]:17609. GLHF!", TrainError),
        ("the size of tensor a (3) must match the size of tensor b (4)", RuntimeError),
    ],
)
def test_a_lost_process_is_one_line(monkeypatch: pytest.MonkeyPatch, text: str, expected: type[Exception]) -> None:
    """The death of a process ends the others in tracebacks; or an error of another kind passes for such a death."""
    for name, value in {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(expected) as caught, open_ranks("cpu"):
        raise RuntimeError(text)
    assert caught.type is expected
    if expected is TrainError:
        assert re.search(r"on (10\.87\.0\.2|fe80::1), was lost", str(caught.value))
