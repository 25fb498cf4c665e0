"""Libraries that only some commands need, and that an installation may lack."""

from importlib.util import find_spec
from typing import Final

from bigearth_pipeline.errors import PipelineError

EXTRA: Final = "report"
"""Extra of the package that has these libraries."""
DRAWING: Final = {"matplotlib": "matplotlib"}
PAGES: Final = DRAWING | {"jinja2": "Jinja2", "PIL": "Pillow"}
"""Names of packages by the names of their modules."""


def require(libraries: dict[str, str]) -> None:
    """Check that libraries are installed, without importing them.

    Args:
        libraries: names of packages by the names of their modules.

    Raises:
        PipelineError: one is absent.
    """
    if absent := [package for module, package in libraries.items() if find_spec(module) is None]:
        raise PipelineError(
            f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed; get the extra `{EXTRA}`: "
            f"pip install 'bigearth-pipeline[{EXTRA}]'"
        )
