"""Counted nouns and lists in sentences."""

import pytest

from shards.text.words import counted, listed, patches


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 patches"), (1, "1 patch"), (2, "2 patches"), (1234, "1,234 patches")]
)
def test_nouns_agree_with_their_numbers(number: int, words: str) -> None:
    """One patch is said to be patches, or a long number has no separators."""
    assert patches(number) == counted(number, "patch", "patches") == words
    assert counted(number, "run") == words.replace("patches", "runs").replace("patch", "run")


def test_lists_are_sentences() -> None:
    """All words are joined by `and`, or a long list is not cut off."""
    assert [listed(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert listed([str(n) for n in range(14)], most=2) == "0, 1 and 12 more"
