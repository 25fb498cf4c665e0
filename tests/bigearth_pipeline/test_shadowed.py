"""Folders and packages that hide those of this one."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bigearth_pipeline.shadowed import shadow, shadowed_library, taken_for_library
from tests.support.paths import ROOT


def version(folder: Path) -> subprocess.CompletedProcess[str]:
    """Ask for the version in a folder, which Python looks for modules in first."""
    return call(folder, "--version")


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `bep` in a folder, which Python looks for modules in first."""
    command = [sys.executable, "-m", "bigearth_pipeline", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_nothing_is_hidden_here(tmp_path: Path) -> None:
    """The check refuses an installation that is right."""
    assert shadow() is None
    # A folder without modules hides nothing where the packages are found by the path.
    (tmp_path / "shards").mkdir()
    assert version(tmp_path).stdout.startswith("bep, version ")


@pytest.mark.parametrize("file", ["shards/__init__.py", "trainer/__init__.py", "shards.py", "trainer.py"])
def test_a_module_of_that_name_is_named(tmp_path: Path, file: str) -> None:
    """It ends in an error about a name that cannot be imported."""
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    told = version(tmp_path)
    hidden = path.parent if path.name == "__init__.py" else path
    name = file.partition("/")[0].removesuffix(".py")
    assert told.returncode == 1
    assert told.stderr == (
        f"Error: {hidden} hides the package {name} in {ROOT}; rename it, or start in another folder\n"
    )


def test_a_folder_hides_a_package_that_a_hook_finds(tmp_path: Path) -> None:
    """Installations for development may find packages after all folders, also those without modules."""
    (tmp_path / "shards").mkdir()
    code = (
        "import sys\nfrom importlib.machinery import PathFinder\n"
        f"class Hook:\n    find_spec = staticmethod(lambda name, path=None, target=None: "
        f"PathFinder.find_spec(name, [{str(ROOT)!r}]) if path is None else None)\n"
        f"sys.path = [{str(tmp_path)!r}] + [p for p in sys.path if p not in ('', {str(ROOT)!r})]\n"
        "sys.meta_path.append(Hook)\nimport bigearth_pipeline.cli\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = subprocess.run([sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True)
    if "No module named 'click'" in told.stderr:
        # Without site-packages there is nothing that the command needs; so the check alone.
        code = code.replace(
            "import bigearth_pipeline.cli", "import bigearth_pipeline.shadowed as s; sys.exit(s.shadow())"
        )
        told = subprocess.run([sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True)
    assert f"{tmp_path / 'shards'} hides the package shards in {ROOT}" in told.stderr


def test_a_package_that_was_installed_over_ours_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPI has a package `trainer`, which replaces files of ours without a word."""
    for name in ("shards", "trainer"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shards", "trainer"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert shadow(tmp_path) is None
    (tmp_path / "trainer" / "trainer.py").write_text("")
    assert "another package called trainer was installed over" in str(shadow(tmp_path))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("click.py", "--version"),
        ("numpy.py", "inspect ."),
        ("numcodecs/__init__.py", "inspect ."),
        ("pyarrow/__init__.py", "inspect ."),
    ],
)
def test_a_module_that_hides_a_library_is_named(tmp_path: Path, file: str, words: str) -> None:
    """It ends in a traceback, or the library is said not to be installed."""
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise RuntimeError\n" if file == "numpy.py" else "")
    (tmp_path / "random").mkdir()  # Without modules it hides nothing that is installed.
    told = call(tmp_path, *words.split())
    hidden = path.parent if path.name == "__init__.py" else path
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1:] == [
        f"Error: {hidden} hides the library {hidden.stem}; rename it, or start in another folder"
    ]
    assert "Traceback" not in told.stderr


def test_a_folder_that_is_taken_for_a_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is called as its codec ends a build in a traceback of Dask, which takes it for the library."""
    (tmp_path / "store-of-nobody").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    store = tmp_path / "store-of-nobody"
    line = f"{store} is taken for the library {store.name}; rename it, or start in another folder"
    assert taken_for_library(("numpy", "store-of-nobody", "absent")) == line
    assert taken_for_library(("numpy", "absent")) is None
    importlib.import_module("store-of-nobody")
    assert shadowed_library(AttributeError("no attribute")) == line
    del sys.modules["store-of-nobody"]
    assert shadowed_library(AttributeError("no attribute")) is None
    assert shadowed_library(ModuleNotFoundError("No module", name="store-of-nobody.block")) == line


def test_a_folder_called_as_one_of_our_files_hides_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `run` or `store` was blamed for any bug in a file of that name, and the traceback was gone."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    code = compile(
        "def fail():\n    raise KeyError('a bug')\n", str(ROOT / "trainer" / "evaluation" / "run.py"), "exec"
    )
    names: dict[str, Callable[[], None]] = {}
    exec(code, names)
    with pytest.raises(KeyError) as caught:
        names["fail"]()
    assert shadowed_library(caught.value) is None
