"""Names of bands in file names, band descriptions and STAC items."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from bigearth_pipeline.errors import BadScene
from shards.layout.bands import BANDS, GROUP_OF

SCL: Final = "SCL"
"""Name of the scene classification, which every input may hold beside the bands."""
SCL_METRES: Final = 20

_AT_END: Final = re.compile(r"(?:^|[^A-Za-z0-9])(B\d\w|SCL)(?:_(10|20|60)m)?$", re.ASCII | re.IGNORECASE)
_LAYERS: Final = re.compile(
    r"(?:^|[^A-Za-z0-9])(AOT|WVP|TCI|CLD|SNW|PVI|DDV|visual|preview|thumbnail|overview)(?:_(10|20|60)m)?$",
    re.ASCII | re.IGNORECASE,
)


def native_metres(band: str) -> int:
    """Return the size of a pixel of a band, or of the scene classification, in metres."""
    return SCL_METRES if band == SCL else GROUP_OF[band].metres


def band_in(name: str) -> tuple[str, int | None] | None:
    """Return the band that a name ends in, and the pixel size that it says, in metres; None for no band.

    Names are those of files without ending, such as `T33UUP_20170613T101031_B02_10m`, and band descriptions.

    Raises:
        BadScene: it names a band that Level-2A products do not have.
    """
    match = _AT_END.search(name)
    if match is None:
        return None
    band = match[1].upper()
    if band != SCL and band not in GROUP_OF:
        raise BadScene(f"{name} names the band {band}, expected one of the twelve of Level-2A: {', '.join(BANDS)}")
    return band, int(match[2]) if match[2] else None


def is_other_layer(name: str) -> bool:
    """Tell whether a name ends in a layer of Sentinel-2 products that is no band, such as TCI or AOT."""
    return _LAYERS.search(name) is not None


def native_files(paths: Iterable[str], where: str) -> dict[str, str]:
    """Return the file of each band among files that are named after bands.

    Of a band in several sizes (`_10m`, `_20m`, `_60m`) the native one is taken; layers that are no bands are left out.

    Args:
        paths: of the files.
        where: the folder or product, for messages.

    Raises:
        BadScene: two files hold one band, a file is named after no band, or after none of Level-2A.
    """
    found: dict[str, str] = {}
    for path in sorted(paths):
        stem = PurePosixPath(path).name.rpartition(".")[0]
        named = band_in(stem)
        if named is None:
            if is_other_layer(stem):
                continue
            raise BadScene(
                f"{where} holds {PurePosixPath(path).name}, whose name ends in no band, expected names such as "
                "T33UUP_B02.tif; move it elsewhere"
            )
        band, metres = named
        if metres not in (None, native_metres(band)):
            continue
        if band in found:
            raise BadScene(
                f"{where} holds {band} twice: {PurePosixPath(found[band]).name} and {PurePosixPath(path).name}, "
                "expected one file a band"
            )
        found[band] = path
    return found
