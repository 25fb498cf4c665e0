"""The table of the kernels' rates, without a GPU."""

import sys

import pytest
import torch

from tests.trainer.data.prepare.interpreter import interpreted
from tools.gpu.measure import kernels as tool
from tools.gpu.measure.kernels import Rate
from trainer.data.prepare.triton import images, unpack


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A machine without a GPU prints a traceback, or figures of an interpreter."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["kernels"])
    with pytest.raises(SystemExit) as ended:
        tool.main()
    assert ended.value.code == 2
    assert "there is no NVIDIA GPU that torch can use" in capsys.readouterr().err


@pytest.mark.long
def test_all_that_is_measured_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of the tool is seen when a GPU is at hand at last."""
    monkeypatch.setattr(tool, "DISTINCT", 1)
    monkeypatch.setattr(tool, "SETS", 1)
    monkeypatch.setattr(tool, "LAYOUTS", ("native",))
    names = []
    with interpreted(images, unpack):
        for name, size, work in tool.works(1, torch.device("cpu")):
            assert size > 0
            names.append(name)
            # The interpreter takes a while for small tiles, and for each record that is decoded.
            if "tile 512, 8 warps" in name or name.startswith(("torch strong", "bitpack, then")):
                work(0)
    assert len(set(names)) == len(names)
    assert [name.split(",")[0] for name in names[-2:]] == ["bitpack", "bitpack"]


def test_rates_are_told_with_their_spread() -> None:
    """Noise is taken for a gain."""
    row = Rate(what="images", bytes_per_patch=500_000, rates=[0.9e6, 1.0e6, 1.2e6]).row()
    assert row.split() == ["images", "1,000,000/s", "±", "15.0%", "0.50", "TB/s", "n=3"]
