"""The kind of an input: scene, patches or store, found by looking at it."""

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


def _unknown(path: Path) -> PipelineError:
    return PipelineError(
        f"input {path} is of no known kind, expected a .SAFE folder or .zip, a GeoTIFF with named bands, a folder of "
        "band files, a STAC item (.json), patches, or a store"
    )


def _of_folder(path: Path, known: Known) -> Description | Kind:
    if storage_of(path).has(MANIFEST):
        return "store"
    if (path / METADATA).exists():
        return describe_folder(path, known)
    if path.name.upper().endswith(PRODUCT):
        raise BadScene(f"{path} has no {METADATA}, expected a Level-2A product")
    files = band_paths(path)
    if not files:
        folders = sorted(each.name for each in path.iterdir() if each.is_dir())
        if not folders:
            raise _unknown(path)
        if all(name.upper().endswith(PRODUCT) for name in folders):
            raise BadScene(f"{path} holds products, expected one; name {path / folders[0]}")
        return "tree"
    return "patch" if _is_patch(path, files) else describe_files(path, known)


def _is_patch(folder: Path, files: list[Path]) -> bool:
    """Tell whether band files are those of a patch: named after their folder, and at most as large as a patch's."""
    own = [file for file in files if file.name.startswith(f"{folder.resolve().name}_")]
    if not own or own[0].suffix.lower() == ".jp2":
        return False
    with opened(str(own[0].absolute()), str(own[0])) as source:
        return bool(B60.size <= max(source.shape) <= B10.size)
