"""Wrong input of commands on trees and stores: one line each."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigearth_pipeline.build.select import BAD
from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.places import Local
from shards.errors import InvalidValue
from shards.testing.stores import make_store
from shards.write.store import StoreWriter
from tests.bigearth_pipeline.cli.calls import assert_one_error, call, invoke
from tests.support.data.scene import PRODUCT, write_table

Place = Callable[[str], Path]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, scene_tree: Path) -> Place:
    """Find or make what a wrong command line names."""

    def find(name: str) -> Path:
        path = tmp_path / name
        if name == "scene":
            return scene_tree
        if name in ("v1_tree", "v1_splits"):
            found: Path = request.getfixturevalue(name)
            return found
        if name == "file":
            path.write_text("not a directory")
        elif name == "empty":
            path.mkdir(exist_ok=True)
        elif name == "archives":
            path.mkdir(exist_ok=True)
            (path / "a.tar.zst").touch()
        elif name == "text.parquet":
            path.write_text("patch_id,labels\n")
        elif name == "narrow.parquet":
            pq.write_table(pa.table({"patch_id": ["a"], "split": ["train"]}), path)
        elif name == "alone":  # A tree without a table.
            path.mkdir(exist_ok=True)
            if not (path / "BigEarthNet-S2").exists():
                (path / "BigEarthNet-S2").symlink_to(scene_tree / "BigEarthNet-S2")
        elif name == "bad":
            _write_bad_tree(scene_tree, path)
        return path

    return find


def _write_bad_tree(scene_tree: Path, tree: Path) -> None:
    """Copy six patches of the scene, of which one lacks a band and one is cut off."""
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(6)]
    for key in keys:
        folder = tree / "BigEarthNet-S2" / PRODUCT / key
        shutil.copytree(scene_tree / "BigEarthNet-S2" / PRODUCT / key, folder)
    write_table(tree / "metadata.parquet", keys)
    product = tree / "BigEarthNet-S2" / PRODUCT
    (product / keys[2] / f"{keys[2]}_B8A.tif").unlink()
    (product / keys[3] / f"{keys[3]}_B02.tif").write_bytes(b"II*\0")


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ("<absent> --out <s>", ["source", "absent does not exist"]),
        ("<file> --out <s>", ["source", "expected a folder of patches or an archive", "it holds text"]),
        ("<empty> --out <s>", ["empty holds no BigEarthNet tree", "expected folders"]),
        ("<archives> --out <s>", ["holds no BigEarthNet tree", "archives/a.tar.zst is an archive", "named itself"]),
        (
            "<scene> --out <s> --include-snow-cloud",
            ["--include-snow-cloud has no effect", "snow_cloud_or_shadow.parquet"],
        ),
        ("<scene> --out <s> --labels43", ["--labels43 has no effect on", "BigEarthNet v2", "19 classes", "from v1"]),
        ("<alone> --out <s>", ["no metadata.parquet in or beside", "--metadata"]),
        ("<scene> --out <s> --metadata <absent>", ["metadata", "absent does not exist"]),
        ("<scene> --out <s> --metadata <empty>", ["metadata", "empty"]),
        ("<scene> --out <s> --metadata <text.parquet>", ["text.parquet is not readable as Parquet"]),
        ("<scene> --out <s> --metadata <narrow.parquet>", ["lacks the columns labels, country", "it has patch_id"]),
        ("<v1_tree> --out <s>", ["no split lists", "--splits", "--split-by hash:80/10/10"]),
        ("<v1_tree> --out <s> --splits <empty>", ["splits folder", "empty holds none of train.csv"]),
        ("<v1_tree> <scene> --out <s>", ["different BigEarthNet versions", "(v1)", "(v2)"]),
        ("<scene> --out <file>", ["file cannot be written: File exists"]),
        ("<scene> --out <file>/s", ["file/s cannot be written: Not a directory"]),
        ("<scene> --out <empty>/.. --overwrite", ["is not empty", "holds no build"]),
        ("<scene> --out <s> --connections 2", ["--connections 2 has no effect: no source is an address"]),
        ("<scene> --out <s> --scheduler tcp://127.0.0.1:9 --workers 2", ["--workers has no effect with --scheduler"]),
        ("<scene> --out <s> --scheduler tcp://127.0.0.1:9", ["scheduler tcp://127.0.0.1:9 cannot be reached"]),
        ("<scene> --out <s> --format zarr --codec bitpack", ["--format webdataset only", "blosc-lz4, blosc-zstd, raw"]),
        ("<bad> --out <s>", ["2 bad patches, and none is allowed", "_00_02_B8A.tif is missing", "--allow-bad 2"]),
        ("<bad> --out <s> --allow-bad 1", ["2 bad patches, more than --allow-bad 1", "quarantine.jsonl"]),
    ],
)
def test_wrong_input_is_one_line(place: Place, tmp_path: Path, arguments: str, messages: list[str]) -> None:
    """Wrong input ends in a traceback, passes for a success, or leaves something that looks finished."""
    filled = [re.sub(r"<([^>]+)>", lambda match: str(place(match[1])), word) for word in arguments.split()]
    told = call("build-shards", *filled)
    assert (told.returncode, told.stdout) == (1, "")
    assert_one_error(told.stderr, *messages)
    left = {path.name for path in (tmp_path / "s").rglob("*") if path.is_file()}
    assert "manifest.json" not in left
    assert not any(name.endswith(".part") for name in left)
    # Whole shards of sound patches are kept for the next run; before the first task there is nothing to keep.
    assert "<bad>" in arguments or left <= {"build.json", "lock"}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--split-by", "80/10/10", "is not of the form hash:80/10/10"),
        ("--split-by", "hash:80/20", "is not of the form hash:80/10/10"),
        ("--split-by", "hash:80/10/x", "is not of the form hash:80/10/10"),
        ("--split-by", "hash:110/-5/-5", "is not of the form hash:80/10/10"),
        ("--split-by", "random:80/10/10", "is not of the form hash:80/10/10"),
        ("--split-by", "hash:80/10/9", "add up to 99, expected 100"),
        ("--codec", "gzip", "'blosc-lz4', 'blosc-zstd', 'bitpack', 'raw'"),
        ("--format", "tar", "'webdataset', 'zarr'"),
        ("--scheduler", "localhost", "is not of the form tcp://HOST:PORT"),
        ("--scheduler", "tcp://", "is not of the form tcp://HOST:PORT"),
        ("--scheduler", "http://localhost:8787/status", "is not of the form tcp://HOST:PORT"),
        ("--scheduler", "", "is not of the form tcp://HOST:PORT"),
        ("--scheduler", "tcp://localhost:99999", "is 99999, expected 1 to 65535"),
        ("--scheduler", "localhost:0", "is 0, expected 1 to 65535"),
        ("--workers", "0", "0 is not in the range x>=1"),
        ("--limit", "many", "'many' is not a valid integer"),
        ("--patches-per-shard", "0", "0 is not in the range x>=1"),
        ("--allow-bad", "-1", "-1 is not in the range x>=0"),
    ],
)
def test_wrong_options_are_one_line(place: Place, tmp_path: Path, option: str, value: str, message: str) -> None:
    """A wrong value of an option is taken for another one, or is found only after hours."""
    result = invoke("build-shards", place("scene"), "--out", tmp_path / "s", option, value)
    assert (result.exit_code, result.stdout) == (2, "")
    assert_one_error(result.stderr, option, message)
    assert not (tmp_path / "s").exists()


def test_a_name_that_no_folder_can_have_is_one_line(tmp_path: Path) -> None:
    """`bep quickstart` ends in a traceback before its first step."""
    result = invoke("quickstart", "--out", tmp_path / ("x" * 300))
    assert (result.exit_code, result.stdout) == (1, "")
    assert_one_error(result.stderr, "File name too long")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory that cannot be written to."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("root can write everywhere, and may not mount a file system here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_an_unwritable_place_is_one_line(scene_tree: Path, read_only: Path) -> None:
    """A place that cannot be written to ends in a traceback."""
    result = invoke("build-shards", scene_tree, "--out", read_only / "s")
    assert (result.exit_code, result.stdout) == (1, "")
    assert_one_error(result.stderr, f"{read_only / 's'} cannot be written: ")


@pytest.mark.parametrize("command", ["report", "show", "download", "synth", "build-shards"])
def test_a_place_that_cannot_be_written_to_is_named_as_it_was_given(
    command: str, scene_tree: Path, tmp_path: Path, read_only: Path
) -> None:
    """A message names a temporary file or a lock, of which the user knows nothing, or comes after the work."""
    out = read_only / {"report": "page", "show": "page.png"}.get(command, "")
    arguments = {"download": ["v2"], "synth": ["--patches", 1], "build-shards": [scene_tree]}.get(command)
    if arguments is None:
        arguments = [make_store(tmp_path / "store", {"train": 3})]
    result = invoke(command, *arguments, "--out", out)
    assert (result.exit_code, result.stdout) == (1, "")
    *before, line = result.stderr.splitlines()
    assert before in ([], [f"found 300 patch folders (v2) in {scene_tree / 'BigEarthNet-S2'}"]), before
    assert re.search(rf"{re.escape(str(out))}(/BigEarthNet-S2)?( cannot be written)?: ", line), line
    assert not re.search(r"/\.|\.part|\.lock", line), line


def test_bad_patches_that_are_allowed(place: Place, tmp_path: Path) -> None:
    """The number that the error asks for is not enough, or the summary hides what was left out."""
    tree = place("bad")
    told = call("build-shards", tree, "--out", tmp_path / "s", "--allow-bad", 2, "--workers", 1, "--json")
    assert told.returncode == 0, told.stderr
    summary = json.loads(told.stdout)
    assert (summary["patches"], summary["bad"], summary["left_out"]) == (4, 2, {BAD: 2})
    lines = [json.loads(line) for line in (tmp_path / "s" / "quarantine.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == [f"{PRODUCT}_00_02", f"{PRODUCT}_00_03"]


@pytest.mark.parametrize("command", ["inspect", "stats", "verify"])
def test_what_is_no_store_is_one_line(command: str, place: Place, tmp_path: Path) -> None:
    """A build that has not finished, or another folder, is shown as a store or ends in a traceback."""
    unfinished = place("empty")
    cases: list[tuple[Path, str]] = [
        (tmp_path / "absent", "does not exist, expected the folder of a store"),
        (place("file"), "is a file, expected the folder of a store"),
        (unfinished, "holds no manifest.json: it is not a shard store"),
    ]
    for folder, message in cases:
        result = invoke(command, folder)
        assert (result.exit_code, result.stdout) == (1, "")
        assert_one_error(result.stderr, f"{folder} {message}")
    (unfinished / "build.json").write_text("{}")
    assert_one_error(invoke(command, unfinished).stderr, "its build has not finished")
    (unfinished / "manifest.json").write_text('{"format_version": 1')
    assert_one_error(invoke(command, unfinished).stderr, "manifest.json is not a manifest")
    (unfinished / "manifest.json").write_text('{"format_version": 9}')
    assert_one_error(invoke(command, unfinished).stderr, "is of format version 9")


def outputs(group: click.Group = main) -> Iterator[tuple[str, click.Parameter]]:
    """Return the commands with `--out`, and that option of each."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from outputs(command)
        yield from ((name, each) for each in command.params if "--out" in each.opts)


