"""The tables and lists of a build: found, read, and refused where they do not go with the source."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tables import (
    METADATA_NAMES,
    Metadata,
    SplitLists,
    find_metadata,
    find_split_lists,
    read_exclusions,
    read_metadata,
    read_split_lists,
)
from bigearth_pipeline.source.tree import Version


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables and lists, and the files that they came from."""

    metadata: Metadata | None
    lists: SplitLists | None
    paths: tuple[Path, ...]


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
