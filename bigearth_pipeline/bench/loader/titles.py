"""Descriptions of the passes of `bep bench loader`, for people, in the order in which they are shown."""

from typing import Final, Literal, NamedTuple

from bigearth_pipeline.bench.loader.read_stages import CHECKED, COPY, DECODE, READ, READ_INTO, TAKE

TO_DEVICE: Final = "to_device"
"""The pass that copies records to a GPU."""
CPU_IS_DEVICE: Final = "none: the CPU is the device"
NO_GPU: Final = "not measured here: there is no GPU"


class Title(NamedTuple):
    """Of a pass.

    Attributes:
        text: what it does.
        kind: `read` for reading from files, `bound` for what bounds it, `stage` for other parts of the loader, `loader`
            for the whole of it, `tier` for the same with records kept in memory or on the device.
        cache: `warm` or `cold` where files are read.
    """

    text: str
    kind: Literal["read", "bound", "stage", "loader", "tier"]
    cache: Literal["warm", "cold", ""] = ""

    @property
    def full(self) -> str:
        """The text, with the state of the page cache where that matters."""
        return f"{self.text}, {self.cache}" if self.cache else self.text


TITLES: Final = {
    READ: Title("reading the stored bytes", "read", "warm"),
    f"cold_{READ}": Title("reading the stored bytes", "read", "cold"),
    DECODE: Title("decoding bytes in memory", "bound"),
    COPY: Title("copying records by index, one by one", "bound"),
    TAKE: Title("copying records by index, with numpy.take", "bound"),
    READ_INTO: Title("reading and decoding into a batch", "read", "warm"),
    CHECKED: Title("the same, each record checked, as at its first reading", "read", "warm"),
    f"cold_{READ_INTO}": Title("reading and decoding into a batch", "read", "cold"),
    "host": Title("host batches: records, labels, draws", "stage", "warm"),
    TO_DEVICE: Title("copying records to the device", "stage"),
    "prepare_stacked": Title("preparing images at 10 m", "stage"),
    "prepare_native": Title("preparing images at native resolution", "stage"),
    "record": Title("loader, uint16 records", "loader", "warm"),
    "cold_record": Title("loader, uint16 records", "loader", "cold"),
    "stacked": Title("loader, images at 10 m", "loader", "warm"),
    "native": Title("loader, images at native resolution", "loader", "warm"),
    "ram_stacked": Title("loader, images at 10 m, records kept in memory", "tier"),
    "ram_native": Title("loader, images at native resolution, records kept in memory", "tier"),
    "gpu_stacked": Title("loader, images at 10 m, records kept on the GPU", "tier"),
    "gpu_native": Title("loader, images at native resolution, records kept on the GPU", "tier"),
    "gpu_encoded_stacked": Title("loader, images at 10 m, encoded records kept on the GPU", "tier"),
    "gpu_encoded_native": Title("loader, images at native resolution, encoded records kept on the GPU", "tier"),
}
"""By pass; not every one is there for every store and device."""
