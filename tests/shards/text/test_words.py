"""Counted nouns and lists in sentences."""

import pytest

from shards.errors import InvalidValue
from shards.layout.class_names import class_index
from shards.text.words import counted, duration, listed, patches, rate
from trainer.config.options import TrainConfig


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


def test_names_with_commas_are_told_apart() -> None:
    """`Beaches, dunes, sands, Pastures` reads as four classes."""
    names = ["Beaches, dunes, sands", "Pastures", "Transitional woodland, shrub"]
    assert listed(names) == "Beaches, dunes, sands; Pastures; and Transitional woodland, shrub"
    assert listed(names, most=2) == "Beaches, dunes, sands; Pastures; and 1 more"
    with pytest.raises(InvalidValue, match=r"there are .*; Beaches, dunes, sands; Broad-leaved forest; "):
        class_index("zzz")
    with pytest.raises(InvalidValue, match=r"expected names of classes: .*; Beaches, dunes, sands; Broad-leaved"):
        TrainConfig.of(shards="store", out="run", ignore_labels=("zzz",))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0"),
        (0.0371, "0.037"),
        (0.14, "0.14"),
        (1, "1"),
        (9.46, "9.5"),
        (9.6, "10"),
        (99.6, "100"),
        (12345.6, "12,346"),
    ],
)
def test_a_low_rate_is_not_0(number: float, words: str) -> None:
    """One patch in seven seconds is said to be 0 patches/s."""
    assert rate(number) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119.4, "119 s"), (119.6, "2 min"), (3742, "1 h 2 min"), (3599, "1 h 0 min"), (360000, "100 h 0 min")],
)
def test_long_times_are_not_in_seconds(seconds: float, words: str) -> None:
    """A wait is given as 3,742 s, which nobody can read, or as 60 min."""
    assert duration(seconds) == words
