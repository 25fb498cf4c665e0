"""Look for phrases that readers stumble over, as `language.txt` lists them: `python tools/language.py [FILE ...]`."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
LIST: Final = Path(__file__).with_suffix(".txt")
SUFFIXES: Final = (".py", ".md", ".toml")
_BETWEEN: Final = r"[\s#]+"


def read_phrases(text: str) -> dict[re.Pattern[str], tuple[list[str], str]]:
    """Return the patterns of a list, each with the lower-case words that it needs and its replacement.

    Raises:
        ValueError: a line is neither a comment nor `phrase → replacement`.
    """
    phrases = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        phrase, arrow, replacement = line.partition(" → ")
        if not arrow or not phrase.strip() or not replacement.strip():
            raise ValueError(f"{LIST.name} has the line {line!r}, expected phrase → replacement")
        if phrase.strip().startswith("'"):
            words = [phrase.strip().strip("'")]
            pattern = re.escape(words[0])
        else:
            # A line may end between two words of a phrase.
            words = phrase.split()
            pattern = rf"\b{_BETWEEN.join(map(re.escape, words))}\b"
        phrases[re.compile(pattern, re.IGNORECASE)] = ([word.lower() for word in words], replacement.strip())
    return phrases


def find(text: str, phrases: dict[re.Pattern[str], tuple[list[str], str]]) -> list[tuple[int, str, str]]:
    """Return line number, words found and replacement of each match, by line."""
    # Searches that ignore case look at every letter: most files lack one of a phrase's words.
    lower = text.lower()
    return sorted(
        (text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), replacement)
        for pattern, (words, replacement) in phrases.items()
        if all(word in lower for word in words)
        for match in pattern.finditer(text)
    )


def main() -> int:
    """Return 1 if a tracked file, or one that is named, holds such a phrase."""
    phrases = read_phrases(LIST.read_text())
    names = sys.argv[1:]
    if not names:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        names = [name for name in listed.stdout.splitlines() if name.endswith(SUFFIXES)]
    found = 0
    for name in names:
        for line, words, replacement in find((ROOT / name).read_text(), phrases):
            print(f"{name}:{line}: {words} → {replacement}")
            found += 1
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
