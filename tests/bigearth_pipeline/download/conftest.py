"""A server with a file."""

from collections.abc import Iterator

import pytest

from tests.bigearth_pipeline.download.getting import CONTENT
from tests.support.network.web import Web, nginx


@pytest.fixture(scope="package")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server with a file of four pieces."""
    with nginx(tmp_path_factory.mktemp("web")) as web:
        (web.root / "big.bin").write_bytes(CONTENT)
        (web.root / "empty.bin").write_bytes(b"")
        yield web
