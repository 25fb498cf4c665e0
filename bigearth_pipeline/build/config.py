"""Settings that define a build, and the note of them in the store that tells a resumed build from a different one."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeGuard

from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tables import sha256_of
from bigearth_pipeline.source.tree import Source, Version
from shards.codec.registry import ZARR_CODECS
from shards.errors import CorruptShard
from shards.metadata.manifest import BUILD_NOTE, FORMAT_VERSION, Manifest, StoreFormat
from shards.metadata.parts import PARTS
from shards.metadata.place import check_outside_stores
from shards.metadata.seal import check_seal
from shards.reporting import printable
from shards.runtime.cores import num_cores
from shards.storage.places import storage_of
from shards.storage.remote.address import Address, check_scheme
from shards.storage.safe_open import read_regular
from shards.text.json_text import parse_json

SOURCE_FILES: Final = "source_files"
"""Field of a finished store's note: fingerprints of the files that each shard was made of, by the name of the shard."""

_MAX_NOTE_BYTES: Final = 64 << 20
_MAX_SHOWN: Final = 300  # Characters of a value in an error.
_MARKS: Final = {
    "format_version": int,
    "version": str,
    "format": str,
    "codec": str,
    "seed": int,
    "patches_per_shard": int,
    "num_folders": int,
    "folders": str,
    "sources": list,
    "tables": dict,
}

_WORDS: Final = {
    "format_version": "format version",
    "format": "`format=`",
    "codec": "`codec=`",
    "seed": "`seed=`",
    "patches_per_shard": "`patches_per_shard=`",
    "include_snow_cloud": "`include_snow_cloud=`",
    "split_by": "`split_by=`",
    "limit": "`limit=`",
    "offset": "`offset=`",
    "labels43": "`labels43=`",
    "version": "BigEarthNet version",
    "sources": "source",
    "num_folders": "number of patch folders in the source",
}
_DIGESTS: Final = {
    "tables": "the metadata or split tables have another content",
    "folders": "the patch folders in the source have other names, or the archives other sizes or times",
}
NOTE_FIELDS: Final = frozenset((*_WORDS, *_DIGESTS, SOURCE_FILES, "sha256"))
"""Names of all fields that a note has had in any version."""


CONNECTIONS: Final = 4
"""Connections to the server of an address, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """Settings of a build.

    Attributes:
        sources: directories that hold BigEarthNet trees of one version, or archives of such trees.
        out: the store.
        format: `webdataset` or `zarr`.
        codec: name of the record codec.
        metadata: v2 tables; empty to look for them beside the sources.
        splits: folder of split lists; None to look for it beside the sources if they are v1.
        rules: which patches to take.
        patches_per_shard: patches of a full shard.
        allow_bad: number of bad patches to tolerate.
        require_all: table rows without folders, and folders without rows, are an error.
        overwrite: replace an earlier build.
        urls: addresses of archives, in place of `sources`.
        keep: folder in which what comes from addresses is kept; None to keep nothing.
        connections: to the server of an address, at a time.
        labels43: keep the labels of BigEarthNet v1's 43 classes in the index.
        spool: folder for the spool files of a build from archives; None for that of the store.

    Raises:
        PipelineError: the format does not take the codec, or `keep` or `spool` lies in the store.
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
    urls: tuple[str, ...] = ()
    keep: Path | None = None
    connections: int = CONNECTIONS
    spool: Path | None = None
    labels43: bool = False

    def __post_init__(self) -> None:
        check_scheme(self.out)
        if self.format == "zarr" and self.codec not in ZARR_CODECS:
            raise PipelineError(
                f"`codec={self.codec}` goes with `format=webdataset` only; a Zarr store holds what any reader of Zarr "
                f"decodes, expected one of {', '.join(ZARR_CODECS)}"
            )
        for name, folder in (("spool", self.spool), ("keep", self.keep)):
            refuse_in_store(self.out, name, folder)


def refuse_in_store(out: Path, name: str, folder: Path | None) -> None:
    """Check that a folder for other files does not lie in that of the store.

    There a build that was killed would leave what the next one takes for somebody else's.

    Args:
        out: the store.
        name: of the setting.
        folder: its value; None to check nothing.

    Raises:
        PipelineError: it does.
        InvalidValue: it lies in another store.
    """
    if folder is None:
        return
    if not isinstance(out, Address) and folder.resolve().is_relative_to(out.resolve()):
        raise PipelineError(
            f"`{name}={folder}` lies in the store `out={out}`, which holds no other files; name a folder outside of it"
        )
    check_outside_stores(folder)


