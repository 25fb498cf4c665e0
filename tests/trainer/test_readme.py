"""The examples of the README."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.paths import ROOT

README = ROOT / "README.md"
EXAMPLES = [
    code for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "LoaderConfig(" in code
]


@pytest.mark.parametrize("number", range(2))
@pytest.mark.filterwarnings("ignore")
def test_examples_run(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A newcomer copies code that does not run."""
    assert len(EXAMPLES) == 2
    (tmp_path / "store").symlink_to(tiny)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(EXAMPLES[number], f"{README} example {number}", "exec"), names)
    names["store"].close()
