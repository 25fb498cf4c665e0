"""Stores made to stop a reader or to take its memory: pipes, devices, files and tables without end."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import shards
from bigearth_pipeline.verify.store import verify_store
from shards.errors import ShardError
from shards.metadata.index import read_table, write_table
from shards.metadata.manifest import BUILD_NOTE, Manifest
from tests.shards.conftest import replace_index
from tests.support.data import faults
from tests.support.running import commands

SECONDS = 240
"""Until a command that waits for ever is given up; to import torch takes a minute where the cores are busy."""


def sparse(path: Path) -> None:
    """Make a file of 20 GB that takes no space."""
    path.touch()
    os.truncate(path, 20 << 30)


KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "sparse": sparse,
    "circle": lambda path: path.symlink_to(path),
}
READ = """
import resource, sys, numpy, shards
from shards.errors import ShardError
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
for folder in sys.argv[1:]:
    try:
        with shards.open(folder, num_threads=1) as store:
            store.read_into(range(len(store)), numpy.empty((len(store), 80000), "u2"))
        print("read", folder)
    except ShardError as err:
        print(err)
    # Not of getrusage, which counts what this process was before it became Python.
    with open("/proc/self/status") as status:
        memory = int(next(line for line in status if line.startswith("VmHWM")).split()[1]) >> 10
    assert memory < 700, memory
"""


def read_all(*folders: Path) -> list[str]:
    """Read stores in a process of its own, with a limit on time and memory; return a line for each."""
    command = [sys.executable, "-c", READ, *map(str, folders)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert len(lines) == len(folders), lines
    return lines


def test_what_is_no_regular_file_is_one_line(three: Path, tmp_path: Path) -> None:
    """A pipe, a device, a folder, or a file without end in a store stops the reader for ever, or takes all memory."""
    names = ["manifest.json", "index.parquet", "train-00000.tar"]
    cases = []
    for kind, make in KINDS.items():
        for name in names:
            folder = faults.copy(three, tmp_path / f"{kind}-{name.replace('/', '-')}")
            (folder / name).unlink()
            make(folder / name)
            cases.append((folder, folder / name))
    lines = read_all(three, *(folder for folder, _ in cases))
    assert lines[0] == f"read {three}"
    for line, (_, path) in zip(lines[1:], cases, strict=True):
        assert line.startswith(f"{path} "), line


@pytest.mark.long
@pytest.mark.parametrize("store_format", ["tar", "zarr"])
def test_verify_names_what_is_no_regular_file(
    store_format: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """`bep verify` waits for a pipe, or for the end of a file that has none."""
    folder = faults.copy(request.getfixturevalue(f"{store_format}_store"), tmp_path / "store")
    manifest = Manifest.read(folder)
    files = [
        info.path for infos in (*(shard.files for shard in manifest.shards[::3]), manifest.files) for info in infos
    ]
    damaged = [path for path in files if path != "index.parquet"][:: 1 if store_format == "tar" else 3]
    (folder / BUILD_NOTE).touch()
    damaged.append(BUILD_NOTE)
    for number, path in enumerate(damaged):
        (folder / path).unlink()
        list(KINDS.values())[number % len(KINDS)](folder / path)
    if store_format == "zarr":
        os.mkfifo(folder / "train" / "labels" / "c" / "9")  # The manifest does not list it.
    problems = verify_store(folder, workers=1).problems
    for path in damaged:
        assert any(problem.startswith(f"{folder / path} ") for problem in problems), (path, problems)
    assert ("manifest.json does not list train/labels/c/9" in problems) == (store_format == "zarr")


@pytest.mark.parametrize("command", ["inspect", "stats", "verify", "train"])
def test_commands_end_at_once(command: str, three: Path, tmp_path: Path) -> None:
    """A command waits for a pipe where its store's manifest should be."""
    folder = faults.copy(three, tmp_path / "store")
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    arguments = [str(folder), *(["--out", str(tmp_path / "run")] if command == "train" else [])]
    told = commands.run(command, *arguments, timeout=SECONDS)
    assert told.returncode == 1
    assert told.stderr.startswith(f"Error: {folder}/manifest.json cannot be read: it is a named pipe, expected"), told
    assert told.stderr.count("\n") == 1


