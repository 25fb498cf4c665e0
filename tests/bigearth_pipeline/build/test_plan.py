"""The plan: which patch goes where."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigearth_pipeline.build.plan import PatchEntry, hash_split, plan_shards, without
from shards.metadata.entries import SPLITS
from tests.support.strategies import keys


def entry(key: str, split: str) -> PatchEntry:
    return PatchEntry(key, f"/data/{key}", split, 1, None, "2017-06-13T10:10:31", False, False)


entries = st.dictionaries(keys, st.sampled_from(SPLITS), max_size=60).map(
    lambda splits: [entry(key, split) for key, split in splits.items()]
)


@given(entries, st.integers(1, 10), st.integers(0, 5), st.randoms())
def test_every_patch_is_in_one_full_shard_of_its_split(some: list[PatchEntry], size: int, seed: int, random) -> None:
    """A patch is lost, stored twice, or in a shard of another split; or the order of a listing changes the plan."""
    plan = plan_shards(some, patches_per_shard=size, seed=seed)
    assert Counter(e for shard in plan for e in shard.entries) == Counter(some)
    for shard in plan:
        assert {e.split for e in shard.entries} == {shard.split}
    for split in SPLITS:
        counts = [len(shard.entries) for shard in plan if shard.split == split]
        assert [shard.number for shard in plan if shard.split == split] == list(range(len(counts)))
        assert all(count == size for count in counts[:-1])
        assert all(0 < count <= size for count in counts)
    shuffled = list(some)
    random.shuffle(shuffled)
    assert plan_shards(shuffled, patches_per_shard=size, seed=seed) == plan


@given(entries, st.integers(1, 10), st.data())
def test_without_bad_patches_the_shards_stay_full(some: list[PatchEntry], size: int, data: st.DataObject) -> None:
    """Leaving bad patches out leaves holes, loses good ones, or rewrites shards that need not change."""
    plan = plan_shards(some, patches_per_shard=size, seed=0)
    bad = frozenset(data.draw(st.sets(st.sampled_from([e.key for e in some])) if some else st.just(set())))
    mended = without(plan, bad)
    assert Counter(e.key for shard in mended for e in shard.entries) == Counter(e.key for e in some if e.key not in bad)
    for split in SPLITS:
        counts = [len(shard.entries) for shard in mended if shard.split == split]
        # A split's only shard stands for a full one, whatever its size.
        full = max((len(shard.entries) for shard in plan if shard.split == split), default=0)
        assert all(count == full for count in counts[:-1])
        assert all(count > 0 for count in counts)
    before = {shard.name: shard for shard in plan}
    lost = sum(len(shard.entries) for shard in plan) - sum(len(shard.entries) for shard in mended)
    changed = [shard for shard in mended if shard.digest != before[shard.name].digest]
    assert len(changed) <= 2 * lost + len(SPLITS)
    assert without(mended, frozenset()) == mended


def test_seed_changes_the_order_and_the_digest() -> None:
    """Two seeds give the same shuffle, or a change of labels goes unnoticed."""
    some = [entry(f"patch_{i}", "train") for i in range(50)]
    first, second = (plan_shards(some, patches_per_shard=50, seed=seed)[0] for seed in (0, 1))
    assert first.entries != second.entries
    assert first.digest != second.digest
    relabelled = [some[0]._replace(label_mask=2), *some[1:]]
    assert plan_shards(relabelled, patches_per_shard=50, seed=0)[0].digest != first.digest


def test_repeated_keys_are_refused() -> None:
    """Two patches of one name overwrite each other."""
    with pytest.raises(ValueError, match="same key"):
        plan_shards([entry("a", "train"), entry("a", "test")], patches_per_shard=2, seed=0)


def test_hash_split_keeps_its_shares_and_its_choices() -> None:
    """A hash split has other shares than asked for, or moves patches between versions of the program."""
    counts = Counter(hash_split(f"patch_{i}", (80, 10, 10)) for i in range(20_000))
    assert abs(counts["train"] - 16_000) < 300
    assert abs(counts["validation"] - 2_000) < 200
    assert {hash_split(f"patch_{i}", (0, 0, 100)) for i in range(100)} == {"test"}
    assert {hash_split(f"patch_{i}", (100, 0, 0)) for i in range(100)} == {"train"}
    assert [hash_split(f"patch_{i}", (40, 30, 30)) for i in range(6)] == [
        "validation", "validation", "train", "test", "train", "test",
    ]  # fmt: skip
