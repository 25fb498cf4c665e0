"""The order of the patches of a split: a shuffle that depends on nothing but keys and a seed."""

import hashlib


def shuffle_rank(key: str, seed: int) -> bytes:
    """Return the sort key of a patch in the shuffle: its BLAKE2b hash keyed by the seed.

    A hash gives the same order in every version of every library, and a patch's rank does not depend on the others.
    """
    return hashlib.blake2b(key.encode(), digest_size=16, key=str(seed).encode()).digest()
