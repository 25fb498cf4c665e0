"""The tables, lists and annotations of a build: found, read, and refused where they do not go with the source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.select import Annotate
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.annotations import Annotation, read_v1_annotations
from bigearth_pipeline.source.tables import (
    LIST_SUFFIXES,
    METADATA_NAMES,
    Metadata,
    SplitLists,
    find_metadata,
    find_split_lists,
    read_exclusions,
    read_metadata,
    read_split_lists,
    sha256_of,
)
from bigearth_pipeline.source.tree import Source, Version
from bigearth_pipeline.workers import Workers

_ANNOTATIONS_A_TASK: Final = 4096
_ANNOTATIONS_A_REPORT: Final = 64


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables and lists, and the files that they came from."""

    metadata: Metadata | None
    lists: SplitLists | None
    paths: tuple[Path, ...]


def places_of(given: Sequence[Path], sources: Sequence[Source]) -> list[Path]:
    """Return where tables are looked for: in and beside what the user named, and beside the tree that was found there.

    Args:
        given: paths that the user named.
        sources: the tree that was found at each.
    """
    return [
        place
        for path, source in zip(given, sources, strict=True)
        for place in (path, source.root, source.root.parent, path.parent)
    ]


def read_tables(config: BuildConfig, version: Version, places: Sequence[Path], sources: str) -> Tables:
    """Read the tables and lists that a build names, or that are found.

    Args:
        config: of the build.
        version: of the sources.
        places: folders to look in.
        sources: names of the sources, for errors.

    Raises:
        PipelineError: one is missing, unreadable or without effect.
    """
    metadata_paths = list(config.metadata) or find_metadata(places)
    metadata = read_metadata(metadata_paths) if metadata_paths else None
    if version == "v2":
        if config.labels43:
            raise PipelineError(
                f"`labels43=True` has no effect on {sources}, which is BigEarthNet v2 and has labels of 19 classes "
                "only; leave it out, or build from v1"
            )
        if metadata is None:
            raise PipelineError(
                f"no metadata.parquet in or beside {sources}: BigEarthNet v2 keeps its labels there; "
                "name it with `metadata=`"
            )
        # Lists that lie about may be v1's: the tables of v2 have splits of their own.
        chosen = read_split_lists(config.splits) if config.splits else None
        return Tables(metadata, chosen, (*metadata_paths, *(chosen.paths if chosen else ())))
    folder = config.splits or find_split_lists(places)
    lists = read_split_lists(folder, found=config.splits is None) if folder else None
    if lists is None and config.rules.split_by is None:
        raise PipelineError(
            f"no split lists (train.csv, val.csv, test.csv) in or beside {sources}: "
            "name their folder with `splits=`, or split by name with `split_by=hash:80/10/10`"
        )
    if config.require_all and lists is None:
        raise PipelineError(
            "`require_all=True` compares folders with split lists, and there are none; name them with `splits=`"
        )
    if config.metadata and metadata is not None and not metadata.country_of_v1:
        raise PipelineError(
            f"`metadata={config.metadata[0]}` has no effect: of a v1 source it tells countries, by the columns "
            "s2v1_name and country, which hold nothing"
        )
    lists = read_exclusions(places, lists)
    return Tables(metadata, lists, (*metadata_paths, *lists.paths))


def refuse_unused_flags(config: BuildConfig, tables: Tables, version: Version, sources: str) -> None:
    """Refuse to take flagged patches of v2 where no table flags one.

    Args:
        config: of the build.
        tables: as `read_tables` returns them.
        version: of the sources.
        sources: names of the sources.

    Raises:
        PipelineError: the table of flagged patches is missing, and no row of the other is flagged.
    """
    if not config.rules.include_snow_cloud or version != "v2" or tables.metadata is None or tables.lists is not None:
        return
    flagged = METADATA_NAMES[1]
    if flagged in (path.name for path in tables.paths) or tables.metadata.snow.any() or tables.metadata.cloud.any():
        return
    raise PipelineError(
        f"`include_snow_cloud=True` has no effect: {tables.paths[0]} flags no patch, and {flagged}, which has those "
        f"with snow, clouds or shadows, is not in or beside {sources}; name both tables with `metadata=`"
    )


class TableNotFound(PipelineError):
    """A table or list that a build read is no longer there."""


def tables_of_build(recorded: Mapping[str, str], places: Sequence[Path], *, moved: bool) -> Tables:
    """Read the tables and lists that a finished build read.

    Args:
        recorded: SHA-256 by path, as the note on the build has them.
        places: folders to look in for files of the same names; those with the same content come first.
        moved: the source is another copy, so that what lies there counts more than what lies at the recorded path.

    Raises:
        TableNotFound: one is neither in the places nor where it was.
        PipelineError: one is unreadable.
    """
    found = []
    for text, digest in recorded.items():
        path = Path(text)
        there = [file for place in dict.fromkeys(places) if (file := place / path.name).is_file()]
        there.sort(key=lambda file: [*sha256_of([file]).values()] != [digest])
        if path.is_file():
            there.insert(len(there) if moved else 0, path)
        if not there:
            raise TableNotFound(f"{path}, which the build read, is neither there nor in or beside the source")
        found.append(there[0])
    named = [path for path in found if path.name.lower().endswith(LIST_SUFFIXES)]
    tables, folders = sorted(set(found) - set(named)), [path.parent for path in named]
    splits = find_split_lists(folders)
    lists = read_split_lists(splits, found=True) if splits else None
    return Tables(
        read_metadata(tables) if tables else None, read_exclusions(folders, lists) if folders else None, tuple(found)
    )


def annotate_by(workers: Workers) -> Annotate:
    """Return what reads the annotations of many patches of v1 by these workers."""

    def annotate(patches: Sequence[tuple[str, str]]) -> list[Annotation | str]:
        starts = range(0, len(patches), _ANNOTATIONS_A_TASK)
        chunks = [tuple(patches[start : start + _ANNOTATIONS_A_TASK]) for start in starts]
        results = dict(workers.map(_annotate, chunks))
        return [annotation for chunk in chunks for annotation in results[chunk]]

    return annotate


def _annotate(patches: Sequence[tuple[str, str]], progress: Callable[[int], None]) -> list[Annotation | str]:
    annotations: list[Annotation | str] = []
    for start in range(0, len(patches), _ANNOTATIONS_A_REPORT):
        annotations += read_v1_annotations(patches[start : start + _ANNOTATIONS_A_REPORT])
        progress(0)  # No patch is done, but the disk is not stuck.
    return annotations
