"""What defines a build, and the note of it in the store that tells a resumed build from a different one."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.select import Rules
from bigearth_pipeline.sources import Source
from bigearth_pipeline.tables import sha256_of
from shards.codec import ZARR_CODECS
from shards.durable import atomic_write, remove_temporaries
from shards.manifest import BUILD_NOTE, FORMAT_VERSION, MANIFEST, StoreFormat

WORK: Final = ".build"
_LOCK: Final = "lock"

_WORDS: Final = {
    "format_version": "format version",
    "format": "--format",
    "codec": "--codec",
    "seed": "--seed",
    "patches_per_shard": "--patches-per-shard",
    "include_snow_cloud": "--include-snow-cloud",
    "split_by": "--split-by",
    "limit": "--limit",
    "offset": "--offset",
    "version": "BigEarthNet version",
    "sources": "source",
    "tables": "metadata or split tables",
    "num_folders": "number of patch folders in the source",
    "folders": "patch folders in the source (SHA-256 of their names)",
}


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """What to build.

    Attributes:
        sources: directories that hold BigEarthNet trees of one version.
        out: the store.
        format: `webdataset` or `zarr`.
        codec: name of the record codec.
        metadata: v2 tables; empty to look for them beside the sources.
        splits: folder of split lists; None to look for it beside the sources if they are v1.
        rules: which patches to take.
        patches_per_shard: patches of a full shard.
        allow_bad: bad patches to put up with.
        require_all: table rows without folders, and folders without rows, are an error.
        overwrite: replace an earlier build.

    Raises:
        PipelineError: the format does not take the codec.
    """

    sources: tuple[Path, ...]
    out: Path
    format: StoreFormat = "webdataset"
    codec: str = "blosc-lz4"
    metadata: tuple[Path, ...] = ()
    splits: Path | None = None
    rules: Rules = field(default_factory=Rules)
    patches_per_shard: int = 2048
    allow_bad: int = 0
    require_all: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.format == "zarr" and self.codec not in ZARR_CODECS:
            raise PipelineError(
                f"--codec {self.codec} goes with --format webdataset only; a Zarr store holds what any reader of Zarr "
                f"decodes, expected one of {', '.join(ZARR_CODECS)}"
            )


def build_note(
    config: BuildConfig, sources: Iterable[Source], tables: Iterable[Path], keys: Iterable[str]
) -> dict[str, Any]:
    """Return all that the bytes of the store depend on, except the content of the patch folders."""
    names = list(keys)
    found = list(sources)
    return {
        "format_version": FORMAT_VERSION,
        "version": found[0].version,
        "sources": [str(source.root.resolve()) for source in found],
        "tables": sha256_of(tables),
        "num_folders": len(names),
        "folders": hashlib.sha256("\n".join(names).encode()).hexdigest(),
        "format": config.format,
        "codec": config.codec,
        "seed": config.rules.seed,
        "patches_per_shard": config.patches_per_shard,
        "include_snow_cloud": config.rules.include_snow_cloud,
        "split_by": config.rules.split_by and "/".join(map(str, config.rules.split_by)),
        "limit": config.rules.limit,
        # Where nothing is subtracted the bytes do not depend on it.
        "offset": "auto" if config.rules.offset == "auto" else None,
    }


def read_build_note(out: Path) -> dict[str, Any] | None:
    """Return the note in a store; None if there is none.

    Raises:
        PipelineError: it is not readable.
    """
    path = out / BUILD_NOTE
    try:
        note: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as err:
        raise PipelineError(f"{path} is damaged ({err}); --overwrite builds anew") from err
    return note


@contextmanager
def claim(out: Path, note: dict[str, Any], *, overwrite: bool) -> Iterator[bool]:
    """Hold a directory for the build that the note describes; yield whether that build has already finished.

    Raises:
        PipelineError: the directory cannot be written to, is in use, holds other files, or another build.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        strangers = sorted(path.name for path in out.iterdir() if path.name not in (WORK, BUILD_NOTE))
        if strangers and not (out / BUILD_NOTE).exists():
            raise PipelineError(f"{out} is not empty ({strangers[0]}, …) and holds no build; name a new directory")
        (out / WORK).mkdir(exist_ok=True)
        with open(out / WORK / _LOCK, "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PipelineError(f"{out} is in use by another build") from None
            try:
                yield _settle(out, note, overwrite)
            finally:
                remove_temporaries(out)
                if (out / MANIFEST).exists():
                    shutil.rmtree(out / WORK)
    except OSError as err:
        raise PipelineError(describe_os_error(err, out)) from err


def describe_os_error(err: OSError, out: Path) -> str:
    """Return one line on an error of writing to the store."""
    if err.errno == 28:  # ENOSPC
        return f"no space left on the disk of {out}; make room and run the same command again to resume"
    return f"{err.filename or out} cannot be written: {err.strerror or err}"


def _settle(out: Path, note: dict[str, Any], overwrite: bool) -> bool:
    """Prepare the directory for the build; return whether it is already finished."""
    if overwrite:
        for path in out.iterdir():
            if path.name == WORK:
                for inner in path.iterdir():
                    if inner.name != _LOCK:
                        inner.unlink()
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    earlier = read_build_note(out)
    if earlier is None or not ((out / MANIFEST).exists() or any((out / WORK).glob("*.json"))):
        # Nothing has been built yet, so there is nothing that another build could spoil.
        with atomic_write(out / BUILD_NOTE) as file:
            file.write(json.dumps(note, indent=1).encode() + b"\n")
        return False
    differences = [
        f"{_WORDS[name]} was {earlier.get(name)}, now {note[name]}"
        for name in _WORDS
        if earlier.get(name) != note[name]
    ]
    if differences:
        raise PipelineError(
            f"{out} holds another build: {'; '.join(differences)}. "
            "Name another directory, or replace that build with --overwrite"
        )
    remove_temporaries(out)
    return (out / MANIFEST).exists()


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))
