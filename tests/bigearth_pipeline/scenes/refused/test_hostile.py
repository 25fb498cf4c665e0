"""Scenes that were made to do harm: pipes and devices, damaged archives, numbers and times that cannot be."""

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rasterio

from bigearth_pipeline.errors import BadScene, PipelineError
from bigearth_pipeline.report.explain.reference import FOLDER, beside
from bigearth_pipeline.scenes.grid.scene import open_scene
from bigearth_pipeline.scenes.grid.source import SceneSource
from bigearth_pipeline.scenes.grid.windows import windows_of
from bigearth_pipeline.scenes.inputs.description import Description, Known, in_names, parse_time
from bigearth_pipeline.scenes.inputs.find import find
from bigearth_pipeline.scenes.work.threads import SceneThreads
from shards.layout.bands import BANDS
from tests.bigearth_pipeline.scenes.making import METADATA, NAME
from tests.bigearth_pipeline.scenes.refused.inputs import band, files, item

SPECIAL: dict[str, Callable[[Path], object]] = {
    "a named pipe": os.mkfifo,
    "a character device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
}


@pytest.mark.usefixtures("gdal")
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["scene.zip", "scene.tif", "scene.json", "MTD_MSIL2A.xml"])
def test_only_regular_files_are_opened(name: str, kind: str, tmp_path: Path) -> None:
    """A pipe is waited for without end, or a device is read until the memory is full."""
    path = tmp_path / name
    SPECIAL[kind](path)
    expected = "of no known kind" if kind == "a folder" else kind
    with pytest.raises((PipelineError, OSError), match=expected) as caught:
        find(path, Known(baseline=212))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("gdal")
@pytest.mark.parametrize("kind", ["a named pipe", "a character device"])
def test_a_reference_map_is_a_regular_file(kind: str, tmp_path: Path) -> None:
    """A pipe in the place of a reference map is waited for without end."""
    place = tmp_path / FOLDER / "P_1_2"
    place.mkdir(parents=True)
    SPECIAL[kind](place / "P_1_2_reference_map.tif")
    (tmp_path / "P_1_2").mkdir()
    with pytest.raises(PipelineError, match=rf"P_1_2_reference_map\.tif cannot be read: it is {kind}"):
        beside(tmp_path / "P_1_2")


@pytest.mark.usefixtures("gdal")
def test_a_reference_map_of_terabytes_is_not_read(tmp_path: Path) -> None:
    """A sparse TIFF of 400 kB that says to have 10^11 pixels fills the memory before its size is looked at."""
    place = tmp_path / FOLDER / "P_1_2"
    place.mkdir(parents=True)
    profile = {"driver": "GTiff", "width": 300_000, "height": 300_000, "count": 1, "dtype": "uint16"}
    with rasterio.open(
        place / "P_1_2_reference_map.tif", "w", **profile, SPARSE_OK=True, tiled=True, blockxsize=8192, blockysize=8192
    ):
        pass
    (tmp_path / "P_1_2").mkdir()
    with pytest.raises(PipelineError, match="holds 1 band of 300000 × 300000 pixels, expected one of 120 × 120"):
        beside(tmp_path / "P_1_2")


def test_an_archive_with_any_flipped_bit_is_one_line(tmp_path: Path) -> None:
    """A damaged directory of an archive, such as a name that is no UTF-8, ends in a traceback."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            f"{NAME}.SAFE/MTD_MSIL2A.xml", METADATA.format(name=NAME, baseline="05.09", images="", offsets="")
        )
        archive.writestr("ä.txt", "in UTF-8")
    content = made.getvalue()
    path = tmp_path / "scene.zip"
    begin = content.index(b"PK\x01\x02")
    for offset in (*range(60), *range(begin, len(content))):
        for bit in range(8):
            changed = bytearray(content)
            changed[offset] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(BadScene):
                find(path, Known())


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "-1e308", "true", '"-0.1"', "null", "[1]", "9" * 4000])
@pytest.mark.parametrize("name", ["raster:offset", "raster:scale"])
def test_an_offset_of_any_value_is_one_line(name: str, value: str, tmp_path: Path) -> None:
    """An offset that is no number ends in a traceback when it is rounded."""
    path = item(tmp_path)
    facts = {"raster:offset": "-0.1", "raster:scale": "0.0001"} | {name: value}
    text = ", ".join(f'"{key}": {each}' for key, each in facts.items())
    path.write_text(path.read_text().replace('"type": "image/tiff"', text))
    json.loads(path.read_text())
    with pytest.raises(BadScene) as caught:
        find(path, Known())
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("gdal")
def test_messages_of_gdal_are_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Threads that read print what GDAL says of a damaged file, with control sequences in the file's name, as it is."""
    folder = files(tmp_path).rename(tmp_path / "\x1b[31mred")
    path = band(folder, "B02")
    content = bytearray(path.read_bytes())
    (begin,) = struct.unpack_from("<I", content, 4)
    for entry in range(begin + 2, begin + 2 + 12 * struct.unpack_from("<H", content, begin)[0], 12):
        if struct.unpack_from("<H", content, entry) == (322,):  # TileWidth, TIFF 6.0, section 15
            struct.pack_into("<H", content, entry + 8, 129)
    path.write_bytes(content)
    found = find(folder, Known(baseline=212))
    assert isinstance(found, Description)
    scene = open_scene(found, BANDS)
    with (
        SceneThreads(4) as threads,
        closing(SceneSource(scene, windows_of(scene, 0), batch_size=64, threads=threads)) as source,
        pytest.raises(BadScene, match="cannot be read"),
    ):
        list(source.parts(0))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2023-13-45T99:99:99", "20231345T999999", "1e9"]
)
def test_a_time_that_cannot_be_is_none(text: str) -> None:
    """A time that a name or metadata say ends in a traceback."""
    assert parse_time(text) is None
    assert in_names([f"T33UUP_{text}_B02"])[1] is None
    assert in_names(["T33UUP_20230625T234621_B02"])[1] == datetime(2023, 6, 25, 23, 46, 21)
    assert parse_time("2023-06-25T23:46:21Z") == datetime(2023, 6, 25, 23, 46, 21, tzinfo=UTC).replace(tzinfo=None)
