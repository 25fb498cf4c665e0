"""Files with weights that are damaged, or made to run code or fill the memory."""

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from shards import BANDS
from tests.trainer.models.published import ARCHITECTURE, REBEN_2, network, save
from trainer.errors import BadCheckpoint
from trainer.models.create import ModelSpec, create
from trainer.models.weights_file import open_weights, read


class Code:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def bomb(path: Path) -> None:
    """Write a small ZIP archive that unpacks to 64 MiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (64 << 20))


HOSTILE = {
    "FIFO": lambda path: os.mkfifo(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "sparse": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
    "bomb": bomb,
    "code": lambda path: torch.save({"state_dict": {}, "hook": Code(path.with_name("ran"))}, path),
    "expanded": lambda path: torch.save({"conv1.weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, path),
    "truncated": lambda path: (torch.save(network(REBEN_2), path), os.truncate(path, 5000)),
    "absent": lambda path: None,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
def test_hostile_files_are_one_line(kind: str, suffix: str, tmp_path: Path) -> None:
    """A file that is none, is damaged or would run code hangs, fills the memory or ends in a traceback."""
    path = tmp_path / f"weights{suffix}"
    HOSTILE[kind](path)
    with pytest.raises(BadCheckpoint, match=f"weights{suffix}") as caught:
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path, weights_bands="rgb")
    assert "\n" not in str(caught.value)
    if kind == "code" and suffix != ".safetensors":
        assert "posix.mkdir, expected tensors alone" in str(caught.value)
    assert not path.with_name("ran").exists()


def test_truncated_safetensors_are_one_line(tmp_path: Path) -> None:
    """A download that was cut off ends in a traceback at some length."""
    whole = safetensors.torch.save({"conv1.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(2)})
    path = tmp_path / "model.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BadCheckpoint, match=r"model\.safetensors are not a file of tensors: .") as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_written_over_changes_nothing(suffix: str, tmp_path: Path) -> None:
    """A download that begins anew changes the weights in memory; one that is cut off ends the process (SIGBUS)."""
    path = save({"conv1.weight": torch.arange(1 << 16)}, tmp_path / f"weights{suffix}")
    content = read(path)
    with open(path, "r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    assert torch.equal(content["conv1.weight"], torch.arange(1 << 16))


@pytest.mark.parametrize(
    "content", ["{", "[" * 100_000, '{"bands": ["B02", "B13"]}', '{"bands": ["B02"], "band_names": ["B03"]}']
)
def test_damaged_configurations_are_one_line(content: str, tmp_path: Path) -> None:
    """A `config.json` that nobody can read ends in a traceback, or is ignored."""
    path = save(network(REBEN_2), tmp_path / "weights.pth")
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(BadCheckpoint, match=r"weights\.pth|config\.json") as caught:
        create(ModelSpec(ARCHITECTURE, BANDS), weights=path)
    assert "\n" not in str(caught.value)


def test_names_from_files_do_not_steer_the_terminal(tmp_path: Path) -> None:
    """A control sequence in the name of an entry reaches the terminal."""
    state = network(REBEN_2) | {"fc.\x1b[31m.weight": torch.zeros(2)}
    path = save(state, tmp_path / "weights.pth")
    model = create(ModelSpec(ARCHITECTURE, BANDS), weights=path, weights_bands="reben-s2-v0.2.0")
    assert "\\x1b[31m" in str(model.loaded)
    assert "\x1b" not in str(model.loaded)


def test_a_folder_of_a_run_is_told_its_file(tmp_path: Path) -> None:
    """A run is named for weights, and which of its files has them is left to be found out."""
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(BadCheckpoint, match=r"a folder without model.safetensors or pytorch_model.bin; name the file$"):
        open_weights(tmp_path)
    for name in ("epoch-0001.pt", "best.pt", "last.pt"):
        (tmp_path / "checkpoints" / name).write_bytes(b"")
    with pytest.raises(BadCheckpoint, match=rf"; name {tmp_path}/checkpoints/best.pt$"):
        open_weights(tmp_path)
