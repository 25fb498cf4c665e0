"""The shuffle: its order is part of the format."""

from shards.layout.shuffle import shuffle_rank


def test_the_rank_of_a_patch_never_changes() -> None:
    """Stores of a later version have another order, so that builds do not resume and verify refuses old stores."""
    key = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_00_00"
    assert shuffle_rank(key, 7).hex() == "55c7fa5db94a2c924a786f1ca5c0b4e3"
    assert shuffle_rank(key, 8) != shuffle_rank(key, 7)
