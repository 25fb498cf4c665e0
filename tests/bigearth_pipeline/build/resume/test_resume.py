"""Shards of an earlier run: damaged and outdated ones are built again."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigearth_pipeline.build.earlier_shards import Checked, check_shard
from bigearth_pipeline.build.plan import ShardPlan
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.verify.store import verify_store
from shards.metadata.seal import sealed
from shards.write.finish import remove_surplus
from shards.write.options import StoreOptions
from tests.bigearth_pipeline.build.resume.building import Build, band_file, write_one
from tests.support.data import faults
from tests.support.data.building import FORMATS, contents
from tests.support.data.scene import PRODUCT, write_band


def _damage(path: Path) -> Iterator[Callable[[], object]]:
    """Yield ways to damage a file."""
    for part in range(1, 8):
        yield lambda part=part: faults.flip_bit(path, path.stat().st_size * part // 8, part)
    yield lambda: faults.truncate(path, path.stat().st_size // 2)
    yield lambda: faults.truncate(path, 0)
    yield lambda: (path.unlink(), os.mkfifo(path))
    yield lambda: (path.rename(f"{path}.moved"), path.symlink_to(f"{path}.moved"))
    yield lambda: (path.unlink(), path.mkdir())
    yield path.unlink


@FORMATS
def test_a_finished_shard_is_compared_with_its_checksums(tree: Path, tmp_path: Path, store_format: str) -> None:
    """A damaged shard, or a damaged note of one, is taken for what an earlier run has written."""
    plan, options = write_one(tree, tmp_path / "sound", store_format)
    assert _check(plan, options).result is not None
    files = list(contents(options.folder))
    assert len(files) == {"webdataset": 5, "zarr": 6}[store_format]
    number = 0
    for target in files:
        for way in range(13):
            number += 1
            out = faults.copy(options.folder, tmp_path / str(number))
            list(_damage(out / target))[way]()
            checked = _check(plan, replace(options, folder=out))
            assert checked.result is None, (target, way)
            # Without its note a shard is one that was not there.
            assert (checked.reason is None) == (target.endswith(".json") and way == 12), (target, way)
            shutil.rmtree(out)


def _check(plan: ShardPlan, options: StoreOptions) -> Checked:
    return check_shard(plan, options, lambda count: None)


def _sealed(content: object) -> bytes:
    """Return a note with the checksum that makes it look whole."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({"note": content, "sha256": digest}).encode()


def test_a_note_of_a_shard_can_say_anything(tree: Path, tmp_path: Path) -> None:
    """A note makes a build open, hash or delete any file, or ends in a traceback if it has other types."""
    plan, options = write_one(tree, tmp_path / "s", "webdataset")
    path = options.work / "train-00000.json"
    sound = json.loads(path.read_bytes())["note"]
    assert _check(plan, options).result is not None
    (tmp_path / "outside").write_bytes(b"years of work")
    digest = hashlib.sha256(b"years of work").hexdigest()
    for name in ("../outside", str(tmp_path / "outside"), "a/../../outside", "", ".", "\0"):
        changed = json.loads(json.dumps(sound))
        changed["shard"]["files"][0] = {"path": name, "size_bytes": 13, "sha256": digest}
        path.write_bytes(_sealed(changed))
        assert _check(plan, options).reason == "its note is damaged, or of an earlier version"
    odd = [None, [], {}, 1.5, "x", -1, True, [1, 2], {"path": 1}]
    for name, value in [(name, value) for name in sound for value in odd]:
        path.write_bytes(_sealed(sound | {name: value}))
        assert _check(plan, options).result is None, (name, value)
    for name, value in [(name, value) for name in sound["shard"] for value in odd]:
        path.write_bytes(_sealed(sound | {"shard": sound["shard"] | {name: value}}))
        assert _check(plan, options).result is None, (name, value)
    raw = [b"", b"null", b"[" * 60_000, b'{"note": {}, "sha256": ""}', b"\xff", b" " * 70_000, b'{"a": 1' + b"0" * 5000]
    for content in raw:
        path.write_bytes(content)
        assert _check(plan, options).reason


@pytest.mark.parametrize("change", ["pixels", "time", "absent"])
def test_changed_sources_make_a_shard_outdated(tree: Path, tmp_path: Path, change: str) -> None:
    """Pixels that were changed between two starts of a build are in one shard and not in the next."""
    source = faults.copy(tree, tmp_path / "tree")
    plan, options = write_one(source, tmp_path / "s", "webdataset")
    for band in ("B01", "B8A", "B12"):
        path = band_file(source, 3, band)
        before, content = path.stat(), path.read_bytes()
        if change == "pixels":
            # As many bytes as before.
            faults.flip_bit(path, before.st_size - 5)
        elif change == "time":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        else:
            path.unlink()
        assert _check(plan, options).reason == "files of its source have changed since"
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert _check(plan, options).result is not None


