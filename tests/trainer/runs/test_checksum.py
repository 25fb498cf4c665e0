"""Files of torch with a checksum inside."""

import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import BadCheckpoint
from trainer.runs import checksum

VALUES = {"weights": torch.arange(1000.0), "name": "a", "nested": {"numbers": (1, 2.5, None)}}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with some values."""
    path = tmp_path_factory.mktemp("checksum") / "values.pt"
    checksum.write(path, VALUES)
    return path


def test_values_come_back(file: Path) -> None:
    """The values that are read differ from those that were written."""
    values = checksum.read(file)
    assert torch.equal(values.pop("weights"), VALUES["weights"])
    assert values == {"name": "a", "nested": {"numbers": (1, 2.5, None)}}


def test_other_programs_open_it(file: Path) -> None:
    """A checkpoint can only be used with this program."""
    assert torch.equal(torch.load(file, weights_only=True)["weights"], VALUES["weights"])
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"sha256=")


@settings(max_examples=60)
@given(data=st.data())
def test_any_flipped_bit_is_found(file: Path, data: st.DataObject) -> None:
    """A damaged weight is trained on, or evaluated."""
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    damaged = file.with_name("damaged.pt")
    damaged.write_bytes(content)
    with pytest.raises(BadCheckpoint, match=f"{damaged} is"):
        checksum.read(damaged)


@pytest.mark.parametrize("length", [0, 1, 21, 71, 100, 1000])
def test_any_cut_is_found(file: Path, length: int) -> None:
    """Half a checkpoint is taken for a whole one."""
    cut = file.with_name("cut.pt")
    cut.write_bytes(file.read_bytes()[:length])
    with pytest.raises(BadCheckpoint, match=f"{cut} is not a whole checkpoint"):
        checksum.read(cut)


def test_code_is_not_run(tmp_path: Path) -> None:
    """A checkpoint from somebody else runs what it likes."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, ("__import__('sys').exit(3)",)

    path = tmp_path / "evil.pt"
    checksum.write(path, {"evil": Evil()})
    with pytest.raises(BadCheckpoint, match=f"{path} is not a checkpoint"):
        checksum.read(path)


def test_a_lack_of_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user throws away a checkpoint that is whole."""

    def refuse(*arguments: object, **settings: object) -> None:
        raise MemoryError

    checksum.write(tmp_path / "a.pt", {"state": torch.zeros(3)})
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(MemoryError):
        checksum.read(tmp_path / "a.pt")
