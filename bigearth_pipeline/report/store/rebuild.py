"""Checksums of the store, and the command that builds it once more."""

import shlex
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Final

from bigearth_pipeline.build.config import read_build_note
from bigearth_pipeline.build.select import BAD
from bigearth_pipeline.report.page.blocks import Block, Cell, Code, Section, Table, Text
from bigearth_pipeline.report.page.numbers import count_cell
from bigearth_pipeline.report.store.contents import Contents
from shards.metadata.entries import FileInfo
from shards.metadata.manifest import BUILD_NOTE, MANIFEST
from shards.metadata.seal import digest_of
from shards.text.words import counted

_MOST: Final = 1000
"""Files that are listed; the checksum of the manifest covers all."""
_LISTS: Final = ("train", "val", "validation", "test", "patches_with")
"""Beginnings of the names of split lists and exclusion lists."""


def rebuild_command(note: dict[str, Any], allow_bad: int) -> str:
    """Return the command that builds a store with this note, of `build.json`, once more.

    Args:
        note: as `bigearth_pipeline.build.config.build_note` makes it.
        allow_bad: bad patches that the build tolerated.
    """
    return " \\\n    ".join(_lines(note, allow_bad))


def _lines(note: dict[str, Any], allow_bad: int) -> Iterator[str]:
    yield f"bep build-shards {shlex.join(map(str, note['sources']))}"
    yield "--out NEW-DIRECTORY"
    yield f"--format {shlex.quote(note['format'])} --codec {shlex.quote(note['codec'])}"
    yield f"--patches-per-shard {note['patches_per_shard']} --seed {note['seed']}"
    for path in note["tables"]:
        if path.endswith(".parquet"):
            yield f"--metadata {shlex.quote(path)}"
    lists = sorted({str(PurePath(p).parent) for p in note["tables"] if PurePath(p).name.startswith(_LISTS)})
    if len(lists) == 1:
        yield f"--splits {shlex.quote(lists[0])}"
    if note.get("include_snow_cloud"):
        yield "--include-snow-cloud"
    if note.get("split_by"):
        yield f"--split-by {shlex.quote('hash:' + str(note['split_by']))}"
    if note.get("limit") is not None:
        yield f"--limit {note['limit']}"
    if note.get("offset"):
        yield f"--offset {shlex.quote(str(note['offset']))}"
    if note.get("labels43"):
        yield "--labels43"
    if allow_bad:
        yield f"--allow-bad {allow_bad}"


def rebuild(contents: Contents) -> Section:
    """Return the section.

    Raises:
        PipelineError: the note on the build is damaged.
    """
    manifest = contents.manifest
    files = [file for shard in manifest.shards for file in shard.files] + list(manifest.files)
    # That of a store of the first version, which does not carry it, is what it would carry.
    digest = digest_of(manifest.to_json())
    note = read_build_note(contents.folder)
    blocks: list[Block] = [
        Text(
            f"SHA-256 of the manifest's fields: {digest}. It covers the checksums of "
            f"all {counted(len(files), 'file')}, so two stores with the same one hold the same bytes."
        )
    ]
    if note is None:
        blocks.append(Text(f"There is no {BUILD_NOTE}: the store was not made by `bep build-shards`."))
    else:
        command = rebuild_command(note, manifest.left_out.get(BAD, 0))
        words = (
            f"To build it once more from {counted(note['num_folders'], 'patch folder')} (SHA-256 of their names: "
            f"{note['folders']}), with the same bytes if the source is the same:"
        )
        blocks.append(Code(words, command))
        if note["tables"]:
            rows = [[path, str(sha256)] for path, sha256 in note["tables"].items()]
            blocks.append(
                Table("tables-table", "Tables and lists of the source", ["file", "SHA-256"], rows, folded=True)
            )
    blocks.append(Code("To check every byte:", f"bep verify {shlex.quote(contents.folder.name)}"))
    blocks.append(_files(files))
    return Section("rebuild", "Checksums, and how to rebuild", blocks)


def _files(files: list[FileInfo]) -> Table:
    first = files[:_MOST]
    caption = f"Files of the store and their SHA-256 ({len(files):,})"
    if len(first) < len(files):
        caption += f"; the first {_MOST:,}, all are in {MANIFEST}"
    rows = [[Cell(file.path), count_cell(file.size_bytes), Cell(file.sha256)] for file in first]
    return Table("files-table", caption, ["file", "bytes", "SHA-256"], rows, folded=True)
