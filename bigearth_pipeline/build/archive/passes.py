"""A pass: archives are read once from begin to end, and the patches that are wanted are encoded as they come."""

import gc
import heapq
from collections.abc import Callable, Container, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from bigearth_pipeline.build.archive.batches import batches
from bigearth_pipeline.build.archive.encode import encode_batch
from bigearth_pipeline.build.archive.memory import Memory
from bigearth_pipeline.build.archive.spool import SpoolOptions, SpoolPlace
from bigearth_pipeline.build.archive.spool_folder import WAITING
from bigearth_pipeline.build.task import no_garbage_collection
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive.ahead import ahead
from bigearth_pipeline.source.archive.gather import Facts, Gatherer, Ready
from bigearth_pipeline.source.archive.location import Archive
from bigearth_pipeline.source.archive.members import TarReader
from bigearth_pipeline.source.archive.names import place_of
from bigearth_pipeline.source.tiff.names import band_of_file
from bigearth_pipeline.source.tree import ANNOTATION_SUFFIX, Version, is_named_as
from bigearth_pipeline.workers import Workers
from shards.layout.shuffle import shuffle_rank
from shards.write.options import StoreOptions

_COLLECT_EVERY: Final = 256
"""Batches after which garbage is looked for, among what is new. Python itself looks at all, for a tenth of a pass."""


@dataclass(slots=True)
class Passed:
    """The outcome of a pass.

    Attributes:
        facts: what the members are.
        places: of the records that were spooled, by folder.
        digests: MD5 by the name of an archive, of those of which it was asked for.
    """

    facts: Facts
    places: dict[str, SpoolPlace] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


def run_pass(
    archives: Sequence[Archive],
    version: Version,
    wanted: Callable[[str], bool],
    stored: Container[str],
    options: StoreOptions,
    spool: SpoolOptions,
    cluster: Workers,
    *,
    harmonise: bool,
) -> Passed:
    """Read archives, and spool the records of patches that are wanted and not stored.

    Args:
        archives: the archives, in this order.
        version: of BigEarthNet.
        wanted: tells whether a patch of this name is wanted.
        stored: folders of patches whose records are spooled already.
        options: of the store.
        spool: where records go.
        cluster: workers of this machine.
        harmonise: subtract the radiometric offset of the patches that have it.

    Raises:
        PipelineError: an archive is damaged, or has members that none of BigEarthNet has.
        OSError: the spool cannot be written to.
    """
    gatherer = Gatherer(version, wanted, stored, spool.folder / WAITING)
    passed = Passed(gatherer.facts)
    memory = Memory()
    try:
        with closing(_ready(archives, gatherer, passed.digests, memory)) as patches, no_garbage_collection():
            done = cluster.map(encode_batch, batches(patches, memory), options, spool, harmonise)
            for number, (batch, results) in enumerate(done, 1):
                memory.release(batch.memory)
                if number % _COLLECT_EVERY == 0:
                    gc.collect(1)
                for patch, result in zip(batch.patches, results, strict=True):
                    if isinstance(result, SpoolPlace):
                        passed.places[patch.folder] = result
                    else:
                        passed.facts.faults.setdefault(patch.folder, result)
        gatherer.finish()
    finally:
        gatherer.close()
        memory.close()
    return passed


def _ready(
    archives: Sequence[Archive], gatherer: Gatherer, digests: dict[str, str], memory: Memory
) -> Generator[Ready, None, None]:
    for archive in archives:

        def stop(archive: Archive = archive) -> None:
            archive.stop()
            memory.stop()

        with archive.chunks(memory) as chunks, ahead(chunks, stop) as taken:
            yield from gatherer.read(TarReader(memory.read_in_turn(taken), archive.name), archive.root)
        digest = archive.digest()
        if digest is not None:
            digests[archive.name] = digest


def find_version(archive: Archive) -> Version:
    """Return which version of BigEarthNet an archive holds, by its first file of a patch.

    Raises:
        PipelineError: it holds none, or is no tar.
    """
    with archive.chunks() as chunks, closing(iter(TarReader(chunks, archive.name))) as members:  # type: ignore[type-var]
        for member in members:
            place = place_of(member.name)
            key = place.folder.rpartition("/")[2]
            if key and place.name == key + ANNOTATION_SUFFIX:
                return "v1"
            if key and band_of_file(place.name, key) is not None:
                return "v1" if is_named_as("v1", key) else "v2"
    raise PipelineError(
        f"source {archive.name} holds no BigEarthNet tree: expected members <patch>/<patch>_B02.tif (v1) "
        "or <product>/<patch>/<patch>_B02.tif (v2)"
    )


class Sample:
    """The patches that a limit takes, as they come: those of the lowest ranks in the shuffle."""

    def __init__(self, wanted: Callable[[str], bool], limit: int, seed: int) -> None:
        """Take a limit.

        Args:
            wanted: tells whether a patch is wanted, were there no limit.
            limit: patches to take.
            seed: of the shuffle.
        """
        self._wanted, self._limit, self._seed = wanted, limit, seed
        self._ranks: list[int] = []  # Negative, so that the highest is first.

    def __call__(self, key: str) -> bool:
        """Return whether a patch may be among those, as far as the patches before it tell; asked once for each."""
        if not self._wanted(key):
            return False
        rank = -int.from_bytes(shuffle_rank(key, self._seed), "big")
        if len(self._ranks) < self._limit:
            heapq.heappush(self._ranks, rank)
            return True
        if rank < self._ranks[0]:
            return False
        heapq.heapreplace(self._ranks, rank)
        return True
