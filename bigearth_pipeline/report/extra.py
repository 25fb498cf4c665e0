"""The libraries of reports, which an installation may lack."""

from importlib.util import find_spec
from typing import Final

from bigearth_pipeline.errors import PipelineError

EXTRA: Final = "report"
_LIBRARIES: Final = {"matplotlib": "matplotlib", "jinja2": "Jinja2", "PIL": "Pillow"}


def require_report() -> None:
    """Check that the libraries of the extra `report` are installed.

    Raises:
        PipelineError: one is absent.
    """
    if absent := [name for module, name in _LIBRARIES.items() if find_spec(module) is None]:
        raise PipelineError(
            f"reports need {' and '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not installed: "
            f"pip install 'bigearth-pipeline[{EXTRA}]'"
        )
