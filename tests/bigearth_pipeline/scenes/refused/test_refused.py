"""Inputs that cannot be used end in one line that says why, before anything is predicted."""

import json
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from bigearth_pipeline.errors import BadScene, PipelineError
from bigearth_pipeline.scenes.grid import tiles
from bigearth_pipeline.scenes.grid.scene import open_scene
from bigearth_pipeline.scenes.grid.source import SceneSource
from bigearth_pipeline.scenes.grid.windows import windows_of
from bigearth_pipeline.scenes.inputs.description import Description, Known
from bigearth_pipeline.scenes.inputs.find import find
from bigearth_pipeline.scenes.patches.tree import patch_folders
from bigearth_pipeline.scenes.work.threads import SceneThreads
from bigearth_pipeline.source.tree import find_source
from shards.layout.bands import BANDS
from tests.bigearth_pipeline.scenes.making import Pixels
from tests.bigearth_pipeline.scenes.refused.inputs import BASE, CASES, PIXELS, band, edited, files, item, rewrite, safe


def look(path: Path) -> None:
    if find(path, Known()) == "tree":
        patch_folders(path, single=False)


def read_first_row(path: Path, known: Known) -> None:
    found = find(path, known)
    if found == "tree":
        find_source(path)
    assert isinstance(found, Description)
    scene = open_scene(found, BANDS)
    with (
        SceneThreads(2) as threads,
        closing(SceneSource(scene, windows_of(scene, 0), batch_size=64, threads=threads)) as source,
    ):
        list(source.parts(0))


@pytest.mark.usefixtures("gdal")
@pytest.mark.parametrize("case", CASES)
def test_one_line(case: str, tmp_path: Path) -> None:
    """A wrong scene is guessed at, or ends in a traceback."""
    make, words = CASES[case]
    path = make(tmp_path)
    own = path.suffix in (".json", ".SAFE", ".zip") and case != "contradicting baseline"
    known = Known(baseline=None if own or case == "unknown baseline" else 212)
    with pytest.raises(PipelineError) as caught:
        read_first_row(path, known)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ["missing band", "unknown baseline", "JPEG 2000 cut off", "TIFF cut off"])
def test_a_command_ends_before_it_begins(case: str, trained: Path, tmp_path: Path) -> None:
    """A wrong scene is found after hours, or an option is not shown as a flag."""
    make, words = CASES[case]
    out = tmp_path / "out"
    options = ["--baseline", "02.12"] if case in ("missing band", "TIFF cut off") else []
    result = CliRunner().invoke(main, ["predict", str(trained), str(make(tmp_path)), "--out", str(out), *options])
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: "), result.output
    assert words.replace("`baseline=`", "--baseline") in last, last
    assert not out.exists()


LAYOUTS: dict[str, dict[str, object]] = {
    "tiles": {"tiled": True, "blockxsize": 64, "blockysize": 64},
    "strips": {"compress": "lzw"},
    "BigTIFF of plain strips": {"BIGTIFF": "YES"},
    "one strip": {"blockysize": 150},
}


@pytest.mark.usefixtures("gdal")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tiff_that_was_cut_off_anywhere_is_found_at_the_start(layout: str, tmp_path: Path) -> None:
    """A file that lacks its last bytes is opened, and missed when its last rows are read; or a whole one is refused."""
    path = rewrite(files(tmp_path), "B03", PIXELS, driver="GTiff", **LAYOUTS[layout])
    target = band(path, "B03")
    content, known = target.read_bytes(), Known(baseline=212)
    found = find(path, known)
    assert isinstance(found, Description)
    # The directory may lie behind the pixels: then the file cannot even be opened.
    for length in (len(content), *np.random.default_rng(3).integers(1, len(content), 12).tolist(), len(content) - 1):
        target.write_bytes(content[:length])
        if length == len(content):
            assert open_scene(found, BANDS).bands
            continue
        with pytest.raises(BadScene, match=r"B03\.tif (was cut off: it has [\d,]+ bytes|cannot be read: )"):
            open_scene(found, BANDS)


