"""Rates of the kernels by themselves: `python -m tools.gpu.measure.kernels`.

A table of patches a second of the image kernel, of the decoder of `bitpack` and of both together, beside torch's
reference; by CUDA events, over sets of records that take turns, so that none stays in the L2 cache. Data and images
stay on the device: what the loader does around them is not in these figures.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from shards.codec.bitpack.encoder import encode
from shards.layout.bands import RECORD_BYTES, RECORD_VALUES
from tools.arguments import count, run
from trainer.data.augment.draw import draw
from trainer.data.bands import BAND_SETS
from trainer.data.batch import Layout
from trainer.data.device.transfer import send
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.image_layout import images_of
from trainer.data.prepare.reference import prepare
from trainer.data.prepare.triton.images import Drawn, ImageKernel, drawn_arrays
from trainer.data.prepare.triton.unpack import unpack
from trainer.definition.augmentation import RECIPES

SETS: Final = 8
"""Sets of records: 8 · 512 · 160 kB are 13 times the L2 cache of an H100."""
BANDS: Final = BAND_SETS["all"]
LAYOUTS: Final[tuple[Layout, ...]] = ("stacked", "native")
DISTINCT: Final = 64
"""Records that are encoded; a set repeats them."""

Work = Callable[[int], object]
"""Queues the work of a set of records, by its number."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Rates of one kernel.

    Attributes:
        what: the kernel, with its setting.
        bytes_per_patch: that it reads from and writes to memory at least.
        rates: patches a second of each repeat.
    """

    what: str
    bytes_per_patch: int
    rates: list[float]

    @property
    def median(self) -> float:
        """The middle rate."""
        return statistics.median(self.rates)

    def row(self) -> str:
        """Return the row of the table."""
        spread = (max(self.rates) - min(self.rates)) / self.median
        bandwidth = self.median * self.bytes_per_patch / 1e12
        return f"{self.what:44} {self.median:12,.0f}/s  ± {spread / 2:5.1%}  {bandwidth:5.2f} TB/s  n={len(self.rates)}"


def works(batch_size: int, device: torch.device) -> Iterator[tuple[str, int, Work]]:
    """Yield what is measured: its name, the least bytes a patch, and the work."""
    rng = np.random.default_rng(0)
    # Smooth enough for `bitpack` to need about as many bits as for real patches.
    steps = rng.integers(-30, 31, (DISTINCT, RECORD_VALUES)).cumsum(1)
    records = (2000 + steps % 4000).astype(np.uint16)
    sets = [_on_device(records, batch_size, i, device) for i in range(SETS)]
    normalisation = Normalisation(BANDS, (1000.0,) * 12, (1000.0,) * 12, (500.0,) * 12)
    settings = [(recipe, layout, tile, warps) for recipe in RECIPES for layout in LAYOUTS for tile, warps in [(128, 4)]]
    settings += [("standard", "stacked", tile, warps) for tile in (64, 128, 256, 512) for warps in (2, 4, 8)]
    for recipe, layout, tile, warps in dict.fromkeys(settings):
        draws = draw(RECIPES[recipe], np.arange(batch_size), 12, 0, 0)
        drawn = Drawn.of(send(drawn_arrays(draws), device))
        kernel = ImageKernel(normalisation, layout, device, tile=tile, warps=warps)
        size = RECORD_BYTES + sum(2 * len(im.bands) * im.size**2 for im in images_of(BANDS, layout))
        name = f"images {recipe}, {layout}, tile {tile}, {warps} warps"
        yield name, size, lambda i, kernel=kernel, drawn=drawn: kernel(sets[i], drawn)
        if (tile, warps) == (128, 4):
            yield (
                f"torch {recipe}, {layout}",
                size,
                lambda i, draws=draws, layout=layout: prepare(sets[i], draws, normalisation, layout),
            )
    encoded = [encode(record) for record in records]
    arenas = [_encoded(encoded, batch_size, i, device) for i in range(SETS)]
    out = torch.empty((batch_size, RECORD_VALUES), dtype=torch.uint16, device=device)
    size = sum(map(len, encoded)) // DISTINCT
    yield f"bitpack, {size:,} bytes a record", size + RECORD_BYTES, lambda i: unpack(*arenas[i], out)
    kernel = ImageKernel(normalisation, "stacked", device)

    def both(i: int) -> None:
        unpack(*arenas[i], out)
        kernel(out, Drawn())

    yield "bitpack, then images none, stacked", size + 2 * RECORD_BYTES + 2 * 12 * 120**2, both


def _on_device(records: np.ndarray[Any, Any], batch_size: int, seed: int, device: torch.device) -> Tensor:
    order = np.random.default_rng(seed).integers(0, len(records), batch_size)
    return torch.from_numpy(records[order]).to(device)


def _encoded(encoded: list[bytes], batch_size: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return arena, begins and lengths of a batch."""
    order = np.random.default_rng(seed).integers(0, len(encoded), batch_size).tolist()
    lengths = torch.tensor([len(encoded[i]) for i in order])
    arena = torch.frombuffer(bytearray(b"".join(encoded[i] for i in order)), dtype=torch.uint8)
    return arena.to(device), (lengths.cumsum(0) - lengths).to(device), lengths.to(device)


def measure(what: str, size: int, work: Work, *, batch_size: int, calls: int, repeats: int) -> Rate:
    """Return the rates of repeats of `calls` batches each; one repeat before is not timed, for it compiles."""
    rates = []
    for repeat in range(repeats + 1):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for i in range(calls):
            work(i % SETS)
        end.record()
        end.synchronize()
        if repeat:
            rates.append(1000 * batch_size * calls / start.elapsed_time(end))
    return Rate(what=what, bytes_per_patch=size, rates=rates)


def main() -> None:
    """Print the table, and JSON last."""
    parser = argparse.ArgumentParser(
        description="Measure the kernels on a GPU.", prog="python -m tools.gpu.measure.kernels"
    )
    parser.add_argument("--batch-size", type=count, default=512, help="patches a call; default: 512")
    parser.add_argument("--calls", type=count, default=40, help="calls a repeat; default: 40")
    parser.add_argument("--repeats", type=count, default=5, help="timed repeats; default: 5")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no NVIDIA GPU that torch can use, and the kernels are measured on one only")
    device = torch.device("cuda", torch.cuda.current_device())
    found = []
    for what, size, work in works(chosen.batch_size, device):
        found.append(measure(what, size, work, **vars(chosen)))
        print(found[-1].row(), flush=True)
    where = {"device": torch.cuda.get_device_name(device), "torch": torch.__version__, "triton": version("triton")}
    where |= vars(chosen)
    print(json.dumps({**where, "rates": [asdict(rate) | {"median": rate.median} for rate in found]}))


if __name__ == "__main__":
    run(main)
