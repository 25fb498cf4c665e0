"""A training by `torchrun` on two hosts that loses ranks."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from shards.testing.stores import make_store
from tests.bigearth_pipeline.hosts import recorded
from tests.support.running import commands
from tests.support.running.commands.relay import relay
from tests.support.running.hosts import Host, hosts
from trainer.data.loader import Loader
from trainer.data.order import SampleOrder
from trainer.training.start import resume

pytestmark = pytest.mark.long
PATCHES, BATCH, EPOCHS, SEED = 22, 6, 3, 5
OPTIONS = ("--epochs", EPOCHS, "--batch-size", BATCH, "--seed", SEED, "--device", "cpu", "--threads", 1)


def _launch(host: Host, program: list[str], arguments: tuple[object, ...], env: dict[str, str]) -> commands.Command:
    """Start `torchrun` on one of two hosts."""
    launch = ("--nnodes", 2, "--nproc-per-node", 1, "--max-restarts", 1, "--rdzv-backend", "c10d")
    launch += ("--rdzv-endpoint", "alpha:29400", "--rdzv-id", "first", "--no-python", *program, recorded.__name__)
    env = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"} | env
    return host.fork(*launch, *arguments, module="torch.distributed.run", env=env)


def _trained(records: Path) -> dict[tuple[int, int], list[int]]:
    """Return the rows of each global batch, by epoch and step, as they were trained on last."""
    parts: dict[tuple[int, int], dict[int, list[int]]] = {}
    for path in sorted(records.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
        for record in map(json.loads, path.read_text().splitlines()):
            place = record["epoch"], record["step"]
            others = {} if record["num_ranks"] == 1 else parts.get(place, {})
            parts[place] = others | {record["rank"]: record["rows"]}
    return {place: [row for rank in sorted(by_rank) for row in by_rank[rank]] for place, by_rank in parts.items()}


def test_killed_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that `torchrun` starts again is refused or begins anew; patches are missed, or trained on twice."""
    store = make_store(tmp_path / "store", {"train": PATCHES, "validation": 8, "test": 5})
    shelf, records = tmp_path / "shelf", tmp_path / "records"
    shelf.mkdir()
    records.mkdir()
    run = shelf / "run"
    arguments = ("train", store, "--out", run, *OPTIONS, "--set", "run.save_steps=3")
    env = {"RANK_RECORDS": str(records), "RANK_KILLED_AT": "1.3 2.1"}
    with relay(records) as program, hosts("alpha", "beta", shared=[store, shelf, records]) as both:
        launched = [_launch(host, program, arguments, env) for host in both]
        said = ["".join(process.communicate(timeout=300)) for process in launched]
    # The processes were started again once, and then never more.
    assert all(process.returncode for process in launched)
    assert sorted(path.name for path in records.glob("killed-*")) == ["killed-1.3", "killed-2.1"], said
    assert sum(text.count("resumed in epoch 2, after 2 of 4 steps") for text in said) == 1, said

    # The other one says which was lost.
    output = "".join(said)
    assert re.search(
        r"Error: \[rank \d\] the connection to another process of the run, on 10\.87\.0\.[12], was lost", output
    )
    assert not re.search(r"\[rank\d\]: Traceback", output), output

    # One process does the rest, from the state that two have saved.
    monkeypatch.setattr(Loader, "__iter__", recorded.iterate)
    monkeypatch.setenv("RANK_RECORDS", str(records))
    assert resume(run).best_epoch is not None
    described = json.loads((run / "description.json").read_text())
    order = SampleOrder(rows=np.arange(PATCHES), batch_size=BATCH, kind=described["order"], seed=SEED)
    expected = [order.epoch(epoch) for epoch in range(EPOCHS)]
    assert _trained(records) == {
        (number, step): epoch.batch(step).tolist()
        for number, epoch in enumerate(expected)
        for step in range(len(epoch))
    }
    for epoch in expected:
        assert sorted(epoch.rows.tolist()) == list(range(PATCHES))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