@pytest.mark.usefixtures("gdal")
def test_a_sparse_tiff_is_whole(tmp_path: Path) -> None:
    """Tiles that a file leaves out, all of whose pixels are missing ones, pass for cut off."""
    pixels = Pixels(PIXELS.bands | {"B03": PIXELS.bands["B03"] * 0})
    rewrite(files(tmp_path), "B03", pixels, driver="GTiff", tiled=True, blockxsize=64, blockysize=64, SPARSE_OK=True)
    found = find(tmp_path / "scene", Known(baseline=212))
    assert isinstance(found, Description)
    assert open_scene(found, BANDS).bands


@pytest.mark.parametrize("least_pixels", [0, tiles.LEAST_PIXELS], ids=["tiles", "GDAL"])
def test_an_error_in_the_middle_names_the_file(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least_pixels: int
) -> None:
    """A damaged block stops a prediction with a traceback, or is taken for missing pixels."""
    monkeypatch.setattr(tiles, "LEAST_PIXELS", least_pixels)
    path = files(tmp_path)
    target = band(path, "B03")
    content = bytearray(target.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    target.write_bytes(content)
    command = ["predict", str(trained), str(path), "--baseline", "2.12", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert "B03.tif" in last, last
    assert "cannot be read" in last, last
    assert not (tmp_path / "out" / "prediction.json").exists()


@pytest.mark.parametrize("name", ["../../elsewhere", "..", "/elsewhere"])
def test_names_of_inputs_lead_nowhere_else(name: str, trained: Path, tmp_path: Path) -> None:
    """An item whose id is a path has results written outside of the folder for them."""
    first = edited(item(tmp_path), '"id": "scene"', f'"id": "{name}"')
    out = tmp_path / "a/b/out"
    command = ["predict", str(trained), str(first), str(BASE["item"] / "item.json"), "--out", str(out)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1, result.output
    assert f"Error: an input is named {name!r}, which no folder can be" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene"]


def _facts(found: object) -> list[str]:
    """Return a description but for its functions."""
    return [part for part in str(found).split(", ") if " at 0x" not in part]


@pytest.mark.usefixtures("gdal")
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damaged_metadata_in_an_archive_are_one_line(method: int, tmp_path: Path) -> None:
    """Packed bytes that are no longer those that were packed end in an error of the unpacker."""
    folder = safe(tmp_path)
    path = tmp_path / "scene.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
        (info,) = [info for info in archive.infolist() if info.filename.endswith("MTD_MSIL2A.xml")]
    content, sound = path.read_bytes(), find(path, Known())
    start = info.header_offset + 30 + len(info.filename)
    refused = 0
    for place in range(start, start + info.compress_size, max(1, info.compress_size // 60)):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            # Not every byte of a packer's own header counts.
            assert _facts(find(path, Known())) == _facts(sound)
        except BadScene as err:
            assert str(path) in str(err)  # noqa: PT017
            assert "\n" not in str(err)  # noqa: PT017
            refused += 1
    assert refused > 30


@pytest.mark.usefixtures("gdal")
@pytest.mark.parametrize("inside", ["X.SAFE", "deeper/X.SAFE", "item.json", "deeper/item.json", "store", "S2B_X.zip"])
def test_what_lies_in_a_folder_is_named(inside: str, tmp_path: Path) -> None:
    """Somebody names the folder in which a download lies, and reads what trees of patches look like."""
    path = tmp_path / inside
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "notes.json").write_text("{}")
    if path.suffix == ".SAFE" or inside == "store":
        path.mkdir()
        (path / "manifest.json").write_text("{}")
    else:
        path.write_text(json.dumps({"type": "Feature", "stac_version": "1.1.0"}))
    with pytest.raises(PipelineError, match=rf"; {path} lies in it: name that$"):
        look(tmp_path)


@pytest.mark.usefixtures("gdal")
def test_a_folder_without_any_input_is_told_of_none(tmp_path: Path) -> None:
    """A file of somebody else's is called an input."""
    (tmp_path / "deeper").mkdir()
    for name in ("notes.json", "deeper/settings.json", "data.zip"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(PipelineError, match=r"holds no BigEarthNet tree: .* all lie in$"):
        patch_folders(tmp_path, single=False)
