"""Counted nouns and lists in sentences, for all messages and pages."""

from collections.abc import Sequence


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and its noun, such as `1 patch` or `1,234 patches`; without `many` an s is added."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def patches(number: int) -> str:
    """Return a number of patches in words."""
    return counted(number, "patch", "patches")


def listed(words: Sequence[str], most: int = 12) -> str:
    """Return words as a list in a sentence; of more than `most`, the first ones and how many there are besides."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most:,} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
