"""The command line as a user meets it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shards
from bigearth_pipeline.build.select import BAD, LIMIT, NO_FOLDER, Rules
from bigearth_pipeline.cli import main
from shards.metadata.manifest import Manifest
from shards.testing.stores import make_store
from tests.support.data.building import build_store, contents
from tests.support.data.scene import PRODUCT, write_table
from tests.support.running import commands
from tests.support.running.commands.command import ENVIRONMENT
from tests.support.running.terminal import Terminal

COMMANDS = [
    "quickstart",
    "build-shards",
    "download",
    "train",
    "evaluate",
    "runs",
    "plot",
    "predict",
    "export",
    "explain",
    "inspect",
    "show",
    "stats",
    "verify",
    "report",
    "describe",
    "serve",
    "synth",
    "bench",
]


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bep` in a process of its own."""
    return commands.run(*arguments)


def invoke(*arguments: object) -> click.testing.Result:
    """Run `bep` in this process; a traceback fails the test."""
    result = click.testing.CliRunner().invoke(main, list(map(str, arguments)), prog_name="bep")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def assert_one_error(errors: str, *messages: object) -> None:
    """Assert that exactly one line says what is wrong, with all messages in it, and that it is the last."""
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1, errors
    assert errors.splitlines()[-1] == lines[0]
    for message in messages:
        assert str(message) in lines[0]


