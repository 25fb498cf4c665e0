"""The folder of a prediction: only what predictions have written there is read, replaced or deleted."""

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.scenes import results
from bigearth_pipeline.scenes.results import Counts
from bigearth_pipeline.scenes.work.units import FOLDER, PLAN, UnitResult, Units, discard
from tests.bigearth_pipeline.scenes.making import random_pixels, write_files
from tests.support.data.building import contents

PLAN_VALUES: dict[str, Any] = {"input": "here"}
COUNTS = Counts(patches=3, predicted=2, missing=1, faults=0, labels={"Pastures": 1})


def finished(out: Path) -> Path:
    """Write a finished result of two files."""
    out.mkdir()
    (out / results.TABLE).write_bytes(b"table")
    (out / results.ITEM).write_bytes(b"{}")
    results.mark_finished(out, PLAN_VALUES, COUNTS)
    return out


def foreign_map(out: Path) -> str:
    out.mkdir()
    (out / results.MAP).write_text("mine")
    return results.MAP


def foreign_mark(out: Path) -> str:
    out.mkdir()
    (out / results.MARK).write_text('{"weather": "fair"}')
    (out / results.MAP).write_text("mine")
    return results.MARK


def beside_a_result(out: Path) -> str:
    finished(out)
    (out / results.CSV).write_text("mine")
    return results.CSV


def damaged_mark(out: Path) -> str:
    finished(out)
    (out / results.MARK).write_text("[" * 100_000)
    return results.MARK


@pytest.mark.parametrize("make", [foreign_map, foreign_mark, beside_a_result, damaged_mark])
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_files_of_others_are_never_replaced(
    make: Callable[[Path], str], options: list[str], small_store: Path, trained: Path, tmp_path: Path
) -> None:
    """`--overwrite` deletes a map, a table or an item that no prediction has written, because of its name."""
    out = tmp_path / "out"
    name = make(out)
    before = contents(out)
    command = ["predict", str(trained), str(small_store), "--split", "validation", "--no-picture", "--out", str(out)]
    told = CliRunner().invoke(main, [*command, *options])
    assert told.exit_code == 1, told.output
    assert isinstance(told.exception, SystemExit), told.exception
    assert f"{out / name} " in told.stderr.splitlines()[-1]
    assert contents(out) == before


def test_the_work_folder_loses_only_what_is_ours(tmp_path: Path) -> None:
    """`--overwrite`, or the end of a prediction, deletes a folder `.predict` with all that lies in it."""
    units = Units(tmp_path, PLAN_VALUES)
    units.write(0, unit())
    (units.folder / f".unit-00001.npz.host.1.{'0' * 8}.part").write_bytes(b"x")
    (units.folder / "map-plain.tif").write_bytes(b"x")
    (units.folder / "thesis.tex").write_text("mine")
    (units.folder / "below").mkdir()
    discard(tmp_path)
    assert sorted(path.name for path in units.folder.iterdir()) == ["below", "thesis.tex"]
    shutil.rmtree(units.folder)
    elsewhere = tmp_path / "elsewhere"
    Units(elsewhere, PLAN_VALUES)
    (tmp_path / FOLDER).symlink_to(elsewhere / FOLDER)
    discard(tmp_path)
    assert (elsewhere / FOLDER / PLAN).exists()


MARKS: dict[str, Callable[[Any], Any]] = {
    "array": lambda mark: [],
    "text": lambda mark: "x\x1b[31m",
    "no plan": lambda mark: {name: value for name, value in mark.items() if name != "plan"},
    "files as array": lambda mark: mark | {"files": []},
    "a file without facts": lambda mark: mark | {"files": {"map.tif": 1}},
    "a file elsewhere": lambda mark: mark | {"files": {"../map.tif": {"size": 1, "sha256": "0" * 64}}},
    "size as text": lambda mark: mark | {"files": {"map.tif": {"size": "1", "sha256": "0" * 64}}},
    "counts as number": lambda mark: mark | {"counts": 1},
    "counts of texts": lambda mark: mark | {"counts": mark["counts"] | {"patches": "three"}},
    "labels as array": lambda mark: mark | {"counts": mark["counts"] | {"labels": [1]}},
    "more counts than 64 bits": lambda mark: mark | {"counts": mark["counts"] | {"faults": 1 << 80}},
}


