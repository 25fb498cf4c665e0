"""The overview: the few numbers to see first."""

from bigearth_pipeline.report.page.blocks import Section, Text, Tiles
from bigearth_pipeline.report.page.numbers import share
from bigearth_pipeline.report.store.contents import Contents
from shards import RECORD_BYTES
from shards.text.words import counted, listed, patches


def overview(contents: Contents) -> Section:
    """Return the section."""
    manifest, dates = contents.manifest, contents.dates
    size = manifest.size_bytes
    further = manifest.layout.extras
    patch_bytes = RECORD_BYTES + sum(group.bytes for group in further)
    tiles = [("patches", f"{manifest.count:,}")]
    tiles += [(split, f"{manifest.splits[split].count:,}") for split in contents.splits]
    tiles += [
        ("labels a patch, mean", f"{contents.labels.sum() / manifest.count:.2f}"),
        ("first acquisition", str(dates.min())[:10]),
        ("last acquisition", str(dates.max())[:10]),
        ("shards", f"{len(manifest.shards):,}"),
        ("size of all shards", f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.2f} MB"),
        ("of the decoded size", share(size, patch_bytes * manifest.count)),
    ]
    words = (
        f"{patches(manifest.count)} of {manifest.dataset} in "
        f"{counted(len(manifest.shards), 'shard')} of up to {patches(manifest.patches_per_shard)}, format "
        f"{manifest.format}, codec {manifest.codec}, shuffled with seed {manifest.seed}. A patch is 1,200 m × 1,200 m: "
        "four bands at 10 m, six at 20 m and two at 60 m."
    )
    if further:
        named = [
            f"{group.name} ({counted(len(group.bands), 'band')}, {group.metres} m, {group.dtype})" for group in further
        ]
        words += f" Beside them it has {listed(named)}, of which this report shows nothing."
    return Section("overview", "Overview", (Text(words), Tiles(tiles)))
