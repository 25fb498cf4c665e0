"""Only what builds have made is deleted of the folder of a store, whatever it holds besides."""

import errno
import json
import os
import tarfile
from pathlib import Path

import pytest

from bigearth_pipeline.build.claim import claim
from bigearth_pipeline.errors import PipelineError
from shards.metadata.seal import sealed
from tests.bigearth_pipeline.build.resume.building import note_of
from tests.support.data import faults
from tests.support.data.building import contents
from tests.support.paths import GOLDEN

FIRST = GOLDEN / "0.1-dae5bc1"


@pytest.mark.parametrize("unfinished", [False, True])
@pytest.mark.parametrize(
    "name",
    ["thesis.tex", ".hidden", "notes/thesis.tex", "train-00000.tar.bak", "train-0.tar", "train-00099.tar", "train/x",
     ".build/thesis.tex", ".x.part", ".thesis.tex.host.1.0123abcd.part", "zarr.json", "empty/"],
)  # fmt: skip
def test_overwrite_deletes_nothing_of_others(store: Path, tmp_path: Path, name: str, unfinished: bool) -> None:
    """`--overwrite` deletes a file that no build has made."""
    out = faults.copy(store, tmp_path / "s")
    note = note_of(out)
    if unfinished:
        (out / "manifest.json").unlink()
    if name.endswith("/"):
        (out / name).mkdir()
    else:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"years of work")
    before = contents(out)
    message = f"holds .*{name.split('/')[0]}.*`overwrite=True` deletes nothing"
    with pytest.raises(PipelineError, match=message), claim(out, note, overwrite=True):
        pass
    assert contents(out) == before
    with claim(out, note, overwrite=False) as finished:
        assert finished == (not unfinished)
    assert contents(out) == before


@pytest.mark.parametrize("golden", ["webdataset-raw", "zarr-blosc-lz4"])
def test_overwrite_takes_stores_of_the_first_version(tmp_path: Path, golden: str) -> None:
    """A store of an earlier version cannot be replaced, or leaves files behind."""
    archive = FIRST / f"{golden}.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive} is absent")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    (out,) = tmp_path.iterdir()
    note = note_of(out)
    before = contents(out)
    with claim(out, note, overwrite=False) as finished:
        assert finished
    assert contents(out) == before
    with claim(out, note, overwrite=True) as finished:
        assert not finished
        assert {path.name for path in out.iterdir()} == {"build.json", ".build"}
    assert {path.name for path in out.iterdir()} == {"build.json"}


_FOREIGN = [
    b"{}", b"[]", b"null", b"7", b'{"format": "webdataset"}', b'{"name": "my app", "version": "1.0"}',
    b"not json", b"", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("content", _FOREIGN, ids=range(len(_FOREIGN)))
def test_the_build_json_of_others_is_refused(store: Path, tmp_path: Path, content: bytes, overwrite: bool) -> None:
    """A `build.json` of another program is replaced, and its folder emptied."""
    out = tmp_path / "s"
    out.mkdir()
    (out / "build.json").write_bytes(content)
    (out / "thesis.tex").write_bytes(b"years of work")
    before = contents(out)
    for _ in range(2):
        with pytest.raises(PipelineError, match=r"build\.json is "), claim(out, note_of(store), overwrite=overwrite):
            pass
        assert contents(out) == before
        (out / "thesis.tex").unlink(missing_ok=True)
        before.pop("thesis.tex", None)


@pytest.mark.parametrize("field", ["format_version", "version", "format", "num_folders", "patches_per_shard", "seed"])
def test_a_hostile_build_json_is_one_line(store: Path, tmp_path: Path, field: str) -> None:
    """Fields of other types, or absurd ones, end in a traceback."""
    out = faults.copy(store, tmp_path / "s")
    note = note_of(out)
    for value in (None, [], {}, "\x1b[2J", -1, 1.5, True, 1 << 80):
        (out / "build.json").write_text(json.dumps(sealed(note | {field: value})))
        with pytest.raises(PipelineError) as error, claim(out, note, overwrite=False):
            pass
        assert "\x1b" not in str(error.value)


def test_a_shard_that_no_manifest_lists_is_somebody_elses(store: Path, tmp_path: Path) -> None:
    """`overwrite` deletes a tar that was put beside a finished store, because a shard could have had its name."""
    out = faults.copy(store, tmp_path / "s")
    note = note_of(out)
    most = -(-note["num_folders"] // note["patches_per_shard"])
    name = next(name for i in reversed(range(most)) if not (out / (name := f"test-{i:05d}.tar")).exists())
    (out / name).write_bytes(b"mine")
    before = contents(out)
    with pytest.raises(PipelineError, match=f"holds {name}, which is no part"), claim(out, note, overwrite=True):
        pass
    assert contents(out) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["build.json", ".build", "manifest.json", "train-00000.tar", ".build/lock"])
@pytest.mark.parametrize("kind", ["link", "folder link", "pipe"])
def test_links_and_pipes_are_neither_followed_nor_deleted(
    store: Path, tmp_path: Path, name: str, kind: str, overwrite: bool
) -> None:
    """A build writes to, empties or waits for what a link in the folder leads to."""
    out = faults.copy(store, tmp_path / "s")
    note = note_of(out)
    (out / "manifest.json").unlink()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.tex").write_bytes(b"years of work")
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(out / name)
    else:
        (out / name).symlink_to(outside / "thesis.tex" if kind == "link" else outside)
    message = r"which no build makes there|build\.json"
    with pytest.raises(PipelineError, match=message), claim(out, note, overwrite=overwrite):
        pass
    assert contents(outside) == {"thesis.tex": b"years of work"}
    assert (out / "index.parquet").exists()
    assert os.path.lexists(out / name)


def test_temporaries_of_others_stay(store: Path, tmp_path: Path) -> None:
    """A file that looks unfinished is deleted, whoever it belongs to."""
    out = faults.copy(store, tmp_path / "s")
    (out / "manifest.json").unlink()
    (out / ".build").mkdir()
    end = "host-7.77.0123abcd.part"
    ours = [
        f".train-00000.tar.{end}",
        f".train-00099.idx.{end}",
        f".build.json.{end}",
        f".build/.train-00000.json.{end}",
    ]
    others = [".x.part", f".thesis.tex.{end}", ".build/.x.part", f"other/.train-00000.tar.{end}"]
    (out / "other").mkdir()
    for name in ours + others:
        (out / name).write_bytes(b"half")
    with claim(out, note_of(out), overwrite=False) as finished:
        assert not finished
    assert [name for name in ours + others if (out / name).exists()] == others


def test_a_note_that_was_being_written_is_no_stranger(store: Path, tmp_path: Path) -> None:
    """A build that was killed in its first moment cannot be started again."""
    out = tmp_path / "s"
    (out / ".build").mkdir(parents=True)
    (out / ".build.json.host.1.0123abcd.part").write_bytes(b"{")
    (out / ".build" / "lock").write_bytes(b"")
    with claim(out, note_of(store), overwrite=False) as finished:
        assert not finished
    assert [path.name for path in out.iterdir()] == ["build.json"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_advice_on_a_full_disk_deletes_nothing(store: Path, tmp_path: Path, overwrite: bool) -> None:
    """A full disk ends a build, and the same command is advised, whose `overwrite` deletes what there is."""
    again = "without `overwrite=True` to resume" if overwrite else "again to resume"
    with (
        pytest.raises(PipelineError, match=f"make room and run the same command {again}$"),
        claim(tmp_path / "s", note_of(store), overwrite=overwrite),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
