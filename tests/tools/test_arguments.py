"""The tools refuse values that mean nothing, and end in one line."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["tools.gpu.predict.launches", "--batch-size", "0"], "expected an integer of at least 1"),
        (["tools.gpu_check", "--device", "cpu", "--minutes", "-1"], "expected a number above 0"),
        (["tools.bench.loader.simulated", "{}/absent"], "absent does not exist, expected the folder of a store"),
        (["tools.bench.loader.simulated", "{}/absent", "--seconds", "nan"], "expected a number above 0"),
        (["tools.faults", "--out", "{}/out", "--scale", "-1"], "Invalid value for '--scale'"),
    ],
)
def test_wrong_input_is_one_line(command: list[str], message: str, tmp_path: Path) -> None:
    """A tool works with a value that means nothing, or ends in a traceback."""
    arguments = [part.replace("{}", str(tmp_path)) for part in command]
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_checks_without_their_requirements_are_one_line(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer who has installed the package without its extra reads a traceback from within the tests."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["tools/check.py", *arguments])
    monkeypatch.delitem(sys.modules, "tests.support.examples", raising=False)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tools/check.py"), run_name="__main__")
    assert ended.value.code == "hypothesis is not installed, and the checks need it: pip install -e '.[test]'"
