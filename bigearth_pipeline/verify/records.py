"""Checks of the pixels of a store: that they decode, and are those of the GeoTIFFs."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.offset import subtract_offset
from bigearth_pipeline.source.tiff.ahead import ReadAhead
from bigearth_pipeline.source.tiff.reader import TiffReader
from bigearth_pipeline.verify.findings import Findings
from shards import CorruptShard, Patch, Store
from shards.layout.bands import BAND_SLICES, RECORD_VALUES
from shards.layout.statistics import Histograms


def check_records(
    store: Store,
    rows: list[int],
    folders: Mapping[int, str],
    histograms: Histograms,
    findings: Findings,
    progress: Callable[[int], None],
) -> Iterator[str]:
    """Decode the records and further groups of rows, compared with their checksums and, if wanted, with GeoTIFFs.

    Args:
        store: open.
        rows: of the index.
        folders: folders of those patches that are to be compared, by row.
        histograms: counts the pixels of all Sentinel-2 records that decode.
        findings: counts patches.
        progress: called with 1 after each patch.

    Yields:
        What is wrong, a line each.
    """
    harmonised = store.manifest.offset == "auto"
    compared = [row for row in rows if row in folders]
    number_of = {row: number for number, row in enumerate(compared)}
    with (
        TiffReader(always_gdal=True) as reader,
        ReadAhead(reader, [(folders[row], store.index.key(row)) for row in compared]) as sources,
    ):
        for row in rows:
            yield from _check_groups(store, row)
            try:
                patch = store.read(row, verify=True, groups=())
            except (CorruptShard, OSError) as err:
                yield str(err)
                continue
            finally:
                progress(1)
            histograms.next_record()[:] = patch.s2
            histograms.commit()
            findings.patches += 1
            yield from _check_missing(patch, harmonised)
            if row in folders:
                yield from _compare(patch, sources, number_of[row], findings, harmonised=harmonised)


def _check_groups(store: Store, row: int) -> Iterator[str]:
    """Decode the further groups of a patch, compared with their checksums."""
    for group in store.manifest.layout.extras:
        try:
            store.read_into([row], np.empty((1, *group.shape), group.dtype), verify=True, group=group.name)
        except (CorruptShard, OSError) as err:
            yield str(err)


def _check_missing(patch: Patch, harmonised: bool) -> Iterator[str]:
    """Compare the number of missing pixels in the index with the record."""
    zeros = len(patch.s2) - int(np.count_nonzero(patch.s2))
    # Where an offset was subtracted, dark pixels are 0 as well.
    if patch.nodata_pixels is not None and not patch.nodata_pixels <= zeros <= (
        len(patch.s2) if harmonised else patch.nodata_pixels
    ):
        yield f"{patch.key} has {zeros:,} pixels of value 0, but {patch.nodata_pixels:,} missing pixels in the index"


def _compare(patch: Patch, sources: ReadAhead, number: int, findings: Findings, *, harmonised: bool) -> Iterator[str]:
    record = np.empty(RECORD_VALUES, np.uint16)
    try:
        place = sources.read(number, record)
    except BadPatch as err:
        yield f"source of {patch.key}: {err}"
        return
    findings.compared += 1
    if harmonised:
        subtract_offset(record, patch.baseline)
    if not np.array_equal(record, patch.s2):
        bands = [band for band, values in BAND_SLICES.items() if not np.array_equal(record[values], patch.s2[values])]
        yield f"{patch.key} differs from its GeoTIFFs in {', '.join(bands)}"
    if (place.epsg, place.ulx, place.uly) != (patch.epsg, patch.ulx, patch.uly):
        yield (
            f"{patch.key} lies at EPSG:{patch.epsg} {patch.ulx} {patch.uly} in the index, "
            f"its GeoTIFF at EPSG:{place.epsg} {place.ulx} {place.uly}"
        )
