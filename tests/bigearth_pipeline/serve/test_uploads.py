"""Images of users: what is accepted gives the same as `bep predict` does, and what is hostile gets one clear answer."""

import json
import os
import shutil
import stat
import tempfile
import threading
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from bigearth_pipeline.pictures.compose import band_of
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Busy, Stopping
from bigearth_pipeline.serve.upload import worker
from bigearth_pipeline.serve.upload.kept import MOST_UPLOADS, Upload, Uploads
from bigearth_pipeline.serve.upload.limits import AT_A_TIME
from bigearth_pipeline.serve.upload.receive import Receiver
from bigearth_pipeline.source.tiff.reader import TiffReader
from bigearth_pipeline.synth.dataset import write_dataset
from shards.layout.bands import BANDS, GROUP_OF, RECORD_VALUES
from tests.bigearth_pipeline.scenes import making
from tests.bigearth_pipeline.scenes.making import random_pixels, write_item, write_safe
from tests.support.running.processes import run_in_child

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def patch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a patch in the v2 layout."""
    folder = tmp_path_factory.mktemp("synth") / "data"
    write_dataset(folder, patches=1, layout="v2", workers=1)
    return next(path.parent for path in folder.rglob("*_B02.tif"))


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Uploads are decoded in a folder of this test, in which nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert not list(tmp_path.glob("*bep-serve.*"))


def post(client: Any, files: list[tuple[str, bytes]], **form: str) -> Any:
    """Upload files."""
    return client.post("/api/uploads", files=[("files", each) for each in files], data=form)


def zipped(files: dict[str, bytes], **settings: Any) -> bytes:
    """Return a zip."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, **settings) as archive:
        for name, each in files.items():
            archive.writestr(name, each)
    return content.getvalue()


def contents_of(patch: Path) -> dict[str, bytes]:
    """Return the band files of a patch by their names."""
    return {path.name: path.read_bytes() for path in sorted(patch.glob("*.tif"))}


