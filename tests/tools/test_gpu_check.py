"""The check on a GPU as it is started."""

import json
from pathlib import Path

import pytest

from tools.gpu_check import main


def test_a_session_without_time_still_leaves_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no table or no file when nothing could be done, or it looks like success, or data stays behind."""
    work = tmp_path / "work"
    options = ["--device", "cpu", "--minutes", "1e-9", "--out", str(tmp_path / "out"), "--work", str(work)]
    assert main(options) == 1
    # Machines with a GPU may return a few files only.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gpu-check.json", "logs.tar.gz"]
    found = json.loads((tmp_path / "out/gpu-check.json").read_text())
    assert {step["status"] for step in found["steps"]} == {"skipped"}
    assert {row["met"] for row in found["targets"]} == {"not measured"}
    assert found["environment"]["cores"] >= 1
    assert {"torch", "timm"} <= found["environment"]["versions"].keys()
    assert "saturation, bepnet-s, --cache ram" in capsys.readouterr().out
    assert not any(work.iterdir())
    # The results of one check are not replaced by those of the next.
    before = (tmp_path / "out/gpu-check.json").read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
    assert "holds the results of an earlier check" in capsys.readouterr().err
    assert (tmp_path / "out/gpu-check.json").read_bytes() == before
