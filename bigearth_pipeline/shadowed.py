"""Recognises modules that hide those of this package or of libraries: a folder called `shards`, or PyPI's `trainer`."""

import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
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


def shadowed_library(err: BaseException, root: Path = _ROOT) -> str | None:
    """Return what hides a library, and what to do, if an error may follow from that; None otherwise.

    A file or a folder in the folder where Python looks first is imported in place of a library of its name; a folder
    without `__init__.py`, such as a store, only where that library is not installed, which libraries that can do
    without it take for installed.

    Args:
        err: an error that is no other fault of the user.
        root: folder that our packages are in.
    """
    for name in _suspects(err):
        module = sys.modules.get(name)
        if line := _hiding(name, getattr(module, "__spec__", None) if module else _found(name), root):
            return line
    return None


def taken_for_library(names: Iterable[str]) -> str | None:
    """Return which folder is imported in place of one of these libraries that are not installed; None if none is."""
    found = ((name, _found(name)) for name in names)
    return next((line for name, spec in found if spec and spec.origin is None and (line := _hiding(name, spec))), None)


def _hiding(name: str, spec: ModuleSpec | None, root: Path = _ROOT) -> str | None:
    if (place := _place(spec)) is None or _is_installed(place) or place.parent == root:
        return None
    others = [folder for folder in sys.path if Path(folder).resolve() != place.parent]
    other = PathFinder.find_spec(name, others)
    is_hiding = other is not None and other.origin is not None
    if not is_hiding and (spec is None or spec.origin is not None):
        return None
    what = "hides" if is_hiding else "is taken for"
    return f"{place} {what} the library {name}; rename it, or start in another folder"


def _suspects(err: BaseException) -> Iterator[str]:
    """Yield names of modules without a package: those that an error names or comes from, and all that are imported."""
    each: BaseException | None = err
    while each is not None:
        if isinstance(each, ImportError) and each.name:
            yield each.name.partition(".")[0]
        trace = each.__traceback__
        while trace is not None:
            file = Path(trace.tb_frame.f_code.co_filename)
            if _place(_found(file.stem)) == file.resolve():
                yield file.stem
            trace = trace.tb_next
        each = each.__cause__ or each.__context__
    yield from [name for name in sys.modules if "." not in name and not name.startswith("__")]


def _found(name: str) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name)
    except (ImportError, ValueError):
        return None


def _is_installed(place: Path) -> bool:
    """Return whether a module is one of the standard library or of an installation."""
    folders = {Path(path).resolve() for name, path in sysconfig.get_paths().items() if "lib" in name}
    return "site-packages" in place.parts or any(place.is_relative_to(folder) for folder in folders)


def _place(spec: ModuleSpec | None) -> Path | None:
    """Return the folder of a package, or the file of a module."""
    if spec is None:
        return None
    if spec.origin is None:
        # A folder without __init__.py.
        return next((Path(place).resolve() for place in spec.submodule_search_locations or ()), None)
    if not spec.has_location:
        return None  # Built in, or frozen.
    path = Path(spec.origin).resolve()
    return path.parent if path.name == "__init__.py" else path
