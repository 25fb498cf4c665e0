"""The official archives of BigEarthNet, and the comparison of what was read with their checksums.

`official.json` holds their names, sizes in bytes and MD5 as their records at Zenodo state them; null where that is not
known here.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from bigearth_pipeline.errors import PipelineError


class WrongDigest(PipelineError):
    """An archive has the name and the size of an official one, and another content."""


@dataclass(frozen=True, slots=True)
class OfficialFile:
    """An official file.

    Attributes:
        name: its name.
        part: by which the download calls it, such as `v2`.
        record: number of its record at Zenodo.
        size: bytes; None if unknown.
        md5: in hexadecimal; None if unknown.
    """

    name: str
    part: str
    record: int
    size: int | None
    md5: str | None

    def url(self, base: str | None = None) -> str:
        """Return the address of the file: at Zenodo, or below another address."""
        if base is not None:
            return f"{base.rstrip('/')}/{self.name}"
        return f"https://zenodo.org/records/{self.record}/files/{self.name}?download=1"


@lru_cache(maxsize=1)
def official_files() -> tuple[OfficialFile, ...]:
    """Return all official files."""
    raw = json.loads(files("bigearth_pipeline.source.archive").joinpath("official.json").read_bytes())
    return tuple(OfficialFile(**each) for each in raw["files"])


def files_of(part: str) -> tuple[OfficialFile, ...]:
    """Return the official files of a part, such as `v2`."""
    return tuple(file for file in official_files() if file.part == part)


def official_of(name: str) -> OfficialFile | None:
    """Return the official file of a name, of which the MD5 is known; None for any other name."""
    return next((file for file in official_files() if file.name == name and file.md5 is not None), None)


def check_digest(name: str, size: int, digest: str | None) -> str | None:
    """Compare an archive that has the name of an official one; return a line about it, None if it has not.

    Args:
        name: path or address of the archive.
        size: its bytes.
        digest: its MD5, if that was computed.

    Raises:
        WrongDigest: it has the size of the official archive and another content.
    """
    official = official_of(name.rpartition("/")[2])
    if official is None or digest is None:
        return None
    if digest == official.md5:
        return f"{name} is the official archive: its MD5 is {digest}"
    text = f"{name} differs from the official archive: its MD5 is {digest}, expected {official.md5}"
    if official.size is not None and size != official.size:
        return f"{text}; it has {size:,} bytes, the official one {official.size:,}, so it is taken for another"
    if official.size is None:
        return f"{text}; the size of the official one is not known here, so it is taken for another"
    raise WrongDigest(f"{text}; get it again")
