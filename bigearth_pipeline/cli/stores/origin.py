"""The sources of a command line: paths of this machine, addresses, and names of official archives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bigearth_pipeline.build.config import refuse_in_store
from bigearth_pipeline.cli.display.bytes import ByteProgress
from bigearth_pipeline.download.files import download
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive.official import files_of
from bigearth_pipeline.source.archive.remote import is_url

_OFFICIAL: Final = ("v1", "v2")
"""Sources that stand for official archives."""


@dataclass(slots=True)
class Origin:
    """The sources of a command line, paths of this machine or addresses, and the tables that go with them."""

    paths: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    tables: tuple[Path, ...] = ()


def origin_of(sources: tuple[str, ...], out: Path, keep: Path | None, base_url: str | None) -> Origin:
    """Return what the sources of `bep build-shards` are; the tables of an official archive are downloaded here.

    Args:
        sources: as given: paths, addresses, or names of official archives.
        out: directory of the store.
        keep: folder in which an archive is kept; None for none.
        base_url: address of the official files, in place of their records.

    Raises:
        PipelineError: an option has no effect, `keep` lies in the store, or the tables cannot be had.
    """
    refuse_in_store(out, "keep", keep)
    origin = Origin()
    is_official = False
    for source in sources:
        # A folder of this name is meant where there is one.
        if source in _OFFICIAL and not Path(source).exists():
            is_official = True
            origin.urls += tuple(file.url(base_url) for file in files_of(source))
            if source == "v2":
                origin.tables = _download_tables(keep or out.absolute().parent, base_url)
        elif is_url(source):
            origin.urls += (source,)
        else:
            origin.paths += (Path(source),)
    if keep is not None and not origin.urls:
        raise PipelineError(f"`keep={keep}` has no effect: no source is an address; leave it out")
    if base_url is not None and not is_official:
        raise PipelineError(f"`base_url={base_url}` has no effect: no source is `v1` or `v2`; leave it out")
    return origin


def _download_tables(folder: Path, base_url: str | None) -> tuple[Path, ...]:
    """Download the tables of v2 into a folder, unless they are there; return their paths."""
    paths = []
    for file in files_of("v2-metadata"):
        with ByteProgress(file.name) as progress:
            download(
                file.url(base_url), folder / file.name, size=file.size, md5=file.md5,
                say=progress.say, advance=progress.advance,
            )  # fmt: skip
        paths.append(folder / file.name)
    return tuple(paths)
