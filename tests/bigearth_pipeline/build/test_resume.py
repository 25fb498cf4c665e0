"""Files that a build finds in its folder: its own, damaged or outdated ones, and those of others."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bigearth_pipeline.build.claim import claim
from bigearth_pipeline.build.config import BuildConfig, read_build_note
from bigearth_pipeline.build.earlier_shards import Checked, check_shard
from bigearth_pipeline.build.plan import PatchEntry, ShardPlan
from bigearth_pipeline.build.run import build
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.build.task import write_shard
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.verify.store import verify_store
from shards.write.finish import remove_surplus
from shards.write.options import StoreOptions
from tests import faults
from tests.building import Recorder, contents
from tests.paths import GOLDEN, ROOT
from tests.scene import PRODUCT, scene_records, write_band, write_patch, write_table

FORMATS = pytest.mark.parametrize("store_format", ["webdataset", "zarr"])
FIRST = GOLDEN / "0.1-dae5bc1"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patches with a table."""
    from tests.conftest import real

    tree = tmp_path_factory.mktemp("resume") / "tree"
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(8)]
    for i, (key, record) in enumerate(zip(keys, scene_records(real("scenes/199U_1099R"), len(keys)), strict=True)):
        write_patch(tree / "BigEarthNet-S2" / PRODUCT, key, record, 1200.0 * i, 0.0)
    write_table(tree / "metadata.parquet", keys)
    return tree


def _band(tree: Path, number: int, band: str = "B02") -> Path:
    key = f"{PRODUCT}_00_{number:02d}"
    return tree / "BigEarthNet-S2" / PRODUCT / key / f"{key}_{band}.tif"


class Build:
    """A build with the same options each time, and what it says."""

    def __init__(self, tree: Path, scheduler: str, store_format: str = "webdataset", **options: object) -> None:
        self.tree, self.scheduler, self.lines = tree, scheduler, list[str]()
        self.options = {"patches_per_shard": 2, "format": store_format} | options

    def __call__(self, out: Path, **options: object) -> int:
        """Build; return how many patches were written."""
        progress = Recorder()
        self.lines = progress.lines
        config = BuildConfig(sources=(self.tree,), out=out, rules=Rules(), **(self.options | options))
        return build(config, workers=2, scheduler=self.scheduler, progress=progress).built

    def interrupted(self, out: Path) -> None:
        """Build all shards but for one of which a patch is bad, and mend that."""
        broken = _band(self.tree, 5, "B09")
        status, sound = broken.stat(), broken.read_bytes()
        broken.write_bytes(b"")
        with pytest.raises(PipelineError, match="1 bad patch"):
            self(out)
        broken.write_bytes(sound)
        os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))


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
    plan, options = _write_one(tree, tmp_path / "sound", store_format)
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


def _write_one(tree: Path, out: Path, store_format: str) -> tuple[ShardPlan, StoreOptions]:
    """Write a shard of four patches."""
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(4)]
    entries = [
        PatchEntry(key, str(_band(tree, i).parent), "train", 3, None, "2017-06-13T10:10:31", False, False)
        for i, key in enumerate(keys)
    ]
    options = StoreOptions(out, store_format, "blosc-lz4", 4)  # type: ignore[arg-type]
    options.work.mkdir(parents=True)
    plan = ShardPlan("train", 0, tuple(entries))
    assert write_shard(plan, options, lambda count: None).info is not None
    return plan, options


def _check(plan: ShardPlan, options: StoreOptions) -> Checked:
    return check_shard(plan, options, lambda count: None)


def _sealed(content: object) -> bytes:
    """Return a note with the checksum that makes it look whole."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({"note": content, "sha256": digest}).encode()


def test_a_note_of_a_shard_can_say_anything(tree: Path, tmp_path: Path) -> None:
    """A note makes a build open, hash or delete any file, or ends in a traceback if it has other types."""
    plan, options = _write_one(tree, tmp_path / "s", "webdataset")
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
    plan, options = _write_one(source, tmp_path / "s", "webdataset")
    for band in ("B01", "B8A", "B12"):
        path = _band(source, 3, band)
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
    write_band(_band(source, 0), np.full((120, 120), 77, np.uint16), 10, 0.0, 0.0)
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
    write_band(_band(source, 6), np.full((120, 120), 77, np.uint16), 10, 7200.0, 0.0)
    findings = verify_store(tmp_path / "s", against=[source])
    assert [problem.partition(" differs ")[0] for problem in findings.problems] == [f"{PRODUCT}_00_06"]
    (line,) = findings.notes
    assert "the source files of 1 shard have another size or time than when it was built" in line
    # Another copy has other times, and says nothing.
    moved = tmp_path / "moved"
    shutil.copytree(tree, moved, copy_function=shutil.copyfile)
    findings = verify_store(tmp_path / "s", against=[moved])
    assert (findings.problems, findings.notes) == ([], [])


# What the folder of a store can hold besides.


@pytest.fixture(scope="module")
def store(tree: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store."""
    out = tmp_path_factory.mktemp("finished") / "s"
    Build(tree, scheduler)(out)
    return out


