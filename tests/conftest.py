"""Fixtures that several test folders use: real data, trees made of it, and a running Dask cluster."""

import gc
import os
import signal
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.examples import WHOLE
from tests.support.kinds import kinds
from tests.support.paths import DATA, ROOT
from tools.durations import FILES

# What a shell starts in the background ignores Ctrl-C, and what nohup starts ignores SIGHUP; every process that a test
# starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.load_profile(WHOLE)


def pytest_sessionstart() -> None:
    """Forget the width that pytest-xdist gives to its processes: tables would be as narrow as a terminal."""
    os.environ.pop("COLUMNS", None)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files and folders without a test for a GPU where only such tests are requested, by `-m gpu`.

    The others are many, and what they and the `conftest.py` of such a folder import need not be installed on a machine
    that is there for its GPU.
    """
    if config.option.markexpr != "gpu":
        return None
    if collection_path.is_dir():
        return not any(map(_is_for_gpu, collection_path.rglob("test_*.py"))) or None
    if collection_path.suffix != ".py":
        return None
    return not _is_for_gpu(collection_path) or None


def _is_for_gpu(path: Path) -> bool:
    return "pytest.mark.gpu" in path.read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they need, and put the files that take longest first."""
    # Processes of pytest-xdist must collect tests of the same names.
    if addresses := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"{addresses[0]}: its name holds an address, which differs between processes; give ids")
    _shorten_products(items)
    for item in items:
        needed = kinds(item)
        for mark in sorted(needed):
            item.add_marker(mark)
        if not needed and not any(item.get_closest_marker(mark) for mark in ("long", "gpu")):
            item.add_marker("fast")
    # A process of pytest-xdist takes a file at a time: a file of long tests at the end leaves the other cores idle.
    seconds = _seconds_of_files()
    num_long = Counter(item.path for item in items if item.get_closest_marker("long"))
    items.sort(key=lambda item: (-seconds.get(item.path, 0), -num_long[item.path]))
    _skip_without_gpu(items)


def pytest_collection_finish() -> None:
    """Spare every collection of garbage the modules and tests that are there by now, which stay to the end."""
    gc.collect()
    gc.freeze()


def _shorten_products(items: list[pytest.Item]) -> None:
    """Mark as long all but every third case of the tests with the mark `product`."""
    seen: Counter[str] = Counter()
    for item in items:
        if item.get_closest_marker("product"):
            function = item.nodeid.partition("[")[0]
            if seen[function] % 3:
                item.add_marker("long")
            seen[function] += 1


def _seconds_of_files() -> dict[Path, float]:
    """Return how long files took when it was last recorded."""
    if not FILES.exists():
        return {}
    lines = [line.split() for line in FILES.read_text().splitlines()]
    return {ROOT / file: float(value) for value, file in lines}


def _skip_without_gpu(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="there is no NVIDIA GPU that torch can use"))


def real(path: str) -> Path:
    """Return a path of the real data, or skip the test where the data is absent."""
    if not (DATA / path).exists():
        pytest.skip(f"real data {path} is absent")
    return DATA / path


@pytest.fixture(scope="session")
def v1_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six real v1 patches, unpacked, in a folder `BigEarthNet-S2-Example`."""
    folder = tmp_path_factory.mktemp("v1")
    with tarfile.open(real("v1/BigEarthNet-S2-Example.tar.bz2")) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def v1_splits() -> Path:
    """The folder of v1's official split lists."""
    return real("v1/train.csv.bz2").parent


@pytest.fixture(scope="session")
def v2_tree() -> Path:
    """The folder with the real v2 patch and the official tables."""
    return real("v2/metadata.parquet").parent


@pytest.fixture(scope="session")
def scene_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 windows of the real scene in the v2 layout, with a table beside them."""
    from tests.support.data.scene import write_scene_tree

    folder = tmp_path_factory.mktemp("scene")
    write_scene_tree(real("scenes/199U_1099R"), folder, patches=300)
    return folder


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a running Dask scheduler with two worker processes."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="session")
def tar_store(scene_tree: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene as a WebDataset store of seven shards."""
    from tests.support.data.building import build_store

    out = tmp_path_factory.mktemp("stores") / "tar"
    build_store(out, scene_tree, scheduler=scheduler, patches_per_shard=64)
    return out


@pytest.fixture(scope="session")
def zarr_store(scene_tree: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene as a Zarr store of seven shards."""
    from tests.support.data.building import build_store

    out = tmp_path_factory.mktemp("stores") / "zarr"
    build_store(out, scene_tree, scheduler=scheduler, patches_per_shard=64, format="zarr")
    return out


@pytest.fixture(scope="session")
def raw_store(scene_tree: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene as a WebDataset store of uncompressed records."""
    from tests.support.data.building import build_store

    out = tmp_path_factory.mktemp("stores") / "raw"
    build_store(out, scene_tree, scheduler=scheduler, patches_per_shard=64, codec="raw")
    return out


@pytest.fixture(scope="session")
def packed_store(scene_tree: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene as a WebDataset store of codec `bitpack`."""
    from tests.support.data.building import build_store

    out = tmp_path_factory.mktemp("stores") / "packed"
    build_store(out, scene_tree, scheduler=scheduler, patches_per_shard=64, codec="bitpack")
    return out
