"""`bep export` as a user meets it: every option, mistakes, a full disk, and what other commands do with the folder."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml

import shards
from tests.bigearth_pipeline.cli.calls import assert_one_error, invoke
from tests.support.running import commands
from tests.support.running.commands.command import ENVIRONMENT
from trainer.config.options import TrainConfig
from trainer.inference import load
from trainer.training.start import train

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PARTS = ((0, 57_600, (-1, 4, 120, 120)), (57_600, 79_200, (-1, 6, 60, 60)), (79_200, 80_000, (-1, 2, 20, 20)))


@pytest.fixture(scope="module")
def small(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step of a small network."""
    out = tmp_path_factory.mktemp("small") / "run"
    bands = ("B11", "B02", "B01")
    train(TrainConfig.of(shards=tiny, out=out, epochs=1, batch_size=24, model="test_resnet", bands=bands, test=True))
    return out


@pytest.fixture(scope="module")
def net(small: Path) -> Path:
    """Its weights, configuration and card."""
    out = small.with_name("net")
    assert invoke("export", small, "--out", out, "--format", "weights").exit_code == 0
    return out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "onnx"], "--format weights is for weights and card alone, and onnx is beside it"),
        (["--inputs", "groups"], "--inputs is for ONNX and pt2"),
        (["--shards", "store"], "--shards is for ONNX and pt2"),
    ],
)
def test_options_that_weights_do_not_heed(options: list[str], words: str, small: Path, tmp_path: Path) -> None:
    """Somebody believes that an option was heeded."""
    result = invoke("export", small, "--out", tmp_path / "net", "--format", "weights", *options)
    assert_one_error(result.stderr, words)
    assert not (tmp_path / "net").exists()


@pytest.mark.long
def test_every_option_counts(small: Path, tiny: Path, tmp_path: Path) -> None:
    """An option changes nothing, or the outcome says something else than the folder."""
    out = tmp_path / "net"
    options = ["--format", "onnx", "--inputs", "groups", "--shards", tiny, "--license", "apache-2.0", "--json"]
    result = invoke("export", small, "--out", out, *options)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["files"] == {path.name: path.stat().st_size for path in out.iterdir()}
    assert set(told["files"]) == {"README.md", "config.json", "model.safetensors", "model.onnx"}
    assert told["compared_on"] == f"5 patches of {tiny}, split test"
    assert 0 <= told["differences"]["model.onnx"] < 1e-4
    assert yaml.safe_load((out / "README.md").read_text().split("---")[1])["license"] == "apache-2.0"
    records = np.empty((5, 80_000), np.uint16)
    with shards.open(tiny) as store:
        store.read_into(store.index.rows("test"), records)
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    groups = [records[:, start:end].reshape(shape) for start, end, shape in PARTS]
    given = {each.name: values for each, values in zip(session.get_inputs(), groups, strict=True)}
    assert list(given) == ["b10", "b20", "b60"]
    (found,) = session.run(None, given)
    np.testing.assert_allclose(found, load(small, device="cpu").probabilities(records), atol=1e-4, rtol=0)