def test_a_mark_where_there_are_no_locks_is_of_a_prediction(tmp_path: Path) -> None:
    """A prediction that was killed on a disk without locks leaves a mark, for which the next one refuses the folder."""
    for name in (results.LOCK, f"{results.LOCK}.held", f".{results.LOCK}.held.host.1.{'0' * 8}.part"):
        (tmp_path / name).write_text("")
    results.check_out(tmp_path)
    (tmp_path / "thesis.held").write_text("")
    with pytest.raises(PipelineError, match=r"holds thesis\.held, which is of no prediction"):
        results.check_out(tmp_path)


@pytest.mark.parametrize("name", MARKS)
def test_a_mark_of_any_values_is_one_line(name: str, tmp_path: Path) -> None:
    """A mark that somebody has written ends in a traceback, or its counts are shown as ours."""
    out = finished(tmp_path / "out")
    path = out / results.MARK
    path.write_text(json.dumps(MARKS[name](json.loads(path.read_text()))))
    with pytest.raises(PipelineError, match=rf"{path} is damaged or of no prediction"):
        results.finished(out, PLAN_VALUES)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b"9" * 10_000])
def test_notes_of_any_bytes_are_one_line(content: bytes, tmp_path: Path) -> None:
    """JSON that is nested 100,000 times, or a number of 10,000 digits, ends in a traceback."""
    out = finished(tmp_path / "out")
    (out / results.MARK).write_bytes(content)
    with pytest.raises(PipelineError, match="is damaged"):
        results.finished(out, PLAN_VALUES)
    Units(tmp_path, PLAN_VALUES)
    (tmp_path / FOLDER / PLAN).write_bytes(content)
    with pytest.raises(PipelineError, match="is damaged"):
        Units(tmp_path, PLAN_VALUES)


def test_a_result_that_was_changed_is_no_finished_one(tmp_path: Path) -> None:
    """A table with flipped bits, of the size that it had, counts as finished, and is then read."""
    out = finished(tmp_path / "out")
    assert results.finished(out, PLAN_VALUES) == COUNTS
    (out / results.TABLE).write_bytes(b"tabla")
    with pytest.raises(PipelineError, match=rf"{results.TABLE} is missing or was changed"):
        results.finished(out, PLAN_VALUES)


def unit() -> UnitResult:
    return UnitResult(
        probabilities=np.full((1, 2), 0.5, np.float32),
        missing=np.zeros(1, np.float32),
        epsg=np.zeros(1, np.int32),
        ulx=np.zeros(1),
        uly=np.zeros(1),
        faults=np.array([""]),
        picture=np.zeros((3, 0, 0), np.uint16),
    )


@pytest.mark.long
@pytest.mark.product
def test_a_unit_with_any_flipped_bit_is_none_or_itself(tmp_path: Path) -> None:
    """A damaged unit ends a resumed prediction in a traceback of the unpacker, or its values are used."""
    units = Units(tmp_path, PLAN_VALUES)
    units.write(0, unit())
    path = units.folder / "unit-00000.npz"
    content = path.read_bytes()
    for offset in range(len(content)):
        for bit in (1 << offset % 8, 1 << (offset + 3) % 8):
            changed = bytearray(content)
            changed[offset] ^= bit
            path.write_bytes(changed)
            found = units.read(0, 1)
            if found is not None:
                assert all(np.array_equal(getattr(found, name), getattr(unit(), name)) for name in UnitResult.__slots__)
    for special in (lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero"), path.mkdir):
        path.unlink(missing_ok=True)
        special()
        assert units.read(0, 1) is None


def test_a_map_on_a_full_disk_is_one_line(
    trained_rgb: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL's TIFF library prints a line for each block, and the error does not say why."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "bands", random_pixels(rows=20, columns=20))
    arguments = ["predict", str(trained_rgb), "bands", "--out", "out", "--baseline", "02.12", "--no-picture", "-q"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        failed = CliRunner().invoke(main, arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failed.exit_code == 1
    assert failed.stderr.strip() == "Error: out/map.tif: File too large"
    assert capfd.readouterr() == ("", "")
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert (tmp_path / "out" / results.MAP).stat().st_size > 0
