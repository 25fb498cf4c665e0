"""Tests for a GPU: their files alone are collected, without packages of the builds."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import conftest
from tools.gpu.check.actions import gpu_tests
from tools.gpu.check.command import ROOT


@pytest.mark.parametrize("expression", ["gpu", "not gpu", ""])
def test_only_files_with_tests_of_a_gpu_are_collected(expression: str) -> None:
    """Minutes on a GPU go by before the first test, or it is never run; or a file is left out elsewhere."""
    config = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
    files = [path for path in (ROOT / "tests").rglob("*") if path.suffix == ".py" or path.is_dir()]
    left_out = {path for path in files if conftest.pytest_ignore_collect(path, config)}  # type: ignore[arg-type]
    # As a decorator, for a whole file, or for a case of a table. Not in one piece: this file has none.
    marked = {path for path in files if path.is_file() and re.search("mark[.]gpu", path.read_text())}
    assert {"test_ema.py", "test_gpu_kernels.py", "test_preparations.py"} <= {path.name for path in marked}
    assert not left_out & marked
    # A folder without any is not entered: its conftest.py may import what is not installed there.
    entered = {folder for path in marked for folder in path.parents}
    assert left_out == (set(files) - marked - entered if expression == "gpu" else set())


def test_tests_of_a_gpu_need_no_package_of_the_builds(tmp_path: Path) -> None:
    """A machine that is there for its GPU, and lacks what builds stores or reads foreign ones, runs no test at all."""
    absent = ("distributed", "dask", "rasterio", "webdataset", "nvidia", "zstandard", "rapidgzip", "obstore", "captum")
    for name in (
        *absent,
        "geopandas",
        "html5lib",
        "httpx",
        "jsonschema",
        "moto",
        "playwright",
        "pystac",
        "rio_cogeo",
        "shapely",
    ):
        (tmp_path / f"{name}.py").write_text("raise ImportError('made to look absent')")
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT), *others))}
    files = gpu_tests(ROOT / "tests")
    assert {"test_ema.py", "test_gpu_kernels.py", "test_benchmarks.py"} <= {path.name for path in files}
    folders = {folder for file in files for folder in file.relative_to(ROOT).parents}
    modules = sorted(".".join((*f.parts, "conftest")) for f in folders if (ROOT / f / "conftest.py").exists())
    assert {"tests.conftest", "tests.trainer.conftest"} <= set(modules)
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