def build_note(
    config: BuildConfig, sources: Iterable[Source], tables: Iterable[Path], keys: Iterable[str]
) -> dict[str, Any]:
    """Return all that the bytes of the store depend on, except the content of the patch folders."""
    names = list(keys)
    found = list(sources)
    roots = [str(source.root.resolve()) for source in found]
    return _note(config, found[0].version, roots, tables, len(names), "\n".join(names))


def archive_note(
    config: BuildConfig, version: Version, identities: Sequence[dict[str, Any]], tables: Iterable[Path]
) -> dict[str, Any]:
    """Return what `build_note` does for archives, of whose patch folders nothing is known before they are read.

    Args:
        config: of the build.
        version: of the archives.
        identities: of the archives, which stand for their patch folders.
        tables: that are used.
    """
    names = [str(identity["name"]) for identity in identities]
    # Every patch takes more than a byte.
    most = sum(int(identity["size"]) for identity in identities)
    return _note(config, version, names, tables, most, json.dumps(list(identities), sort_keys=True))


def _note(
    config: BuildConfig, version: Version, sources: list[str], tables: Iterable[Path], num_folders: int, folders: str
) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "version": version,
        "sources": sources,
        "tables": sha256_of(tables),
        "num_folders": num_folders,
        "folders": hashlib.sha256(folders.encode("utf-8", "surrogateescape")).hexdigest(),
        "format": config.format,
        "codec": config.codec,
        "seed": config.rules.seed,
        "patches_per_shard": config.patches_per_shard,
        "include_snow_cloud": config.rules.include_snow_cloud,
        "split_by": config.rules.split_by and "/".join(map(str, config.rules.split_by)),
        "limit": config.rules.limit,
        # Where nothing is subtracted the bytes do not depend on it.
        "offset": "auto" if config.rules.offset == "auto" else None,
        # Stores without them have no such field, as those of before.
        **({"labels43": True} if config.labels43 else {}),
    }


class DamagedNote(PipelineError):
    """The note of a store cannot be read, or has changed; it may be nobody's."""

    def for_builds(self) -> "DamagedNote":
        """Return the error with what a build into the store can do about it."""
        remedy = "`overwrite=True` builds a finished store anew; an unfinished one is to be deleted by hand"
        return DamagedNote(f"{self}; {remedy}")


def read_build_note(out: Path) -> dict[str, Any] | None:
    """Return the note in a store; None if it is absent.

    Raises:
        DamagedNote: it is no JSON, or differs from its checksum.
        PipelineError: it is no regular file, or not the note of a build.
    """
    path = out / BUILD_NOTE
    try:
        if isinstance(out, Address):
            note = parse_note(storage_of(out).read(BUILD_NOTE, _MAX_NOTE_BYTES))
        else:
            note = parse_note(read_regular(path, _MAX_NOTE_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (CorruptShard, ValueError) as err:
        raise DamagedNote(f"{path} is damaged ({printable(str(err))})") from err
    except OSError as err:
        raise PipelineError(
            f"{path} cannot be read: {err.strerror}; move it elsewhere or name another directory"
        ) from err
    if not _is_note(note):
        raise PipelineError(
            f"{path} is not the note of a build, so {out} belongs to something else; name a new directory"
        )
    return note


def parse_note(content: bytes) -> object:
    """Return the JSON value of a note, compared with its checksum; notes of the first version have none.

    Raises:
        ValueError: it is no JSON.
        CorruptShard: it differs from its checksum.
    """
    note: object = parse_json(content)
    if isinstance(note, dict):
        check_seal(note)
    return note


def note_from(manifest: Manifest) -> dict[str, Any]:
    """Return what a manifest says of the size of its build, in place of a note that is damaged."""
    return {"format": manifest.format, "num_folders": 1 << 40, "patches_per_shard": 1}


def _is_note(note: object) -> TypeGuard[dict[str, Any]]:
    """Return whether this has the fields that `build_note` has given every note since the first version."""
    return (
        isinstance(note, dict)
        and all(type(note.get(name)) is kind for name, kind in _MARKS.items())
        and note["format"] in PARTS
        and note["version"] in ("v1", "v2")
        and note["patches_per_shard"] > 0
        and note["num_folders"] >= 0
    )


def differences(earlier: dict[str, Any], note: dict[str, Any]) -> list[str]:
    """Return in which points another build differs from that of a note."""
    found = [
        printable(f"{words} was {_short(earlier.get(name))}, now {_short(note.get(name))}")
        for name, words in _WORDS.items()
        if earlier.get(name) != note.get(name)
    ]
    return found + [words for name, words in _DIGESTS.items() if earlier.get(name) != note.get(name)]


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return num_cores()
