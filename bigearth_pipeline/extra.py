"""Libraries that only some commands need, and that an installation may lack."""

import re
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from typing import Final

from bigearth_pipeline.errors import PipelineError
from shards.text.words import listed

DRAWING: Final = {"matplotlib": "matplotlib"}
PICTURES: Final = {"PIL": "Pillow"}
PAGES: Final = DRAWING | PICTURES | {"jinja2": "Jinja2"}
TRAINING: Final = {"torch": "torch"}
ONNX: Final = {"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}
"""Names of packages by the names of their modules."""
SERVER: Final = PICTURES | {
    "fastapi": "FastAPI",
    "httptools": "httptools",
    "uvicorn": "Uvicorn",
    "python_multipart": "python-multipart",
    "rio_tiler": "rio-tiler",
}
PLAIN_CONVERTER: Final = {"webdataset": "webdataset"}
"""Of `bep bench build`; a requirement of the package, but not of one that only builds."""
_DISTRIBUTION: Final = "bigearth-pipeline"
EXPLANATIONS: Final = {"captum": "Captum"}


def is_installed(libraries: dict[str, str]) -> bool:
    """Return whether libraries, as `require` takes them, are installed, without importing them."""
    return not _absent(libraries)


def require(libraries: dict[str, str], extra: str | None = "report") -> None:
    """Check that libraries are installed, without importing them.

    Args:
        libraries: names of packages by the names of their modules.
        extra: of the package, which has these libraries; None if it needs them itself.

    Raises:
        PipelineError: one is absent.
    """
    if absent := _absent(libraries):
        # Where a package only builds, an extra would bring all the rest along, 7 GB of it; what has the extra `report`
        # is of use without that.
        advice = (
            f"get the extra `{extra}`: pip install '{_DISTRIBUTION}[{extra}]'"
            if extra is not None and (extra != "report" or is_installed(TRAINING))
            else f"get {'it' if len(absent) == 1 else 'them'} by: pip install {' '.join(absent)}"
        )
        raise PipelineError(f"{listed(absent)} {'is' if len(absent) == 1 else 'are'} not installed; {advice}")


def without_requirement(err: ModuleNotFoundError) -> str | None:
    """Return the line about a requirement that is not installed; None if the module is of none, which is a bug."""
    module = (err.name or "").partition(".")[0]
    try:
        requirements = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:
        return None
    names = {match[0].lower().replace("-", "_") for text in requirements if (match := re.match(r"[\w.-]+", text))}
    if module not in names | {"nvidia", "PIL"}:
        return None
    return (
        f"{module} is not installed: this command needs the whole package; get it by: pip install {_DISTRIBUTION} "
        "(an installation of requirements-build.txt builds and verifies)"
    )


def _absent(libraries: dict[str, str]) -> list[str]:
    return [package for module, package in libraries.items() if find_spec(module) is None]
