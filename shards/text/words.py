"""Counted nouns and lists in sentences, for all messages and pages."""

from collections.abc import Sequence


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and its noun, such as `1 patch` or `1,234 patches`; without `many` an s is added."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def patches(number: int) -> str:
    """Return a number of patches in words."""
    return counted(number, "patch", "patches")


def listed(words: Sequence[str], most: int = 12) -> str:
    """Return words as a list in a sentence; of more than `most`, the first ones and how many there are besides.

    Semicolons part words of which one has a comma, as some names of classes.
    """
    comma, last = ("; ", "; and ") if any("," in word for word in words) else (", ", " and ")
    if len(words) > most:
        return f"{comma.join(words[:most])}{last}{len(words) - most:,} more"
    return last.join([comma.join(words[:-1]), words[-1]] if len(words) > 1 else words)


def percentage(share: float, digits: int = 0) -> str:
    """Return a share, such as 0.123, in percent: `12 %`, or with digits after the point `12.3 %`."""
    return f"{100 * share:.{digits}f} %"


def rate(number: float) -> str:
    """Return a rate in words: whole from 10 on, and with two digits below, so that it is 0 only if it is."""
    return f"{number:,.0f}" if number >= 9.5 or number == 0 else f"{number:.2g}"


def duration(seconds: float) -> str:
    """Return a time in words, such as `42 s`, `12 min` or `1 h 12 min`; to the second below two minutes."""
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"


def human_bytes(size: float) -> str:
    """Return a size in decimal units, such as `1.23 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.2f} TB"
