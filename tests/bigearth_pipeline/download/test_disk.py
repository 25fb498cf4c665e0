"""The pieces of a download on disk: whose they are, and what is trusted of them."""

import json
import os
from pathlib import Path

import pytest

from bigearth_pipeline.download.client import Client, RemoteFile
from bigearth_pipeline.download.disk import OnDisk, part_paths
from bigearth_pipeline.download.pieces import PIECE
from bigearth_pipeline.errors import PipelineError
from tests.bigearth_pipeline.download.getting import CONTENT, get
from tests.support.network.web import Web


def test_damaged_notes_of_a_download_are_not_trusted(web: Web, tmp_path: Path) -> None:
    """A state file that is damaged, or says more than is there, leaves holes in the file."""
    path = tmp_path / "big.bin"
    identity = {"size": len(CONTENT), "tag": "x"}
    for state in ({}, {"identity": identity, "piece": PIECE, "done": [0, 1]}, [], {"identity": identity, "piece": 1}):
        part_paths(path)[0].write_bytes(bytes(len(CONTENT)))
        part_paths(path)[1].write_text(json.dumps(state))
        assert get(f"{web.url}/big.bin", path)[0]
        assert path.read_bytes() == CONTENT
        path.unlink()


def test_a_file_of_others_is_not_written_over(web: Web, tmp_path: Path) -> None:
    """A file that a browser downloads under the same name is emptied."""
    path = tmp_path / "big.bin"
    part, state = part_paths(path)
    part.write_bytes(b"of a browser")
    with pytest.raises(PipelineError, match=r"big\.bin\.part is no download of bep: .* move it elsewhere"):
        get(f"{web.url}/big.bin", path)
    assert part.read_bytes() == b"of a browser"
    assert [each.name for each in tmp_path.iterdir()] == [part.name]
    state.write_text("")
    assert get(f"{web.url}/big.bin", path)[0]


def test_a_file_that_changes_there_and_back_is_not_mixed(web: Web, tmp_path: Path) -> None:
    """The state of a first version outlives the bytes of a second, and speaks for them once the first is back."""
    path = tmp_path / "big.bin"
    client = Client()
    try:
        first = client.describe(f"{web.url}/big.bin")
    finally:
        client.close()
    begun = OnDisk(path, first)
    begun.put(0, iter([CONTENT[:PIECE]]))
    begun.close()
    # Killed after its first piece: nothing of it is saved.
    second = OnDisk(path, RemoteFile(first.url, first.size, '"another"', True))
    second.put(0, iter([bytes(PIECE)]))
    os.close(second._descriptor)
    assert get(f"{web.url}/big.bin", path, size=None, md5=None)[0]
    assert path.read_bytes() == CONTENT


def test_what_a_kill_leaves_beside_a_finished_file_is_deleted(web: Web, tmp_path: Path) -> None:
    """State, lock and temporary file of a run that was killed as it finished stay for ever."""
    path = tmp_path / "big.bin"
    path.write_bytes(CONTENT)
    for name in ("big.bin.part.json", ".big.bin.lock", f".big.bin.part.json.host.1.{'0' * 8}.part"):
        (tmp_path / name).write_text("")
    assert not get(f"{web.url}/big.bin", path)[0]
    assert [each.name for each in tmp_path.iterdir()] == ["big.bin"]
