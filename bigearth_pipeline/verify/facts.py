"""Comparison of the index with the source in labels, splits, countries, dates and flags."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.build.inputs import TableNotFound, Tables, annotate_by, tables_of_build
from bigearth_pipeline.build.plan import PatchEntry
from bigearth_pipeline.build.select import NO_ROW, Rules, Selection, select_v1, select_v2
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tables import sha256_of
from bigearth_pipeline.source.tree import Version
from bigearth_pipeline.workers import Workers
from shards import Store
from shards.layout.classes import FORTY_THREE, decode_labels
from shards.layout.facts import ADDED
from shards.text.words import listed, patches

_TEXTS: Final[dict[str, tuple[str, Callable[[Any], str]]]] = {
    "label_mask": ("labels", lambda mask: "; ".join(decode_labels(mask)) or "none"),
    "labels43": ("labels of the 43 classes", lambda mask: "; ".join(FORTY_THREE.decode(mask)) or "none"),
    "split": ("split", str),
    "country": ("country", str),
    "date": ("date", lambda date: date if isinstance(date, str) else date.isoformat()),
    "seasonal_snow": ("flag of seasonal snow", lambda flag: "yes" if flag else "no"),
    "cloud_or_shadow": ("flag of clouds or shadows", lambda flag: "yes" if flag else "no"),
    "baseline": ("processing baseline", str),
}
"""Facts that a source says beside pixels and places: in words, and what makes a text of a value."""
_FLAGS: Final = ("seasonal_snow", "cloud_or_shadow")
_OF_V1_FILES: Final = ("label_mask", "labels43", "date")
"""Facts in the JSON file of each v1 patch; all others are in tables and lists, or in names."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a source, and where it has them.

    Attributes:
        version: of the source.
        tables: that the build read; None where they are not at hand, so that only files beside the pixels tell.
        rules: how the build gave splits.
        notes: what is not compared, and tables that have changed since the build, a line each.
    """

    version: Version
    tables: Tables | None
    rules: Rules
    notes: tuple[str, ...]

    def names(self, store: Store) -> list[str]:
        """Return the facts, as columns of the index, that the source says and the store has."""
        if self.tables is None:
            told: Sequence[str] = _OF_V1_FILES if self.version == "v1" else ()
        else:
            told = [*_TEXTS]
        return [name for name in told if name in store.index.table.column_names]

    def words(self, store: Store) -> list[str]:
        """Return the same in words."""
        return [_TEXTS[name][0] for name in self.names(store)]


def facts_of_source(version: Version, note: Mapping[str, Any], places: Sequence[Path], *, moved: bool) -> Facts:
    """Find what a source says with the tables and rules of a build.

    Args:
        version: of the source.
        note: contents of `build.json`; empty if it is absent.
        places: folders in and beside the source.
        moved: the build was of another copy of the source.

    Raises:
        PipelineError: a table or list is unreadable.
    """
    try:
        if not note:
            raise TableNotFound("the store has no note on its build, which says which tables they are from")
        tables = tables_of_build(note["tables"], places, moved=moved)
    except TableNotFound as err:
        names = [name for name in _TEXTS if version == "v2" or name not in _OF_V1_FILES]
        words = listed([_TEXTS[name][0] for name in names if name not in (*_OF_V1_FILES[1:], "baseline")])
        return Facts(version, None, Rules(True, (100, 0, 0), offset="none"), (f"not compared: {words}; {err}",))
    changed = [
        f"{path} has other contents than when the store was built"
        for path, digest in zip(tables.paths, note["tables"].values(), strict=True)
        if [*sha256_of([path]).values()] != [digest]
    ]
    return Facts(version, tables, Rules(True, _shares(note.get("split_by")), offset="none"), tuple(changed))


def _shares(recorded: str | None) -> tuple[int, int, int] | None:
    """Return the shares of the splits in percent that a note on a build has."""
    if not recorded:
        return None
    try:
        train, validation, test = map(int, recorded.split("/"))
    except (ValueError, AttributeError) as err:
        raise PipelineError(f"build.json has split_by {recorded!r}, expected shares such as 80/10/10") from err
    return train, validation, test


def check_facts(store: Store, facts: Facts, folders: Mapping[int, str], workers: Workers) -> Iterator[str]:
    """Compare what the index says of patches with the source.

    Args:
        store: open.
        facts: of the source.
        folders: folder of each patch to compare, by row of the index.
        workers: they read the JSON files of v1.

    Yields:
        A line for each kind of difference, with the number of patches and the first one.
    """
    tables = facts.tables
    keys: list[str] = store.index.table["key"].to_pylist()
    folder_of = {keys[row]: folder for row, folder in folders.items()}
    if facts.version == "v1":
        lists, metadata = (tables.lists, tables.metadata) if tables else (None, None)
        selection = select_v1(folder_of, annotate_by(workers), lists, metadata, facts.rules)
    elif tables is None or tables.metadata is None:
        return
    else:
        selection = select_v2(folder_of, tables.metadata, facts.rules, tables.lists)
    found = {entry.key: entry for entry in selection.entries}
    yield from _without_facts(selection, folder_of, found)
    rows = [row for row in folders if keys[row] in found]
    for name in facts.names(store):
        stored = store.index.table[name].take(rows).to_pylist()
        pairs = [(row, value, getattr(found[keys[row]], name)) for row, value in zip(rows, stored, strict=True)]
        differing = [pair for pair in pairs if _differs(name, facts.version, *pair[1:])]
        if differing:
            row, value, expected = differing[0]
            yield (
                f"{patches(len(differing))} {'differs' if len(differing) == 1 else 'differ'} from the source in "
                f"{_TEXTS[name][0]}, first {keys[row]}: {_text(name, value)} in the index, "
                f"{_text(name, expected)} in {_origin(name, facts)}; build the store again if the source is right"
            )


def _without_facts(
    selection: Selection, folder_of: Mapping[str, str], found: Mapping[str, PatchEntry]
) -> Iterator[str]:
    """Name the patches of a store that a build does not take from the source."""
    reasons = {bad.key: bad.reason for bad in selection.bad}
    reasons |= {key: NO_ROW for reason, key in selection.unmatched if reason == NO_ROW}
    if missing := [key for key in folder_of if key not in found]:
        yield (
            f"a build takes {patches(len(missing))} of the store no longer from the source, first {missing[0]}: "
            f"{reasons.get(missing[0], 'it has none of the 19 classes, or no split')}; "
            "build the store again if the source is right"
        )


def _differs(name: str, version: Version, stored: Any, expected: Any) -> bool:
    if stored is None and (name in ADDED or (name in _FLAGS and version == "v1")):
        return False  # Earlier builds did not know it.
    if name == "date":
        expected = datetime.fromisoformat(expected)
    return bool(stored != expected)


def _text(name: str, value: Any) -> str:
    return "unknown" if value is None else _TEXTS[name][1](value)


def _origin(name: str, facts: Facts) -> str:
    """Return in words where a source says a fact."""
    if facts.version == "v1" and name in _OF_V1_FILES:
        return "its JSON file"
    if name in ("date", "baseline"):
        return "its name"
    paths = facts.tables.paths if facts.tables else ()
    if name == "split" and facts.rules.split_by:
        return f"{listed([path.name for path in paths])} and the rule of the build"
    if facts.version == "v1" and name in _FLAGS and not paths:
        return "the lists of the dataset's authors"
    return listed([path.name for path in paths], 3)
