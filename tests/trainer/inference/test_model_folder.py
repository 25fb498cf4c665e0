"""Folders of the hub that were changed, by chance or on purpose, and addresses of the hub."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bigearth_pipeline.cli import main
from shards.errors import BepError
from tests.trainer.conftest import Run
from trainer.errors import BadCheckpoint
from trainer.export.export import ExportConfig, export
from trainer.inference.hub import is_address, locate
from trainer.inference.model_folder import describe, read_model_folder
from trainer.inference.trained import TrainedRun

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def original(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export without programs; tests change copies of it."""
    out = tmp_path_factory.mktemp("folders") / "net"
    export(ExportConfig(run=run.config.run.out, out=out, formats=()))
    return out


@pytest.fixture
def copied(original: Path, tmp_path: Path) -> Path:
    """A copy of configuration and weights."""
    copy = tmp_path / "net"
    copy.mkdir()
    for name in ("config.json", "model.safetensors"):
        (copy / name).write_bytes((original / name).read_bytes())
    return copy


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def write_config(folder: Path, values: object) -> None:
    (folder / "config.json").write_text(json.dumps(values))


def rewrite(folder: Path, content: bytes) -> None:
    """Write other weights, with their checksum."""
    (folder / "model.safetensors").write_bytes(content)
    write_config(folder, config(folder) | {"weights_sha256": hashlib.sha256(content).hexdigest()})


def refused(folder: Path, shards: Path) -> str:
    """Return the one line that evaluating a folder ends with."""
    result = CliRunner().invoke(main, ["evaluate", str(folder), "--shards", str(shards), "--device", "cpu"])
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def set_at(*path: str, to: object) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for name in path[:-1]:
            values = values[name]
        if to is None:
            del values[path[-1]]
        else:
            values[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (set_at("library_name", to="timm"), "this program has not exported"),
        (set_at("format_version", to=2), "is of version 2; this program reads version 1"),
        (set_at("format_version", to=True), "is of version True"),
        (set_at("bands", to=["B02", "B99"]), "no band 'B99'"),
        (set_at("bands", to=["B02", "B02"]), "selected twice"),
        (set_at("bands", to=["B04", "B03", "B02"]), "normalisation is of B02"),
        (set_at("bands", to=[]), "no band is selected"),
        (set_at("bands", to=["B02"] * 100_000), "selected twice"),
        (
            set_at("class_names", to=["Urban fabric"]),
            "class_names are 'Urban fabric' in place of 'Agro-forestry areas'",
        ),
        (set_at("class_names", to=[]), "class_names are 0 names, expected the 19 classes"),
        (set_at("normalisation", "bands", "B02", "scale", to=0), "the scale of B02 is 0"),
        (set_at("normalisation", "bands", "B02", "mean", to="1"), "mean is '1', expected a number"),
        (set_at("normalisation", "bands", "B02", "centre", to=1e300), "expected a number of"),
        (set_at("normalisation", "clamp", to=1), "clamp is 1, expected true or false"),
        (set_at("thresholds", "Pastures", to=1.5), "thresholds.Pastures is 1.5, expected a number of 0 … 1"),
        (set_at("thresholds", "Pastures", to=None), "Pastures is absent"),
        (set_at("thresholds", to=None), "thresholds is absent"),
        (set_at("trained_on", "source_version", to="v3"), "expected one of v1, v2"),
        (set_at("trained_on", "epoch", to=-1), "epoch is -1"),
        (set_at("model", "name", to="no_such_network"), "no model 'no_such_network'"),
        (set_at("model", "name", to="bepnet-m"), "unlike the network|expected torch.float32 of shape"),
        (set_at("model", "name", to="../x"), "expected the name of a network"),
        (set_at("model", "drop_rate", to=1), "drop_rate is 1"),
        (set_at("options", "optimisation", "lr", to="fast"), "lr"),
        (set_at("options", to=[]), "options"),
        (set_at("validation", to=[]), "expected an object, or null"),
        (set_at("model", "name", to="bepnet-x"), "does not describe a network: no model 'bepnet-x'"),
        (set_at("validation", to={}), "validation does not hold the metrics of an epoch: thresholds is absent"),
        (set_at("validation", "count", to="x"), "metrics of an epoch: count is 'x', expected an integer"),
        (set_at("validation", "ap_macro", to=[1]), "ap_macro is an array of 1, expected a number"),
        (set_at("validation", "thresholds_tuned_here", to=-1e30), "thresholds_tuned_here is -1e+30, expected true"),
        (set_at("validation", "classes", to={"Pastures": 1}), "of an epoch: classes.Pastures is 1, expected an object"),
        (set_at("validation", "classes", to={}), "classes of the network: Agro-forestry areas is absent"),
        (set_at("validation", "classes", "Pastures", to={}), "of an epoch: classes.Pastures.positives is absent"),
        (set_at("validation", "ranking", to={"a\n": 1}), "of an epoch: ranking.average_precision is absent"),
        (set_at("weights_sha256", to="0" * 64), "is damaged, or is not of "),
        (set_at("more", to=1), "which is unknown"),
    ],
)
def test_a_changed_configuration_is_one_line(
    change: Callable[[dict[str, Any]], None], line: str, copied: Path, run: Run
) -> None:
    """Weights are used with other bands, classes or numbers, or a traceback ends it."""
    values = config(copied)
    change(values)
    write_config(copied, values)
    found = refused(copied, run.config.data.shards)
    assert any(part in found for part in line.split("|"))
    assert str(copied / "config.json") in found or ("library_name" in found and str(copied) in found)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b" " * (2 << 20)], ids=len
)
def test_a_configuration_that_nobody_can_read(content: bytes, copied: Path, run: Run) -> None:
    """A damaged or endless file ends in a traceback."""
    (copied / "config.json").write_bytes(content)
    assert "config.json" in refused(copied, run.config.data.shards)


