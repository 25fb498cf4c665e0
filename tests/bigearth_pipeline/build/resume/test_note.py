"""The note on a build has a checksum of its own, as the manifest has."""

import json
from pathlib import Path

import pytest

import shards
from bigearth_pipeline.build.claim import claim
from bigearth_pipeline.build.config import DamagedNote
from bigearth_pipeline.verify.tables import check_build_note
from shards.metadata.manifest import BUILD_NOTE, MANIFEST
from tests.bigearth_pipeline.build.resume.building import note_of
from tests.support.data import faults


def test_every_flipped_bit_of_the_note_is_seen(store: Path, tmp_path: Path) -> None:
    """Two of five flips go unseen: those in sources, tables, digests, options and fingerprints."""
    out = faults.copy(store, tmp_path / "s")
    note = out / BUILD_NOTE
    sound = note.read_bytes()
    with shards.open(out) as opened:
        assert list(check_build_note(opened)) == []
        unseen = []
        # Each byte, and each bit in turn.
        for place in range(len(sound)):
            changed = bytearray(sound)
            changed[place] ^= 1 << (place + place // 8) % 8
            note.write_bytes(changed)
            if not list(check_build_note(opened)):
                unseen.append(place)
    # The line feed at the end can become another blank.
    assert [place for place in unseen if place < len(sound) - 1] == []


def test_a_note_without_checksum_is_one_of_the_first_version(store: Path, tmp_path: Path) -> None:
    """Stores of before are refused, or reported as damaged."""
    out = faults.copy(store, tmp_path / "s")
    note = note_of(out)
    del note["sha256"]
    (out / BUILD_NOTE).write_text(json.dumps(note))
    with shards.open(out) as opened:
        assert list(check_build_note(opened)) == []
    with claim(out, note, overwrite=False) as finished:
        assert finished
    (out / MANIFEST).unlink()
    with claim(out, note, overwrite=False) as finished:
        assert not finished


@pytest.mark.parametrize("field", ["folders", "limit", "sources"])
def test_a_build_is_not_resumed_by_a_note_that_has_changed(store: Path, tmp_path: Path, field: str) -> None:
    """A flipped bit in the note is reported as other options or another source, which it is not."""
    out = faults.copy(store, tmp_path / "s")
    note = note_of(out)
    (out / BUILD_NOTE).write_text(json.dumps(note | {field: [] if field == "sources" else "other"}))
    with (
        pytest.raises(DamagedNote, match=r"build\.json is damaged \(it has changed: SHA-256.*; `overwrite=True` "),
        claim(out, note, overwrite=False),
    ):
        pass
    with claim(out, note, overwrite=True) as finished:
        assert not finished
    assert [path.name for path in out.iterdir()] == [BUILD_NOTE]
    assert note_of(out)["sha256"] != ""
