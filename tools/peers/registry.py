"""The systems that are compared."""

from dataclasses import dataclass, field
from typing import Final, Literal

Layout = Literal["native", "float32"]
LAYOUTS: Final[tuple[Layout, ...]] = ("native", "float32")


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A system, or one of its settings.

    Attributes:
        title: what it is called in the table.
        module: its module in `tools.peers.systems`, which converts to its format and reads from it: `convert` and
            `open_epochs`.
        store: name of the folder with the patches in its format; peers may share one. Empty: it reads the source.
        option: tells the module which of its variants is meant.
        requirements: name of the requirements file of its environment; empty for the project's own packages.
        packages: distributions whose versions are reported.
        layouts: what it can deliver.
    """

    title: str
    module: str
    store: str
    option: str = ""
    requirements: str = ""
    packages: tuple[str, ...] = field(default=())
    layouts: tuple[Layout, ...] = LAYOUTS


PEERS: Final[dict[str, Peer]] = {
    "geotiff": Peer(
        title="GeoTIFFs, rasterio in a DataLoader", module="geotiff", store="", packages=("torch", "rasterio")
    ),
    "lmdb": Peer(
        title="LMDB of safetensors in a DataLoader",
        module="lmdb_safetensors",
        store="lmdb",
        requirements="lmdb",
        packages=("lmdb", "safetensors"),
    ),
    "configilm": Peer(
        title="ConfigILM's data set, LMDB of safetensors",
        module="configilm_lmdb",
        store="lmdb",
        requirements="configilm",
        packages=("configilm", "lmdb", "safetensors"),
        layouts=("float32",),
    ),
    "webdataset": Peer(
        title="webdataset, npy members",
        module="webdataset_npy",
        store="webdataset",
        option="npy",
        packages=("webdataset",),
    ),
    "webdataset-zstd": Peer(
        title="webdataset, npy members in zstd",
        module="webdataset_npy",
        store="webdataset-zstd",
        option="npy.zst",
        packages=("webdataset", "numcodecs"),
    ),
    "mosaicml": Peer(
        title="MosaicML Streaming, zstd",
        module="mosaicml_mds",
        store="mosaicml",
        requirements="mosaicml",
        packages=("mosaicml-streaming",),
    ),
    "litdata": Peer(
        title="LitData, zstd of 256 patches (default)",
        module="litdata_chunks",
        store="litdata",
        option="batch",
        requirements="litdata",
        packages=("litdata", "zstd"),
    ),
    "litdata-sample": Peer(
        title="LitData, zstd patch by patch",
        module="litdata_chunks",
        store="litdata-sample",
        option="sample",
        requirements="litdata",
        packages=("litdata", "zstd"),
    ),
    "dali": Peer(
        title="DALI's WebDataset reader, raw members",
        module="dali_webdataset",
        store="dali",
        packages=("nvidia-dali-cuda130",),
    ),
    "ffcv": Peer(
        title="FFCV, raw",
        module="ffcv_beton",
        store="ffcv",
        requirements="ffcv",
        packages=("ffcv", "numba"),
    ),
    "zarr": Peer(
        title="zarr-python, chunks of 64 patches",
        module="zarr_chunks",
        store="zarr",
        option="zarr",
        packages=("zarr", "numcodecs"),
    ),
    "zarrs": Peer(
        title="zarrs, the same chunks",
        module="zarr_chunks",
        store="zarr",
        option="zarrs",
        requirements="zarrs",
        packages=("zarrs", "zarr"),
    ),
    "bep-lz4": Peer(
        title="**bep, `blosc-lz4`**", module="bep", store="bep-lz4", option="blosc-lz4", packages=("numcodecs",)
    ),
    "bep-bitpack": Peer(
        title="**bep, `bitpack`**", module="bep", store="bep-bitpack", option="bitpack", packages=("numba",)
    ),
    "bep-raw": Peer(title="**bep, `raw`**", module="bep", store="bep-raw", option="raw", packages=("numcodecs",)),
}
"""All of them by name, in the order of the table."""