def test_files_that_are_missing_are_named(copied: Path, run: Run) -> None:
    """Half a folder counts as a run without an epoch."""
    (copied / "config.json").rename(copied / "other.json")
    assert "has no config.json" in refused(copied, run.config.data.shards)
    (copied / "other.json").rename(copied / "config.json")
    (copied / "model.safetensors").unlink()
    assert "model.safetensors" in refused(copied, run.config.data.shards)
    os.mkfifo(copied / "model.safetensors")
    assert "a named pipe" in refused(copied, run.config.data.shards)


def test_other_weights_are_one_line(copied: Path, run: Run) -> None:
    """Weights that are not the network's are loaded in part, or a header takes all memory."""
    state = safetensors.torch.load((copied / "model.safetensors").read_bytes())
    name = "head.weight"

    def line(content: dict[str, torch.Tensor]) -> str:
        rewrite(copied, safetensors.torch.save(content))
        return refused(copied, run.config.data.shards)

    assert f"lack '{name}'" in line({key: value for key, value in state.items() if key != name})
    assert "have 'more'" in line(state | {"more": torch.zeros(3)})
    assert "of shape (19, 1), expected" in line(state | {name: torch.zeros(19, 1)})
    assert "torch.float16" in line(state | {name: state[name].half()})
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    for content in (b"", b"\xff" * 8 + b"{}", len(header).to_bytes(8, "little") + header, b"\0" * 100):
        rewrite(copied, content)
        assert "are not a file of tensors" in refused(copied, run.config.data.shards)


