"""The description of the distribution: who made it, and what is in it."""

import tomllib

import yaml

from tests.support.paths import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_authors_are_those_of_the_citation() -> None:
    """An installed package names nobody, or others than those who are to be cited."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["authors"]
    assert [author["name"] for author in PYPROJECT["project"]["authors"]] == [author["name"] for author in cited]


def test_the_source_distribution_has_what_it_needs() -> None:
    """A source distribution has tests and pictures in it, or lacks licence, changes or constraints."""
    included = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert all((ROOT / path).exists() for path in included)
    assert set(included) == {
        *("bigearth_pipeline", "shards", "trainer"),
        *("CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "constraints.txt", "requirements-build.txt"),
    }
