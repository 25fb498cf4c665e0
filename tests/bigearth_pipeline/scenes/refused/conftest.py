"""The scenes that these tests copy and damage."""

import pytest

from tests.bigearth_pipeline.scenes.making import write_files, write_item, write_safe
from tests.bigearth_pipeline.scenes.refused.inputs import BASE, PIXELS


@pytest.fixture(scope="module", autouse=True)
def base(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Write the scenes that tests copy."""
    folder = tmp_path_factory.mktemp("scenes")
    BASE["files"] = write_files(folder / "scene", PIXELS)
    BASE["safe"] = write_safe(folder, PIXELS)
    BASE["item"] = write_item(folder / "item", PIXELS).parent