def _note(out: Path) -> dict[str, object]:
    note = read_build_note(out)
    assert note is not None
    return note


@pytest.mark.parametrize("unfinished", [False, True])
@pytest.mark.parametrize(
    "name",
    ["thesis.tex", ".hidden", "notes/thesis.tex", "train-00000.tar.bak", "train-0.tar", "train-00099.tar", "train/x",
     ".build/thesis.tex", ".x.part", ".thesis.tex.host.1.0123abcd.part", "zarr.json", "empty/"],
)  # fmt: skip
def test_overwrite_deletes_nothing_of_others(store: Path, tmp_path: Path, name: str, unfinished: bool) -> None:
    """`--overwrite` deletes a file that no build has made."""
    out = faults.copy(store, tmp_path / "s")
    note = _note(out)
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
    note = _note(out)
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
        with pytest.raises(PipelineError, match=r"build\.json is "), claim(out, _note(store), overwrite=overwrite):
            pass
        assert contents(out) == before
        (out / "thesis.tex").unlink(missing_ok=True)
        before.pop("thesis.tex", None)


@pytest.mark.parametrize("field", ["format_version", "version", "format", "num_folders", "patches_per_shard", "seed"])
def test_a_hostile_build_json_is_one_line(store: Path, tmp_path: Path, field: str) -> None:
    """Fields of other types, or absurd ones, end in a traceback."""
    out = faults.copy(store, tmp_path / "s")
    note = _note(out)
    for value in (None, [], {}, "\x1b[2J", -1, 1.5, True, 1 << 80):
        (out / "build.json").write_text(json.dumps(note | {field: value}))
        with pytest.raises(PipelineError) as error, claim(out, note, overwrite=False):
            pass
        assert "\x1b" not in str(error.value)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["build.json", ".build", "manifest.json", "train-00000.tar", ".build/lock"])
@pytest.mark.parametrize("kind", ["link", "folder link", "pipe"])
def test_links_and_pipes_are_neither_followed_nor_deleted(
    store: Path, tmp_path: Path, name: str, kind: str, overwrite: bool
) -> None:
    """A build writes to, empties or waits for what a link in the folder leads to."""
    out = faults.copy(store, tmp_path / "s")
    note = _note(out)
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
    with claim(out, _note(out), overwrite=False) as finished:
        assert not finished
    assert [name for name in ours + others if (out / name).exists()] == others


def test_a_note_that_was_being_written_is_no_stranger(store: Path, tmp_path: Path) -> None:
    """A build that was killed in its first moment cannot be started again."""
    out = tmp_path / "s"
    (out / ".build").mkdir(parents=True)
    (out / ".build.json.host.1.0123abcd.part").write_bytes(b"{")
    (out / ".build" / "lock").write_bytes(b"")
    with claim(out, _note(store), overwrite=False) as finished:
        assert not finished
    assert [path.name for path in out.iterdir()] == ["build.json"]


def test_surplus_shards_are_found_by_name(tree: Path, tmp_path: Path) -> None:
    """The note of a shard that a new plan has not lets any file be deleted."""
    plan, options = _write_one(tree, tmp_path / "s", "webdataset")
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


def _build_in_rounds(out: Path, note: dict[str, object], marker: Path, code: int) -> None:
    """Take a folder fifteen times, as a build that finishes does; to find another's marker is a double hold."""
    if code:
        faults.without_flock(code)
    held = 0
    while held < 15:
        try:
            with claim(out, note, overwrite=True) as finished:
                if marker.exists() or finished:
                    marker.with_name(f"double-{os.getpid()}").touch()
                marker.touch()
                held += 1
                for name in ("train-00000.tar", ".build/train-00000.json", "manifest.json"):
                    (out / name).write_bytes(b"{}")
                marker.unlink()
        except PipelineError as err:
            if "in use by" not in str(err):
                marker.with_name(f"error-{os.getpid()}").write_text(str(err))


