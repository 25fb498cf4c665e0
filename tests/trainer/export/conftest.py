"""One export of the finished run, which tests of exports share; they copy it before they change it."""

from pathlib import Path

import pytest

from tests.trainer.conftest import Run
from trainer.export.export import ExportConfig, Exported, export


@pytest.fixture(scope="session")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The run of four epochs with all formats."""
    return export(ExportConfig(run=run.config.run.out, out=tmp_path_factory.mktemp("exports") / "net"))


@pytest.fixture
def copied(exported: Exported, tmp_path: Path) -> Path:
    """A folder with configuration and weights of the export, to be changed."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((exported.out / name).read_bytes())
    return folder
