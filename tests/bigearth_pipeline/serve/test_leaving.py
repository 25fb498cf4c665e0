"""Clients that leave before they are answered: what they asked for ends."""

import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigearth_pipeline.serve.app import api_of
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Stopping, Unwanted
from bigearth_pipeline.serve.guard.requests import Guard
from bigearth_pipeline.serve.upload.kept import Upload, UploadedPatch
from bigearth_pipeline.serve.upload.receive import Receiver
from shards import BANDS
from shards.layout.bands import RECORD_VALUES
from tests.bigearth_pipeline.serve.conftest import apart


def test_an_upload_that_was_given_up_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight uploads that were given up hold up all others until each is decoded."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(Unwanted):
        Receiver(Stopping()).decode([("x.tif", BytesIO(b"x"))], "none", None, lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_scores_of_an_image_that_was_left_are_not_computed_to_the_end(contents: Contents) -> None:
    """A patch waits for the scores of a large image that nobody looks at any more."""
    rng = np.random.default_rng(0)
    patches = tuple(
        UploadedPatch(key=str(i), record=rng.integers(0, 4000, RECORD_VALUES, np.uint16), missing=0.0, place=None)
        for i in range(100)
    )
    source = contents.uploads.keep(Upload(title="x", columns=None, patches=patches, notes=(), bands=BANDS))
    computed: list[int] = []
    predictor = contents.runs[0].predictor()
    probabilities = predictor.probabilities

    def counted(records: np.ndarray) -> np.ndarray:
        computed.append(len(records))
        return probabilities(records)

    async def leave() -> list[Any]:
        app = Guard(api_of(contents, Stopping()))
        scope = {
            "type": "http", "method": "GET", "path": f"/api/uploads/{source}/scores", "query_string": b"run=0",
            "headers": [(b"host", b"127.0.0.1")], "root_path": "",
        }  # fmt: skip
        sent = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        return sent

    object.__setattr__(predictor, "probabilities", counted)
    try:
        assert apart(leave)[0]["status"] == 409
    finally:
        object.__delattr__(predictor, "probabilities")
    assert sum(computed) < len(patches)
