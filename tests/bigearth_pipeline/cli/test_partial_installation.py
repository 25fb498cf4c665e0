"""Installations without the deep-learning stack, and without extras."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bigearth_pipeline.cli import main
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = {"pillow": "PIL", "nvidia-dali-cuda130": "nvidia", "nvidia-dali-cuda120": "nvidia", "scikit-learn": "sklearn"}
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.partition(".")[0] in BLOCKED else find(name, *rest)
"""


def name_of(requirement: str) -> str:
    """Return the name of the distribution that a requirement asks for."""
    match = re.match(r"[\w.-]+", requirement)
    assert match
    return match[0].lower()


def module_of(requirement: str) -> str:
    """Return the name of the module of a requirement."""
    name = name_of(requirement)
    return MODULES.get(name, name.replace("-", "_"))


def lines_of(path: Path) -> list[str]:
    """Return the requirements in a file."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


BUILD = lines_of(ROOT / "requirements-build.txt")
EXTRAS = {
    module_of(each)
    for extra in ("report", "explain", "export", "cloud", "serve")
    for each in PROJECT["optional-dependencies"][extra]
}
LEARNING = {module_of(each) for each in PROJECT["dependencies"] if each not in BUILD}


def call(blocked: set[str], folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `bep` where some modules cannot be imported."""
    (folder / "sitecustomize.py").write_text(f"BLOCKED = {blocked!r}\n{BLOCKER}")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    command = [sys.executable, "-m", "bigearth_pipeline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_the_requirements_of_building_are_those_of_the_project() -> None:
    """A bound is raised in one list only."""
    assert set(BUILD) <= set(PROJECT["dependencies"])
    assert {"torch", "nvidia", "timm", "webdataset", "torchmetrics"} <= LEARNING


def test_stores_are_built_without_the_deep_learning_stack(scene_tree: Path, tmp_path: Path) -> None:
    """A machine that only builds gets 7 GB of libraries, or a command ends in a traceback."""
    blocked, store = LEARNING | EXTRAS, tmp_path / "store"
    for words in (
        ("synth", "--out", tmp_path / "synth", "--patches", 4),
        ("build-shards", scene_tree, "--out", store, "--limit", 8, "--codec", "bitpack", "--workers", 1),
        ("verify", store, "--against", scene_tree, "--workers", 1),
        ("inspect", store),
        ("stats", store, "--json"),
        ("download", "--help"),
    ):
        told = call(blocked, tmp_path, *words)
        assert told.returncode == 0, told.stderr
        # What comes next is printed only where it works.
        assert "bep train" not in told.stdout


@pytest.mark.long
def test_a_tree_is_built_and_trained_on_without_what_archives_need(tmp_path: Path) -> None:
    """A machine that is there for its GPU, and lacks libraries of archives and extras, does nothing at all."""
    # torchvision needs Pillow; torchmetrics takes Matplotlib for installed by its metadata.
    blocked = {"httpx", "rapidgzip", "zstandard"} | EXTRAS - {"PIL", "matplotlib"}
    tree, store = tmp_path / "synth" / "BigEarthNet-S2", tmp_path / "store"
    small = ("--batch-size", 8, "--device", "cpu")
    for words in (
        ("synth", "--out", tmp_path / "synth", "--patches", 60, "--workers", 1),
        ("build-shards", tree, "--out", store, "--codec", "bitpack", "--workers", 1),
        ("train", store, "--out", tmp_path / "run", "--model", "test_resnet", "--epochs", 1, *small),
        ("bench", "loader", store, "--repeats", 1, "--least-seconds", 0, "--patches", 16, *small),
    ):
        told = call(blocked, tmp_path, *words)
        assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("show {store} --random 1 --out {tmp}/x.png", "Pillow is not installed; get it by: pip install Pillow"),
        ("report {store} --out {tmp}/x.html", "are not installed; get them by: pip install matplotlib Pillow Jinja2"),
        ("report {store} --out {tmp}/x.html ", "get the extra `report`: pip install 'bigearth-pipeline[report]'"),
        ("explain {tmp} --random 1 --out {tmp}/x", "Captum is not installed; get the extra `explain`"),
        ("train {store} --out {tmp}/run", "is not installed: this command needs the whole package"),
        ("evaluate {tmp}/run", "is not installed: this command needs the whole package"),
        ("runs {tmp}", "is not installed: this command needs the whole package"),
        ("predict {tmp}/run {tmp} --out {tmp}/x", "is not installed: this command needs the whole package"),
        ("export {tmp}/run --out {tmp}/x", "is not installed: this command needs the whole package"),
        (
            "export {tmp}/run --out {tmp}/x",
            "onnxruntime are not installed; get the extra `export`",
        ),
        ("inspect s3://bucket/store", "needs obstore, which is not installed"),
        (
            "bench build {tmp}",
            "webdataset is not installed; get it by: pip install webdataset; or leave the plain",
        ),
        ("bench build {tmp} --repeats 1", "out: --no-peer"),
        ("bench loader {store}", "is not installed: this command needs the whole package"),
        ("bench predict {tmp} {tmp}", "is not installed: this command needs the whole package"),
        ("bench train {store}", "is not installed: this command needs the whole package"),
        ("quickstart --out {tmp}/q", "is not installed: this command needs the whole package"),
    ],
)
def test_what_is_missing_is_one_line(tar_store: Path, tmp_path: Path, words: str, message: str) -> None:
    """A library that is not installed is called a bug."""
    arguments = words.format(store=tar_store, tmp=tmp_path).split()
    assert arguments[0] in main.list_commands(None)  # type: ignore[arg-type]
    told = call(EXTRAS if "get the extra" in message else LEARNING | EXTRAS, tmp_path, *arguments)
    assert told.returncode == 1, told.stdout
    assert message in told.stderr
    assert [line[:7] for line in told.stderr.splitlines() if line][-1] == "Error: "
    assert "Traceback" not in told.stderr
