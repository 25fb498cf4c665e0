"""Assignment of patches to shards and places in them: pure functions of keys, splits and seed."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bigearth_pipeline.source.fingerprint import fingerprint_now
from shards.layout.shuffle import shuffle_rank
from shards.metadata.entries import SPLITS
from shards.write.contents import shard_name


class PatchEntry(NamedTuple):
    """A patch to be stored and what is known of it before its pixels are read.

    `date` is ISO 8601 in UTC, whole seconds; flags are None where nothing tells; `baseline` is the processing baseline
    (400 for `N0400`), None if unknown; `harmonise` tells whether its radiometric offset is to be subtracted; `labels43`
    is the mask of the 43 classes, None of v2.
    """

    key: str
    folder: str
    split: str
    label_mask: int
    country: str | None
    date: str
    seasonal_snow: bool | None
    cloud_or_shadow: bool | None
    baseline: int | None = None
    harmonise: bool = False
    labels43: int | None = None


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """A shard to be written: shard `number` of a split, its patches in order."""

    split: str
    number: int
    entries: tuple[PatchEntry, ...]

    @property
    def name(self) -> str:
        """Name of the shard, such as `train-00007`."""
        return shard_name(self.split, self.number)

    @property
    def digest(self) -> str:
        """SHA-256 of all that the shard's content depends on apart from the pixels."""
        return hashlib.sha256(repr((self.name, self.entries)).encode()).hexdigest()

    def source_now(self) -> str:
        """Return what changes when the source of its patches does: the fingerprint of their files as they are now."""
        return fingerprint_now([(entry.key, entry.folder) for entry in self.entries])


def plan_shards(entries: Iterable[PatchEntry], *, patches_per_shard: int, seed: int) -> list[ShardPlan]:
    """Distribute patches over split-pure shards in a globally shuffled order; only a split's last shard can be smaller.

    Raises:
        ValueError: two entries have the same key.
    """
    ordered = sorted(entries, key=lambda entry: shuffle_rank(entry.key, seed))
    if len({entry.key for entry in ordered}) != len(ordered):
        raise ValueError("two entries have the same key")
    return [
        ShardPlan(split, start // patches_per_shard, tuple(members[start : start + patches_per_shard]))
        for split in SPLITS
        if (members := [entry for entry in ordered if entry.split == split])
        for start in range(0, len(members), patches_per_shard)
    ]


def without(plan: Sequence[ShardPlan], bad: frozenset[str]) -> list[ShardPlan]:
    """Return the plan without bad patches, each hole filled with the last patch of the split.

    So only the shards with holes and the last ones change, and all but a split's last shard stay full.
    """
    result = []
    for split in SPLITS:
        shards = [shard for shard in plan if shard.split == split]
        if not shards:
            continue
        patches_per_shard = len(shards[0].entries)
        entries: list[PatchEntry] = [entry for shard in shards for entry in shard.entries]
        place = 0
        while place < len(entries):
            if entries[place].key not in bad:
                place += 1
                continue
            last = entries.pop()
            if place < len(entries):
                entries[place] = last
        result += [
            replace(shard, entries=tuple(entries[start : start + patches_per_shard]))
            for shard, start in zip(shards, range(0, len(entries), patches_per_shard), strict=False)
        ]
    return result


def hash_split(key: str, percent: tuple[int, int, int]) -> str:
    """Return the split of a patch for shares of train, validation and test in percent, from its name alone."""
    place = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, person=b"bep-split").digest()) / 2**64 * 100
    return SPLITS[(place >= percent[0]) + (place >= percent[0] + percent[1])]