OFFSETS = [2**63 - 1, 2**63 - 80_000, 2**62, 2**40, -1, -(2**63)]
LENGTHS = [2**31 - 1, -1, -(2**31), 0, 160_017]


def test_places_that_no_file_has_are_refused(three: Path, tmp_path: Path) -> None:
    """An offset near 2^63 ends the process, a length of 2^31 takes gigabytes."""
    with shards.open(three) as store:
        offsets, lengths = (store.index.column(f"s2_{what}") for what in ("offset", "length"))
    cases = []
    for name, sound, values in (("s2_offset", offsets, OFFSETS), ("s2_length", lengths, LENGTHS)):
        for value in values:
            changed = sound.copy()
            changed[1] = value
            cases.append(faults.copy(three, tmp_path / f"{name}{value}"))
            replace_index(cases[-1], **{name: pa.array(changed)})
    for value in (2**19, 2**32 - 1):
        cases.append(faults.copy(three, tmp_path / f"labels{value}"))
        replace_index(cases[-1], label_mask=pa.array(np.full(3, value, np.uint32)))
    for value in (2**53, -(2**53)):
        cases.append(faults.copy(three, tmp_path / f"date{value}"))
        replace_index(cases[-1], date=pa.array(np.full(3, value)).cast(pa.timestamp("s")))
    for line, folder in zip(read_all(*cases), cases, strict=True):
        assert line.startswith(str(folder)), line
        assert "index.parquet: " in line


def test_an_index_of_millions_of_rows_in_a_small_file(three: Path, tmp_path: Path) -> None:
    """A file of kilobytes fills the memory when it is unpacked."""
    folder = faults.copy(three, tmp_path / "store")
    table = read_table(folder / "index.parquet").slice(0, 1)
    rows = 12_000_000
    repeated = pa.table(
        {name: pa.chunked_array([table[name].chunk(0)]).take(pa.array(np.zeros(rows, np.int8))) for name in ["split"]}
    )
    write_table(repeated, folder / "index.parquet")
    content = (folder / "index.parquet").read_bytes()
    assert len(content) < 700_000
    described = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def describe(raw: Any) -> None:
        raw["files"][0] |= described

    faults.edit_manifest(folder, describe)
    with pytest.raises(ShardError, match="has 12000000 rows, expected 3 as in"):
        shards.open(folder)

    def believe(raw: Any) -> None:
        raw["count"] = raw["patches_per_shard"] = raw["shards"][0]["count"] = rows

    faults.edit_manifest(folder, believe)
    with pytest.raises(ShardError, match="bytes, too few for the 12000000 patches of train-00000"):
        shards.open(folder)
    # The same as a table of histograms.
    folder = faults.copy(three, tmp_path / "other")
    shutil.copy(tmp_path / "store" / "index.parquet", folder / "histograms.parquet")
    faults.edit_manifest(folder, lambda raw: raw["files"][1].update(described))
    assert any("has 12000000 rows, expected 0 … 2359296" in problem for problem in verify_store(folder).problems)


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "size"), [(b"x", 7 << 30), (b"L", 7 << 30), (b"g", 7 << 30), (b"S", 512), (b"0", 7 << 30)]
)
def test_tar_members_that_are_no_small_files(three: Path, tmp_path: Path, kind: bytes, size: int) -> None:
    """`bep verify` takes the memory that the header of a tar member asks for."""
    folder = faults.copy(three, tmp_path / "store")
    path = folder / "train-00000.tar"
    with shards.open(folder) as store:
        record = int(store.index.column("s2_offset")[0]) + int(store.index.column("s2_length")[0])
    labels = record + -record % 512
    with open(path, "r+b") as file:
        file.seek(labels)
        header = bytearray(file.read(512))
        header[124:136] = b"%011o\0" % size
        header[148:157] = b" " * 8 + kind
        header[148:156] = b"%06o\0 " % sum(header)
        file.seek(labels)
        file.write(header)
        file.truncate(16 << 30)
    # As if it had been made so, except that nobody hashes 16 GB here.
    faults.edit_manifest(folder, lambda raw: raw["shards"][0]["files"][0].update(size_bytes=(16 << 30) + 1))
    problems = verify_store(folder, workers=1).problems
    expected = f"the member at {labels} is not a plain file" if kind != b"0" else "holds other members"
    assert any(str(path) in problem and expected in problem for problem in problems), problems
