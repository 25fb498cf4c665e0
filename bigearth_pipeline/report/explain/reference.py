"""Reference maps of BigEarthNet v2: the class of each pixel, from a file beside the patches or a group of a store.

A map holds codes of CORINE Land Cover, 999 for unclassified pixels, as 120 × 120 pixels of 10 m (`Reference_Maps` in
the dataset's description, Clasen et al., arXiv:2407.03653).
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.scenes.gdal import opened
from bigearth_pipeline.source.tiff.gdal import cause
from shards.layout.classes import CLC43_TO_19, FORTY_THREE, NINETEEN, Nomenclature
from shards.text.words import counted

FOLDER: Final = "Reference_Maps"
SIDE: Final = 120
NONE: Final = 255
"""Number for pixels of no class."""
_CODES: Final = (
    111, 112, 121, 122, 123, 124, 131, 132, 133, 141, 142, 211, 212, 213, 221, 222, 223, 231, 241, 242, 243, 244, 311,
    312, 313, 321, 322, 323, 324, 331, 332, 333, 334, 411, 412, 421, 422, 423, 511, 512, 521, 522, 523,
)  # fmt: skip
"""Codes of the 43 classes of CORINE Land Cover (EEA nomenclature, level 3), in the order of `CLC43_TO_19`."""
_NUMBER_OF: Final = {
    NINETEEN: {
        code: NINETEEN.names.index(name)
        for code, name in zip(_CODES, CLC43_TO_19.values(), strict=True)
        if name is not None
    },
    FORTY_THREE: {code: number for number, code in enumerate(_CODES)},
}
_OTHERS: Final = frozenset((*_CODES, 335, 990, 995, 999))
"""Further codes: glaciers and perpetual snow, and what the nomenclature and v2 have for unclassified land and water."""


def classes_of(codes: NDArray[Any], nomenclature: Nomenclature = NINETEEN) -> NDArray[np.uint8] | None:
    """Return the number of the class of each pixel, (120, 120) uint8, `NONE` for none; None if these are no codes."""
    if codes.ndim != 2 or SIDE % codes.shape[0] or codes.shape[0] != codes.shape[1]:
        return None
    if not _OTHERS.issuperset(np.unique(codes).tolist()):
        return None
    found = np.full(codes.shape, NONE, np.uint8)
    for code, number in _NUMBER_OF[nomenclature].items():
        found[codes == code] = number
    times = SIDE // len(codes)
    return found.repeat(times, 0).repeat(times, 1)


def beside(folder: Path, nomenclature: Nomenclature = NINETEEN) -> NDArray[np.uint8] | None:
    """Return the reference map that lies beside a patch folder; None if it is absent.

    Raises:
        PipelineError: there is one that cannot be read, or holds something else.
    """
    place = folder.resolve()
    for above in list(place.parents)[:3]:
        for below in (Path(place.parent.name) / place.name, Path(place.name)):
            path = above / FOLDER / below / f"{place.name}_reference_map.tif"
            if path.exists():
                return _read(path, nomenclature)
    return None


def _read(path: Path, nomenclature: Nomenclature) -> NDArray[np.uint8]:
    with opened(str(path), str(path)) as source:
        if source.count != 1 or source.shape != (SIDE, SIDE):
            raise PipelineError(
                f"{path} holds {counted(source.count, 'band')} of {source.width} × {source.height} pixels, expected "
                f"one of {SIDE} × {SIDE}"
            )
        try:
            codes = source.read(1)
        except Exception as err:  # GDAL and rasterio raise many classes for damaged files.
            raise PipelineError(f"{path} cannot be read: {cause(err)}") from err
    if (found := classes_of(codes, nomenclature)) is None:
        raise PipelineError(f"{path} holds no codes of CORINE Land Cover on {SIDE}×{SIDE} pixels")
    return found
