"""Settings of GDAL and PROJ in the environment, which change nothing or are named."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bigearth_pipeline.source.conftest import KEY
from tests.support.data.scene import PRODUCT, write_patch, write_table


def test_settings_of_gdal_in_the_environment_change_nothing(patch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With GTIFF_IGNORE_READ_ERRORS and the like a damaged file is read as zeros, or a place is another."""
    settings = {"GTIFF_IGNORE_READ_ERRORS": "YES", "GTIFF_POINT_GEO_IGNORE": "YES", "GDAL_GEOREF_SOURCES": "WORLDFILE"}
    script = (
        "import sys, numpy as np\n"
        "from bigearth_pipeline.source.tiff.reader import TiffReader\n"
        "from bigearth_pipeline.errors import BadPatch\n"
        "reader, record = TiffReader(always_gdal=True), np.empty(80_000, np.uint16)\n"
        "print(reader.read_patch(sys.argv[1], sys.argv[2], record))\n"
        "with open(f'{sys.argv[1]}/{sys.argv[2]}_B12.tif', 'r+b') as file: file.truncate(3000)\n"
        "try: reader.read_patch(sys.argv[1], sys.argv[2], record)\n"
        "except BadPatch as err: print('bad' if '_B12.tif' in str(err) else err)\n"
    )
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-c", script, str(patch), KEY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["EPSG:32633 399960.0 5300040.0", "bad"], "")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The database of another PROJ."""
    (tmp_path / "proj").mkdir()
    with sqlite3.connect(tmp_path / "proj" / "proj.db") as database:
        database.execute("create table metadata (key text, value text)")
        database.execute("insert into metadata values ('DATABASE.LAYOUT.VERSION.MAJOR', '1')")
        database.execute("insert into metadata values ('DATABASE.LAYOUT.VERSION.MINOR', '0')")
    database.close()
    return tmp_path / "proj"


def tree(folder: Path, **options: object) -> Path:
    """Write a tree of three patches."""
    names = [f"{PRODUCT}_00_{i:02d}" for i in range(3)]
    for i, key in enumerate(names):
        record = np.full(80_000, i + 1, np.uint16)
        write_patch(folder / "BigEarthNet-S2" / PRODUCT, key, record, 399_960, 5_300_040, **options)
    write_table(folder / "metadata.parquet", names)
    return folder


def build(source: Path, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "bigearth_pipeline",
        "build-shards",
        str(source),
        "--out",
        str(out),
        "--workers",
        "1",
    ]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_foreign_proj_is_named(tmp_path: Path, foreign: Path) -> None:
    """PROJ_DATA of conda or QGIS puts every patch into quarantine, or ends a build with a traceback."""
    source = tree(tmp_path / "tree", compress="deflate")
    done = build(source, tmp_path / "out", PROJ_DATA=str(foreign))
    lines = [line for line in done.stderr.splitlines() if "PROJ" in line]
    assert done.returncode == 1
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    assert f"PROJ_DATA is {foreign}" in lines[0]
    assert "unset PROJ_DATA" in lines[0]
    assert not (tmp_path / "out" / "quarantine.jsonl").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PROJ_LIB": "{foreign}"}, "PROJ_LIB is {foreign}"),
        ({"PROJ_DATA": "/nonexistent"}, "PROJ_DATA is /nonexistent"),
        ({"PROJ_DATA": "/nonexistent", "PROJ_LIB": "{foreign}"}, "unset PROJ_DATA and PROJ_LIB"),
        ({"GDAL_SKIP": "GTiff"}, "GDAL_SKIP is GTiff"),
        ({"GDAL_DATA": "/nonexistent", "GDAL_DRIVER_PATH": "{foreign}"}, ""),
        ({}, ""),
    ],
)
def test_foreign_settings_are_named_where_they_matter(
    patch: Path, foreign: Path, settings: dict[str, str], message: str
) -> None:
    """A variable that another installation has set ends reading without a word on it."""
    (foreign / "gdal_foreign.so").write_text("no library")
    script = (
        "import sys, numpy as np\n"
        "from bigearth_pipeline.source.tiff.reader import TiffReader\n"
        "from bigearth_pipeline.errors import PipelineError\n"
        "record = np.empty(80_000, np.uint16)\n"
        "TiffReader().read_patch(sys.argv[1], sys.argv[2], record)\n"  # The short way needs no PROJ.
        "for _ in range(2):\n"
        "    try: TiffReader(always_gdal=True).read_patch(sys.argv[1], sys.argv[2], record)\n"
        "    except PipelineError as err: print(err)\n"
    )
    environment = {name: value.format(foreign=foreign) for name, value in settings.items()}
    command = [sys.executable, "-c", script, str(patch), KEY]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROJ", "GDAL"))}
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == (2 if message else 0)
    assert all(message.format(foreign=foreign) in line for line in lines)
