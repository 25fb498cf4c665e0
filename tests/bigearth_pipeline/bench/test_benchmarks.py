"""Benchmarks: their figures are of what they say."""

import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bigearth_pipeline.bench.loader.titles import TITLES
from bigearth_pipeline.bench.train.timed_stepper import STEP
from bigearth_pipeline.cli import main
from shards.testing.stores import make_store
from tests.support.running import commands
from tests.support.running.terminal import Terminal

QUICK = ("--repeats", 1, "--least-seconds", 0)


def invoke(*arguments: object) -> Result:
    """Run `bep bench` in this process."""
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def invoke_well(*arguments: object) -> str:
    """Run `bep bench` in this process and return what it prints."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.long
def test_the_loader_is_measured(folder: Path, tmp_path: Path) -> None:
    """`bep bench loader` leaves out a stage without a word, prints more than JSON, or draws nothing."""
    plot = tmp_path / "loader.png"
    options = [
        "--batch-size",
        "32",
        "--repeats",
        "2",
        "--least-seconds",
        "0",
        "--patches",
        "70",
        "--device",
        "cpu",
        "--plot",
        str(plot),
        "--json",
    ]
    done = commands.run("bench", "loader", folder, "--order", "block", *options, "--order", "sequential")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.keys() == {str(folder)}
    assert list(found[str(folder)]) == ["block", "sequential"]
    for order, bench in found[str(folder)].items():
        assert bench["rates"].keys() | bench["missing"].keys() == TITLES.keys() - {"copy", "take"}
        assert not bench["rates"].keys() & bench["missing"].keys()
        assert all(len(rate["patches_per_second"]) == 2 for rate in bench["rates"].values())
        assert all(rate["lowest"] <= rate["median"] <= rate["highest"] for rate in bench["rates"].values())
        assert (bench["config"]["order"], bench["config"]["patches"]) == (order, 64)
        for name, rate in bench["rates"].items():
            count = 32 if rate["start_seconds"][0] else 64
            assert (rate["patches"], rate["laps"]) == ([count] * 2, [1] * 2), name
        assert bench["missing"]["to_device"] == "none: the CPU is the device"
        assert bench["share_of_bound"] > 0
        assert 0 < bench["warm_share"] <= 1
        cold = {name for name in TITLES if name.startswith("cold_")}
        if not cold <= bench["rates"].keys():
            assert all(bench["missing"][name].startswith("not possible: ") for name in cold)
        assert all(epoch["seconds"] or epoch["why_not"] for epoch in bench["epochs"])
    content = plot.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 1000
    # A panel for each order.
    assert height > 2 * 15 * 30


def test_progress_makes_way_for_the_figures(packed_store: Path) -> None:
    """On a terminal nothing moves for minutes, or the last thing that was measured stands before the table."""
    bench = Terminal(
        "bench", "loader", packed_store, "--batch-size", 32, "--repeats", 1, "--least-seconds", 0, "--device", "cpu"
    )
    assert bench.finish() == 0
    assert f"{packed_store}, order global: warm-up: " in bench.text
    assert f"{packed_store}, order global: round 1 of 1: " in bench.text
    assert not any("round" in line or "warm-up" in line for line in bench.lines)
    assert any(line.startswith(f"{packed_store}: webdataset, bitpack, ") for line in bench.lines)


@pytest.mark.long
def test_figures_of_the_loader_are_shown(raw_store: Path) -> None:
    """A user is not shown a stage, why a figure is absent, or what to do."""
    printed = invoke_well(
        "loader",
        raw_store,
        "--batch-size",
        32,
        "--repeats",
        1,
        "--least-seconds",
        0,
        "--loader",
        "torch",
        "--device",
        "cpu",
    )
    for name, title in TITLES.items():
        assert (title.text in printed) == (name != "decode"), name
    for text in (
        "order global",
        "none: the CPU is the device",
        "there is no GPU",
        "records reach",
        "237,871",
        "590,326",
    ):
        assert text in printed
    # In memory that is too small for a dataset nothing is predicted.
    assert "(best)" in printed or "not possible: " in printed


@pytest.mark.long
def test_training_is_measured(folder: Path, tmp_path: Path) -> None:
    """`bep bench train` fails, its shares do not add up, or its trace lacks the steps."""
    trace = tmp_path / "trace.json"
    options = ["--batch-size", 8, "--repeats", 2, "--steps", 2, "--device", "cpu", "--trace", trace]
    options += ["--least-seconds", 0]
    found = json.loads(invoke_well("train", folder, *options, "--json"))
    assert found["rates"].keys() | found["missing"].keys() == {"resident", "fed", "loader", "cold_loader"}
    assert found["config"]["steps"] == 2
    assert found["saturation"] > 0
    assert 0 <= found["wait_share"] <= 1
    assert 0 <= found["other_share"] <= 1
    assert (found["memory_bytes"], found["idle_share"]) == (None, None)
    assert found["host_cores"] > 0
    assert found["rates"]["fed"]["patches"] == found["rates"]["resident"]["patches"] == [16, 16]
    assert min(found["rates"]["fed"]["start_seconds"]) > 0
    assert found["rates"]["resident"]["start_seconds"] == [0, 0]
    assert found["limit"] in ("device", "loader", "host")
    for epoch in found["epochs"]:
        assert epoch["why_not"] or epoch["seconds"]["steps"] >= epoch["patches"] / found["rates"]["fed"]["median"]
    names = [event["name"] for event in json.loads(trace.read_text())["traceEvents"]]
    assert names.count(STEP) == 2
    assert any("conv" in name for name in names)


def test_training_with_other_options_is_shown(folder: Path) -> None:
    """A network of timm, or records in memory, cannot be measured; or a user is not told what limits them."""
    options = ["--model", "test_resnet", "--cache", "ram", "--loader", "torch"]
    printed = invoke_well(
        "train", folder, "--batch-size", 8, "--repeats", 1, "--steps", 2, "--least-seconds", 0, *options
    )
    for text in ("steps on one batch", "steps from shards", "loader alone", "saturation", " is the limit", "cache ram"):
        assert text in printed


@pytest.mark.gpu
def test_idle_time_is_measured(folder: Path) -> None:
    """Nobody sees that a GPU has nothing to do."""
    options = ["--batch-size", 32, "--repeats", 2, "--steps", 3, "--json"]
    found = json.loads(invoke_well("train", folder, *options))
    assert 0 <= found["idle_share"] < 1
    assert found["memory_bytes"] > 0
    bench = json.loads(invoke_well("loader", folder, "--batch-size", 32, "--repeats", 1, "--json"))[str(folder)][
        "global"
    ]
    assert {"to_device", "gpu_stacked", "gpu_native"} <= bench["rates"].keys()
    assert bench["missing"]["gpu_encoded_native"].endswith("is not decoded on the GPU, as bitpack is")


@pytest.mark.gpu
def test_encoded_records_on_a_gpu_are_measured(tmp_path: Path) -> None:
    """Nobody learns how fast batches come from encoded records that a GPU keeps."""
    packed = make_store(tmp_path / "store", {"train": 64, "validation": 8}, codec="bitpack")
    options = ["--batch-size", 32, "--repeats", 1, "--least-seconds", 0, "--json"]
    bench = json.loads(invoke_well("loader", packed, *options))[str(packed)]["global"]
    assert {"gpu_encoded_stacked", "gpu_encoded_native"} <= bench["rates"].keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loader", "{tmp}"], "holds no manifest.json: it is not a shard store"),
        (["loader", "{store}", "--plot", "{tmp}/a.jpg"], "a.jpg ends in .jpg, expected .png"),
        (["loader", "{store}", "--plot", "{tmp}/none/a.png"], "none is no folder, expected one for a.png"),
        (["train", "{store}", "--trace", "{tmp}/none/a.json"], "none is no folder, expected one for a.json"),
        (["train", "{store}", "--trace", "{tmp}/trace"], "trace ends in nothing, expected .json"),
        (["train", "{store}", "--model", "resnet81"], "no model 'resnet81'"),
    ],
)
def test_errors_are_one_line(folder: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    """A user learns after minutes of measuring that there is nowhere to write, or from a traceback."""
    result = invoke(*(argument.format(tmp=tmp_path, store=folder) for argument in arguments))
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk with no room for what benchmarks write."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_one_line(folder: Path, full_disk: Path) -> None:
    """A plot or a trace is lost without a word, or in a traceback, where the disk is full."""
    for arguments in (
        ["loader", folder, *QUICK, "--batch-size", 8, "--patches", 8, "--plot", full_disk / "a.png"],
        ["train", folder, *QUICK, "--batch-size", 8, "--steps", 1, "--trace", full_disk / "a.json"],
    ):
        result = invoke(*arguments, "--device", "cpu")
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        assert result.stderr.startswith("Error: ")
        assert " on the disk" in result.stderr
        assert result.stderr.count("\n") == 1
        assert list(full_disk.iterdir()) == []


def test_more_than_there_is_is_refused(folder: Path) -> None:
    """A benchmark measures fewer steps or patches than it was asked for, without a word."""
    for arguments, message in (
        (["train", folder, "--batch-size", 8, "--steps", 13], "--steps 13: the train split has 12 whole batches of 8"),
        (["loader", folder, "--batch-size", 8, "--patches", 97], "--patches 97: "),
    ):
        result = invoke(*arguments, "--device", "cpu")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
        assert message in result.stderr


@pytest.mark.long
def test_fewer_patches_than_a_batch(folder: Path) -> None:
    """One benchmark refuses what the other measures, or a batch is smaller than was asked for without a word."""
    for arguments, size in (
        (["loader", folder, "--batch-size", 97], 96),
        (["loader", folder, "--batch-size", 32, "--patches", 31], 31),
        (["train", folder, "--batch-size", 97], 96),
    ):
        result = invoke(*arguments, *QUICK, "--device", "cpu", "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        config = (found[str(folder)]["global"] if arguments[0] == "loader" else found)["config"]
        assert config["batch_size"] == size
        lines = [line for line in result.stderr.splitlines() if ": a batch has " in line]
        assert lines == [f"{folder}: a batch has {size} patches, not {arguments[3]}, for a lap has no more"]
