"""Patches and table rows that a build could not use: lists and lines that tell of them, and what ends a build."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.select import BAD, NO_FOLDER, NO_ROW, Quarantined, Selection
from bigearth_pipeline.errors import PipelineError
from shards import CorruptShard
from shards.storage.atomic import atomic_write
from shards.storage.places import storage_of
from shards.text.json_fields import shown
from shards.text.json_text import parse_json
from shards.write.contents import QUARANTINE, UNMATCHED, UNMATCHED_PRODUCTS

MOST_UNMATCHED: Final = 10_000
"""Names without a partner that are listed. A store of a few patches of v2 has 549,000 of them, 43 MB."""
_UNMATCHED_COLUMNS: Final = ("what", "patch")
_PRODUCT_COLUMNS: Final = ("what", "product", "patches")
_COUNT: Final = re.compile("[1-9][0-9]{0,9}")
_MAX_BYTES: Final = 1 << 30


@dataclass(slots=True)
class LeftOut:
    """Patches of the source that a store lacks.

    Attributes:
        quarantine: (patch, folder, reason) of those that could not be used.
        unmatched: (what is missing, patch) of table rows without folders and folders without rows; of many the first.
        products: number of all of these by (what is missing, Sentinel-2 product).
    """

    quarantine: list[tuple[str, str, str]] = field(default_factory=list)
    unmatched: list[tuple[str, str]] = field(default_factory=list)
    products: Counter[tuple[str, str]] = field(default_factory=Counter)

    def unmatched_counts(self) -> dict[str, int]:
        """Return the number of table rows without folders and of folders without rows."""
        counts: Counter[str] = Counter()
        for (what, _), count in self.products.items():
            counts[what] += count
        return dict(counts)


def write_unmatched(config: BuildConfig, selection: Selection) -> dict[str, int]:
    """List table rows without folders and folders without rows in the store; return their numbers by kind.

    More than `MOST_UNMATCHED` are listed up to there, and counted by product in a second list.

    Raises:
        PipelineError: there are some, and the build requires that there are none.
    """
    found = selection.unmatched
    counts = dict(Counter(kind for kind, _ in found))
    _write_table(config.out / UNMATCHED, _UNMATCHED_COLUMNS, found[:MOST_UNMATCHED])
    products = sorted(_products(found).items()) if len(found) > MOST_UNMATCHED else []
    _write_table(config.out / UNMATCHED_PRODUCTS, _PRODUCT_COLUMNS, [(*name, count) for name, count in products])
    if counts and config.require_all:
        facts = ", ".join(f"{counts[kind]:,} × {kind}" for kind in (NO_FOLDER, NO_ROW) if kind in counts)
        first = f"the first {MOST_UNMATCHED:,}" if products else "they"
        raise PipelineError(f"`require_all=True`: {facts}; {first} are listed in {config.out / UNMATCHED}")
    return counts


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV file, or delete it if there are no rows."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    text = StringIO(newline="")
    plain, quoted = (csv.writer(text, quoting=kind, lineterminator="\n") for kind in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in (columns, *rows):
        # Which Python leaves unquoted (3.11), and takes for the end of a row when it reads.
        (quoted if any("\r" in str(value) for value in row) else plain).writerow(row)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _products(unmatched: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Count names by what is missing and by product: a patch is called PRODUCT_COLUMN_ROW."""
    return Counter((what, key.rsplit("_", 2)[0]) for what, key in unmatched)


def write_quarantine(out: Path, bad: Sequence[Quarantined]) -> None:
    """List bad patches in the store, with the reason for each."""
    path = out / QUARANTINE
    if not bad:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as file:
        for patch in sorted(bad, key=lambda patch: (patch.key, patch.folder)):
            file.write(json.dumps(asdict(patch)).encode() + b"\n")


