"""Recognises modules that hide those of this package: a folder called `shards`, or PyPI's `trainer`."""

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Final

NAMES: Final = ("shards", "trainer")
"""Top-level packages that are installed with this one, beside it."""
FOREIGN: Final = {"trainer": "trainer.py"}
"""Files by which a package of that name on PyPI is recognised, where it was installed over ours."""


_ROOT: Final = Path(__file__).resolve().parents[1]


def shadow(root: Path = _ROOT) -> str | None:
    """Return what hides a package of ours, and what to do; None if nothing does. Nothing is imported.

    Args:
        root: folder that the packages are in.
    """
    for name in NAMES:
        expected = root / name
        found = _place(find_spec(name))
        if found is None:
            return f"the package {name} is missing beside {root / 'bigearth_pipeline'}; install bigearth-pipeline again"
        if found != expected:
            remedy = (
                f"uninstall what it belongs to (pip uninstall {name})"
                if "site-packages" in found.parts
                else "rename it, or start in another folder"
            )
            return f"{found} hides the package {name} in {root}; {remedy}"
        if name in FOREIGN and (expected / FOREIGN[name]).exists():
            return (
                f"another package called {name} was installed over {expected}; uninstall it and bigearth-pipeline, "
                "then install bigearth-pipeline again"
            )
    return None


def _place(spec: ModuleSpec | None) -> Path | None:
    """Return the folder of a package, or the file of a module."""
    if spec is None:
        return None
    if spec.origin is None:
        # A folder without __init__.py.
        return next((Path(place).resolve() for place in spec.submodule_search_locations or ()), None)
    path = Path(spec.origin).resolve()
    return path.parent if path.name == "__init__.py" else path
