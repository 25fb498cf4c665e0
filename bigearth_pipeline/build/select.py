"""Selection of the patches of a source that go into the store, with the reasons why the others do not."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bigearth_pipeline.build.plan import PatchEntry, hash_split
from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.annotations import Annotation, baseline_of_key, date_of_key
from bigearth_pipeline.source.offset import OffsetMode, has_offset, refuse_mixture
from bigearth_pipeline.source.tables import Metadata, SplitLists
from bigearth_pipeline.source.v1_flags import v1_flags
from shards.layout.facts import is_key
from shards.layout.shuffle import shuffle_rank

NO_LABEL: Final = "none of the 19 classes"
SNOW: Final = "seasonal snow"
CLOUD: Final = "cloud or shadow"
NO_SPLIT: Final = "no split"
NO_ROW: Final = "folder without a table row"
LIMIT: Final = "beyond --limit"
"""Stored in manifests of format version 1, so that its words stay."""
BAD: Final = "bad patch (quarantine.jsonl)"

NO_FOLDER: Final = "table row without a folder"

Annotate = Callable[[Sequence[tuple[str, str]]], list[Annotation | str]]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A patch that cannot be used, and why."""

    key: str
    folder: str
    reason: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules for the patches to take.

    Attributes:
        include_snow_cloud: take patches with snow, clouds or shadows.
        split_by: shares in percent for patches without a split; None leaves them out.
        limit: maximum number of patches to take, a sample over all splits.
        seed: seed of the shuffle, which also decides what a limit takes.
        offset: subtract the radiometric offset of newer products (`auto`), or store pixels as they are (`none`); None
            refuses patches with and without it in one store.
    """

    include_snow_cloud: bool = False
    split_by: tuple[int, int, int] | None = None
    limit: int | None = None
    seed: int = 0
    offset: OffsetMode | None = None


@dataclass(slots=True)
class Selection:
    """The outcome.

    Attributes:
        entries: patches to store.
        left_out: patches left out, by reason.
        bad: patches that cannot be used.
        unmatched: (what is missing, patch name) of table rows without folders and folders without rows.
        num_split_by_name: patches whose split follows from their name, by the rule `split_by`.
    """

    entries: list[PatchEntry] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    bad: list[Quarantined] = field(default_factory=list)
    unmatched: list[tuple[str, str]] = field(default_factory=list)
    num_split_by_name: int = 0

    def quarantine(self, key: str, folder: str, reason: str) -> None:
        """Note a patch that cannot be used."""
        self.bad.append(Quarantined(key, folder, reason))


def unique_folders(found: Sequence[tuple[str, str]]) -> tuple[dict[str, str], list[Quarantined]]:
    """Return the folder of each patch name, in order of names, and the patches whose names are unsafe or repeated.

    Of patches with the same name the first in order of folders is kept.
    """
    folders: dict[str, str] = {}
    bad = []
    for key, folder in sorted(found):
        if not is_key(key):
            bad.append(Quarantined(key, folder, "unsafe patch name, expected letters, digits, '_' and '-' only"))
        elif key in folders:
            bad.append(Quarantined(key, folder, f"duplicate of {folders[key]}"))
        else:
            folders[key] = folder
    return folders, bad


def select_v2(folders: dict[str, str], metadata: Metadata, rules: Rules, lists: SplitLists | None = None) -> Selection:
    """Select from a v2 tree by its tables.

    Split lists, if there are any, replace the split column of the tables; exclusion lists add to its flags.
    """
    selection = Selection()
    splits = lists.split_of if lists else None
    for key, folder in folders.items():
        row = metadata.row_of.get(key)
        if row is None:
            selection.left_out[NO_ROW] += 1
            selection.unmatched.append((NO_ROW, key))
            continue
        if row in metadata.unknown_labels:
            label = metadata.unknown_labels[row]
            fact = (
                "its labels are null in the table"
                if label is None
                else f"label {label!r} is not in the 19-class nomenclature"
            )
            selection.quarantine(key, folder, fact)
            continue
        try:
            date = date_of_key(key)
        except BadPatch as err:
            selection.quarantine(key, folder, str(err))
            continue
        entry = PatchEntry(
            key,
            folder,
            _split(metadata.splits[row] if splits is None else splits.get(key), key, rules, selection),
            int(metadata.label_masks[row]),
            metadata.countries[row],
            date,
            _either(lists.snow if lists else None, key, bool(metadata.snow[row]) if metadata.snow_known[row] else None),
            _either(
                lists.cloud if lists else None, key, bool(metadata.cloud[row]) if metadata.cloud_known[row] else None
            ),
            baseline_of_key(key),
        )
        _take(entry, rules, selection)
    named = metadata.row_of.keys() | (splits or {}).keys()
    selection.unmatched += [(NO_FOLDER, key) for key in sorted(named - folders.keys())]
    return _finished(selection, rules)


def select_v1(
    folders: dict[str, str], annotate: Annotate, lists: SplitLists | None, metadata: Metadata | None, rules: Rules
) -> Selection:
    """Select from a v1 tree by its JSON files and the split lists; a v2 table, if there is one, tells countries.

    Snow and clouds are those of the exclusion lists, and without such lists those that `v1_flags` knows.
    """
    selection = Selection()
    patches = list(folders.items())
    countries = metadata.country_of_v1 if metadata else {}
    for (key, folder), annotation in zip(patches, annotate(patches), strict=True):
        if isinstance(annotation, str):
            selection.quarantine(key, folder, annotation)
            continue
        _take(_v1_entry(key, folder, annotation, lists, countries, rules, selection), rules, selection)
    if lists:
        selection.unmatched += [(NO_FOLDER, key) for key in sorted(lists.split_of.keys() - folders.keys())]
    return _finished(selection, rules)


def _v1_entry(
    key: str,
    folder: str,
    annotation: Annotation,
    lists: SplitLists | None,
    countries: Mapping[str, str],
    rules: Rules,
    selection: Selection,
) -> PatchEntry:
    has_both = lists is not None and lists.snow is not None and lists.cloud is not None
    known = (None, None) if has_both else v1_flags(key) or (None, None)
    return PatchEntry(
        key,
        folder,
        _split(lists.split_of.get(key) if lists else None, key, rules, selection),
        annotation.label_mask,
        countries.get(key),
        annotation.date,
        _flag(lists.snow if lists else None, key, known[0]),
        _flag(lists.cloud if lists else None, key, known[1]),
        baseline_of_key(key),
        labels43=annotation.labels43,
    )


def chooser_v2(metadata: Metadata, rules: Rules, lists: SplitLists | None) -> frozenset[str]:
    """Return the names that `select_v2` takes where they have folders, were there no limit and no rule of offsets."""
    every = select_v2(dict.fromkeys(metadata.row_of, ""), metadata, replace(rules, limit=None, offset="none"), lists)
    return frozenset(entry.key for entry in every.entries)


def chooser_v1(lists: SplitLists | None, rules: Rules) -> Callable[[str], bool]:
    """Return what tells of a name whether `select_v1` takes it if it has labels; a limit aside."""

    def chooses(key: str) -> bool:
        selection = Selection()
        _take(_v1_entry(key, "", Annotation(1, "", 0), lists, {}, rules, selection), rules, selection)
        return bool(selection.entries)

    return chooses


def _flag(listed: frozenset[str] | None, key: str, otherwise: bool | None) -> bool | None:
    """Return a flag as a list tells it; where there is no list, as something else does."""
    return otherwise if listed is None else key in listed


def _either(listed: frozenset[str] | None, key: str, table: bool | None) -> bool | None:
    """Return a flag that a table or a list sets; a list clears none of a table."""
    return table or _flag(listed, key, table)


def _split(known: str | None, key: str, rules: Rules, selection: Selection) -> str:
    """Return the split of a patch; empty if it has none. Count it if its name decides."""
    if known or not rules.split_by:
        return known or ""
    selection.num_split_by_name += 1
    return hash_split(key, rules.split_by)


def _take(entry: PatchEntry, rules: Rules, selection: Selection) -> None:
    if not entry.label_mask:
        selection.left_out[NO_LABEL] += 1
    elif entry.seasonal_snow and not rules.include_snow_cloud:
        selection.left_out[SNOW] += 1
    elif entry.cloud_or_shadow and not rules.include_snow_cloud:
        selection.left_out[CLOUD] += 1
    elif not entry.split:
        selection.left_out[NO_SPLIT] += 1
    else:
        selection.entries.append(entry)


def _finished(selection: Selection, rules: Rules) -> Selection:
    """Return a selection as limit and offset have it."""
    if rules.limit is not None and len(selection.entries) > rules.limit:
        selection.left_out[LIMIT] = len(selection.entries) - rules.limit
        ranked = sorted(selection.entries, key=lambda entry: shuffle_rank(entry.key, rules.seed))
        selection.entries = ranked[: rules.limit]
    if rules.offset is None:
        refuse_mixture(entry.baseline for entry in selection.entries)
    elif rules.offset == "auto":
        selection.entries = [entry._replace(harmonise=has_offset(entry.baseline)) for entry in selection.entries]
    return selection
