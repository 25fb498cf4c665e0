"""Labels and dates of patches: v1's JSON file in each folder, v2's patch names."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bigearth_pipeline.errors import BadPatch
from shards.classes import encode_clc_labels

_SENSING_TIME: Final = re.compile(r"_(\d{8}T\d{6})_")


def date_of_key(key: str) -> str:
    """Return the sensing time in a v2 patch name as ISO 8601 (UTC).

    Raises:
        BadPatch: the name holds none.
    """
    match = _SENSING_TIME.search(key)
    try:
        return datetime.strptime(match[1] if match else "", "%Y%m%dT%H%M%S").isoformat()
    except ValueError:
        raise BadPatch(f"patch name {key} holds no sensing time, expected <product>_<column>_<row>") from None


def read_v1_annotation(key: str, folder: str) -> tuple[int, str]:
    """Return label mask (19 classes) and acquisition time (ISO 8601) from the JSON file of a v1 patch.

    Raises:
        BadPatch: the file is missing or no such JSON, or a label is not in the 43-class nomenclature.
    """
    path = f"{folder}/{key}_labels_metadata.json"
    try:
        with open(path, "rb") as file:
            raw = json.loads(file.read())
        labels, date = raw["labels"], datetime.fromisoformat(raw["acquisition_date"])
        if not isinstance(labels, list):
            raise TypeError("labels is not a list")
        return encode_clc_labels(labels), date.isoformat()
    except FileNotFoundError:
        raise BadPatch(f"{path} is missing") from None
    except KeyError as err:
        raise BadPatch(f"{path} lacks {err}") from err
    except (OSError, ValueError, TypeError) as err:
        raise BadPatch(f"{path}: {err}") from err


def read_v1_annotations(patches: Sequence[tuple[str, str]]) -> list[tuple[int, str] | str]:
    """Read the annotations of many (patch name, folder); a bad one is the reason instead."""
    results: list[tuple[int, str] | str] = []
    for key, folder in patches:
        try:
            results.append(read_v1_annotation(key, folder))
        except BadPatch as err:
            results.append(str(err))
    return results
