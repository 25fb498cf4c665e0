"""Patches that the store does not hold, and facts that are not known of those that it holds."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from bigearth_pipeline.build.reports import LeftOut, read_left_out
from bigearth_pipeline.build.select import BAD
from bigearth_pipeline.report.page.blocks import Block, Cell, Section, Table, Text
from bigearth_pipeline.report.page.numbers import count_cell, share_cell
from bigearth_pipeline.report.store.contents import Contents
from shards.text.words import counted, patches
from shards.write.contents import QUARANTINE, UNMATCHED

_MOST: Final = 200
"""Patches of a list that are named."""


def left_out(contents: Contents) -> Section:
    """Return the section.

    Raises:
        CorruptShard: a list in the store is damaged.
    """
    found = read_left_out(contents.folder)
    manifest = contents.manifest
    away = sum(manifest.left_out.values())
    blocks: list[Block] = []
    rows: list[list[Cell | str]]
    if away:
        verb = "is" if away == 1 else "are"
        words = f"{patches(away)} of the source {verb} not in the store, which holds {manifest.count:,}."
        rows = [
            [reason, count_cell(n), share_cell(n, away + manifest.count)] for reason, n in manifest.left_out.items()
        ]
        blocks.append(Table("left-out-table", words, ["reason", "patches", "share of the source"], rows))
    else:
        blocks.append(Text("No patch of the source was left out."))
    blocks += _lists(found)
    blocks += [Text(line) for line in _known(contents)]
    return Section("left-out", "What was left out, and why", blocks)


def _lists(found: LeftOut) -> Iterator[Block]:
    """Yield the blocks of the two lists."""
    rows: list[list[Cell | str]]
    if found.quarantine:
        reasons = Counter(reason for _, _, reason in found.quarantine)
        words = f"{patches(len(found.quarantine))} could not be used ({QUARANTINE}){_first(len(found.quarantine))}"
        rows = [list(row) for row in found.quarantine[:_MOST]]
        folded = len(rows) > 20
        yield Table("quarantine-table", words, ["patch", "folder", "reason"], rows, folded=folded)
        if len(reasons) < len(found.quarantine):
            by_reason: list[list[Cell | str]] = [[reason, count_cell(n)] for reason, n in reasons.most_common(_MOST)]
            yield Table("reasons-table", f"{BAD}: reasons", ["reason", "patches"], by_reason)
    if found.unmatched:
        kinds = found.unmatched_counts()
        what = ", ".join(f"{n:,} × {kind}" for kind, n in kinds.items())
        number = sum(kinds.values())
        words = f"{counted(number, 'name')} without a partner ({UNMATCHED}): {what}{_first(number)}"
        rows = [list(row) for row in found.unmatched[:_MOST]]
        yield Table("unmatched-table", words, ["what", "patch"], rows, folded=True)
        most = found.products.most_common(_MOST)
        words = f"The same by Sentinel-2 product{_first(len(found.products))}"
        products: list[list[Cell | str]] = [[what, product, count_cell(n)] for (what, product), n in most]
        yield Table("products-table", words, ["what", "product", "patches"], products, folded=True)


def _first(count: int) -> str:
    return f"; the first {_MOST}" if count > _MOST else ""


def _known(contents: Contents) -> Iterator[str]:
    """Yield what is known, and not known, of the patches in the store."""
    for flag, words in (("seasonal_snow", "seasonal snow"), ("cloud_or_shadow", "clouds or shadows")):
        flagged, unknown = int(contents.is_true(flag).sum()), contents.num_null(flag)
        tail = f"; of {patches(unknown)} it is not known" if unknown else ""
        yield f"Flagged for {words}: {patches(flagged)} in the store{tail}."
    missing = contents.store.index.table["nodata_pixels"]
    count = int(contents.has_missing().sum())
    tail = f"; of {patches(missing.null_count)} it is not known" if missing.null_count else ""
    yield f"With missing pixels (value 0): {patches(count)}{tail}."
    baselines = Counter(contents.store.index.table["baseline"].to_pylist())
    named = [
        f"{'unknown' if code is None else f'N{code:04}'} ({n:,})"
        for code, n in sorted(baselines.items(), key=lambda item: (item[0] is None, item[0] or 0))
    ]
    offset = (
        "1,000 was subtracted from the values of patches of baseline 04.00 and later"
        if contents.manifest.offset == "auto"
        else "values are those of the source"
    )
    yield f"Processing baselines: {', '.join(named)}; {offset}."