@pytest.mark.long
@FORMATS
def test_damaged_and_outdated_shards_are_built_again(
    tree: Path, scheduler: str, tmp_path: Path, store_format: str
) -> None:
    """A resumed build ends in a finished store that holds a flipped bit, or pixels that the source no longer has."""
    source = faults.copy(tree, tmp_path / "tree")
    run = Build(source, scheduler, store_format)
    run.interrupted(tmp_path / "s")
    notes = sorted((tmp_path / "s" / ".build").glob("*.json"))
    assert len(notes) == 3
    files = json.loads(notes[0].read_bytes())["note"]["shard"]["files"]
    faults.flip_bit(tmp_path / "s" / files[0]["path"], 1000)
    write_band(band_file(source, 0), np.full((120, 120), 77, np.uint16), 10, 0.0, 0.0)
    assert run(tmp_path / "s") == 6
    assert run.lines[1] == "comparing 3 shards of an earlier run with checksums and source"
    assert {line.partition(": ")[2] for line in run.lines[2:]} == {
        f"{files[0]['path']} differs from its checksum",
        "files of its source have changed since",
    }
    run(tmp_path / "whole")
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")
    assert verify_store(tmp_path / "s", against=[source]).problems == []


@pytest.mark.long
def test_the_verifier_tells_when_source_files_changed(tree: Path, scheduler: str, tmp_path: Path) -> None:
    """Nobody can tell a store that is wrong from a source that was changed after the build."""
    source = faults.copy(tree, tmp_path / "tree")
    Build(source, scheduler)(tmp_path / "s")
    findings = verify_store(tmp_path / "s", against=[source])
    assert (findings.problems, findings.notes) == ([], [])
    write_band(band_file(source, 6), np.full((120, 120), 77, np.uint16), 10, 7200.0, 0.0)
    findings = verify_store(tmp_path / "s", against=[source])
    assert [problem.partition(" differs ")[0] for problem in findings.problems] == [f"{PRODUCT}_00_06"]
    (line,) = findings.notes
    assert "the source files of 1 shard have another size or time than when it was built" in line
    # Another copy has other times, and says nothing.
    moved = tmp_path / "moved"
    shutil.copytree(tree, moved, copy_function=shutil.copyfile)
    findings = verify_store(tmp_path / "s", against=[moved])
    assert (findings.problems, findings.notes) == ([], [])


def test_surplus_shards_are_found_by_name(tree: Path, tmp_path: Path) -> None:
    """The note of a shard that a new plan has not lets any file be deleted."""
    plan, options = write_one(tree, tmp_path / "s", "webdataset")
    (tmp_path / "outside").write_bytes(b"years of work")
    (options.folder / "index.parquet").write_bytes(b"x")
    paths = ("../outside", "index.parquet", "train-00000.tar")
    files = [{"path": path, "size_bytes": 1, "sha256": ""} for path in paths]
    content = json.dumps({"plan": "", "bytes_read": 0, "shard": {"name": "", "split": "", "count": 1, "files": files}})
    for name in ("train-00007", "test-00000", "thesis"):
        (options.work / f"{name}.json").write_text(content)
    (options.folder / "train-00007.tar").write_bytes(b"x")
    remove_surplus(options, {plan.name})
    assert sorted(path.name for path in options.folder.iterdir()) == [
        ".build",
        "index.parquet",
        "train-00000.idx",
        "train-00000.tar",
    ]
    assert (tmp_path / "outside").read_bytes() == b"years of work"
    assert sorted(path.name for path in options.work.glob("*.json")) == ["thesis.json", "train-00000.json"]


def test_another_source_is_named_without_digests(tree: Path, scheduler: str, store: Path, tmp_path: Path) -> None:
    """The message tells two SHA-256 and leaves it to people to know what they are of."""
    out = faults.copy(store, tmp_path / "s")
    note = json.loads((out / "build.json").read_bytes())
    note["folders"], note["tables"] = "0" * 64, dict.fromkeys(note["tables"], "0" * 64)
    (out / "build.json").write_text(json.dumps(sealed(note)))
    with pytest.raises(PipelineError, match="holds another build: the metadata or split tables") as caught:
        Build(tree, scheduler)(out)
    assert "the patch folders in the source have other names" in str(caught.value)
    assert "0000" not in str(caught.value)
