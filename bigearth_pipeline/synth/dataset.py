"""Synthetic datasets in BigEarthNet's layout, to try the pipeline and the trainer without a download."""

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.progress import Progress, Silent
from bigearth_pipeline.source.tree import SYNTHETIC
from bigearth_pipeline.spawned import SpawnedWorkers
from bigearth_pipeline.synth.pixels import draw_patch
from bigearth_pipeline.synth.plan import Layout, SynthPatch, check_plan, plan_patches
from bigearth_pipeline.synth.tables import labels_json, write_tables
from bigearth_pipeline.synth.tiff import encode_band
from shards.errors import InvalidValue
from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF
from shards.metadata.place import check_outside_stores
from shards.runtime.cores import num_cores
from shards.storage.atomic import folder_made
from shards.text import words

ROOTS: Final[dict[Layout, str]] = {"v1": "BigEarthNet-v1.0", "v2": "BigEarthNet-S2"}
"""Directory of the patch folders in each layout."""

_CHUNK: Final = 16
"""Patches of one task: a tenth of a second, which is how long an interrupt waits at most."""


@dataclass(frozen=True, slots=True)
class SynthSummary:
    """Summary of a synthetic dataset that was written.

    Attributes:
        patches: all patches.
        flagged: those of them that are marked as snowy or cloudy and thus in no split.
        classless: those of them without any of the 19 classes.
        size_bytes: size of the band files.
    """

    patches: int
    flagged: int
    classless: int
    size_bytes: int


def write_dataset(
    out: Path,
    *,
    patches: int,
    layout: Layout,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SynthSummary:
    """Write a synthetic dataset; the same arguments give the same bytes, whatever the number of workers.

    The tables come last: a directory without them is not complete.

    Args:
        out: directory, absent or empty.
        patches: number of patches.
        layout: version of BigEarthNet whose layout it has.
        seed: seed of everything that is drawn by chance.
        workers: number of processes; None takes one a core.
        progress: receives how it goes.

    Raises:
        ValueError: an argument is out of range.
        PipelineError: the directory is not empty or cannot be written.
    """
    if workers is not None and workers < 1:
        raise InvalidValue(f"workers is {workers}, expected 1 or more")
    check_plan(patches, layout, seed)
    progress = progress or Silent()
    try:
        check_outside_stores(out)
        with folder_made(out):
            _check_empty(out)
            _check_writable(out)
            progress.say(f"planning {words.patches(patches)}")
            planned = plan_patches(patches, layout, seed)
            chunks = [planned[start : start + _CHUNK] for start in range(0, len(planned), _CHUNK)]
            num_workers = min(workers or num_cores(), len(chunks))
            _check_empty(out)
            write = partial(_write_patches, out / ROOTS[layout], layout, seed)
            size_bytes = 0
            progress.start(len(planned), 0)
            with closing(_run(write, chunks, num_workers)) as results:
                for num, written_bytes in results:
                    size_bytes += written_bytes
                    progress.advance(num)
            mark(out / ROOTS[layout])
            write_tables(out, planned, layout)
    except OSError as err:
        raise PipelineError(f"{err.filename or out} cannot be written: {err.strerror or err}") from err
    return SynthSummary(
        patches=len(planned),
        flagged=sum(patch.snow or patch.cloud for patch in planned),
        classless=sum(not patch.labels for patch in planned),
        size_bytes=size_bytes,
    )


def _check_empty(folder: Path) -> None:
    if any(folder.iterdir()):
        raise PipelineError(f"{folder} is not empty; give a new or an empty directory")


def _check_writable(folder: Path) -> None:
    """Raise OSError if no file can be made in a folder: planning takes seconds, and would be in vain."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as err:
        raise OSError(err.errno, err.strerror, str(folder)) from err


def mark(root: Path) -> None:
    """Say in the folder of the patches that they are synthetic; stores that are built of them say so, too."""
    text = "The patches in this folder are synthetic: pixels, places and labels were drawn by chance by bep synth.\n"
    (root / SYNTHETIC).write_text(text, encoding="utf-8")


def _write_patches(root: Path, layout: Layout, seed: int, patches: Sequence[SynthPatch]) -> tuple[int, int]:
    """Write the folders of some patches; return how many and the bytes of their band files."""
    written_bytes = 0
    for patch in patches:
        folder = root / patch.name if layout == "v1" else root / patch.product.name / patch.name
        folder.mkdir(parents=True, exist_ok=True)
        prefix = f"{folder}/{patch.name}_"
        record = draw_patch(patch.labels, patch.pixel_source(seed), snow=patch.snow, cloud=patch.cloud)
        for band in BANDS:
            side = GROUP_OF[band].size
            pixels = record[BAND_SLICES[band]].reshape(side, side)
            content = encode_band(pixels, layout=layout, epsg=patch.product.epsg, ulx=patch.ulx, uly=patch.uly)
            with open(f"{prefix}{band}.tif", "wb", buffering=0) as file:
                written_bytes += file.write(content)
        if layout == "v1":
            Path(f"{prefix}labels_metadata.json").write_text(labels_json(patch), encoding="utf-8")
    return len(patches), written_bytes


def _run(
    write: Callable[[Sequence[SynthPatch]], tuple[int, int]], chunks: list[list[SynthPatch]], num_workers: int
) -> Generator[tuple[int, int], None, None]:
    """Yield the results of the chunks as they come, with no worker left whichever way it ends."""
    if num_workers == 1:
        yield from map(write, chunks)
        return
    with SpawnedWorkers(num_workers) as workers:
        yield from workers.as_completed(write, chunks)
