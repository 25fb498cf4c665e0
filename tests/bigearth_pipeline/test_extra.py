"""Libraries that an installation lacks."""

import pytest

from bigearth_pipeline import extra
from bigearth_pipeline.errors import PipelineError


def test_absent_libraries_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three names are joined by `and`, or one of them is lost."""
    monkeypatch.setattr(extra, "find_spec", lambda name: None)
    with pytest.raises(PipelineError, match=r"^onnx, onnxscript and onnxruntime are not installed; "):
        extra.require(extra.ONNX, extra="export")
    with pytest.raises(PipelineError, match=r"^Captum is not installed; "):
        extra.require(extra.EXPLANATIONS, extra="explain")
