"""The checksum of a manifest, and of the note on a build, over its own fields."""

import hashlib
import json
from typing import Any

from shards.errors import CorruptShard
from shards.text.json_fields import shown


def digest_of(raw: dict[str, Any]) -> str:
    """Return the SHA-256 of all fields but `sha256`.

    It is that of their JSON text in ASCII with names in order and without blanks.

    Raises:
        ValueError: a field is nested too deeply.
    """
    rest = {name: value for name, value in raw.items() if name != "sha256"}
    try:
        return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def sealed(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the checksum that fits, as the last field."""
    return {name: value for name, value in raw.items() if name != "sha256"} | {"sha256": digest_of(raw)}


def check_seal(raw: dict[str, Any]) -> None:
    """Compare fields with their checksum; those of the first version have none.

    Raises:
        CorruptShard: they differ from it.
        ValueError: a field is nested too deeply.
    """
    if "sha256" in raw and raw["sha256"] != (found := digest_of(raw)):
        raise CorruptShard(f"it has changed: SHA-256 {found}, expected {shown(raw['sha256'])}")
