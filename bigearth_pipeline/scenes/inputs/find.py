"""The kind of an input: scene, patches or store, found by looking at it."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeAlias

from bigearth_pipeline.errors import BadScene, PipelineError
from bigearth_pipeline.scenes.gdal import opened
from bigearth_pipeline.scenes.inputs.description import Description, Known
from bigearth_pipeline.scenes.inputs.files import band_paths, describe_files, describe_geotiff
from bigearth_pipeline.scenes.inputs.safe import METADATA, describe_folder, describe_zip
from bigearth_pipeline.scenes.inputs.stac import describe_item
from shards.layout.bands import B10, B60
from shards.metadata.manifest import MANIFEST
from shards.storage.places import storage_of
from shards.storage.remote.address import SCHEMES, Address, address_in
from shards.storage.safe_open import open_regular_file

_MOST_LOOKED_AT: Final = 100
"""Entries of a folder that is no input among which one is looked for."""
_LOOKED_AT_BYTES: Final = 1 << 16

Kind: TypeAlias = Literal["store", "patch", "tree"]
PRODUCT: Final = ".SAFE"
"""End of the name of a product's folder."""


def find(path: Path, known: Known) -> Description | Kind:
    """Return the description of a scene, or which kind of patches an input holds.

    Raises:
        BadScene: it is a scene that cannot be used.
        PipelineError: it does not exist, or is nothing that can be predicted.
        StorageError: the place that an address names does not answer.
        OSError: it cannot be read.
    """
    if isinstance(path, Address):
        if storage_of(path).has(MANIFEST):
            return "store"
        raise PipelineError(
            f"input {path} is no address of a store: there is no {MANIFEST}; scenes and patches are read from files of "
            "this machine alone, so download them"
        )
    if address := address_in(path):
        raise PipelineError(
            f"input {address} is an address, and of these stores alone are read, at {', '.join(SCHEMES)}; download it"
        )
    if not path.exists():
        raise PipelineError(f"input {path} does not exist")
    if path.is_dir():
        return _of_folder(path, known)
    if path.name == METADATA:
        return describe_folder(path.parent, known)
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return describe_zip(path, known)
    if suffix in (".json", ".geojson"):
        return describe_item(path, known)
    if suffix in (".tif", ".tiff"):
        return describe_geotiff(path, known)
    raise _unknown(path)


def hint(path: Path) -> str:
    """Return the end of an error about a folder that is no input: what lies in it and is one; empty if nothing is."""
    try:
        found = next((each for each in _below(path) if _is_input(each)), None)
    except OSError:
        found = None
    return "" if found is None else f"; {found} lies in it: name that"


def _below(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder, and then what lies in its folders."""
    held = sorted(islice(folder.iterdir(), _MOST_LOOKED_AT))
    yield from held
    for each in held:
        if each.is_dir():
            yield from sorted(islice(each.iterdir(), _MOST_LOOKED_AT))


def _is_input(path: Path) -> bool:
    name = path.name.upper()
    if path.is_dir():
        return name.endswith(PRODUCT) or (path / METADATA).exists() or storage_of(path).has(MANIFEST)
    if name.endswith((".JSON", ".GEOJSON")):
        with open_regular_file(path) as file:
            return b'"stac_version"' in file.read(_LOOKED_AT_BYTES)
    return name.startswith("S2") and name.endswith(".ZIP")


def _unknown(path: Path) -> PipelineError:
    inside = hint(path) if path.is_dir() else ""
    return PipelineError(
        f"input {path} is of no known kind, expected a .SAFE folder or .zip, a GeoTIFF with named bands, a folder of "
        f"band files, a STAC item (.json), patches, or a store{inside}"
    )


def _of_folder(path: Path, known: Known) -> Description | Kind:
    if storage_of(path).has(MANIFEST):
        return "store"
    if (path / METADATA).exists():
        return describe_folder(path, known)
    if path.name.upper().endswith(PRODUCT):
        raise BadScene(f"{path} has no {METADATA}, expected a Level-2A product{hint(path)}")
    files = band_paths(path)
    if not files:
        # A folder of products is one that holds nothing else.
        if all(each.name.upper().endswith(PRODUCT) for each in path.iterdir() if each.is_dir()):
            raise _unknown(path)
        return "tree"
    return "patch" if _is_patch(path, files) else describe_files(path, known)


def _is_patch(folder: Path, files: list[Path]) -> bool:
    """Tell whether band files are those of a patch: named after their folder, and at most as large as a patch's."""
    own = [file for file in files if file.name.startswith(f"{folder.resolve().name}_")]
    if not own or own[0].suffix.lower() == ".jp2":
        return False
    with opened(str(own[0].absolute()), str(own[0])) as source:
        return bool(B60.size <= max(source.shape) <= B10.size)
