"""Labels and dates of patches: v1's JSON file in each folder, v2's patch names."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.tree import ANNOTATION_SUFFIX
from shards.layout.classes import FORTY_THREE, mask_of_19
from shards.storage.safe_open import read_regular
from shards.text.json_fields import shown

_SENSING_TIME: Final = re.compile(r"_(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)_", re.ASCII)
_BASELINE: Final = re.compile(r"_N(\d{4})_", re.ASCII)
MAX_BYTES: Final = 1 << 20  # Of a v1 annotation; the official ones have one or two thousand.


class Annotation(NamedTuple):
    """Content of the JSON file of a v1 patch.

    Attributes:
        label_mask: of the 19 classes.
        date: acquisition time as `utc_seconds` returns it.
        labels43: mask of the 43 classes.
    """

    label_mask: int
    date: str
    labels43: int


def date_of_key(key: str) -> str:
    """Return the sensing time in a v2 patch name as ISO 8601 (UTC).

    Raises:
        BadPatch: the name holds none.
    """
    match = _SENSING_TIME.search(key)
    try:
        if match is None:
            raise ValueError
        # A fifth of the time of `strptime`.
        year, month, day, hour, minute, second = map(int, match.groups())
        return datetime(year, month, day, hour, minute, second).isoformat()
    except ValueError:
        raise BadPatch(f"patch name {key} holds no sensing time, expected <product>_<column>_<row>") from None


def baseline_of_key(key: str) -> int | None:
    """Return the processing baseline in a patch name, 400 for `N0400`; None where it holds none, as v1's names."""
    match = _BASELINE.search(key)
    return int(match[1]) if match else None


def utc_seconds(text: str) -> str:
    """Return a date of ISO 8601 as `YYYY-MM-DDThh:mm:ss` in UTC; fractions of a second are cut off.

    A date without an offset is in UTC, as BigEarthNet's are.

    Raises:
        ValueError: it is no date, or none that UTC can express.
    """
    try:
        date = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(f"the date is {shown(text)}, expected one of ISO 8601 such as 2017-06-13 10:10:31") from None
    try:
        date = date if date.tzinfo is None else date.astimezone(UTC)
    except OverflowError as err:
        raise ValueError(f"date {text!r} is out of range") from err
    return date.replace(tzinfo=None, microsecond=0).isoformat()


def read_v1_annotation(key: str, folder: str) -> Annotation:
    """Return what the JSON file of a v1 patch says.

    Raises:
        BadPatch: the file is missing or no such JSON, or a label is not in the 43-class nomenclature.
    """
    path = f"{folder}/{key}{ANNOTATION_SUFFIX}"
    try:
        content = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        raise missing_annotation(path) from None
    except OSError as err:
        raise BadPatch(f"{path} cannot be read: {err.strerror}") from err
    return parse_v1_annotation(path, content)


def missing_annotation(path: str) -> BadPatch:
    """Return the error about a v1 patch without its JSON file."""
    return BadPatch(f"{path} is missing")


def parse_v1_annotation(path: str, content: bytes) -> Annotation:
    """Return what the JSON file of a v1 patch says, as `read_v1_annotation`.

    Args:
        path: of the file, for the error.
        content: its bytes.

    Raises:
        BadPatch: it is no such JSON, or a label is not in the 43-class nomenclature.
    """
    try:
        raw = json.loads(content)
        if not isinstance(raw, dict):
            raise TypeError(f"it is {shown(raw)}, expected an object with labels and acquisition_date")
        labels, date = raw["labels"], utc_seconds(raw["acquisition_date"])
        if not isinstance(labels, list):
            raise TypeError(f"labels is {shown(labels)}, expected a list of class names")
        labels43 = FORTY_THREE.encode(labels)
        return Annotation(mask_of_19(labels43), date, labels43)
    except KeyError as err:
        raise BadPatch(f"{path} lacks {err}") from err
    except (ValueError, TypeError) as err:
        raise BadPatch(f"{path}: {err}") from err
    except RecursionError as err:
        raise BadPatch(f"{path} is nested too deeply for an annotation") from err


def read_v1_annotations(patches: Sequence[tuple[str, str]]) -> list[Annotation | str]:
    """Read the annotations of many (patch name, folder); a bad one is the reason instead."""
    results: list[Annotation | str] = []
    for key, folder in patches:
        try:
            results.append(read_v1_annotation(key, folder))
        except BadPatch as err:
            results.append(str(err))
    return results
