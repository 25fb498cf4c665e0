"""Files of others in the page: they are those of the version that is noted."""

import hashlib
import json

from tools.vendor_maplibre import FILES, FOLDER, NOTE


def test_vendored_files_are_those_that_are_noted() -> None:
    """A file was edited or belongs to another version."""
    note = json.loads((FOLDER / NOTE).read_text())
    assert (note["name"], note["license"]) == ("maplibre-gl", "BSD-3-Clause")
    assert len(note["sha256"]) == len(FILES)
    for name, expected in note["sha256"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == expected
    assert {path.name for path in FOLDER.iterdir()} == {*note["sha256"], NOTE}
    assert f"/v{note['version']}/" in (FOLDER / "maplibre-gl.mjs").read_text()[:300]
