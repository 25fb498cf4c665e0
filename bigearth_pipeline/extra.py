"""Libraries that only some commands need, and that an installation may lack."""

from importlib.util import find_spec
from typing import Final

from bigearth_pipeline.errors import PipelineError
from shards.text.words import listed

DRAWING: Final = {"matplotlib": "matplotlib"}
PICTURES: Final = {"PIL": "Pillow"}
PAGES: Final = DRAWING | PICTURES | {"jinja2": "Jinja2"}
ONNX: Final = {"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}
"""Names of packages by the names of their modules."""
EXPLANATIONS: Final = {"captum": "Captum"}


def is_installed(libraries: dict[str, str]) -> bool:
    """Return whether libraries, as `require` takes them, are installed, without importing them."""
    return not _absent(libraries)


def require(libraries: dict[str, str], extra: str = "report") -> None:
    """Check that libraries are installed, without importing them.

    Args:
        libraries: names of packages by the names of their modules.
        extra: of the package, which has these libraries.

    Raises:
        PipelineError: one is absent.
    """
    if absent := _absent(libraries):
        raise PipelineError(
            f"{listed(absent)} {'is' if len(absent) == 1 else 'are'} not installed; get the extra `{extra}`: "
            f"pip install 'bigearth-pipeline[{extra}]'"
        )


def _absent(libraries: dict[str, str]) -> list[str]:
    return [package for module, package in libraries.items() if find_spec(module) is None]