def test_help_lists_the_commands() -> None:
    """A user cannot find a command, or `python -m bigearth_pipeline` is not `bep`."""
    told = call("--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("Usage: bep [OPTIONS] COMMAND [ARGS]...")
    assert re.findall(r"^  ([a-z-]+)  ", told.stdout.partition("Commands:")[2], re.MULTILINE) == COMMANDS
    assert call("--version").stdout.startswith("bep, version ")


@pytest.mark.parametrize("command", ["", *COMMANDS, "bench build", "bench loader", "bench train"])
def test_help_imports_nothing_heavy(command: str) -> None:
    """Asking for help takes seconds, or fails where a library is broken that the command needs only later."""
    code = (
        "import runpy, sys\n"
        "heavy = {'numpy', 'torch', 'dask', 'distributed', 'rasterio', 'pyarrow', 'zarr', 'rich', 'shards'}\n"
        "heavy |= {'matplotlib', 'numba', 'jinja2', 'PIL'}\n"
        "try: runpy.run_module('bigearth_pipeline', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    told = subprocess.run([sys.executable, "-c", code, *command.split(), "--help"], capture_output=True, text=True)
    assert told.stderr == "0 []\n"
    assert told.stdout.startswith(f"Usage: bep {command}".rstrip())
    assert "--help" in told.stdout


def test_wrong_usage_says_what_is_right() -> None:
    """A mistyped command ends in a traceback, or passes for a success."""
    for arguments in (["build-shard"], ["verify"], ["build-shards", "x"], ["stats", "x", "--split", "dev"]):
        result = invoke(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert_one_error(result.stderr)
        assert "Usage: bep" in result.stderr
    result = invoke("verify", "x", "--sample", "5")
    assert result.exit_code == 2
    assert_one_error(result.stderr, "--against, which is missing")


@pytest.fixture(scope="module")
def built(scene_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A store of 40 patches that the command has built with `--json`, and what it printed."""
    out = tmp_path_factory.mktemp("cli") / "store"
    return out, call("build-shards", scene_tree, *_options(out), "--json")


def _options(out: Path) -> list[str]:
    return ["--out", str(out), "--limit", "40", "--patches-per-shard", "16", "--workers", "2"]


@pytest.mark.smoke
def test_build_prints_json_and_nothing_else(
    built: tuple[Path, subprocess.CompletedProcess[str]], scene_tree: Path
) -> None:
    """A script cannot read the summary of a build, or reads wrong numbers."""
    out, told = built
    assert told.returncode == 0, told.stderr
    summary = json.loads(told.stdout)
    assert told.stdout.count("\n") == 1
    with shards.open(out) as store:
        keys = store.index.table["key"].to_pylist()
        counts = {name: split.count for name, split in store.manifest.splits.items()}
        sizes = [file.size_bytes for shard in store.manifest.shards for file in shard.files]
    sources = [path for key in keys for path in (scene_tree / "BigEarthNet-S2" / PRODUCT / key).glob("*.tif")]
    rate, seconds = summary.pop("patches_per_second"), summary.pop("seconds")
    assert rate == pytest.approx(40 / seconds)
    assert summary == {
        "out": str(out),
        "format": "webdataset",
        "codec": "blosc-lz4",
        "source_version": "v2",
        "patches": 40,
        "splits": counts,
        "shards": sum(-(-count // 16) for count in counts.values()),
        "left_out": {LIMIT: 260},
        "unmatched": {},
        "bad": 0,
        "ignored_folders": 0,
        "baselines": {"N9999": 40},
        "offset": "none",
        "with_offset": 0,
        "with_nodata": summary["with_nodata"],
        "nodata_pixels": summary["nodata_pixels"],
        "unknown_flags": 0,
        "source_bytes": sum(path.stat().st_size for path in sources),
        "store_bytes": sum(sizes),
        "ratio": summary["source_bytes"] / summary["store_bytes"],
        "built": 40,
        "finished_before": False,
    }
    assert sum(counts.values()) == len(keys) == 40
    # Without a terminal progress is lines: no colours, no bar that is drawn again and again.
    assert told.stderr == f"found 300 patch folders (v2) in {scene_tree / 'BigEarthNet-S2'}\n"


def test_a_second_run_says_that_it_is_finished(
    built: tuple[Path, subprocess.CompletedProcess[str]], scene_tree: Path
) -> None:
    """A user who repeats a command believes that it built something, or a script that it did not end well."""
    out, _ = built
    before = contents(out)
    told = call("build-shards", scene_tree, *_options(out))
    assert told.returncode == 0
    assert told.stdout.startswith(f"{out} is finished already: nothing was done, and nothing checked")
    assert "patches/s" not in told.stdout
    as_json = json.loads(invoke("build-shards", scene_tree, *_options(out), "--json").stdout)
    assert (as_json["finished_before"], as_json["built"], as_json["patches_per_second"]) == (True, 0, None)
    assert (as_json["patches"], as_json["baselines"]) == (40, {"N9999": 40})
    assert contents(out) == before


def test_the_summary_for_people(scene_tree: Path, tmp_path: Path) -> None:
    """A person is not told what was built, how fast, or what to do next; or a path is changed in print."""
    out = tmp_path / "a [v2] store :smile:"
    (tmp_path / "[v2] scene").symlink_to(scene_tree)
    told = call("build-shards", tmp_path / "[v2] scene", *_options(out))
    assert told.returncode == 0, told.stderr
    assert f"found 300 patch folders (v2) in {tmp_path / '[v2] scene' / 'BigEarthNet-S2'}\n" == told.stderr
    manifest = Manifest.read(out)
    lines = told.stdout.splitlines()
    assert lines[0] == f"{out}: BigEarthNet v2, webdataset, blosc-lz4"
    cells = [re.findall(r"[^│]+", line) for line in lines if line.startswith("│")]
    rows = {name.strip(): (patches.strip(), parts.strip()) for name, patches, parts in cells}
    for name, split in manifest.splits.items():
        assert rows[name] == (f"{split.count}", str(sum(shard.split == name for shard in manifest.shards)))
    assert rows["stored"] == ("40", str(len(manifest.shards)))
    assert rows[f"left out: {LIMIT}"] == ("260", "")
    ratio = manifest.source_bytes / manifest.size_bytes
    assert re.fullmatch(rf"[\d.]+ MB of GeoTIFFs → [\d.]+ MB of shards \(ratio {ratio:.2f}\)", lines[-3])
    assert re.fullmatch(r"40 patches in [\d.]+ s: [\d,.]+ patches/s \([\d,.]+ without start and end\)", lines[-2])
    quoted = shlex.quote(str(out))
    assert lines[-1] == f"next: bep inspect {quoted}, bep verify {quoted}, bep train {quoted} --out runs/first"


def test_progress_without_a_terminal_is_lines(scene_tree: Path, tmp_path: Path) -> None:
    """A log of a long build says nothing for hours, or is full of control characters."""
    code = (
        "import bigearth_pipeline.cli.display.console as console\n"
        "from bigearth_pipeline.cli import main\n"
        "if __name__ == '__main__':\n"
        "    console.LINE_SECONDS = 0.0  # Rather than ten seconds.\n"
        "    main(prog_name='bep')\n"
    )
    (tmp_path / "bep.py").write_text(code)
    command = [sys.executable, tmp_path / "bep.py", "build-shards", scene_tree, *_options(tmp_path / "s")]
    told = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert told.returncode == 0, told.stderr
    first, *lines = told.stderr.splitlines()
    assert first.startswith("found 300")
    assert lines
    for line in lines:
        assert re.fullmatch(r"building: \d+ of 40 patches, [\d,.]+ patches/s, (\d+ h )?\d+ (s|min) left", line)
    done = [int(line.split()[1]) for line in lines]
    assert done == sorted(done)
    assert done[-1] <= 40


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
        ("<file> --out <s>", ["source", "file is not a directory"]),
        ("<empty> --out <s>", ["empty holds no BigEarthNet tree", "expected folders"]),
        ("<archives> --out <s>", ["holds no BigEarthNet tree", "archives/a.tar.zst is an archive", "named itself"]),
        (
            "<scene> --out <s> --include-snow-cloud",
            ["--include-snow-cloud has no effect", "snow_cloud_or_shadow.parquet"],
        ),
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
    out = read_only / "page" if command in ("report", "show") else read_only
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


def test_v1_with_split_lists(v1_tree: Path, v1_splits: Path, tmp_path: Path) -> None:
    """The command line does not reach what v1 needs."""
    told = call(
        "build-shards", v1_tree, "--out", tmp_path / "s", "--splits", v1_splits, "--split-by", "hash:100/0/0",
        "--include-snow-cloud", "--format", "zarr", "--workers", 1, "--json",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    summary = json.loads(told.stdout)
    assert (summary["source_version"], summary["format"], summary["patches"]) == ("v1", "zarr", 6)
    assert list(summary["unmatched"]) == [NO_FOLDER]


@pytest.mark.parametrize("kind", ["tar_store", "zarr_store"])
def test_inspect_and_stats(kind: str, request: pytest.FixtureRequest) -> None:
    """The facts about a store that a user reads differ from its manifest."""
    folder: Path = request.getfixturevalue(kind)
    raw = json.loads((folder / "manifest.json").read_bytes())
    assert json.loads(invoke("inspect", folder, "--json").stdout) == raw
    statistics = {name: split["statistics"] for name, split in raw["splits"].items()}
    assert json.loads(invoke("stats", folder, "--json").stdout) == statistics
    one = invoke("stats", folder, "--split", "test", "--json")
    assert json.loads(one.stdout) == {"test": statistics["test"]}

    shown = invoke("inspect", folder).stdout
    assert f"{folder}: BigEarthNet v2, 300 patches in 7 {raw['format']} shards of up to 64, blosc-lz4" in shown
    for label in raw["classes"]:
        counts = [str(split["class_counts"][label]) for split in raw["splits"].values()]
        assert re.search(rf"│ {re.escape(label)} +│ +{' │ +'.join(counts)} │", shown)
    for text in (shown, invoke("stats", folder).stdout):
        for name, bands in statistics.items():
            table = text.partition(f"{name}: native pixels")[2]
            for band, values in bands.items():
                cells = [f"{values['mean']:.2f}", f"{values['std']:.2f}", str(values["min"])]
                assert re.search(
                    rf"^ {band} +{' +'.join(cells)} .* {values['max']} +{values['nodata']:,} *$", table, re.MULTILINE
                )
    only = invoke("stats", folder, "--split", "validation").stdout
    assert "validation: native" in only
    assert "train: native" not in only


def test_a_split_that_a_store_lacks(scene_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """The statistics of a split that is absent are an empty table or a traceback."""
    build_store(tmp_path / "s", scene_tree, scheduler=scheduler, rules=Rules(limit=1))
    (present,) = Manifest.read(tmp_path / "s").splits
    for split in {"train", "validation", "test"} - {present}:
        result = invoke("stats", tmp_path / "s", "--split", split)
        assert (result.exit_code, result.stdout) == (1, "")
        assert_one_error(result.stderr, f"has no split {split}; it has {present}")
    assert invoke("inspect", tmp_path / "s").exit_code == 0


@pytest.mark.parametrize("command", ["inspect", "stats", "verify"])
def test_what_is_no_store_is_one_line(command: str, place: Place, tmp_path: Path) -> None:
    """A build that has not finished, or another folder, is shown as a store or ends in a traceback."""
    unfinished = place("empty")
    cases: list[tuple[Path, str]] = [
        (tmp_path / "absent", "does not exist, expected the folder of a store"),
        (place("file"), "holds no manifest.json: it is not a shard store"),
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


BAR = r"building .*\d+/300 +[\d,]+ patches/s +(0:\d\d:\d\d|-:--:--)"


def test_a_bar_on_a_terminal_and_ctrl_c(scene_tree: Path, tmp_path: Path) -> None:
    """A person sees no progress, or Ctrl-C leaves workers, a traceback or no hint how to go on."""
    out = tmp_path / "s"
    arguments: list[Any] = [scene_tree, "--out", out, "--patches-per-shard", 8, "--codec", "blosc-zstd"]
    build = Terminal("build-shards", *arguments, "--workers", 1)  # One, so that the end is some time away.
    build.read_until(BAR)
    assert len(build.processes()) >= 3  # The command, its worker and Python's resource tracker.
    build.type(b"\x03")
    assert build.finish() == 130, build.text
    said = " ".join(build.text.split())
    assert f"interrupted; finished shards are kept: the same command resumes the build in {out}" in said
    assert "Traceback" not in build.text
    assert "Error" not in build.text
    deadline = time.monotonic() + 60  # A helper process of Python's ends when it sees that the command is gone.
    while build.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert build.processes() == []
    assert not (out / "manifest.json").exists()
    assert not list(out.rglob("*.part"))
    assert list(out.glob("*.tar"))

    resumed = Terminal("build-shards", *arguments, "--workers", 2)
    assert resumed.finish() == 0
    there = re.search(r"resuming: (\d+) of 300 patches are there", resumed.text)
    assert there
    assert 0 < int(there[1]) < 300
    assert re.search(r"building .*300/300 ", resumed.text)
    assert f"{300 - int(there[1])} patches in " in resumed.text
    assert Manifest.read(out).count == 300


def test_what_cannot_be_trained_on_is_not_named_so(scene_tree: Path, tmp_path: Path) -> None:
    """The command that is to come next ends in an error."""
    out = tmp_path / "s"
    told = call("build-shards", scene_tree, "--out", out, "--workers", "1", "--limit", "1")
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1] == f"next: bep inspect {out}, bep verify {out}"
