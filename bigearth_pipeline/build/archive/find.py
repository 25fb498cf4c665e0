"""The archives among the sources of a build, and the version that they have in common."""

from collections.abc import Sequence

from bigearth_pipeline.build.archive.passes import find_version
from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive.location import Archive, LocalArchive, is_archive
from bigearth_pipeline.source.archive.official import official_of
from bigearth_pipeline.source.archive.remote import UrlArchive
from bigearth_pipeline.source.tree import Version


def find_archives(config: BuildConfig) -> list[Archive]:
    """Return the archives among the sources of a build; none if they are folders.

    Raises:
        PipelineError: there are both, one is named twice, or one cannot be read.
    """
    paths = [path.absolute() for path in config.sources]
    named = [path for path in paths if is_archive(path)]
    if config.urls:
        if paths:
            raise PipelineError(f"{paths[0]} is a path and {config.urls[0]} an address; build from one of both kinds")
        return [UrlArchive(url, connections=config.connections, keep=config.keep) for url in config.urls]
    if not named:
        return []
    if others := [path for path in paths if path not in named]:
        raise PipelineError(f"{named[0]} is an archive and {others[0]} is none; build from archives, or from folders")
    resolved = [path.resolve() for path in named]
    if twice := next((path for path in resolved if resolved.count(path) > 1), None):
        raise PipelineError(f"source {twice} is named twice, expected different archives")
    archives: list[Archive] = []
    for path in named:
        archive = LocalArchive(path, wants_digest=official_of(path.name) is not None)
        archives.append(archive)
    return archives


def common_version(archives: Sequence[Archive]) -> Version:
    """Return the version of archives.

    Raises:
        PipelineError: they are of several.
    """
    versions = [find_version(archive) for archive in archives]
    if len(set(versions)) > 1:
        named = ", ".join(f"{archive.name} ({version})" for archive, version in zip(archives, versions, strict=True))
        raise PipelineError(f"sources are of different BigEarthNet versions: {named}")
    return versions[0]
