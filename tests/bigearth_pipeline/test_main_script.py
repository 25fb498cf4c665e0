"""Scripts that worker processes can import, and others."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.main_script import check_importable
from bigearth_pipeline.spawned import SpawnedWorkers
from bigearth_pipeline.workers import open_cluster


def test_a_script_from_standard_input_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each worker ends with "exit status 1" after three attempts, and nothing says that the script is the reason."""
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__spec__", None, raising=False)
    # As Python has it for `python -`, and for a script that was removed meanwhile.
    for script in ("<stdin>", str(tmp_path / "gone.py")):
        monkeypatch.setattr(main, "__file__", script, raising=False)
        for start in (check_importable, lambda: SpawnedWorkers(1), lambda: open_cluster(1).__enter__()):
            with pytest.raises(PipelineError, match=f"the script {script} is no file, and each worker process imports"):
                start()


def test_what_workers_can_import_is_not_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Scripts, modules that are run by their names and notebooks cannot start workers."""
    main = sys.modules["__main__"]
    (tmp_path / "script.py").touch()
    monkeypatch.setattr(main, "__spec__", None, raising=False)
    monkeypatch.setattr(main, "__file__", str(tmp_path / "script.py"), raising=False)
    check_importable()
    # Of an archive that Python runs, such as a zip file.
    monkeypatch.setattr(main, "__file__", str(tmp_path / "app.zip/__main__.py"), raising=False)
    monkeypatch.setattr(main, "__spec__", ModuleSpec("__main__", None), raising=False)
    check_importable()
    monkeypatch.delattr(main, "__file__", raising=False)
    monkeypatch.setattr(main, "__spec__", None, raising=False)
    check_importable()
