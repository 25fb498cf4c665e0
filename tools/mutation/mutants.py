"""Mutants of a file: each is its text with one small change."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed file.

    Attributes:
        operator: name of the kind of change.
        before: the changed line, as it was; of several the first.
        after: as it is.
        line: its number, from 1.
        text: of the whole file.
    """

    operator: str
    before: str
    after: str
    line: int
    text: str


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield all mutants of a source text."""
    seen = {source}
    for name in sorted(operator_names()):
        kind = get_operator(name)
        if kind.arguments():  # What it replaces, which nothing here says.
            continue
        for occurrence in count():
            try:
                text = mutate_code(source, kind(), occurrence)
            except AttributeError:  # cosmic-ray 8.7 cannot replace an exception that is named with a dot in a tuple.
                continue
            if text is None:
                break
            if text not in seen:
                seen.add(text)
                yield _described(name, source, text)


def _described(operator: str, source: str, text: str) -> Mutant:
    before, after = source.splitlines(), text.splitlines()
    for kind, start, stop, other, end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "equal":
            old, new = " ".join(before[start:stop]).strip(), " ".join(after[other:end]).strip()
            return Mutant(operator, old, new, start + 1, text)
    raise AssertionError("a mutant is its source")