def read_left_out(folder: Path) -> LeftOut:
    """Return what the lists in a store say; a list that is not there is empty.

    Raises:
        CorruptShard: a list is not as a build writes it.
    """
    found = LeftOut()
    for number, line in enumerate(_text(folder, QUARANTINE).splitlines(), 1):
        try:
            raw = parse_json(line.encode())
        except ValueError as err:
            raise CorruptShard(f"{folder / QUARANTINE}: line {number} is no JSON: {err}") from None
        values = [raw.get(name) for name in ("key", "folder", "reason")] if isinstance(raw, dict) else []
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < 3:
            raise CorruptShard(f"{folder / QUARANTINE}: line {number} lacks one of key, folder and reason")
        found.quarantine.append((texts[0], texts[1], texts[2]))
    found.unmatched = [(row[0], row[1]) for row in _read_table(folder, UNMATCHED, _UNMATCHED_COLUMNS)]
    found.products = _products(found.unmatched)
    if rows := _read_table(folder, UNMATCHED_PRODUCTS, _PRODUCT_COLUMNS):
        found.products = Counter()
        for number, (what, product, count) in enumerate(rows, 2):
            if not _COUNT.fullmatch(count):
                place = f"{folder / UNMATCHED_PRODUCTS}: line {number}"
                raise CorruptShard(f"{place} has {shown(count)} patches, expected a number above 0")
            found.products[what, product] += int(count)
    return found


def _read_table(folder: Path, name: str, columns: Sequence[str]) -> list[list[str]]:
    """Return the rows of a CSV in a store; none if it is not there."""
    try:
        rows = list(csv.reader(StringIO(_text(folder, name)), strict=True))
    except csv.Error as err:
        raise CorruptShard(f"{folder / name} is no CSV: {err}") from None
    if rows and rows[0] != list(columns):
        raise CorruptShard(f"{folder / name} has columns {shown(rows[0])}, expected {', '.join(columns)}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise CorruptShard(f"{folder / name}: line {number} has {len(row)} fields, expected {len(columns)}")
    return rows[1:]


def _text(folder: Path, name: str) -> str:
    try:
        return storage_of(folder).read(name, _MAX_BYTES).decode()
    except FileNotFoundError:
        return ""
    except OSError as err:
        raise CorruptShard(f"{folder / name} cannot be read: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise CorruptShard(f"{folder / name}: byte {err.start} is no UTF-8") from None


def describe_bad(config: BuildConfig, bad: Sequence[Quarantined]) -> str:
    """Return the line that says why a build with bad patches is not finished."""
    first = min(bad, key=lambda patch: (patch.key, patch.folder))
    allowed = f"more than `allow_bad={config.allow_bad}`" if config.allow_bad else "and none is allowed"
    return (
        f"{len(bad):,} bad {'patch' if len(bad) == 1 else 'patches'}, {allowed}, so the store is not finished; "
        f"the first: {first.key}: {first.reason}. All are in {config.out / QUARANTINE}; mend them and run again, "
        f"or leave them out with `allow_bad={len(bad)}`"
    )


def refuse_empty(selection: Selection, config: BuildConfig) -> None:
    """Refuse a build without a patch.

    Raises:
        PipelineError: no patch is left to store.
    """
    if not selection.entries:
        reasons = [f"{count:,} {reason}" for reason, count in sorted(selection.left_out.items())]
        if selection.bad:
            write_quarantine(config.out, selection.bad)
            first = min(selection.bad, key=lambda patch: (patch.key, patch.folder))
            reasons.append(f"{len(selection.bad):,} × {BAD}, the first: {first.key}: {first.reason}")
        raise PipelineError(f"no patch is left to store: {', '.join(reasons) or 'the source is empty'}")


def refuse_unused_rule(selection: Selection, config: BuildConfig) -> None:
    """Refuse a rule for splits where every patch has one.

    Raises:
        PipelineError: the rule has no effect.
    """
    if config.rules.split_by is not None and not selection.num_split_by_name:
        tables = f"the lists of {config.splits}" if config.splits else "the tables and lists"
        raise PipelineError(f"`split_by=` has no effect: {tables} give a split to every patch; leave it out")


def all_bad(config: BuildConfig) -> PipelineError:
    """Return the error about a build of whose patches none can be used."""
    return PipelineError(f"all patches are bad: see {config.out / QUARANTINE}")
