"""The task of a worker in a pass: it reads the band files of some patches from memory, and spools their records."""

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bigearth_pipeline.build.archive.spool import SpoolOptions, SpoolPlace, SpoolRecord, SpoolWriter
from bigearth_pipeline.build.task import no_garbage_collection
from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.annotations import baseline_of_key
from bigearth_pipeline.source.offset import count_missing, subtract_offset
from bigearth_pipeline.source.tiff.names import USUAL_SUFFIXES, BandFile
from bigearth_pipeline.source.tiff.reader import TiffReader
from shards.codec.registry import get_codec
from shards.layout.bands import RECORD_VALUES
from shards.metadata.parts import PARTS
from shards.write.options import StoreOptions
from shards.write.shard import encode_record


class BatchPatch(NamedTuple):
    """A patch of a batch, and where its band files lie.

    Attributes:
        folder: of the patch.
        names: of the band files in record order; empty if they are the usual ones.
        begin: offset of the bytes that they lie in, in the memory of the batch.
        bounds: begin and end of each file in those bytes.
    """

    folder: str
    names: tuple[str, ...]
    begin: int
    bounds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Patches that a worker encodes in one task.

    Attributes:
        memory: path of the file in memory that holds their band files.
        patches: the patches.
    """

    memory: str
    patches: tuple[BatchPatch, ...]


def encode_batch(
    batch: Batch, options: StoreOptions, spool: SpoolOptions, harmonise: bool, progress: Callable[[int], None]
) -> list[SpoolPlace | str]:
    """Read the patches of a batch and spool their records; return the place of each, or why it is bad.

    Args:
        batch: the patches.
        options: of the store, whose codec and format say how a record is encoded.
        spool: where records go.
        harmonise: subtract the radiometric offset of the patches that have it.
        progress: called with the number of patches done.

    Raises:
        OSError: the spool cannot be written to.
    """
    codec, parts = get_codec(options.codec), tuple(PARTS[options.format].values())
    results: list[SpoolPlace | str] = []
    record = np.empty(RECORD_VALUES, np.uint16)
    descriptor = os.open(batch.memory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with (
            no_garbage_collection(),
            TiffReader() as reader,
            SpoolWriter(spool) as writer,
            mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as memory,
        ):
            for patch in batch.patches:
                key = patch.folder.rpartition("/")[2]
                names = patch.names or [key + suffix for suffix in USUAL_SUFFIXES]
                before, bounds = reader.bytes_read, zip(patch.bounds[::2], patch.bounds[1::2], strict=True)
                # Their times are of no use: what a shard was made of is known by the checksums of its records.
                files = {
                    name: BandFile(memory[patch.begin + begin : patch.begin + end], 0)
                    for name, (begin, end) in zip(names, bounds, strict=True)
                }
                try:
                    georeference = reader.read_members(patch.folder, files, record)
                    nodata_pixels = count_missing(record)
                except BadPatch as err:
                    results.append(str(err))
                    continue
                finally:
                    for file in files.values():
                        file.content.release()
                if harmonise:
                    subtract_offset(record, baseline_of_key(key))
                encoded = encode_record(codec, parts, record)
                entry = SpoolRecord(patch.folder, georeference, nodata_pixels, reader.bytes_read - before, encoded)
                results.append(writer.append(key, entry))
    finally:
        os.close(descriptor)
    progress(len(batch.patches))
    return results