@pytest.mark.parametrize("code", [0, errno.ENOSYS])
def test_four_builders_of_one_folder(store: Path, tmp_path: Path, code: int) -> None:
    """Two builds write into one folder, or one that begins while another ends fails with an odd error."""
    note = _note(store)
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            failed = 1
            try:
                _build_in_rounds(tmp_path / "s", note, tmp_path / "marker", code)
                failed = 0
            finally:
                os._exit(failed)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert [path.read_text() for path in tmp_path.glob("error-*")] == []
    assert list(tmp_path.glob("double-*")) == []
    assert not (tmp_path / "s" / ".build").exists()


# Disks and folders.


@contextmanager
def _mounted(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("left", [False, True])
def test_a_finished_store_on_a_read_only_disk(
    tree: Path, scheduler: str, store: Path, tmp_path: Path, left: bool
) -> None:
    """To build what is there already needs a disk that can be written to."""
    with _mounted(tmp_path / "disk", "size=20m") as disk:
        out = faults.copy(store, disk / "s")
        if left:
            (out / ".build").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        before = contents(out)
        run = Build(tree, scheduler)
        assert run(out) == 0
        with pytest.raises(PipelineError, match="holds another build: `codec=` was blosc-lz4, now raw"):
            run(out, codec="raw")
        with pytest.raises(PipelineError, match="cannot be written: Read-only file system"):
            run(out, overwrite=True)
        assert contents(out) == before


def test_a_disk_that_is_full_from_the_start(tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A disk without any room ends in a traceback, or in a message about something else."""
    with _mounted(tmp_path / "disk", "size=64k") as disk:
        with suppress(OSError), open(disk / "fill", "wb") as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(PipelineError, match=r"no space left on the disk of .*/s; make room"):
            Build(tree, scheduler)(disk / "s")


def test_odd_places_are_one_line(tree: Path, scheduler: str, tmp_path: Path) -> None:
    """An `--out` that is no folder, or that lies in the source, ends in a traceback or in a spoilt source."""
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    run = Build(tree, scheduler)
    before = sorted(contents(tree))
    root = tree / "BigEarthNet-S2"
    for out, message in [
        (tmp_path / "file", "is a file, expected a folder"),
        (tmp_path / "pipe", "is a named pipe, expected a folder"),
        (tmp_path / "dangling", "is a symbolic link to .*nothing, which does not exist, expected a folder"),
        (root, "lies in the source"),
        (root / "store", "lies in the source"),
        (root / PRODUCT / "store", "lies in the source"),
    ]:
        with pytest.raises(PipelineError, match=message):
            run(out)
    assert sorted(contents(tree)) == before
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_is_removed_meanwhile_is_not_made_again(tree: Path, tmp_path: Path) -> None:
    """A part of a store appears where the folder was removed during the build."""
    plan, options = _write_one(tree, tmp_path / "s", "webdataset")
    shutil.rmtree(options.folder)
    with pytest.raises(OSError, match="the folder was removed while the build runs"):
        write_shard(plan, options, lambda count: None)
    assert not options.folder.exists()


def test_the_folder_of_a_build_without_locks(tree: Path, tmp_path: Path) -> None:
    """A file system without `flock` cannot hold a store."""
    script = "import errno, sys; from tests import faults; faults.without_flock(errno.ENOSYS); "
    script += "from bigearth_pipeline.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, "build-shards", str(tree), "--out", str(tmp_path / "s"), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "has no locks (Function not implemented)" in done.stderr
    assert verify_store(tmp_path / "s").problems == []
    assert not (tmp_path / "s" / ".build").exists()


def test_another_source_is_named_without_digests(tree: Path, scheduler: str, store: Path, tmp_path: Path) -> None:
    """The message tells two SHA-256 and leaves it to people to know what they are of."""
    out = faults.copy(store, tmp_path / "s")
    note = json.loads((out / "build.json").read_bytes())
    note["folders"], note["tables"] = "0" * 64, dict.fromkeys(note["tables"], "0" * 64)
    (out / "build.json").write_text(json.dumps(note))
    with pytest.raises(PipelineError, match="holds another build: the metadata or split tables") as caught:
        Build(tree, scheduler)(out)
    assert "the patch folders in the source have other names" in str(caught.value)
    assert "0000" not in str(caught.value)
