"""Description of a scene by its metadata: files of the bands, time, processing baseline and offsets."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.source.offset import OFFSET, REPROCESSED, OffsetMode, baseline_name, has_offset
from shards.layout.bands import BANDS

SATURATED: Final = 65_535
"""Digital number of saturated pixels (special value SATURATED of `MTD_MSIL2A.xml`, all baselines)."""
_FIRST_UNKNOWN: Final = 2000
"""ESA has reached baseline 05.12; 99.99 is that of products that others have made."""
_BASELINE: Final = re.compile(r"N?0?(\d{1,2})\.?(\d{2})", re.ASCII)
_TIME: Final = re.compile(r"(?<!\d)(\d{8}T\d{6})(?!\d)", re.ASCII)
_IN_NAME: Final = re.compile(r"_N(\d{4})_", re.ASCII)


@dataclass(frozen=True, slots=True)
class BandFile:
    """Place of the pixels of one band.

    Attributes:
        path: as GDAL opens it.
        index: of the band in the file, from 1.
        shown: name for messages.
    """

    path: str
    index: int
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A scene as its metadata describe it; nothing is known of its pixels yet.

    Attributes:
        name: of the scene; names its files and folder.
        files: by band name, `SCL` among them if there is one.
        origin: file or folder that the user named.
        baseline: processing baseline, 509 for 05.09; None if nothing tells.
        date: sensing time in UTC; None if nothing tells.
        offsets: what is to be subtracted from digital numbers, by band; empty for nothing.
        offset_reason: why, for people.
    """

    name: str
    files: Mapping[str, BandFile]
    origin: str
    baseline: int | None = None
    date: datetime | None = None
    offsets: Mapping[str, int] = field(default_factory=dict)
    offset_reason: str = ""

    def identity(self) -> dict[str, Any]:
        """Return what results depend on, as JSON values: files with size and modification time, offsets."""
        files = {}
        for band, file in sorted(self.files.items()):
            stat = os.stat(self.origin if file.path.startswith("/vsi") else file.path)
            files[band] = [file.path, file.index, stat.st_size, stat.st_mtime_ns]
        return {"scene": self.name, "files": files, "offsets": dict(sorted(self.offsets.items()))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Facts that the user gives of inputs whose metadata do not tell them.

    Attributes:
        offset: `auto` subtracts the offset of newer baselines, `none` leaves digital numbers as they are.
        baseline: processing baseline of scenes that do not say theirs.
        date: sensing time of scenes that do not say theirs, in UTC.
    """

    offset: OffsetMode = "auto"
    baseline: int | None = None
    date: datetime | None = None


def parse_baseline(text: str) -> int:
    """Return a processing baseline as a number, 509 for `05.09`, `5.09`, `N0509` and `0509`.

    Raises:
        ValueError: it is none.
    """
    match = _BASELINE.fullmatch(text.strip())
    number = None if match is None else int(match[1] + match[2])
    if number is None or _FIRST_UNKNOWN <= number != REPROCESSED:
        raise ValueError(f"{text!r:.40} is no processing baseline, expected one such as 05.09, N0509 or N9999")
    return number


def parse_time(text: str) -> datetime | None:
    """Return a time in ISO 8601 as one of UTC without fractions; None if it is none."""
    try:
        time = datetime.fromisoformat(text.strip())
        return (time if time.tzinfo is None else time.astimezone(UTC)).replace(tzinfo=None, microsecond=0)
    except (ValueError, OverflowError):  # A time zone can lead out of the years that there are.
        return None


def in_names(names: Iterable[str]) -> tuple[int | None, datetime | None]:
    """Return baseline and sensing time that names of products or files say; None for what they do not agree on."""
    texts = list(names)
    baselines = {int(match[1]) for text in texts if (match := _IN_NAME.search(text))}
    times = {match[1] for text in texts if (match := _TIME.search(text))}
    date = parse_time(times.pop()) if len(times) == 1 else None
    return baselines.pop() if len(baselines) == 1 else None, date


def offsets_of(
    name: str, baseline: int | None, known: Known, stated: Mapping[str, int] | None = None
) -> tuple[int | None, dict[str, int], str]:
    """Return baseline, offsets to subtract by band, and the reason for people.

    Args:
        name: of the scene, for messages.
        baseline: that the metadata say; None if they do not.
        known: what the user says.
        stated: offsets to subtract by band, where metadata state them; None where they do not.

    Raises:
        BadScene: nothing says whether there is an offset, or two things say otherwise.
    """
    if known.baseline is not None and baseline is not None and known.baseline != baseline:
        raise BadScene(
            f"{name} is of processing baseline {baseline_name(baseline)} by its metadata, and of "
            f"{baseline_name(known.baseline)} by `baseline=`; leave `baseline=` out"
        )
    baseline = known.baseline if baseline is None else baseline
    if known.offset == "none":
        return baseline, {}, "digital numbers are used as they are, as requested"
    if stated is None and baseline is None:
        raise BadScene(
            f"nothing says of which processing baseline {name} is, so whether {OFFSET} has to be subtracted from its "
            "digital numbers (from 04.00 on): say `baseline=` (in names of products, N0509 is 05.09), or `offset=none` "
            "if it is taken from them already, or they never had it"
        )
    if stated is None:
        stated = dict.fromkeys(BANDS, OFFSET) if has_offset(baseline) else {}
    found = {band: value for band, value in stated.items() if value}
    for band, value in found.items():
        if not 0 < value < SATURATED:
            raise BadScene(f"{name} states an offset of {-value} for {band}, expected one from -65534 to 0")
    of = "" if baseline is None else f" of processing baseline {baseline_name(baseline)}"
    if not found:
        return baseline, {}, f"digital numbers{of} have no offset"
    values = sorted(set(found.values()))
    return baseline, found, f"{' or '.join(map(str, values))} is subtracted from digital numbers{of}"