def test_no_result_lands_in_a_folder_named_like_an_address(
    tmp_path: Path, scene_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--out s3://bucket/x` fills a folder `s3:` of this machine, or that of a scheme that nothing knows."""
    monkeypatch.chdir(tmp_path)
    assert {name for name, option in outputs() if not isinstance(option.type, Local)} == {"build-shards"}
    assert len(list(outputs())) > 10
    told = invoke("synth", "--patches", 1, "--out", "s3://bucket/secret")
    assert told.exit_code == 2
    assert_one_error(told.stderr, "'--out': an address of s3:// was given, expected a path of this machine")
    assert "secret" not in told.stderr
    expected = (
        "an address of gcs:// is that of no store, expected one of s3://, gs://, az://, https://, http:// or a folder"
    )
    for command in (["build-shards", scene_tree, "--out", "gcs://b/x"], ["inspect", "gcs://b/x"]):
        told = invoke(*command)
        assert told.exit_code == 1
        assert_one_error(told.stderr, expected)
    with pytest.raises(InvalidValue, match="an address of gcs:// is that of no store"):
        StoreWriter("gcs://b/x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "download --out x",
            "Error: Missing argument 'PART...'. Choose from: v1, v1-s1, v2, v2-s1, v2-maps, v2-metadata",
        ),
        (
            "predict run scene --out x --date yesterday",
            "Error: Invalid value for '--date': 'yesterday' is no time, expected one such as 2023-06-25 or "
            "2023-06-25T10:40:31 (UTC)",
        ),
    ],
)
def test_an_error_of_usage_is_one_line(words: str, line: str) -> None:
    """Choices have a line each, or formats are those of a function of C."""
    told = invoke(*words.split())
    assert told.exit_code == 2
    assert told.stderr.splitlines()[2:] == ["", line]
