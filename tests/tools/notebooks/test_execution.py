"""The notebooks, executed as they are."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "tools/notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    """They were moved, and nothing is tested."""
    assert [path.stem for path in NOTEBOOKS] == ["from-geotiffs-to-a-cnn", "looking-at-a-store"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_hold_no_outputs(path: Path) -> None:
    """Outputs of somebody's machine are kept in the repository."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of a notebook fails, a command in it does, or something warns."""
    # `bep` of this environment, with the packages of this checkout, in the shells that cells start.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    # A failing command sets its status and raises nothing.
    status = nbformat.v4.new_code_cell("assert globals().get('_exit_code', 0) == 0, _exit_code")
    cells = [[cell, status] if cell.source.startswith("!") else [cell] for cell in notebook.cells]
    notebook.cells = [each for pair in cells for each in pair]
    (tmp_path / "work").mkdir()
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path / "work"}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert said == []
    assert any("image/png" in output.get("data", {}) for output in outputs)
