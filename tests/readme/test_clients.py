"""Examples of other libraries that read stores."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import shards
from shards.codec.registry import CODECS, DEFAULT_CODEC
from shards.testing.stores import make_store
from tests.readme.test_examples import CLIENTS, run_block
from tests.readme.text import README, blocks

EXAMPLES = [block for block in blocks("python") if block.section == CLIENTS]
CODECS_OF = {"store": tuple(CODECS), "store-raw": ("raw",), "store-zarr": ("blosc-lz4", "blosc-zstd", "raw")}
"""Codecs of the stores in the examples."""
NODE_PACKAGE = "zarrita"


def name_of(code: str) -> str:
    """Return the library that an example shows: the last that it imports."""
    imported = re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)[-1]
    return "WebLoader" if "WebLoader" in code else imported


def folder_of(code: str) -> str:
    """Return the store that an example reads."""
    [folder] = set(re.findall(r'"(store(?:-\w+)?)["/]', code))
    return folder


def cases() -> list[Any]:
    """Return each example with each codec of the stores that it reads; one codec is quick."""
    found = []
    for block in EXAMPLES:
        folder = folder_of(block.code)
        for codec in CODECS_OF[folder]:
            quick = (codec == DEFAULT_CODEC and folder == "store-zarr") or folder == "store-raw"
            name = f"{name_of(block.code)}-{codec}"
            found.append(pytest.param(block, codec, id=name, marks=() if quick else pytest.mark.long))
    return found


def make(folder: Path, codec: str) -> np.ndarray:
    """Write the store of an example, and return the pixels that it must give."""
    format = "zarr" if folder.name == "store-zarr" else "webdataset"  # noqa: A001 (its name in manifests)
    make_store(folder, {"train": 70, "validation": 2}, codec=codec, format=format)
    with shards.open(folder) as store:
        return store.read(int(store.index.rows("train")[0])).b10


@pytest.mark.parametrize(("block", "codec"), cases())
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_pixels_are_equal(block: Any, codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that the README names reads other pixels, or not as the README says."""
    if name_of(block.code) == "nvidia":
        pytest.importorskip("nvidia.dali", reason="DALI has no wheel for this platform")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    expected = make(tmp_path / folder_of(block.code), codec)
    monkeypatch.chdir(tmp_path)
    b10 = np.asarray(run_block(block)["b10"])
    assert b10.dtype == np.uint16
    np.testing.assert_array_equal(b10, expected)


@pytest.mark.parametrize("codec", [pytest.param("raw", marks=pytest.mark.long), "blosc-lz4"])
def test_pixels_are_equal_in_javascript(codec: str, tmp_path: Path) -> None:
    """Zarrita reads other pixels, or not as the README says."""
    [block] = blocks("js")
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js is not installed")
    modules = Path(subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=True).stdout.strip())
    if not (modules / NODE_PACKAGE).is_dir():
        pytest.skip(f"{NODE_PACKAGE} is not installed: npm install -g {NODE_PACKAGE}")
    # Modules are looked for beside the script, and those that a package needs in its own folder.
    (tmp_path / "node_modules/@zarrita").mkdir(parents=True)
    (tmp_path / "node_modules" / NODE_PACKAGE).symlink_to(modules / NODE_PACKAGE)
    nested = modules / NODE_PACKAGE / "node_modules/@zarrita/storage"
    (tmp_path / "node_modules/@zarrita/storage").symlink_to(nested if nested.exists() else modules / "@zarrita/storage")
    expected = make(tmp_path / "store-zarr", codec)
    (tmp_path / "example.mjs").write_text(f"{block.code}\nconsole.log(JSON.stringify(Array.from(b10)));\n")
    done = subprocess.run([node, "example.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(json.loads(done.stdout), expected.ravel())


def test_each_client_of_the_table_is_shown() -> None:
    """A library is in the table without an example, so that nothing holds what the table says."""
    text = README.read_text()
    table = text.partition("| client | reads | codecs |")[2].partition("\n\n")[0]
    rows = [row for row in table.splitlines()[2:] if "GDAL" not in row]
    # webdataset and its WebLoader share a row.
    assert len(rows) + 1 == len(EXAMPLES) + len(blocks("js"))


def test_gdal_does_not_know_the_sharding_codec(tmp_path: Path) -> None:
    """GDAL reads the stores, and the README says that it does not."""
    if not rasterio.__gdal_version__.startswith("3.10."):
        pytest.skip(f"the README speaks of GDAL 3.10, here is {rasterio.__gdal_version__}")
    make(tmp_path / "store-zarr", DEFAULT_CODEC)
    with pytest.raises(rasterio.errors.RasterioIOError, match="sharding_indexed"):
        rasterio.open(f'ZARR:"{tmp_path}/store-zarr":/train/b10')
