"""The command line as a user meets it."""

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import shards
from bigearth_pipeline.build.select import LIMIT, NO_FOLDER, Rules
from shards.metadata.manifest import Manifest
from tests.bigearth_pipeline.cli.calls import assert_one_error, call, invoke
from tests.support.data.building import build_store, contents
from tests.support.data.scene import PRODUCT
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


def test_help_lists_the_commands() -> None:
    """A user cannot find a command, or `python -m bigearth_pipeline` is not `bep`."""
    told = call("--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("Usage: bep [OPTIONS] COMMAND [ARGS]...")
    assert re.findall(r"^  ([a-z-]+)  ", told.stdout.partition("Commands:")[2], re.MULTILINE) == COMMANDS
    assert call("--version").stdout.startswith("bep, version ")


@pytest.mark.parametrize("command", ["", *COMMANDS, "bench build", "bench loader", "bench train", "bench predict"])
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
    sizes = rf"[\d.]+ MB of GeoTIFFs of the stored patches → [\d.]+ MB of shards \(ratio {ratio:.2f}\)"
    assert re.fullmatch(sizes, lines[-3])
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
    words = " ".join(shown.split())
    assert f"{folder}: BigEarthNet v2 300 patches in 7 {raw['format']} shards of up to 64, blosc-lz4, seed 0 " in words
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
    assert f"interrupted: finished shards are kept; the same command resumes the build in {out}" in said
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
