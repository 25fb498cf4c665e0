"""Places of stores: hints to the folder that is meant where another one beside it is named."""

from pathlib import Path

import pytest

from shards.storage.places import hint_of

NAME = "manifest.json"


@pytest.mark.parametrize(
    ("named", "made", "hint"),
    [
        ("", ["store"], "; perhaps {0}/store"),
        ("", ["a", "b"], "; perhaps {0}/a or {0}/b"),
        ("", ["a", "b", "c", "d", "e"], "; perhaps {0}/a or {0}/b or {0}/c"),
        ("", ["a/b"], ""),
        ("", [], ""),
        ("store/checkpoints", ["store"], "; perhaps {0}/store"),
        ("absent", ["store"], ""),
        ("store/..", ["store"], "; perhaps {0}/store"),
    ],
)
def test_folders_that_were_perhaps_meant_are_named(tmp_path: Path, named: str, made: list[str], hint: str) -> None:
    """A folder of stores, or one within a store, is refused without a word of the store that is right there."""
    for each in made:
        (tmp_path / each / "checkpoints").mkdir(parents=True)
        (tmp_path / each / NAME).write_text("")
    found = hint_of(tmp_path / named, NAME)
    assert found.replace(f"{tmp_path}/store/../store", f"{tmp_path}/store") == hint.format(tmp_path)


def test_a_folder_of_very_many_is_not_searched_to_its_end(tmp_path: Path) -> None:
    """An error of a BigEarthNet tree comes after half a million questions to the file system."""
    for number in range(1200):
        (tmp_path / f"{number:04}").mkdir()
    entries = [each.name for each in tmp_path.iterdir()]
    (tmp_path / entries[1100] / NAME).write_text("")
    assert hint_of(tmp_path, NAME) == ""
    (tmp_path / entries[900] / NAME).write_text("")
    assert hint_of(tmp_path, NAME) == f"; perhaps {tmp_path / entries[900]}"