@pytest.mark.long
def test_what_is_written_is_listed(small: Path, tmp_path: Path) -> None:
    """The folder is not named, or a file has no line."""
    result = invoke("export", small, "--out", tmp_path / "net", "--format", "pt2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"written to {tmp_path / 'net'}:"
    assert [line.split(":")[0].strip() for line in lines[1:5]] == [
        "README.md",
        "config.json",
        "model.pt2",
        "model.safetensors",
    ]
    assert lines[5].startswith("greatest difference of a probability between torch and model.pt2: ")
    assert [line.split()[0] for line in result.stderr.splitlines()] == ["tracing", "writing", "writing"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}"], "{tmp} holds no run: there is no config.toml"),
        (["{store}"], "holds no run"),
        (["{run}", "--shards", "{tmp}"], "it is not a shard store"),
        (["{run}", "--format", "weights", "--format", "onnx"], "--format weights is for weights and card alone"),
        (["{run}", "--out", "{net}"], "holds an export; name a new folder, or replace it with --overwrite"),
        (["{run}", "--out", "{run}"], "is the folder that is exported"),
        (["{run}", "--out", "{run}", "--overwrite"], "is the folder that is exported"),
        (["{run}", "--out", "{store}", "--overwrite"], "is a store, expected a folder outside of one"),
        (["{run}", "--out", "{store}/manifest.json"], "is no folder; name a new one"),
        (["{run}", "--out", "{store}/manifest.json/net"], "{store}/manifest.json"),
        (["{run}", "--license", "my licence"], "--license 'my licence' is no identifier of the hub"),
        (["{run}", "--license", ""], "is no identifier of the hub, expected one such as apache-2.0"),
        (["hf://owner"], "hf://owner is no address of the hub, expected hf://owner/name"),
        (["hf://"], "hf:// is no address of the hub, expected hf://owner/name"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, small: Path, tiny: Path, net: Path, tmp_path: Path
) -> None:
    """A mistake ends in a traceback, changes a folder, or is found after the work."""
    names = {"tmp": tmp_path, "store": tiny, "run": small, "net": net}
    before = {path: path.read_bytes() for folder in (small, tiny, net) for path in folder.rglob("*") if path.is_file()}
    given = [argument.format(**names) for argument in arguments]
    result = invoke("export", *given, *(() if "--out" in given else ("--out", tmp_path / "out")))
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert_one_error(result.stderr, message.format(**names))
    assert list(tmp_path.iterdir()) == []
    after = {path: path.read_bytes() for folder in (small, tiny, net) for path in folder.rglob("*") if path.is_file()}
    assert after == before


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of that many KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# The network has 1.5 MB: weights, ONNX and `.pt2` are cut off in turn.
@pytest.mark.long
@pytest.mark.parametrize("disk", [500, 2500, 4000], indirect=True)
def test_a_full_disk_is_one_line(disk: Path, small: Path) -> None:
    """A full disk kills the process, leaves half an export, or the line does not say which folder."""
    told = commands.run("export", small, "--out", disk / "net")
    assert told.returncode == 1, told.stderr[-500:]
    file = re.escape(str(disk / "net")) + r"(/model\.[a-z0-9]+)?"
    assert re.match(rf"Error: {file}: No space left on device; make room", told.stderr.splitlines()[-1])
    assert "Traceback" not in told.stderr
    assert list(disk.iterdir()) == []


def test_an_export_takes_the_place_of_a_run(net: Path, small: Path, tiny: Path, tmp_path: Path) -> None:
    """A command does not take an export, changes it, or gives other numbers than for the run."""
    before = {path.name: path.read_bytes() for path in net.iterdir()}
    result = invoke("evaluate", net, "--shards", tiny, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((small / "metrics-test.json").read_text())
    as_weights = invoke("evaluate", "--weights", net, "--shards", tiny, "--device", "cpu", "--json")
    assert as_weights.exit_code == 0, as_weights.output
    assert json.loads(as_weights.stdout)["ap_macro"] == pytest.approx(json.loads(result.stdout)["ap_macro"], abs=1e-6)
    for folder, name in ((small, "a"), (net, "b")):
        result = invoke("predict", folder, tiny, "--out", tmp_path / name, "--device", "cpu", "--csv")
        assert result.exit_code == 0, result.output
    assert (tmp_path / "a" / "patches.csv").read_bytes() == (tmp_path / "b" / "patches.csv").read_bytes()
    options = ["--shards", tiny, "--method", "band-occlusion", "--no-sanity", "--per-patch", 1, "--device", "cpu"]
    arrays = []
    for folder, name in ((small, "c"), (net, "d")):
        result = invoke("explain", folder, "test_1", *options, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        with np.load(tmp_path / name / "test_1" / "attributions.npz") as found:
            arrays.append({key: found[key] for key in found})
    assert arrays[0].keys() == arrays[1].keys()
    for key, values in arrays[0].items():
        np.testing.assert_array_equal(values, arrays[1][key])
    assert {path.name: path.read_bytes() for path in net.iterdir()} == before


def test_an_export_of_an_export_says_what_its_card_lacks(net: Path, tmp_path: Path) -> None:
    """Scores and licence vanish from the card without a word."""
    result = invoke("export", net, "--out", tmp_path / "again", "--format", "weights")
    assert result.exit_code == 0, result.output
    told = "".join(result.stderr.split())  # Lines are as long as the terminal is wide.
    assert f"{net} is an export, without results: the new card has no scores".replace(" ", "") in told
    assert f"those in {net / 'README.md'} hold for the same weights".replace(" ", "") in told
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (net / "model.safetensors").read_bytes()


def test_an_export_in_the_cache_of_the_hub(net: Path, small: Path, tiny: Path, tmp_path: Path) -> None:
    """A network that is in the cache is not found without a connection."""
    repository = tmp_path / "hub" / "models--owner--net"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        content = (net / name).read_bytes()
        blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(exist_ok=True)
        blob.write_bytes(content)
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    environment = ENVIRONMENT | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    options = ["--shards", tiny, "--device", "cpu", "--json"]
    told = commands.run("evaluate", "hf://owner/net", *options, env=environment)
    assert told.returncode == 0, told.stderr
    found, kept = json.loads(told.stdout), json.loads((small / "metrics-test.json").read_text())
    # Another number of threads changes the last bits.
    assert found["loss"] == pytest.approx(kept["loss"], rel=1e-5)
    assert all(found[name] == kept[name] for name in ("rows_sha256", "epoch", "count"))
    told = commands.run("evaluate", "hf://owner/absent", *options, env=environment)
    assert told.returncode == 1
    assert_one_error(told.stderr, "hf://owner/absent cannot be loaded from the Hugging Face hub, nor from its cache")
    told = commands.run("evaluate", "hf://owner/net", *options, "--checkpoint", "last.pt", env=environment)
    assert_one_error(
        told.stderr, "--checkpoint goes with a run, and hf://owner/net is an export, which holds one alone"
    )
    told = commands.run("explain", "hf://owner/net", "--random", 1, "--out", tmp_path / "maps", env=environment)
    assert_one_error(
        told.stderr, "hf://owner/net is an export, which knows no store to choose patches from; use --shards DIR"
    )