PLACES = """
format_version model bands class_names normalisation thresholds trained_on options validation weights_sha256
model.name model.drop_rate normalisation.bands normalisation.clamp normalisation.bands.B02 thresholds.Pastures
normalisation.bands.B02.scale trained_on.epoch trained_on.manifest_sha256 options.data options.data.bands
options.machine.precision
"""
paths = st.sampled_from(PLACES.split())
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(paths, values)
@settings(max_examples=40)
def test_any_value_is_read_or_refused(original: Path, path: str, value: object) -> None:
    """A value of an unexpected kind ends in a traceback, or is not what is used."""
    found = config(original)
    place = found
    *names, last = path.split(".")
    for name in names:
        place = place[name]
    place[last] = value
    folder = original.parent / "any"
    folder.mkdir(exist_ok=True)
    if not (folder / "model.safetensors").exists():
        (folder / "model.safetensors").symlink_to(original / "model.safetensors")
    write_config(folder, found)
    try:
        checkpoint = read_model_folder(folder)
    except BadCheckpoint:
        return
    again = describe(checkpoint, found["weights_sha256"])
    assert again.keys() == found.keys()
    for name in again.keys() - {"options"}:
        assert again[name] == found[name], name


def test_what_is_read_is_what_was_exported(original: Path, run: Run) -> None:
    """A field of the checkpoint is lost on the way."""
    before, after = TrainedRun.read(run.config.run.out), TrainedRun.read(original)
    kept = before.checkpoint.ema or before.checkpoint.state
    assert all(torch.equal(after.checkpoint.state[name], value) for name, value in kept.items())
    for name in ("model", "normalisation", "epoch", "source_version", "manifest_sha256", "thresholds", "metrics"):
        assert getattr(after.checkpoint, name) == getattr(before.checkpoint, name), name
    there, here = before.trained.values(), after.trained.values()
    assert {key for key in there if there[key] != here[key]} == {"data.shards", "run.out"}
    assert here["data.shards"] == Path(there["data.shards"].name)


@pytest.mark.parametrize("text", ["hf://a", "hf://a/b/c", "hf://a/b@", "hf:///b", "hf://a/b c", "hf://a/b@x y"])
def test_addresses_of_another_form_are_refused(text: str) -> None:
    """Something else is looked for on the hub."""
    assert is_address(Path(text))
    with pytest.raises(BepError, match="is no address of the hub, expected hf://owner/name"):
        locate(Path(text))


def test_a_folder_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the user cannot be named, since its name looks like an address."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hf:" / "a" / "b").mkdir(parents=True)
    assert locate(Path("hf://a/b")) == Path("hf:/a/b")
    assert locate(Path("runs/first")) == Path("runs/first")


CODE = """
import sys
from pathlib import Path
from shards.errors import BepError
from trainer.inference.trained import TrainedRun
for address in sys.argv[1:]:
    try:
        found = TrainedRun.read(Path(address))
        print(found.path, found.checkpoint.epoch)
    except BepError as err:
        print(type(err).__name__, err)
"""


def test_networks_of_the_hub_are_read_from_its_cache(original: Path, run: Run, tmp_path: Path) -> None:
    """A folder that is in the cache is not found, or that of another revision is used."""
    cache = tmp_path / "hub"
    repository = cache / "models--owner--net.v1"
    for number, commit in enumerate([COMMIT, COMMIT[::-1]]):
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for name in ("config.json", "model.safetensors"):
            content = (original / name).read_bytes()
            if name == "config.json":
                values = json.loads(content)
                values["trained_on"]["epoch"] = 40 + number
                content = json.dumps(values).encode()
            blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
            blob.parent.mkdir(exist_ok=True)
            blob.write_bytes(content)
            (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    for name, commit in (("main", COMMIT), ("v2", COMMIT[::-1])):
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(commit)
    addresses = ["hf://owner/net.v1", "hf://owner/net.v1@v2", f"hf://owner/net.v1@{COMMIT[::-1]}", "hf://owner/none"]
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", CODE, *addresses]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in found[:3]] == ["40", "41", "41"]
    assert found[0].startswith(str(repository / "snapshots" / COMMIT))
    assert found[3].startswith("TrainError hf://owner/none cannot be loaded from the Hugging Face hub, nor from its")
    assert len(found) == 4