def geotiff(path: Path, *, width: int, height: int, names: tuple[str, ...] = BANDS, **more: Any) -> bytes:
    """Write a GeoTIFF with named bands whose coarser bands have repeated pixels, and return its bytes."""
    rng = np.random.default_rng(0)
    place = from_origin(400_000, 5_500_000, 10, 10)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=len(names), dtype="uint16", crs="EPSG:32633",
        transform=place, **more,
    ) as file:  # fmt: skip
        for number, name in enumerate(names, 1):
            step = GROUP_OF[name].metres // 10
            values = rng.integers(200, 3000, (height // step, width // step), dtype=np.uint16)
            file.write(values.repeat(step, 0).repeat(step, 1), number)
            file.set_band_description(number, name)
    return path.read_bytes()


@pytest.mark.parametrize("form", ["files", "zip", "zip of bare files"])
def test_a_patch_is_read_as_by_a_build(client: Any, contents: Contents, patch: Path, form: str) -> None:
    """Pixels of an upload are others than those of the files."""
    own = contents_of(patch)
    if form == "files":
        answer = post(client, list(own.items()))
    else:
        prefix = f"{patch.name}/" if form == "zip" else ""
        answer = post(client, [("p.zip", zipped({prefix + name: content for name, content in own.items()}))])
    found = answer.json()
    assert answer.status_code == 200, found
    assert found["patches"] == 1
    expected = np.zeros(RECORD_VALUES, np.uint16)
    with TiffReader() as reader:
        reader.read_patch(str(patch), patch.name, expected)
    np.testing.assert_array_equal(contents.record(found["source"], "0"), expected)
    source = found["source"]
    assert client.get(f"/api/patches/{source}/0/picture.webp").status_code == 200
    scores = client.get(f"/api/patches/{source}/0/scores", params={"run": 0}).json()
    best = client.get(f"/api/uploads/{source}/scores", params={"run": 0}).json()
    assert best[0]["probability"] == pytest.approx(max(scores["probabilities"]), abs=1e-5)
    query = {"run": 0, "label": 1, "method": "grad-cam"}
    assert client.get(f"/api/patches/{source}/0/explanation.webp", params=query).status_code == 200
    assert client.get(f"/api/patches/{source}/0").json()["labels"] is None
    assert client.delete(f"/api/uploads/{source}").status_code == 204
    assert client.get(f"/api/patches/{source}/0/picture.webp").status_code == 404


def test_a_geotiff_is_cut_into_windows(client: Any, tmp_path: Path) -> None:
    """An image larger than a patch is refused, or has other windows."""
    content = geotiff(tmp_path / "a.tif", width=240, height=120)
    found = post(client, [("a.tif", content)], baseline="02.14").json()
    assert (found["patches"], found["columns"]) == (2, 2)
    answer = post(client, [("a.tif", content)])
    assert answer.status_code == 415
    assert "baseline" in answer.json()["detail"]
    few = geotiff(tmp_path / "b.tif", width=120, height=120, names=("B02", "B03", "B04"))
    found = post(client, [("b.tif", few)], offset="none").json()
    answer = client.get(f"/api/patches/{found['source']}/0/scores", params={"run": 0})
    assert answer.status_code == 409
    assert "lacks bands" in answer.json()["detail"]


def test_a_product_is_read_as_by_predict(client: Any, contents: Contents, tmp_path: Path) -> None:
    """A zip of a product needs a baseline from the user, has other offsets, or is refused for its many files."""
    found = random_pixels(20, 20)
    safe = write_safe(tmp_path / "made", found, "05.09", dict.fromkeys(BANDS, -1000))
    for number in range(80):
        (safe / f"{number}.txt").write_text("quality")
    content = making.zipped(safe).read_bytes()
    answer = post(client, [("S2A.zip", content)])
    assert answer.status_code == 200, answer.text
    assert answer.json()["patches"] == 1
    assert "1000 is subtracted" in answer.json()["notes"][0]
    expected = np.maximum(found.bands["B02"][:120, :120].astype(int) - 1000, 1)
    record = contents.record(answer.json()["source"], "0")
    np.testing.assert_array_equal(band_of(record, "B02"), expected)
    shutil.rmtree(tmp_path / "made")


def test_a_stac_item_leads_to_files_of_the_upload_alone(client: Any, contents: Contents, tmp_path: Path) -> None:
    """An item with its files is refused, or reads files of the server."""
    found = random_pixels(20, 20)
    folder = tmp_path / "made"
    path = write_item(folder, found)
    item = json.loads(path.read_text())
    files = {f"assets/{each.name}": each.read_bytes() for each in (folder / "assets").iterdir()}
    for href in ("./assets/T33UUP_{}.tif", "https://example.org/T33UUP_{}.tif", "/T33UUP_{}.tif"):
        item["assets"] = {band: {"href": href.format(band)} for band in BANDS}
        own = files | {"item.json": json.dumps(item).encode()}
        answer = post(client, [("x.zip", zipped(own))])
        assert answer.status_code == 200, answer.text
        record = contents.record(answer.json()["source"], "0")
        np.testing.assert_array_equal(band_of(record, "B11"), found.bands["B11"][:60, :60])
    item["assets"] = {"B02": {"href": str(folder / "assets/T33UUP_B02.tif")}}
    answer = post(client, [("item.json", json.dumps(item).encode())])
    assert answer.status_code == 415
    assert "no asset of the STAC item is a file of the upload" in answer.json()["detail"]
    answer = post(client, [("item.json", b"[]")])
    assert "has no assets" in answer.json()["detail"]
    shutil.rmtree(folder)


def link(name: str) -> bytes:
    """Return a zip with a symbolic link."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    return content.getvalue()


HOSTILE = {
    "parent": ("x.zip", zipped({"../../x_B02.tif": b"II*\0"}), "leads out of its folder"),
    "absolute": ("x.zip", zipped({"/etc/x_B02.tif": b"II*\0"}), "leads out of its folder"),
    "backslash": ("x.zip", zipped({"..\\x_B02.tif": b"II*\0"}), "leads out of its folder"),
    "link": ("x.zip", link("x_B02.tif"), "a link or a device"),
    "bomb": ("x.zip", zipped({"x_B02.tif": bytes(40 << 20)}), "times its size"),
    "many members": ("x.zip", zipped({f"{i}.tif": b"" for i in range(10_000)}), "10,000 members"),
    "many files": ("x.zip", zipped({f"{i}.tif": b"" for i in range(100)}), "100 files"),
    "nested": ("x.zip", zipped({"y.zip": zipped({"x_B02.tif": b""})}), "holds no .tif"),
    "no zip": ("x.zip", b"PK\3\4 nothing", "zip"),
    "text": ("x.txt", b"hello", "holds no .tif"),
    "no tiff": ("x.tif", b"hello", "cannot be read"),
    "empty": ("x.tif", b"", "cannot be read"),
    "no band": ("x.zip", zipped({"a.tif": b"", "b.tif": b""}), "named after no band"),
    "name": ("../../etc/passwd\n.tif", b"II*\0", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_gets_one_clear_answer(client: Any, name: str) -> None:
    """An upload writes elsewhere, fills the disk, or ends the server."""
    file, content, words = HOSTILE[name]
    answer = post(client, [(file, content)])
    assert answer.status_code == 415, answer.text
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert client.get("/api/about").status_code == 200


def test_an_image_of_ten_thousand_million_pixels_is_refused(client: Any, tmp_path: Path) -> None:
    """A file of 2 MB says that it has 100,000 × 100,000 pixels, and the server allocates them."""
    path = tmp_path / "huge.tif"
    settings = {"tiled": True, "compress": "deflate", "sparse_ok": True, "bigtiff": "yes"}
    with rasterio.open(
        path, "w", driver="GTiff", width=100_000, height=100_000, count=1, dtype="uint16", crs="EPSG:32633",
        transform=from_origin(400_000, 5_500_000, 10, 10), **settings,
    ) as file:  # fmt: skip
        file.set_band_description(1, "B02")
    for name, content in (("huge.tif", path.read_bytes()), ("huge.zip", zipped({"huge.tif": path.read_bytes()}))):
        answer = post(client, [(name, content)], baseline="05.09")
        assert answer.status_code == 415
        assert ("pixels" if name == "huge.tif" else "200 times its size") in answer.json()["detail"]


def test_a_damaged_band_is_named(client: Any, patch: Path) -> None:
    """A band that is cut off gives a picture, or a traceback."""
    own = contents_of(patch)
    name = f"{patch.name}_B08.tif"
    answer = post(client, list((own | {name: own[name][:3000]}).items()))
    assert answer.status_code == 415
    assert "B08" in answer.json()["detail"]
    del own[name]
    answer = post(client, list(own.items()))
    assert "B08.tif is missing" in answer.json()["detail"]


def test_too_many_files_are_refused(client: Any) -> None:
    """10,000 tiny files are each written."""
    assert post(client, [(f"{i}.tif", b"x") for i in range(65)]).status_code == 415
    assert post(client, [(f"{i}.tif", b"x") for i in range(10_000)]).status_code == 400
    assert client.post("/api/uploads").status_code == 422


def test_the_process_has_limits() -> None:
    """A file that takes all memory takes that of the machine."""

    def allocate() -> None:
        worker.limit_resources()
        try:
            np.ones(8 << 30, np.uint8)
        except MemoryError:
            return
        raise SystemExit(3)

    assert run_in_child(allocate) == 0


def test_old_uploads_are_forgotten() -> None:
    """Memory grows with each upload."""
    uploads = Uploads()
    names = [uploads.keep(Upload("x", None, (), (), ())) for _ in range(MOST_UPLOADS + 3)]
    assert [uploads.has(name) for name in names] == [False] * 3 + [True] * MOST_UPLOADS


def test_no_upload_needs_more_than_the_temporary_folder(client: Any, patch: Path, tmp_path: Path) -> None:
    """The name of a file becomes a path."""
    before = set(os.listdir(tmp_path))
    own = {f"../../{name}": content for name, content in contents_of(patch).items()}
    assert post(client, list(own.items())).status_code == 200
    assert set(os.listdir(tmp_path)) == before


def test_the_end_of_the_server_ends_what_is_decoded(tmp_path: Path) -> None:
    """Ctrl-C waits until each upload that is decoded, or waits for that, is done."""
    content = geotiff(tmp_path / "x.tif", width=1200, height=1200, compress="deflate")
    stopping = Stopping()
    receiver = Receiver(stopping)
    refused: list[Busy] = []

    def decode() -> None:
        with pytest.raises(Busy, match="the server ends") as caught:
            receiver.decode([("x.tif", BytesIO(content))], "none", None)
        refused.append(caught.value)

    threads = [threading.Thread(target=decode) for _ in range(AT_A_TIME + 2)]
    for thread in threads:
        thread.start()
    while len(list(tmp_path.glob("bep-serve.*"))) < AT_A_TIME:
        time.sleep(0.01)
    stopping.now = True
    for thread in threads:
        thread.join()
    assert len(refused) == len(threads)
