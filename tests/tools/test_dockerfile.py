"""The Dockerfile, as far as it can be checked without a container runtime."""

import re
import shlex
import tomllib

from tests.support.paths import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def copied() -> list[str]:
    """Return what the Dockerfile copies."""
    return [name for line in re.findall(r"^COPY (.*) \S+$", TEXT, re.MULTILINE) for name in shlex.split(line)]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """A file was moved, or is left out of what the build sees."""
    kept = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name in copied():
        assert (ROOT / name).exists(), name
        assert name in kept, name


def test_all_that_the_package_needs_is_copied() -> None:
    """The package cannot be built in the image, or lacks a part."""
    project, wheel = PROJECT["project"], PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], project["readme"], *project["license-files"], "constraints.txt"} <= set(copied())


def test_the_versions_are_those_of_its_python() -> None:
    """The image has another Python than the file of versions is for, or asks for an extra that there is not."""
    [python] = re.findall(r"^FROM python:(\d+\.\d+)-", TEXT, re.MULTILINE)
    assert f"# Python {python}, linux" in (ROOT / "constraints.txt").read_text()
    [extras] = re.findall(r"'\.\[(.*)\]'", TEXT)
    assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
