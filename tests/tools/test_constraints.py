"""The file of versions with which the checks passed."""

import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT
from tools.constraints import EXTRAS, FILE, PROJECT, closure

PROJECT_TABLE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pinned() -> dict[str, str]:
    """Return name → version of the file."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_the_file_goes_with_the_requirements(extra: str) -> None:
    """A bound is raised, and the file asks for a version that it excludes; or a new requirement is not in it."""
    versions = pinned()
    texts = PROJECT_TABLE["optional-dependencies"][extra] if extra else PROJECT_TABLE["dependencies"]
    for requirement in map(Requirement, texts):
        name = canonicalize_name(requirement.name)
        assert requirement.specifier.contains(versions[name], prereleases=True), name


def test_requirements_of_requirements_are_found() -> None:
    """The packages that torch needs are left free."""
    plain, cloud = closure(PROJECT, frozenset()), closure(PROJECT, frozenset({"cloud"}))
    assert {"torch", "sympy", "mpmath"} <= plain.keys()  # torch needs sympy, which needs mpmath.
    assert plain["sympy"] == version("sympy")
    assert cloud.keys() - plain.keys() >= {"obstore"}
    assert PROJECT not in plain
    assert plain.keys() <= pinned().keys()
